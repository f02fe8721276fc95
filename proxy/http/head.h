/* Reading heads, the parts that other files of http/ share. Inside http/ only. */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "http/message.h"

/* Reads one field line at *at, which must lie before a CRLF that ends the section (so no scan runs past
 * it), and moves *at behind the line. False if it is not `token ":" OWS value OWS CRLF`. */
bool field_line_read(const char **at, const char *end, struct field *out);

/* What the fields say together: Host against the target, where the body ends, what Connection asks. */
int framing_of_request(struct message *msg, struct str absolute_authority);
int framing_of_reply(struct message *msg, enum method to_method);

/* Lets http-parser read the same head. False unless it accepts it and saw what we saw. raw_target is the
 * target as it stands in the request line. */
bool parser_agrees_on_request(const struct message *msg, struct str head, struct str raw_target);
bool parser_agrees_on_reply(const struct message *msg, struct str head);

#endif
