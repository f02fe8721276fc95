/* May it go to the app now? The tenant's concurrency, then the upstream's line. */
#include "base/err.h"
#include "pipeline/fetch.h"

static bool take_concurrency(struct fetch *fetch)
{
    const struct config_tenant *rules = fetch->req->tenant->rules;
    struct tenant *tenant = fetch->req->tenant->tenant;
    if (fetch->has_concurrency)
        return true;
    int64_t inside = atomic_fetch_add_explicit(&tenant->concurrency, 1, memory_order_relaxed);
    if (rules->concurrency >= 0 && inside >= rules->concurrency) {
        atomic_fetch_sub_explicit(&tenant->concurrency, 1, memory_order_relaxed);
        return false;
    }
    fetch->has_concurrency = true;
    return true;
}

static void on_turn_posted(struct post *post)
{
    struct fetch *fetch = fetch_from(CONTAINER_OF(post, struct fetch, turn_post));
    fetch->is_in_line = false;
    fetch->has_place = !fetch->is_refused;
    timer_cancel(&fetch->queue);
    if (fetch->is_over) { /* it left while its turn was being told */
        fetch_release(fetch);
    } else if (fetch->is_refused) {
        fetch->req->retry_after_s = 1;
        fetch_resume(fetch, fetch_fail(fetch, ERR_QUEUE_FULL));
    } else { /* the choice may have gone stale meanwhile: choose again, the place stays */
        bool is_stale = !server_is_usable(fetch->server, loop_now_ns(fetch->lane->loop));
        fetch_resume(fetch, is_stale ? RETRY : NEXT);
    }
    fetch_drop(fetch);
}

static void on_turn(struct line_waiter *waiter)
{
    struct fetch *fetch = CONTAINER_OF(waiter, struct fetch, waiter);
    fetch->turn_post.fn = on_turn_posted;
    loop_post(fetch->lane->loop, &fetch->turn_post);
}

/* The full line gave its place to somebody with a better claim. Under the line's lock: only posts. */
static void on_refused(struct line_waiter *waiter)
{
    struct fetch *fetch = CONTAINER_OF(waiter, struct fetch, waiter);
    fetch->is_refused = true;
    on_turn(waiter);
}

/* False: its turn, or its refusal, is being told, and on_turn_posted() sees to the rest. */
static bool quit_line(struct fetch *fetch)
{
    if (!fetch->is_in_line || !line_quit(fetch->supply->line, &fetch->waiter) || fetch->is_refused)
        return false;
    fetch->is_in_line = false;
    fetch_drop(fetch);
    return true;
}

static void leave_line(struct fetch *fetch)
{
    timer_cancel(&fetch->queue);
    quit_line(fetch);
}

static void on_queue_time(void *arg)
{
    struct fetch *fetch = fetch_from(arg);
    if (!quit_line(fetch))
        return;
    fetch->req->retry_after_s = 1;
    fetch_resume(fetch, fetch_fail(fetch, ERR_QUEUE_TIMEOUT));
}

static enum verdict stand_in_line(struct fetch *fetch)
{
    struct line *line = fetch->supply->line;
    const struct request *req = fetch->req;

    fetch->waiter.priority = (uint8_t)(req->errand        ? PRIORITY_LOW
                                       : req->way->config ? req->way->config->priority
                                                          : PRIORITY_NORMAL);
    fetch->waiter.on_turn = on_turn;
    fetch->waiter.on_refused = on_refused;
    fetch->is_refused = false;
    /* Before entering: its turn may come from another thread at once. */
    fetch->is_in_line = true;
    fetch_hold(fetch);
    switch (line_enter(line, tenant_name(req->tenant->tenant), req->tenant->rules->weight, &fetch->waiter)) {
    case LINE_WAITING:
        timer_init(&fetch->queue, on_queue_time, fetch);
        timer_set(fetch->lane->loop, &fetch->queue, fetch->supply->upstream->config->limit_queue_ms);
        return fetch_wait(fetch, "permit", leave_line);
    case LINE_ENTERED:
        fetch->has_place = true;
        break;
    case LINE_FULL:
        break;
    }
    fetch->is_in_line = false;
    fetch_drop(fetch);
    if (fetch->has_place)
        return NEXT;
    fetch->req->retry_after_s = 1;
    return fetch_fail(fetch, ERR_QUEUE_FULL);
}

enum verdict stage_permit(struct fetch *fetch)
{
    if (!take_concurrency(fetch)) {
        fetch->req->retry_after_s = 1;
        return fetch_fail(fetch, ERR_TENANT_CONCURRENCY);
    }
    if (!fetch->supply->line || fetch->has_place)
        return NEXT;
    return stand_in_line(fetch);
}
