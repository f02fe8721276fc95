/* How replicas learn what the primary did: GET /feed on the primary is a reply that never ends, first all
 * that there is, then every change as it happens, a line each. A replica applies a change when it is as old
 * as the lag it was told to have. */
#ifndef DEMO_FEED_H
#define DEMO_FEED_H

#include <event2/event.h>
#include <stdbool.h>

#include "http.h"
#include "store.h"

/* The primary's side. */
struct feed;

struct feed *feed_new(const struct store *store);
void feed_free(struct feed *feed); /* nobody is listening any more */
/* Answers GET /feed. */
void feed_join(struct feed *feed, struct call *call);
/* Tells everyone. */
void feed_tell(struct feed *feed, const struct change *change);

/* A replica's side, in follower.c. */
struct follower;

/* Connects, and connects again when it is cut off. */
struct follower *follower_new(struct event_base *base, struct store *store, const char *host,
                              unsigned short port, int64_t lag_ms);
void follower_free(struct follower *follower);
/* True once there is a first snapshot. */
bool follower_is_ready(const struct follower *follower);

#endif
