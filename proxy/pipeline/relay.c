#include "pipeline/relay.h"

#include "base/err.h"
#include "http/writer.h"
#include "net/stream.h"
#include "pipeline/answer.h"
#include "pipeline/fetch.h"
#include "pipeline/parts.h"
#include "pipeline/second_tier.h"
#include "pipeline/stored.h"

void relay_interim(void *arg, const struct message *interim)
{
    struct fetch *fetch = fetch_from(arg);
    struct request *req = fetch->req;
    struct writer w;
    if (!fetch->is_attached || req->has_begun || req->msg.minor == 0)
        return;
    writer_init(&w, req->lane->forward, sizeof req->lane->forward);
    writer_status_line(&w, interim->status, interim->reason);
    for (unsigned i = 0; i < interim->field_count; i++) {
        if (answer_passes_field(interim, &interim->fields[i]))
            writer_copy_field(&w, &interim->fields[i]);
    }
    fetch_hold(fetch); /* the client may turn out to be gone */
    if (!w.is_over)
        req->carrier->interim(req, writer_str(&w));
    fetch_drop(fetch);
}

/* Gives what was gathered to the carrier. */
static void write_batch(struct fetch *fetch, bool is_last)
{
    struct request *req = fetch->req;
    struct batch *batch = &fetch->lane->batch;
    int64_t n = req->carrier->write(req, batch->iov, batch->count, WRITE_COPY | (is_last ? WRITE_LAST : 0));
    batch->count = 0;
    if (n > 0)
        req->body_bytes += (uint64_t)n;
}

static bool is_relaying(const struct fetch *fetch)
{
    return !fetch->growing && fetch->is_attached && fetch->req->answer == ANSWERS_RELAY &&
           !fetch->req->is_abandoned;
}

/* Held bytes of a window fell, or nobody reads it any more. */
static void on_held_low_posted(struct post *post)
{
    struct fetch *fetch = fetch_from(CONTAINER_OF(post, struct fetch, held_low_post));
    if (!fetch->is_over && object_readers(fetch->growing) == 0) {
        fetch_end(fetch);
    } else if (!fetch->is_over) {
        fetch->is_paused = false;
        exchange_resume(fetch->exchange);
    }
    fetch_drop(fetch);
}

static void on_held_low(void *arg)
{
    struct fetch *fetch = arg;
    fetch->held_low_post.fn = on_held_low_posted;
    loop_post(fetch->lane->loop, &fetch->held_low_post);
}

/* Past object_max a stored reply becomes a window: nobody new finds it, its readers set the pace. */
static void watch_size(struct fetch *fetch)
{
    struct cache *cache = fetch->lane->city->cache;
    bool is_too_much = object_size(fetch->growing) > cache_object_max(cache) || cache_is_full(cache);
    if (!fetch->is_window && !fetch->has_ended && is_too_much) {
        fetch->is_window = true;
        fetch->req->is_stored = false;
        cache_remove(cache, fetch->growing);
        object_become_window(fetch->growing);
    }
    if (!fetch->is_window || fetch->is_paused || fetch->has_ended)
        return;
    uint64_t limit = (uint64_t)fetch->supply->upstream->config->buffer_reply_bytes;
    if (object_held_bytes(fetch->growing) <= limit && object_readers(fetch->growing) > 0)
        return;
    fetch->is_paused = true;
    fetch_hold(fetch);
    exchange_pause(fetch->exchange);
    object_on_held(fetch->growing, limit / 2, on_held_low, fetch);
}

void relay_piece(void *arg, struct str piece)
{
    struct fetch *fetch = fetch_from(arg);
    struct batch *batch = &fetch->lane->batch;
    if (fetch->growing) {
        /* A part may be chunked, and longer than its Content-Range says. */
        bool fits = fetch->expected_bytes < 0 ||
                    object_size(fetch->growing) + piece.len <= (uint64_t)fetch->expected_bytes;
        if (!fits || !object_append(fetch->growing, piece)) {
            struct exchange *exchange = fetch->exchange;
            fetch->exchange = NULL;
            exchange_abort(exchange);
            fetch_settle(fetch, false);
            relay_broke(fetch, fits ? ERR_NO_MEMORY : ERR_UPSTREAM_BAD_REPLY);
        }
        return;
    }
    if (!is_relaying(fetch))
        return;
    if (batch->count == BATCH_IOV_MAX)
        write_batch(fetch, false);
    batch->iov[batch->count++] = (struct iovec){ (void *)(uintptr_t)piece.data, piece.len };
}

