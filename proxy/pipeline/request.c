#include "pipeline/request.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "pipeline/answer.h"
#include "pipeline/client.h"
#include "pipeline/fetch.h"

#define FREE_REQUESTS_MAX 256

static void on_total(void *arg);

static struct request *take(struct lane *lane)
{
    if (list_is_empty(&lane->free_requests)) {
        struct request *req = malloc(sizeof *req);
        if (req)
            req->lane = lane;
        return req;
    }
    struct list *link = lane->free_requests.next;
    list_remove(link);
    lane->free_request_count--;
    return LIST_ENTRY(link, struct request, link);
}

struct request *request_new(struct lane *lane, const struct carrier *carrier, struct client *client,
                            struct str head)
{
    struct request *req = take(lane);
    if (!req)
        return NULL;
    memset(req, 0, offsetof(struct request, arena));
    for (unsigned i = 0; i < STAGE_COUNT; i++)
        req->stage_ns[i] = -1;
    req->tag = REQUEST_TAG;
    req->lane = lane;
    req->holds = 1;
    req->carrier = carrier;
    req->client = client;
    req->left_bytes = UINT64_MAX;
    req->msg.field_count = 0;
    req->msg.method = METHOD_OTHER;
    list_init(&req->link);
    list_init(&req->waiter.link);
    timer_init(&req->total, on_total, req);
    arena_init(&req->arena, req->arena_first, sizeof req->arena_first, REQUEST_ARENA_LIMIT);
    req->here = lane_world_take(lane);
    req->world = req->here->world;

    struct str copy = arena_str(&req->arena, head);
    if (!copy.data) {
        request_drop(req);
        return NULL;
    }
    req->head_text = copy;
    return req;
}

void request_hold(struct request *req)
{
    req->holds++;
}

void request_drop(struct request *req)
{
    CHECK(req->holds > 0);
    if (--req->holds > 0)
        return;
    struct lane *lane = req->lane;
    buf_fini(&req->upload_buf);
    body_in_fini(&req->upload_end);
    object_unref(req->stale);
    object_unref(req->partial);
    timer_cancel(&req->total);
    if (req->tenant)
        lane_tenant_give(req->tenant);
    lane_world_give(lane, req->here);
    arena_fini(&req->arena);
    req->tag = 0;
    if (lane->free_request_count + 1 > FREE_LIST_MAX(FREE_REQUESTS_MAX)) {
        free(req);
        return;
    }
    lane->free_request_count++;
    list_init(&req->link);
    list_push_front(&lane->free_requests, &req->link);
}

bool request_may_upgrade(const struct request *req)
{
    return req->msg.is_websocket && req->client &&
           !(req->way->config && req->way->config->is_upgrade_refused);
}

void request_stage_took(struct request *req, enum stage_time stage, int64_t ns)
{
    req->stage_ns[stage] = max_i64(ns, 0) + max_i64(req->stage_ns[stage], 0);
}

struct config_timeouts request_timeouts(const struct request *req)
{
    struct config_timeouts t = req->supply->upstream->config->timeouts;
    if (!req->way->config)
        return t;
    const struct config_timeouts *own = &req->way->config->timeouts;
    t.connect_ms = own->connect_ms == INT64_MIN ? t.connect_ms : own->connect_ms;
    t.first_byte_ms = own->first_byte_ms == INT64_MIN ? t.first_byte_ms : own->first_byte_ms;
    t.idle_ms = own->idle_ms == INT64_MIN ? t.idle_ms : own->idle_ms;
    t.total_ms = own->total_ms == INT64_MIN ? t.total_ms : own->total_ms;
    return t;
}

static void call_off(struct request *req)
{
    request_cancel_fn *cancel = req->cancel;
    req->cancel = NULL;
    if (cancel)
        cancel(req);
}

/* Its answer is weir's own error. */
static void give_up(struct request *req, int err)
{
    if (req->fetch && req->stage < AT_respond) {
        fetch_given_up(req->fetch, err_status(err));
        req->is_told = true;
    }
    call_off(req);
    if (req->stage < AT_respond)
        request_resume(req, request_fail(req, err));
}

/* timeouts.total: whatever the request is doing, it ends now; visibly broken if its head has gone out. */
static void on_total(void *arg)
{
    struct request *req = request_from(arg);
    if (req->is_recorded || req->is_abandoned)
        return;
    if (req->has_begun || req->stage >= AT_respond) {
        req->carrier->cut(req, ERR_TOTAL_TIMEOUT);
        return;
    }
    give_up(req, ERR_TOTAL_TIMEOUT);
}

/* --- the upload --- */

size_t request_body_room(const struct request *req)
{
    return (size_t)max_i64(req->supply->upstream->config->buffer_request_bytes, req->keep_body_bytes);
}

static void keep_piece(struct request *req, struct str piece)
{
    if (!buf_append_str(&req->upload_buf, piece))
        request_upload_failed(req, ERR_NO_MEMORY);
}

void request_upload(struct request *req, struct str piece, bool is_last, struct body_in *body)
{
    const struct config_clients *clients = &req->world->config->clients;
    if (clients->body_max_bytes >= 0 && body->total > (uint64_t)clients->body_max_bytes) {
        request_upload_failed(req, ERR_BODY_TOO_LARGE);
        return;
    }
    req->is_upload_over = is_last;
    if (req->fetch && req->fetch->is_upload_started) {
        fetch_upload(req->fetch, piece, is_last, body);
        return;
    }
    /* Not sent yet: it is read whole if it fits, so that a server is only taken for a request that is there,
     * and so that it could be sent again. */
    keep_piece(req, piece);
    if (req->is_upload_broken)
        return;
    size_t kept = buf_len(&req->upload_buf);
    bool is_full = kept > request_body_room(req);
    if (is_last && buf_len(&body->trailer) > 0) { /* trailers need chunks to travel behind */
        req->upload_end = *body;
        body->trailer = (struct buf){ 0 };
        is_full = true;
    }
    req->is_upload_kept = is_last && !is_full;
    if (!is_last && !is_full)
        return;
    req->carrier->want_upload(req, false);
    if (req->stage == AT_fetch && !req->fetch)
        request_resume(req, RETRY);
}

void request_upload_failed(struct request *req, int err)
{
    req->is_upload_broken = true;
    req->is_upload_over = true;
    if (req->is_recorded || req->is_abandoned)
        return;
    if (req->has_begun) { /* an early reply is on its way: it stays, the connection goes */
        if (req->answer == ANSWERS_RELAY && req->fetch && !req->fetch->has_ended)
            req->carrier->cut(req, err);
        return;
    }
    give_up(req, err);
}

/* --- the reply --- */

static void go_on_writing(struct request *req)
{
    if (req->answer == ANSWERS_OBJECT && !req->is_answered)
        answer_pump(req);
    else if (req->answer == ANSWERS_RELAY && req->fetch && !req->is_answered)
        fetch_relay_drained(req->fetch);
    if (req->is_recorded || req->is_abandoned || !req->is_answered || req->carrier->held(req) > 0)
        return;
    req->is_written = true;
    request_resume(req, NEXT);
}

void request_writable(struct request *req)
{
    if (req->is_abandoned || req->stage != AT_respond)
        return;
    request_hold(req); /* a write may find the client gone, and that ends it */
    go_on_writing(req);
    request_drop(req);
}
