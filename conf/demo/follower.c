#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/time.h>

#include "feed.h"

#define RECONNECT_MS 300

/* A change that is not old enough yet. */
struct pending {
    TAILQ_ENTRY(pending) link;
    struct change change;
};

struct follower {
    struct event_base *base;
    struct store *store;
    const char *host;
    unsigned short port;
    int64_t lag_ms;
    struct bufferevent *stream;    /* NULL: between two attempts */
    struct event *due;             /* the oldest pending change, while connected */
    struct event *again;           /* the next attempt */
    TAILQ_HEAD(, pending) pending; /* oldest first */
    bool is_past_head;
    bool is_in_snapshot;
    bool is_ready;
};

static int64_t wall_ms(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

static void arm(struct event *timer, int64_t in_ms)
{
    struct timeval in = { .tv_sec = in_ms / 1000, .tv_usec = in_ms % 1000 * 1000 };

    evtimer_add(timer, &in);
}

static void drop_first(struct follower *follower)
{
    struct pending *first = TAILQ_FIRST(&follower->pending);

    TAILQ_REMOVE(&follower->pending, first, link);
    free(first);
}

/* Applies what is old enough, in order, and sleeps until the next one is. */
static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct follower *follower = arg;
    struct pending *first;

    while ((first = TAILQ_FIRST(&follower->pending))) {
        int64_t left_ms = first->change.at_ms + follower->lag_ms - wall_ms();

        if (left_ms > 0) {
            arm(follower->due, left_ms);
            return;
        }
        store_apply(follower->store, &first->change);
        drop_first(follower);
    }
}

/* A snapshot is applied at once and as a whole: nobody sees half of it. */
static void end_snapshot(struct follower *follower)
{
    struct pending *first;

    while ((first = TAILQ_FIRST(&follower->pending))) {
        store_apply(follower->store, &first->change);
        drop_first(follower);
    }
    follower->is_in_snapshot = false;
    follower->is_ready = true;
}

static void take_line(struct follower *follower, const char *line)
{
    struct pending *pending;

    if (!follower->is_past_head) {
        follower->is_past_head = line[0] == '\0';
        return;
    }
    pending = calloc(1, sizeof *pending);
    if (!pending || !change_read(&pending->change, line)) {
        free(pending);
        return;
    }
    if (pending->change.kind == CHANGE_RESET) {
        while (!TAILQ_EMPTY(&follower->pending))
            drop_first(follower);
        follower->is_in_snapshot = true;
    }
    TAILQ_INSERT_TAIL(&follower->pending, pending, link);
    if (pending->change.kind == CHANGE_READY)
        end_snapshot(follower);
    else if (!follower->is_in_snapshot)
        on_due(-1, 0, follower);
}

static void on_bytes(struct bufferevent *stream, void *arg)
{
    struct evbuffer *in = bufferevent_get_input(stream);
    char *line;

    while ((line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF))) {
        take_line(arg, line);
        free(line);
    }
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
    struct follower *follower = arg;

    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    bufferevent_free(stream);
    follower->stream = NULL;
    arm(follower->again, RECONNECT_MS);
}

static void ask(evutil_socket_t fd, short what, void *arg)
{
    struct follower *follower = arg;

    follower->is_past_head = false;
    follower->stream = bufferevent_socket_new(follower->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!follower->stream) {
        arm(follower->again, RECONNECT_MS);
        return;
    }
    bufferevent_setcb(follower->stream, on_bytes, NULL, on_event, follower);
    bufferevent_enable(follower->stream, EV_READ | EV_WRITE);
    evbuffer_add_printf(bufferevent_get_output(follower->stream), "GET /feed HTTP/1.1\r\nHost: %s\r\n\r\n",
                        follower->host);
    /* Looks names up while everyone waits: good enough for a demo. A failure comes through on_event. */
    bufferevent_socket_connect_hostname(follower->stream, NULL, AF_UNSPEC, follower->host, follower->port);
}

struct follower *follower_new(struct event_base *base, struct store *store, const char *host,
                              unsigned short port, int64_t lag_ms)
{
    struct follower *follower = calloc(1, sizeof *follower);

    if (!follower)
        return NULL;
    follower->base = base;
    follower->store = store;
    follower->host = host;
    follower->port = port;
    follower->lag_ms = lag_ms;
    TAILQ_INIT(&follower->pending);
    follower->due = evtimer_new(base, on_due, follower);
    follower->again = evtimer_new(base, ask, follower);
    if (!follower->due || !follower->again) {
        follower_free(follower);
        return NULL;
    }
    arm(follower->again, 0);
    return follower;
}

void follower_free(struct follower *follower)
{
    if (!follower)
        return;
    if (follower->stream)
        bufferevent_free(follower->stream);
    if (follower->due)
        event_free(follower->due);
    if (follower->again)
        event_free(follower->again);
    while (!TAILQ_EMPTY(&follower->pending))
        drop_first(follower);
    free(follower);
}

bool follower_is_ready(const struct follower *follower)
{
    return follower->is_ready;
}
