/* One connection, once: it dials, sends in order, receives in the same order, and ends. */
#include "fleet/redis_inside.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"

#define READ_BYTES    16384
#define READS_A_TURN  16 /* a large reply does not keep the loop from others */
#define PIECES_MAX    64
#define LOOK_MS       500
#define PING_AFTER_MS 1000

static void on_readable(void *arg);
static void flush(void *arg);

static const struct stream_events stream_events = { on_readable, flush };

static void bury(struct redis_link *link)
{
    reply_maker_fini(&link->maker);
    loop_free_later(link->redis->loop, link);
}

void redis_link_close(struct redis_link *link, struct list *out)
{
    CHECK(!link->is_dead);
    link->is_dead = true;
    timer_cancel(&link->timer);
    later_cancel(&link->flush);
    dial_cancel(link->dial);
    link->dial = NULL;
    stream_close(link->stream);
    link->stream = NULL;
    list_take_all(out, &link->asks);
    if (!link->is_reading)
        bury(link);
}

/* --- sending --- */

static void advance(struct redis_link *link, size_t n)
{
    while (n > 0) {
        struct ask *ask = LIST_ENTRY(link->unsent, struct ask, link);
        size_t left = ask->len - link->sent;
        if (n < left) {
            link->sent += n;
            return;
        }
        n -= left;
        link->sent = 0;
        link->unsent = link->unsent->next;
        if (!ask->fn && ask->kind == ASK_USER) { /* it ran out of time half sent */
            redisFreeCommand(ask->bytes);
            ask->bytes = NULL;
        }
    }
}

static void flush(void *arg)
{
    struct redis_link *link = arg;

    while (link->stream && link->unsent != &link->asks) {
        struct iovec pieces[PIECES_MAX];
        int count = 0;
        size_t skip = link->sent;
        size_t total = 0;
        for (struct list *at = link->unsent; at != &link->asks && count < PIECES_MAX; at = at->next) {
            struct ask *ask = LIST_ENTRY(at, struct ask, link);
            pieces[count++] = (struct iovec){ ask->bytes + skip, ask->len - skip };
            total += ask->len - skip;
            skip = 0;
        }
        ssize_t n = stream_writev(link->stream, pieces, count);
        if (n < 0) {
            redis_lose_link(link, "the connection broke");
            return;
        }
        advance(link, (size_t)n);
        if ((size_t)n < total) {
            stream_want_write(link->stream, true);
            return;
        }
    }
    if (link->stream)
        stream_want_write(link->stream, false);
}

void redis_link_push(struct redis_link *link, struct ask *ask)
{
    CHECK(!link->is_dead);
    ask->begun_ns = loop_now_ns(link->redis->loop);
    ask->on = link;
    list_push_back(&link->asks, &ask->link);
    if (link->unsent == &link->asks)
        link->unsent = &ask->link;
    if (link->stream)
        loop_later(link->redis->loop, &link->flush);
}

void redis_link_drop(struct redis_link *link, struct ask *ask)
{
    bool is_unsent = false;
    /* Usually sent long ago, so the way from the unsent end is the short one. */
    for (struct list *at = link->unsent; at != &link->asks && !is_unsent; at = at->next)
        is_unsent = at == &ask->link;
    if (!is_unsent) {
        /* Its answer will come, and has to be told from the next one's. */
        redisFreeCommand(ask->bytes);
        ask->bytes = NULL;
        return;
    }
    if (link->unsent == &ask->link) {
        if (link->sent > 0)
            return;
        link->unsent = ask->link.next;
    }
    list_remove(&ask->link);
    redis_ask_end(ask, REDIS_TIMEOUT, NULL);
}

/* --- receiving --- */

static void on_reply(struct redis_link *link, const struct redis_reply *reply)
{
    struct ask *ask = LIST_ENTRY(link->asks.next, struct ask, link);
    bool is_message = link->is_subscribed && reply->kind == REDIS_ARRAY && reply->count == 3;

    /* An answer to what was not sent yet is none. */
    if (is_message || list_is_empty(&link->asks) || link->unsent == &ask->link) {
        redis_on_push(link, reply);
        return;
    }
    list_remove(&ask->link);
    redis_on_reply(link, ask, reply);
}

