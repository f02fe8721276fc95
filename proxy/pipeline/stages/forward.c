/* Ask the server, until its head is here. What the exchange says afterwards, store.c's relay or the growing
 * object takes. */
#include "base/err.h"
#include "fleet/bus.h"
#include "fleet/journal.h"
#include "pipeline/ask.h"
#include "pipeline/fetch.h"
#include "pipeline/relay.h"

#define PICKS_MAX      1024 /* of one fetch: a minute of them, ten a second, and some */
#define EXPECT_WAIT_MS 1000 /* RFC 9110 10.1.1: a client must not wait for ever for a 100 */

/* The upload may begin, or go on: what is kept first, then the client is asked for more. */
static void start_upload(struct fetch *fetch)
{
    struct request *req = fetch->req;
    if (fetch->is_upload_started || fetch->is_over)
        return;
    fetch->is_upload_started = true;
    timer_cancel(&fetch->expect);
    fetch_hold(fetch); /* the client may turn out to be gone */
    if (req->wants_continue) {
        req->wants_continue = false;
        req->carrier->interim(req, (struct str){ NULL, 0 });
    }
    if (!fetch->is_over && !fetch->is_upload_ended && fetch->is_attached)
        req->carrier->want_upload(req, true);
    fetch_drop(fetch);
}

static void on_expect_over(void *arg)
{
    start_upload(fetch_from(arg));
}

/* May it be tried once more? Idempotent, nothing answered, the body unsent or wholly kept (RFC 9110 9.2.2).
 */
static bool may_retry(struct fetch *fetch, int err)
{
    const struct request *req = fetch->req;
    const struct config_upstream *config = fetch->supply->upstream->config;
    /* A server that could not be connected to has seen nothing: then any method may be sent again. */
    bool is_unseen = exchange_connected_ns(fetch->exchange) == 0 && !exchange_was_reused(fetch->exchange);
    bool may_repeat = method_is_idempotent(req->msg.method) && !req->is_once;
    if (fetch->has_head || exchange_has_answered(fetch->exchange) || (!is_unseen && !may_repeat))
        return false;
    if (req->has_upload && !req->is_upload_kept)
        return false;
    if (!fetch->is_attached && !fetch->flight)
        return false;
    /* The race of a kept connection that its server closed is nobody's failure: once, on a new one, for free.
     */
    if (exchange_was_reused(fetch->exchange) && !fetch->must_be_fresh &&
        (err == ERR_UPSTREAM_CLOSED || err == ERR_CONNECT_FAILED)) {
        fetch->must_be_fresh = fetch->is_stale_race = true;
        return true;
    }
    uint64_t bit = 1ull << upstream_index(fetch->supply->upstream, fetch->server);
    bool is_first_try = !(fetch->tried & bit);
    fetch->tried |= bit;
    /* A plugin that picks has a deadline of its own for a server that is not there. */
    if (is_unseen && fetch->is_picked && fetch->attempts < PICKS_MAX)
        return true;
    /* On to one that was not tried yet, if there is one. */
    if (is_unseen && is_first_try &&
        __builtin_popcountll(fetch->tried) < (int)fetch->supply->upstream->server_count)
        return true;
    /* A server that stands still may have the request in hand: another one may answer it, if it only reads,
     * but the same one is not asked twice. */
    bool has_other = __builtin_popcountll(fetch->tried) < (int)fetch->supply->upstream->server_count;
    if (err == ERR_FIRST_BYTE_TIMEOUT && (!has_other || !method_is_safe(req->msg.method)))
        return false;
    if (err == ERR_FIRST_BYTE_TIMEOUT)
        fetch->stood_still |= bit;
    if (fetch->attempts > config->retry_attempts)
        return false;
    if (!upstream_spend_retry(fetch->supply->upstream, loop_now_ns(fetch->lane->loop)))
        return false;
    fetch->must_be_fresh = true;
    return true;
}

static void on_failed(void *arg, int err)
{
    struct fetch *fetch = fetch_from(arg);
    bool is_retried = may_retry(fetch, err);
    fetch->has_reached = fetch->has_reached || exchange_connected_ns(fetch->exchange) > 0;
    fetch_settle(fetch, !fetch->is_stale_race);
    fetch->is_stale_race = false;
    fetch->exchange = NULL;
    timer_cancel(&fetch->expect);
    if (fetch->has_head) {
        relay_broke(fetch, err);
        return;
    }
    fetch_resume(fetch, is_retried ? RETRY : fetch_fail(fetch, err));
}

