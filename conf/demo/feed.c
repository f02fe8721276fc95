#include "feed.h"

#include <stdlib.h>

#define LISTENERS_MAX 16
#define UNSENT_MAX    (4u << 20)

struct feed {
    const struct store *store;
    struct call *listeners[LISTENERS_MAX];
    unsigned count;
};

struct feed *feed_new(const struct store *store)
{
    struct feed *feed = calloc(1, sizeof *feed);

    if (feed)
        feed->store = store;
    return feed;
}

void feed_free(struct feed *feed)
{
    free(feed);
}

static void on_listener_gone(struct call *call, void *arg)
{
    struct feed *feed = arg;

    for (unsigned i = 0; i < feed->count; i++)
        if (feed->listeners[i] == call)
            feed->listeners[i] = feed->listeners[--feed->count];
}

static void send_change(const struct change *change, void *arg)
{
    struct call *call = arg;
    char line[CHANGE_LINE_SIZE];

    call_send(call, line, change_write(change, line));
}

void feed_join(struct feed *feed, struct call *call)
{
    if (feed->count == LISTENERS_MAX) {
        call_reply(call, 503, "", NULL, 0);
        return;
    }
    feed->listeners[feed->count++] = call;
    call_stream(call, on_listener_gone, feed);
    store_snapshot(feed->store, send_change, call);
}

void feed_tell(struct feed *feed, const struct change *change)
{
    /* Backwards, since hanging up moves the last one here. */
    for (unsigned i = feed->count; i-- > 0;) {
        if (call_unsent(feed->listeners[i]) > UNSENT_MAX)
            call_hang_up(feed->listeners[i]);
        else
            send_change(change, feed->listeners[i]);
    }
}
