/* The way down: bytes from the server's socket, judged and cut by http/, reported to the owner as they come.
 * All of a read lies in the worker's scratch buffer; views of it are handed out and nothing is copied, but a
 * head that is not complete yet. */
#include "base/err.h"
#include "http/message.h"
#include "net/stream.h"
#include "upstream/exchange_int.h"

#define READS_MAX 4 /* of one connection before the others get their turn */

static const struct head_limits limits = {
    .head_bytes = REPLY_HEAD_MAX,
    .line_bytes = REPLY_LINE_MAX,
    .fields = FIELDS_MAX,
};

static int fault_of(int err)
{
    return err == ERR_NO_MEMORY ? err : ERR_UPSTREAM_BAD_REPLY;
}

/* RFC 9112 9.3: the next request may only follow on this connection if both messages ended where both sides
 * think they did, and nothing else is on its way. */
static bool may_be_kept(const struct exchange *ex, struct str rest)
{
    if (!ex->is_keep_alive || rest.len > 0 || !request_is_sent(ex))
        return false;
    struct stream *stream = ex->connection->stream;
    return !stream_has_pending(stream) && !(ex->was_read_full && stream_is_stale(stream));
}

/* The connection goes back before the owner hears of the end, so that the request it starts then, or that its
 * client sends next, finds it there. */
static void end(struct exchange *ex, bool is_kept)
{
    exchange_finish(ex, is_kept);
    ex->has_news = true;
    ex->events->on_end(ex->arg, ex->is_chunked ? &ex->body : NULL);
}

static void take_body(struct exchange *ex, struct str in)
{
    while (ex->state == EXCHANGE_OPEN) {
        struct str piece;
        int event = body_in_next(&ex->body, &in, &piece);
        if (event == BODY_PIECE) {
            ex->has_news = true;
            ex->events->on_piece(ex->arg, piece);
        } else if (event == BODY_END) {
            end(ex, may_be_kept(ex, in));
        } else if (event == BODY_MORE) {
            return;
        } else {
            exchange_fail(ex, fault_of(event));
        }
    }
}

/* RFC 9110 7.8: only who asked may be switched over, and only after the whole request. What came behind the
 * head is the other protocol's already. */
static void take_upgrade(struct exchange *ex, const struct message *msg, struct str rest)
{
    if (!ex->wants_upgrade || !request_is_sent(ex)) {
        exchange_fail(ex, ERR_UPSTREAM_BAD_REPLY);
        return;
    }
    ex->state = EXCHANGE_UPGRADED;
    ex->is_head_done = true;
    ex->head_ns = loop_now_ns(ex->pool->pools->loop);
    timer_cancel(&ex->timer);
    stream_want_read(ex->connection->stream, false);
    ex->extra = rest;
    ex->has_news = true;
    ex->events->on_head(ex->arg, msg);
    if (ex->state != EXCHANGE_UPGRADED)
        return;
    /* Not taken at once: the scratch buffer is the next one's. */
    if (!buf_append_str(&ex->partial, rest))
        exchange_fail(ex, ERR_NO_MEMORY);
    else if (rest.len > 0)
        ex->extra = buf_str(&ex->partial);
}

static void take_interim(struct exchange *ex, const struct message *msg)
{
    if (msg->status != 100) {
        if (ex->events->on_interim) {
            ex->has_news = true;
            ex->events->on_interim(ex->arg, msg);
        }
    } else if (ex->expects_continue) {
        ex->expects_continue = false;
        if (ex->events->on_continue)
            ex->events->on_continue(ex->arg);
    }
}

static void take_final(struct exchange *ex, const struct message *msg)
{
    ex->is_head_done = true;
    ex->head_ns = loop_now_ns(ex->pool->pools->loop);
    ex->is_keep_alive = msg->is_keep_alive && msg->framing != FRAMING_CLOSE;
    ex->is_chunked = msg->framing == FRAMING_CHUNKED;
    body_in_init(&ex->body, msg->framing, msg->content_length, REPLY_TRAILER_MAX);
    ex->has_news = true;
    ex->events->on_head(ex->arg, msg);
}

/* One head off the front of *in. False if it is not there yet, or all is over. */
static bool take_head(struct exchange *ex, struct str *in)
{
    int len = head_find_end(*in, &ex->scanned, &limits);
    if (len == 0) {
        /* partial holds what came before this read, which is where *in begins. */
        if (!buf_append_str(&ex->partial, str_from(*in, buf_len(&ex->partial))))
            exchange_fail(ex, ERR_NO_MEMORY);
        return false;
    }
    struct message msg;
    int err = len < 0 ? len : message_read_reply(&msg, str_n(in->data, (size_t)len), ex->method, &limits);
    if (err) {
        exchange_fail(ex, fault_of(err));
        return false;
    }
    *in = str_from(*in, (size_t)len);
    ex->scanned = 0;
    buf_fini(&ex->partial);

    if (msg.status >= 200)
        take_final(ex, &msg);
    else if (++ex->interims > INTERIM_MAX)
        exchange_fail(ex, ERR_UPSTREAM_BAD_REPLY);
    else if (msg.status == 101)
        take_upgrade(ex, &msg, *in);
    else
        take_interim(ex, &msg);
    return ex->state == EXCHANGE_OPEN;
}

static void take(struct exchange *ex, struct str in)
{
    while (!ex->is_head_done) {
        if (in.len == 0 || !take_head(ex, &in))
            return;
    }
    take_body(ex, in);
}

/* RFC 9112 8: a reply that ends before its declared end, or with a reset, is not whole. */
static void take_eof(struct exchange *ex, bool is_clean)
{
    if (!ex->has_answered)
        exchange_fail(ex, ERR_UPSTREAM_CLOSED);
    else if (ex->is_head_done && is_clean && body_in_eof(&ex->body))
        end(ex, false);
    else
        exchange_fail(ex, ERR_UPSTREAM_CUT);
}

/* One read and all that it brought. False if the socket has no more for now. */
static bool take_batch(struct exchange *ex)
{
    struct pools *pools = ex->pool->pools;
    size_t kept = buf_len(&ex->partial);
    if (kept > 0)
        memcpy(pools->scratch, buf_str(&ex->partial).data, kept);
    size_t room = pools->scratch_bytes - kept;
    ssize_t n = stream_read(ex->connection->stream, pools->scratch + kept, room);
    ex->has_short_read = false;
    if (n == STREAM_AGAIN)
        return false;

    ex->was_read_full = n > 0 && (size_t)n == room;
    ex->has_short_read = n > 0 && (size_t)n < room;
    if (n > 0) {
        ex->has_answered = true;
        take(ex, str_n(pools->scratch, kept + (size_t)n));
    } else {
        take_eof(ex, n == 0);
    }
    if (ex->has_news && !ex->is_mute) {
        ex->has_news = false;
        ex->events->on_flush(ex->arg);
    }
    return ex->was_read_full;
}

void reply_on_readable(void *arg)
{
    struct exchange *ex = exchange_from(arg);
    exchange_hold(ex);
    for (unsigned reads = 0; reads < READS_MAX; reads++) {
        if (ex->state != EXCHANGE_OPEN || ex->is_paused)
            break;
        if (!take_batch(ex))
            break;
    }
    if (ex->state == EXCHANGE_OPEN && ex->has_answered && ex->has_short_read)
        stream_expect_more(ex->connection->stream);
    exchange_arm(ex);
    exchange_drop(ex);
}
