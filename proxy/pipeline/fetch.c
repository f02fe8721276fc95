#include "pipeline/fetch.h"

#include <stdlib.h>

#include "base/err.h"
#include "pipeline/answer.h"
#include "pipeline/parts.h"
#include "pipeline/plugin.h"
#include "pipeline/stored.h"

#define FREE_FETCHES_MAX 256

static struct fetch *take(struct lane *lane)
{
    if (list_is_empty(&lane->free_fetches))
        return malloc(sizeof(struct fetch));
    struct list *link = lane->free_fetches.next;
    list_remove(link);
    lane->free_fetch_count--;
    return LIST_ENTRY(link, struct fetch, link);
}

static void give(struct fetch *fetch)
{
    struct lane *lane = fetch->lane;
    if (lane->free_fetch_count + 1 > FREE_LIST_MAX(FREE_FETCHES_MAX)) {
        free(fetch);
        return;
    }
    lane->free_fetch_count++;
    list_push_front(&lane->free_fetches, &fetch->link);
}

/* --- the request's stage --- */

/* A body that fits is read whole before a server is taken. False: it is on its way, wait. */
static bool has_upload_to_send(struct request *req)
{
    if (!req->has_upload || req->is_upload_over)
        return true;
    size_t room = request_body_room(req);
    if (buf_len(&req->upload_buf) > room)
        return true;
    /* Who asked to be told "continue" before a large body asks the app, not us. */
    if (req->msg.framing != FRAMING_LENGTH) /* how large, nobody knows; but a plugin may want to see it */
        return req->wants_continue && req->keep_body_bytes == 0;
    return req->wants_continue && req->msg.content_length > room;
}

static void stop_upload(struct request *req)
{
    req->carrier->want_upload(req, false);
}

static void leave_fetch(struct request *req)
{
    if (req->fetch)
        fetch_detach(req->fetch);
}

enum verdict stage_fetch(struct request *req)
{
    if (req->asks.control.is_only_if_cached)
        return request_fail(req, ERR_ONLY_IF_CACHED);
    if (req->world->city->is_draining && !req->client)
        return request_fail(req, ERR_DRAINING);
    if (!has_upload_to_send(req)) {
        if (req->wants_continue) {
            req->wants_continue = false;
            req->carrier->interim(req, (struct str){ NULL, 0 });
        }
        req->carrier->want_upload(req, true);
        return request_wait(req, "upload", stop_upload);
    }
    req->is_collapsed = false; /* what it waited for was not for it */
    struct flight *flight = req->flight;
    req->flight = NULL;
    req->fetch = fetch_new(req, flight);
    if (!req->fetch) {
        if (flight)
            flight_abandon(flight);
        return request_fail(req, ERR_NO_MEMORY);
    }
    int64_t total_ms = request_timeouts(req).total_ms;
    if (total_ms >= 0)
        timer_set(req->lane->loop, &req->total, total_ms);
    fetch_start(req->fetch);
    return request_wait(req, "fetch", leave_fetch);
}

/* --- beginning and end --- */

static void on_nothing(void *arg)
{
    (void)arg;
}

struct fetch *fetch_new(struct request *req, struct flight *flight)
{
    struct fetch *fetch = take(req->lane);
    if (!fetch)
        return NULL;
    memset(fetch, 0, sizeof *fetch);
    fetch->tag = FETCH_TAG;
    fetch->holds = 1; /* its own, until it is over */
    fetch->lane = req->lane;
    fetch->req = req;
    fetch->is_attached = true;
    fetch->flight = flight;
    fetch->supply = req->supply;
    fetch->key = req->key;
    fetch->began_ns = loop_now_ns(req->lane->loop);
    list_init(&fetch->link);
    list_push_back(&req->lane->fetches, &fetch->link);
    list_init(&fetch->held_link);
    list_init(&fetch->waiter.link);
    timer_init(&fetch->hold, on_nothing, fetch);
    timer_init(&fetch->queue, on_nothing, fetch);
    timer_init(&fetch->expect, on_nothing, fetch);
    request_hold(req);
    return fetch;
}

void fetch_settle(struct fetch *fetch, bool is_failure)
{
    if (!fetch->is_counted)
        return;
    fetch->is_counted = false;
    int64_t now = loop_now_ns(fetch->lane->loop);
    int64_t took = fetch->has_head && fetch->exchange ? fetch->head_ns - fetch->permit_ns : -1;
    server_ended(fetch->supply->upstream, fetch->server, took, is_failure, now);
}

void fetch_release(struct fetch *fetch)
{
    if (fetch->has_place) {
        fetch->has_place = false;
        line_leave(fetch->supply->line);
    }
    if (fetch->has_concurrency) {
        fetch->has_concurrency = false;
        atomic_fetch_sub_explicit(&fetch->req->tenant->tenant->concurrency, 1, memory_order_relaxed);
    }
}

