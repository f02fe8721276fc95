/* After a 101: two connections joined, bytes both ways, each side's pace the other's (RFC 9110 7.8). The
 * client's worker thread. Ends when both sides have ended, either fails, or nothing moved for an hour. */
#ifndef PIPELINE_TUNNEL_H
#define PIPELINE_TUNNEL_H

#include "base/str.h"

struct client;
struct stream;
struct tunnel;

/* Takes the server's stream over; extra came behind its 101. What the client had sent behind its request goes
 * to the server now. When it ends, the client's request is resumed and recorded. NULL when out of memory;
 * then the stream is closed. */
struct tunnel *tunnel_new(struct client *client, struct stream *server, struct str extra);
void tunnel_free(struct tunnel *tunnel); /* closes the server's side; NULL is fine */

#endif
