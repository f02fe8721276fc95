/* Carries a reply's body on: from the exchange straight to its one client, or into a growing object that
 * readers follow. Bounded both ways: a slow client pauses the exchange at `buffer.reply`, a window at what
 * its slowest reader left. The exchange's worker thread. */
#ifndef PIPELINE_RELAY_H
#define PIPELINE_RELAY_H

#include "base/str.h"
#include "http/body_in.h"
#include "http/message.h"

struct fetch;

/* The exchange's events; arg is a struct fetch. */
void relay_interim(void *arg, const struct message *interim);
void relay_piece(void *arg, struct str piece);
void relay_end(void *arg, const struct body_in *trailers);
void relay_flush(void *arg);

/* The server broke off in its reply after the head was handed on: visibly, to everyone who reads it. */
void relay_broke(struct fetch *fetch, int err);

#endif
