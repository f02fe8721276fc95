/* A reply becomes a stored answer: what of it is kept, for whom, and how a 304 or a HEAD renews it.
 *
 * It knows the fields that stay and those that go, and asks http/caching whether it may. Owner and thread:
 * the fetch's. */
#ifndef PIPELINE_KEEP_H
#define PIPELINE_KEEP_H

#include "pipeline/fetch.h"

/* Is the reply one that may be kept? Then a growing object for it that others can find, else NULL. */
struct object *keep_reply(struct fetch *fetch, const struct message *reply);

/* A new head and age for the request's stored answer, from a 304 or a HEAD's 200 (RFC 9111 4.3.4, 4.3.5).
 * NULL: it may not be stored any more, or no memory. Not in the index yet. */
struct object *keep_renewed(struct fetch *fetch, const struct message *reply);

/* Until when the reply knows of writes, monotonic: what was invalidated or purged since keeps it out. A
 * replica may be behind. */
int64_t keep_known_ns(const struct fetch *fetch);

#endif
