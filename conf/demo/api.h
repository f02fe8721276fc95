/* What the demo app answers. A primary takes reads and writes, a replica reads; each says who it is. */
#ifndef DEMO_API_H
#define DEMO_API_H

#include <event2/event.h>

#include "feed.h"
#include "http.h"
#include "store.h"

struct api {
    struct event_base *base;
    struct store *store;
    struct feed *feed;         /* NULL on a replica */
    struct follower *follower; /* NULL on the primary */
    const char *self;          /* host:port, for Served-By */
};

/* The call_fn; arg is a struct api, which outlives all calls. */
void api_answer(struct call *call, void *arg);

#endif