static void on_head(void *arg, const struct message *reply)
{
    struct fetch *fetch = fetch_from(arg);
    struct request *req = fetch->req;
    fetch->has_head = true;
    fetch->has_reached = true;
    fetch->head_ns = loop_tick_ns(fetch->lane->loop);
    int64_t connected = max_i64(exchange_connected_ns(fetch->exchange), fetch->permit_ns);
    request_stage_took(req, STAGE_CONNECT, connected - fetch->permit_ns);
    request_stage_took(req, STAGE_FIRST_BYTE, fetch->head_ns - connected);
    timer_cancel(&fetch->expect);
    fetch->reply = reply;
    fetch_hold(fetch);
    fetch_resume(fetch, NEXT);
    fetch->reply = NULL;
    fetch_drop(fetch);
}

static void on_continue(void *arg)
{
    start_upload(fetch_from(arg));
}

static void on_drained(void *arg)
{
    struct fetch *fetch = fetch_from(arg);
    if (fetch->is_attached && !fetch->is_upload_ended && !fetch->req->is_upload_over)
        fetch->req->carrier->want_upload(fetch->req, true);
}

static const struct exchange_events events = {
    .on_interim = relay_interim,
    .on_continue = on_continue,
    .on_head = on_head,
    .on_piece = relay_piece,
    .on_end = relay_end,
    .on_flush = relay_flush,
    .on_failed = on_failed,
    .on_drained = on_drained,
};

static void stop_asking(struct fetch *fetch)
{
    struct exchange *exchange = fetch->exchange;
    fetch->exchange = NULL;
    exchange_abort(exchange);
    fetch_settle(fetch, false);
}

static struct exchange_request question(struct fetch *fetch, struct str head)
{
    struct request *req = fetch->req;
    bool waits = req->wants_continue;
    return (struct exchange_request){
        .head = head,
        .method = req->msg.method,
        .upload = !req->has_upload      ? FRAMING_NONE
                  : req->is_upload_kept ? FRAMING_LENGTH
                                        : req->msg.framing,
        .upload_bytes = req->is_upload_kept ? buf_len(&req->upload_buf) : req->msg.content_length,
        .body = waits ? (struct str){ NULL, 0 } : buf_str(&req->upload_buf),
        .is_body_whole = req->is_upload_kept,
        .wants_upgrade = request_may_upgrade(req),
        .expects_continue = waits,
        .must_be_fresh = fetch->must_be_fresh,
        .timeouts = request_timeouts(req),
    };
}

enum verdict stage_forward(struct fetch *fetch)
{
    struct request *req = fetch->req;
    struct lane *lane = fetch->lane;
    struct writer w;

    writer_init(&w, lane->forward, sizeof lane->forward);
    if (!ask_head(fetch, &w))
        return fetch_fail(fetch, ERR_HEAD_TOO_LARGE);
    /* Who did not wait got here without a system call since lookup: that boundary's time holds. */
    fetch->permit_ns = loop_now_ns(lane->loop);
    if (fetch->supply->line)
        request_stage_took(req, STAGE_PERMIT, fetch->permit_ns - fetch->began_ns);
    fetch->sent_wall_ms = loop_wall_ms(lane->loop);
    fetch->role_asked = server_role(fetch->server);
    if (lane->tier && lane->city->bus)
        fetch->stamp = journal_stamp(bus_journal(lane->city->bus));
    fetch->attempts++;
    fetch->has_waited = false;
    req->attempts++;
    req->server = fetch->server;
    req->why_chosen = fetch->why_chosen;
    if (fetch->attempts == 1)
        upstream_earn_retry(fetch->supply->upstream, fetch->permit_ns);

    struct exchange_request asked = question(fetch, writer_str(&w));
    fetch->exchange =
        exchange_start(lane->pools, fetch->supply->upstream, fetch->server, &asked, &events, fetch);
    if (!fetch->exchange)
        return fetch_fail(fetch, ERR_NO_MEMORY);
    server_began(fetch->server);
    fetch->is_counted = true;

    fetch->is_upload_ended = !req->has_upload || req->is_upload_kept;
    fetch->is_upload_started = false;
    if (asked.expects_continue) {
        timer_init(&fetch->expect, on_expect_over, fetch);
        timer_set(lane->loop, &fetch->expect, EXPECT_WAIT_MS);
    } else if (!fetch->is_upload_ended) {
        buf_fini(&req->upload_buf);
        if (req->is_upload_over) { /* it ended just over the buffer's size */
            fetch->is_upload_ended = true;
            exchange_send_end(fetch->exchange,
                              buf_len(&req->upload_end.trailer) > 0 ? &req->upload_end : NULL);
        }
        start_upload(fetch);
    }
    return fetch_wait(fetch, "app", stop_asking);
}
