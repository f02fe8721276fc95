#include "upstream/exchange_int.h"

#include <stdlib.h>

#include "base/err.h"
#include "net/dial.h"
#include "net/stream.h"

#define SPARE_BYTES 4096 /* larger buffers do not stay with a spare one */

static const struct stream_events stream_events = {
    .on_readable = reply_on_readable,
    .on_writable = request_on_writable,
};

struct exchange *exchange_from(void *arg)
{
    struct exchange *ex = arg;
    CHECK(ex != NULL);
    CHECK(ex->tag == EXCHANGE_TAG);
    return ex;
}

void exchange_free(struct exchange *ex)
{
    if (!ex)
        return;
    buf_fini(&ex->out);
    buf_fini(&ex->partial);
    free(ex);
}

/* --- memory --- */

static void on_timer(void *arg);
static void on_later(void *arg);

static struct exchange *exchange_new(struct pools *pools)
{
    struct exchange *ex;
    struct buf out = { 0 };
    struct buf partial = { 0 };
    if (list_is_empty(&pools->spare_exchanges)) {
        ex = malloc(sizeof *ex);
        if (!ex)
            return NULL;
    } else {
        ex = LIST_ENTRY(pools->spare_exchanges.next, struct exchange, link);
        list_remove(&ex->link);
        pools->spare_exchange_count--;
        out = ex->out;
        partial = ex->partial;
    }
    *ex = (struct exchange){ .tag = EXCHANGE_TAG, .out = out, .partial = partial };
    list_init(&ex->link);
    timer_init(&ex->timer, on_timer, ex);
    later_init(&ex->later, on_later, ex);
    pools->exchange_count++;
    return ex;
}

static void empty(struct buf *buf)
{
    if (buf->size > SPARE_BYTES)
        buf_fini(buf);
    else
        buf_consume(buf, buf_len(buf));
}

static void recycle(struct exchange *ex, struct pools *pools)
{
    CHECK(!ex->connection);
    ex->tag = EXCHANGE_TAG_DEAD;
    empty(&ex->out);
    empty(&ex->partial);
    body_in_fini(&ex->body);
    if (ex->pool)
        pool_leave(ex->pool);
    pools->exchange_count--;
    if (pools->spare_exchange_count == SPARE_MAX) {
        buf_fini(&ex->out);
        buf_fini(&ex->partial);
        loop_free_later(pools->loop, ex);
        return;
    }
    list_push_front(&pools->spare_exchanges, &ex->link);
    pools->spare_exchange_count++;
}

void exchange_hold(struct exchange *ex)
{
    ex->holds++;
}

void exchange_drop(struct exchange *ex)
{
    CHECK(ex->holds > 0);
    if (--ex->holds == 0 && ex->state == EXCHANGE_OVER)
        recycle(ex, ex->pool->pools);
}

/* --- the end --- */

/* A request that was not sent whole ends with a reset, never with a FIN that might pass for its end (and with
 * a TLS close_notify even more so): a cut upload must not become a complete one. */
static void give_up_connection(struct exchange *ex)
{
    struct connection *connection = ex->connection;
    ex->connection = NULL;
    if (!connection)
        return;
    if (request_is_sent(ex))
        connection_close(connection);
    else
        connection_reset(connection);
}

void exchange_finish(struct exchange *ex, bool is_kept)
{
    if (ex->state == EXCHANGE_OVER)
        return;
    ex->state = EXCHANGE_OVER;
    timer_cancel(&ex->timer);
    later_cancel(&ex->later);
    dial_cancel(ex->dial);
    ex->dial = NULL;
    if (is_kept) {
        struct connection *connection = ex->connection;
        ex->connection = NULL;
        connection->is_suspect = ex->body.framing == FRAMING_NONE;
        connection_park(connection);
    } else {
        give_up_connection(ex);
    }
}

void exchange_fail(struct exchange *ex, int err)
{
    CHECK(ex->holds > 0);
    if (ex->state == EXCHANGE_OVER)
        return;
    atomic_store_explicit(&ex->pool->server->why_failed, err, memory_order_relaxed);
    exchange_finish(ex, false);
    ex->is_mute = true;
    ex->events->on_failed(ex->arg, err);
}

void exchange_fail_later(struct exchange *ex, int err)
{
    ex->later_err = err;
    loop_later(ex->pool->pools->loop, &ex->later);
}

static void on_later(void *arg)
{
    struct exchange *ex = exchange_from(arg);
    if (ex->state == EXCHANGE_OVER) {
        exchange_drop(ex); /* exchange_take_stream()'s hold */
        return;
    }
    exchange_hold(ex);
    exchange_fail(ex, ex->later_err);
    exchange_drop(ex);
}

void exchange_abort(struct exchange *ex)
{
    if (!ex)
        return;
    exchange_from(ex);
    ex->is_mute = true;
    exchange_hold(ex);
    exchange_finish(ex, false);
    exchange_drop(ex);
}

/* --- waiting --- */

static bool is_in_reply(const struct exchange *ex)
{
    return ex->is_head_done || buf_len(&ex->partial) > 0;
}

/* Is it the server's turn? Not while its client has more of the body to give and takes its time. */
static bool is_servers_turn(const struct exchange *ex)
{
    return ex->is_upload_over || ex->is_write_broken || ex->expects_continue || buf_len(&ex->out) > 0;
}