static void read_some(struct redis_link *link)
{
    char data[READ_BYTES];
    for (unsigned i = 0; i < READS_A_TURN; i++) {
        ssize_t n = stream_read(link->stream, data, sizeof data);
        if (n == STREAM_AGAIN)
            return;
        if (n <= 0) {
            redis_lose_link(link, n == 0 ? "the server closed the connection" : "the connection broke");
            return;
        }
        link->heard_ns = loop_now_ns(link->redis->loop);
        if (!reply_maker_feed(&link->maker, data, (size_t)n)) {
            redis_lose_link(link, "a reply is over the limit");
            return;
        }
        const struct redis_reply *reply;
        int found;
        while ((found = reply_maker_next(&link->maker, &reply)) > 0) {
            on_reply(link, reply);
            if (link->is_dead)
                return;
        }
        if (found < 0) {
            redis_lose_link(link, "a reply is over the limit or not valid");
            return;
        }
    }
}

static void on_readable(void *arg)
{
    struct redis_link *link = arg;

    link->is_reading = true;
    read_some(link);
    link->is_reading = false;
    if (link->is_dead)
        bury(link);
}

/* --- its life --- */

/* Unanswered asks mean silence after a while; a subscriber has none and asks for a sign of life. */
static void on_look(void *arg)
{
    struct redis_link *link = arg;
    struct loop *loop = link->redis->loop;
    int64_t now_ns = loop_now_ns(loop);

    if (!list_is_empty(&link->asks)) {
        const struct ask *oldest = LIST_ENTRY(link->asks.next, struct ask, link);
        if (now_ns - max_i64(oldest->begun_ns, link->heard_ns) > REDIS_SILENCE_MS * NS_PER_MS) {
            redis_lose_link(link, "the server does not answer");
            return;
        }
    } else if (link->is_subscribed && now_ns - link->heard_ns > PING_AFTER_MS * NS_PER_MS) {
        struct ask *ping = redis_ask_new(link->redis, ASK_QUIET, 1, (const char *[]){ "PING" }, NULL);
        if (ping)
            redis_link_push(link, ping);
    }
    timer_set(loop, &link->timer, LOOK_MS);
}

static void on_impatient(void *arg)
{
    struct redis_link *link = arg;
    redis_lose_link(link, link->stream ? "the server does not answer" : "it does not accept the connection");
}

void redis_link_greeted(struct redis_link *link)
{
    timer_cancel(&link->timer);
    timer_init(&link->timer, on_look, link);
    timer_set(link->redis->loop, &link->timer, LOOK_MS);
}

static const char *why_of(int err)
{
    switch (err) {
    case ERR_CONNECT_REFUSED:
        return "the connection was refused";
    case ERR_CONNECT_TIMEOUT:
        return "it does not accept the connection";
    default:
        return "it cannot be reached";
    }
}

static void on_dialled(void *arg, struct stream *stream, int err)
{
    struct redis_link *link = arg;

    link->dial = NULL;
    if (err) {
        redis_lose_link(link, why_of(err));
        return;
    }
    link->stream = stream;
    stream_set_owner(stream, &stream_events, link);
    stream_want_read(stream, true);
    redis_greet(link);
}

struct redis_link *redis_link_new(struct redis *redis, enum link_role role, const struct addr *addr,
                                  struct endpoint *endpoint)
{
    struct redis_link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->redis = redis;
    link->role = role;
    link->addr = *addr;
    link->heard_ns = loop_now_ns(redis->loop);
    list_init(&link->asks);
    link->unsent = &link->asks;
    later_init(&link->flush, flush, link);
    timer_init(&link->timer, on_impatient, link);
    if (reply_maker_init(&link->maker, redis->reply_bytes_max))
        link->dial = dial_start(redis->loop, endpoint, NULL, NULL, REDIS_CONNECT_MS, on_dialled, link);
    if (!link->dial) {
        reply_maker_fini(&link->maker);
        free(link);
        return NULL;
    }
    timer_set(redis->loop, &link->timer, REDIS_CONNECT_MS);
    return link;
}