void fetch_end(struct fetch *fetch)
{
    if (fetch->is_over)
        return;
    fetch->is_over = true;
    list_remove(&fetch->link);
    fetch_cancel_fn *cancel = fetch->cancel;
    fetch->cancel = NULL;
    if (cancel)
        cancel(fetch);
    struct request *req = fetch->req;
    fetch_settle(fetch, false);
    fetch_release(fetch);
    if (fetch->exchange && !fetch->has_ended)
        exchange_abort(fetch->exchange);
    fetch->exchange = NULL;
    if (fetch->flight)
        flight_abandon(fetch->flight);
    fetch->flight = NULL;
    if (fetch->growing) {
        if (object_state(fetch->growing) == OBJECT_GROWING) {
            object_break(fetch->growing, fetch->err ? fetch->err : ERR_UPSTREAM_CUT);
            cache_remove(fetch->lane->city->cache, fetch->growing);
        }
        fetch->growing = object_unref(fetch->growing);
    }
    timer_cancel(&fetch->hold);
    timer_cancel(&fetch->queue);
    timer_cancel(&fetch->expect);
    if (req->fetch == fetch)
        req->fetch = NULL;
    fetch_drop(fetch); /* its own hold */
}

void fetch_hold(struct fetch *fetch)
{
    fetch->holds++;
}

void fetch_drop(struct fetch *fetch)
{
    CHECK(fetch->holds > 0);
    if (--fetch->holds > 0)
        return;
    struct request *req = fetch->req;
    fetch->tag = 0;
    give(fetch);
    request_drop(req);
}

/* It says nothing of how another one would have fared. */
static bool is_leaders_own(const struct request *req, int err)
{
    bool is_limit = err == ERR_QUEUE_FULL || err == ERR_QUEUE_TIMEOUT || err == ERR_SHED;
    return (req->errand && is_limit) || err == ERR_TENANT_CONCURRENCY || err == ERR_HEAD_TOO_LARGE ||
           err == ERR_PLUGIN_REFUSED || err == ERR_POSITION_BEHIND || err == ERR_WRITE_HELD ||
           err == ERR_REPLAY_LOOP || err == ERR_REPLAY_TOO_LARGE;
}

void fetch_failed(struct fetch *fetch)
{
    struct request *req = fetch->req;
    struct plugin_verdict verdict;
    bool is_attached = fetch->is_attached;
    int err = fetch->err;

    CHECK(err < 0);
    if (fetch->app_status == 0)
        plugins_answered(fetch, NULL, err_status(err), &verdict);
    if (fetch->flight && is_leaders_own(req, err))
        flight_abandon(fetch->flight); /* another one leads */
    else if (fetch->flight)
        flight_fail(fetch->flight, err);
    fetch->flight = NULL;
    fetch->is_attached = false;
    request_hold(req);
    fetch_end(fetch);
    if (is_attached && !req->is_recorded)
        request_resume(req, stored_or_fail(req, err, fetch->app_status));
    request_drop(req);
}

void fetch_given_up(struct fetch *fetch, int status)
{
    struct plugin_verdict verdict;
    if (fetch->is_over || fetch->has_head || fetch->flight) /* a flight's goes on for who waits */
        return;
    fetch->has_reached =
        fetch->has_reached || (fetch->exchange && exchange_connected_ns(fetch->exchange) > 0);
    if (fetch->has_reached)
        plugins_answered(fetch, NULL, status, &verdict);
}

void fetch_detach(struct fetch *fetch)
{
    if (fetch->is_attached && !fetch->flight && !fetch->req->is_told)
        fetch_given_up(fetch, 0); /* the client left */
    fetch->is_attached = false;
    if (fetch->req->fetch == fetch)
        fetch->req->fetch = NULL;
    if (fetch->is_over)
        return;
    /* Somebody else may want it: those who wait for its head, or whoever asks for what is being stored. */
    bool is_wanted = fetch->flight && flight_waiting(fetch->flight) > 0;
    if (fetch->growing)
        is_wanted = !fetch->is_window || object_readers(fetch->growing) > 0;
    if (!is_wanted)
        fetch_end(fetch);
}

/* --- the upload --- */

void fetch_upload(struct fetch *fetch, struct str piece, bool is_last, const struct body_in *body)
{
    if (fetch->is_over || !fetch->exchange || fetch->is_upload_ended || fetch->has_ended)
        return;
    bool goes_on = piece.len == 0 || exchange_send(fetch->exchange, piece);
    if (is_last) {
        fetch->is_upload_ended = true;
        exchange_send_end(fetch->exchange, fetch->req->msg.framing == FRAMING_CHUNKED ? body : NULL);
    } else if (!goes_on) {
        fetch->req->carrier->want_upload(fetch->req, false);
    }
}

void fetch_relay_drained(struct fetch *fetch)
{
    if (!fetch->is_paused || !fetch->exchange)
        return;
    size_t limit = (size_t)fetch->supply->upstream->config->buffer_reply_bytes;
    if (fetch->req->carrier->held(fetch->req) > limit / 2)
        return;
    fetch->is_paused = false;
    exchange_resume(fetch->exchange);
}