void exchange_arm(struct exchange *ex)
{
    int64_t wait_ms = NEVER;
    if (ex->state == EXCHANGE_OPEN && !ex->is_paused) {
        if (is_in_reply(ex))
            wait_ms = ex->timeouts.idle_ms;
        else if (is_servers_turn(ex))
            wait_ms = ex->timeouts.first_byte_ms;
    }
    if (wait_ms < 0)
        timer_cancel(&ex->timer);
    else
        timer_set(ex->pool->pools->loop, &ex->timer, wait_ms);
}

static void on_timer(void *arg)
{
    struct exchange *ex = exchange_from(arg);
    /* A slow server that still takes the request in is at work: its silence has not begun yet. */
    size_t unacked =
        ex->state == EXCHANGE_OPEN && buf_len(&ex->out) > 0 ? stream_unacked(ex->connection->stream) : 0;
    if (unacked > 0 && unacked != ex->unacked) {
        ex->unacked = unacked;
        exchange_arm(ex);
        return;
    }
    exchange_hold(ex);
    exchange_fail(ex, is_in_reply(ex) ? ERR_UPSTREAM_IDLE : ERR_FIRST_BYTE_TIMEOUT);
    exchange_drop(ex);
}

/* --- the beginning --- */

static void open_on(struct exchange *ex, struct connection *connection)
{
    ex->connection = connection;
    ex->connected_ns = loop_now_ns(ex->pool->pools->loop);
    ex->state = EXCHANGE_OPEN;
    stream_set_owner(connection->stream, &stream_events, ex);
    stream_want_read(connection->stream, !ex->is_paused);
}

static void on_dialed(void *arg, struct stream *stream, int err)
{
    struct exchange *ex = exchange_from(arg);
    exchange_hold(ex);
    ex->dial = NULL;
    struct connection *connection = err ? NULL : connection_new(ex->pool, stream);
    if (connection) {
        open_on(ex, connection);
        request_push(ex);
    } else {
        exchange_fail(ex, err ? err : ERR_NO_MEMORY);
    }
    exchange_drop(ex);
}

static bool dial(struct exchange *ex, struct upstream *upstream)
{
    struct server *server = ex->pool->server;
    const char *name = upstream->tls_name ? upstream->tls_name : server->addr.host;
    ex->dial = dial_start(ex->pool->pools->loop, server->endpoint, upstream->tls, name,
                          ex->timeouts.connect_ms, on_dialed, ex);
    return ex->dial != NULL;
}

/* What came on an idle connection closes it, and is no answer to the next request. In a busy loop its event
 * has been seen (idle ones are urgent); who waited longer than that looks, for the price of a system call.
 * Requests that cannot be retried (RFC 9110 9.2.2) always look. */
#define BLIND_NS 1000000

static struct connection *take_idle(struct exchange *ex, const struct exchange_request *request)
{
    if (request->must_be_fresh)
        return NULL;
    bool may_go_again =
        method_is_idempotent(request->method) && (request->upload == FRAMING_NONE || request->is_body_whole);
    bool is_checked = !may_go_again || loop_blind_ns(ex->pool->pools->loop) > BLIND_NS;
    return pool_take(ex->pool, is_checked);
}

struct exchange *exchange_start(struct pools *pools, struct upstream *upstream, struct server *server,
                                const struct exchange_request *request, const struct exchange_events *events,
                                void *arg)
{
    struct exchange *ex = exchange_new(pools);
    if (!ex)
        return NULL;
    ex->events = events;
    ex->arg = arg;
    ex->method = request->method;
    ex->wants_upgrade = request->wants_upgrade;
    ex->timeouts = request->timeouts;
    ex->pool = pool_enter(pools, server);
    if (!ex->pool)
        goto fail;

    struct connection *connection = take_idle(ex, request);
    if (connection) {
        ex->was_reused = true;
        open_on(ex, connection);
    } else if (!dial(ex, upstream)) {
        goto fail;
    }
    request_begin(ex, request);
    return ex;

fail:
    recycle(ex, pools);
    return NULL;
}

/* --- what owners may do and ask --- */

void exchange_pause(struct exchange *ex)
{
    exchange_from(ex);
    if (ex->is_paused)
        return;
    ex->is_paused = true;
    if (ex->state != EXCHANGE_OPEN)
        return;
    stream_want_read(ex->connection->stream, false);
    exchange_arm(ex);
}

void exchange_resume(struct exchange *ex)
{
    exchange_from(ex);
    if (!ex->is_paused)
        return;
    ex->is_paused = false;
    if (ex->state != EXCHANGE_OPEN)
        return;
    stream_want_read(ex->connection->stream, true);
    exchange_arm(ex);
}

struct stream *exchange_take_stream(struct exchange *ex, struct str *out_extra)
{
    exchange_from(ex);
    CHECK(ex->state == EXCHANGE_UPGRADED);
    struct stream *stream = connection_release(ex->connection);
    ex->connection = NULL;
    *out_extra = ex->extra;
    ex->is_mute = true;
    exchange_finish(ex, false);
    /* The extra bytes may lie in this exchange: it stays until the end of the turn. */
    exchange_hold(ex);
    loop_later(ex->pool->pools->loop, &ex->later);
    return stream;
}

bool exchange_was_reused(const struct exchange *ex)
{
    return ex->was_reused;
}

bool exchange_has_answered(const struct exchange *ex)
{
    return ex->has_answered;
}

bool exchange_has_sent_body(const struct exchange *ex)
{
    return ex->sent_bytes > ex->head_bytes;
}

int64_t exchange_connected_ns(const struct exchange *ex)
{
    return ex->connected_ns;
}

int64_t exchange_head_ns(const struct exchange *ex)
{
    return ex->head_ns;
}

const struct server *exchange_server(const struct exchange *ex)
{
    return ex->pool->server;
}