/* ... or shorter. */
static bool is_short(const struct fetch *fetch)
{
    return fetch->expected_bytes >= 0 && object_size(fetch->growing) < (uint64_t)fetch->expected_bytes;
}

void relay_end(void *arg, const struct body_in *trailers)
{
    struct fetch *fetch = fetch_from(arg);
    struct request *req = fetch->req;
    int64_t now = loop_now_ns(fetch->lane->loop);
    fetch->has_ended = true;
    fetch->trailers = trailers;
    request_stage_took(req, STAGE_BODY, now - fetch->head_ns);
    req->app_ns += now - fetch->permit_ns;
    fetch_settle(fetch, false);
    fetch_release(fetch);
    if (fetch->growing && object_state(fetch->growing) == OBJECT_GROWING && is_short(fetch)) {
        object_break(fetch->growing, ERR_UPSTREAM_BAD_REPLY);
        cache_remove(fetch->lane->city->cache, fetch->growing);
    } else if (fetch->growing && object_state(fetch->growing) == OBJECT_GROWING) {
        object_seal(fetch->growing);
        if (object_meta(fetch->growing)->is_partial)
            part_ended(fetch);
        else
            second_tier_store(fetch);
    }
}

static void flush_relay(struct fetch *fetch)
{
    struct request *req = fetch->req;
    struct upstream *upstream = fetch->supply->upstream;
    bool is_last = fetch->has_ended;

    req->trailers = is_last ? fetch->trailers : NULL;
    if (is_last)
        req->is_answered = true;
    write_batch(fetch, is_last);
    req->trailers = NULL;
    if (!is_last) {
        if (!fetch->is_over && req->carrier->held(req) > (size_t)upstream->config->buffer_reply_bytes) {
            fetch->is_paused = true;
            exchange_pause(fetch->exchange);
        }
        return;
    }
    fetch->is_attached = false;
    if (!fetch->is_over)
        fetch_end(fetch);
    request_writable(req);
}

void relay_flush(void *arg)
{
    struct fetch *fetch = fetch_from(arg);
    struct request *req = fetch->req;

    fetch_hold(fetch);
    request_hold(req);
    if (fetch->growing) {
        bool is_told = fetch->lands_at_flush && fetch->is_attached;
        fetch->lands_at_flush = false;
        if (!fetch->is_over)
            watch_size(fetch);
        if (is_told && !req->is_abandoned)
            request_resume(req, NEXT);
        if (fetch->has_ended && !fetch->is_over) {
            fetch->is_attached = false;
            fetch_end(fetch);
        }
    } else if (is_relaying(fetch)) {
        flush_relay(fetch);
    } else if (fetch->has_ended && !fetch->is_over) {
        fetch_end(fetch);
    }
    request_drop(req);
    fetch_drop(fetch);
}

void relay_broke(struct fetch *fetch, int err)
{
    struct request *req = fetch->req;
    bool is_relayed = is_relaying(fetch);
    bool is_told = fetch->lands_at_flush && fetch->is_attached;

    fetch->err = err;
    fetch_hold(fetch);
    request_hold(req);
    request_stage_took(req, STAGE_BODY, loop_now_ns(fetch->lane->loop) - fetch->head_ns);
    fetch_end(fetch); /* breaks what was growing: its readers see that */
    if (is_relayed && !req->is_recorded) {
        fetch->lane->batch.count = 0;
        if (req->carrier->needs_write(req)) { /* nothing went out yet: it can still be told properly */
            req->carrier->unbegin(req);
            req->answer = ANSWERS_PROBLEM;
            req->err = err;
            request_resume(req, RETRY);
        } else {
            req->carrier->cut(req, err);
        }
    } else if (is_told && !req->is_recorded) { /* its head has not gone out: it can still be told properly */
        object_close(&req->reader);
        request_resume(req, stored_or_fail(req, err, 0));
    }
    request_drop(req);
    fetch_drop(fetch);
}
