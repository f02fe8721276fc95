/* What did it cost? Counters, histograms, the access log, the plugins' last word; then everything is let go.
 */
#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"
#include "pipeline/client.h"
#include "pipeline/errand.h"
#include "pipeline/fetch.h"
#include "pipeline/plugin.h"
#include "pipeline/request.h"

#define LOG_LINE_MAX 4096

static void count(struct request *req, int64_t total_ns)
{
    struct lane *lane = req->lane;
    unsigned tenant = req->tenant ? req->tenant->label : 0;
    unsigned version = req->edition ? req->edition->label : 0;
    unsigned route = req->way ? req->way->label : 0;
    struct series *series = tally_series(lane->tally, tenant, version, route);

    if (req->admitted_ns)
        series_stage(series, STAGE_ADMIT, req->admitted_ns - req->head_ns);
    if (req->looked_ns)
        series_stage(series, STAGE_LOOKUP, req->looked_ns - req->admitted_ns);
    series_stage(series, STAGE_HEAD, req->head_ns - req->started_ns);
    if (req->begun_ns)
        series_stage(series, STAGE_WRITE, req->written_ns - req->begun_ns);
    for (unsigned i = STAGE_SECOND_TIER; i < STAGE_WRITE; i++) {
        if (req->stage_ns[i] >= 0)
            series_stage(series, (enum stage_time)i, req->stage_ns[i]);
    }
    /* What weir itself added: neither the app's time, nor the client's for reading what was ready. */
    int64_t begun = req->begun_ns ? req->begun_ns : req->written_ns;
    int64_t overhead = begun - req->head_ns - (req->fetched_ns ? req->app_ns : 0);
    series_request(series, req->outcome, req->status, total_ns, max_i64(overhead, 0));
    if (req->outcome == OUTCOME_SHED)
        series_shed(series, req->err);
}

static void put_times(struct request *req, struct json_line *line)
{
    json_line_open(line, "stages");
    json_line_seconds(line, "head", req->head_ns - req->started_ns);
    if (req->admitted_ns)
        json_line_seconds(line, "admit", req->admitted_ns - req->head_ns);
    if (req->looked_ns)
        json_line_seconds(line, "lookup", req->looked_ns - req->admitted_ns);
    for (unsigned i = STAGE_SECOND_TIER; i < STAGE_WRITE; i++) {
        if (req->stage_ns[i] >= 0)
            json_line_seconds(line, stage_word((enum stage_time)i), req->stage_ns[i]);
    }
    if (req->begun_ns)
        json_line_seconds(line, "write", req->written_ns - req->begun_ns);
    json_line_close(line);
}

static void put_decisions(const struct request *req, struct json_line *line)
{
    static const char *const fwd[] = { "hit",       "bypass",  "method", "uri-miss",
                                       "vary-miss", "request", "stale",  "partial" };
    if (req->tenant)
        json_line_str(line, "tenant", tenant_name(req->tenant->tenant));
    if (req->edition && req->edition->name.len > 0)
        json_line_str(line, "version", req->edition->name);
    if (req->way && req->way->config)
        json_line_str(line, "route", req->way->config->name);
    if (req->is_canary)
        json_line_bool(line, "canary", true);
    if (req->key.primary.data)
        json_line_str(line, "cache", str_of(fwd[req->forwarded]));
    if (req->is_stored)
        json_line_bool(line, "stored", true);
    if (req->cache_detail)
        json_line_str(line, "cache_detail", str_of(req->cache_detail));
    if (!req->server)
        return;
    json_line_str(line, "upstream", req->supply->upstream->name);
    json_line_str(line, "server", str_of(req->server->addr.text));
    json_line_str(line, "role", server_role(req->server) == ROLE_PRIMARY ? STR("primary") : STR("replica"));
    if (req->why_chosen.len > 0)
        json_line_str(line, "why", req->why_chosen);
    json_line_u64(line, "attempts", req->attempts);
}

static void write_log(struct request *req, int64_t total_ns)
{
    struct access_ring *ring = req->lane->ring;
    char *room = ring ? access_ring_reserve(ring, LOG_LINE_MAX) : NULL;
    struct json_line line;
    char peer[64] = "-";

    if (!room)
        return;
    if (req->client)
        addr_format_host(&req->client->peer.sa, peer, sizeof peer);
    json_line_start(&line, room, LOG_LINE_MAX);
    json_line_seconds(&line, "time", loop_wall_ms(req->lane->loop) * NS_PER_MS);
    json_line_str(&line, "request_id", str_n(req->id, req->id_len));
    json_line_str(&line, "client", str_of(peer));
    json_line_u64(&line, "status", (uint64_t)req->status);
    json_line_str(&line, "outcome", str_of(outcome_word(req->outcome)));
    if (req->err)
        json_line_str(&line, "reason", str_of(err_word(req->err)));
    json_line_u64(&line, "bytes", req->body_bytes);
    json_line_seconds(&line, "seconds", total_ns);
    put_decisions(req, &line);
    put_times(req, &line);
    json_line_str(
        &line, "method",
        str_n(req->msg.method_name.data, req->msg.method_name.len < 64 ? req->msg.method_name.len : 64));
    json_line_str(&line, "host", req->authority);
    json_line_str(&line, "target",
                  str_n(req->msg.target.data, req->msg.target.len < 1024 ? req->msg.target.len : 1024));
    access_ring_commit(ring, json_line_finish(&line));
}

static void let_go(struct request *req)
{
    if (req->reader.object) {
        bool is_dropped = req->is_posted && object_wait_cancel(&req->reader);
        object_close(&req->reader);
        if (is_dropped) {
            req->is_posted = false;
            request_drop(req);
        }
    }
    if (req->fetch)
        fetch_detach(req->fetch);
    if (req->flight) {
        flight_abandon(req->flight);
        req->flight = NULL;
    }
    timer_cancel(&req->total);
}

enum verdict stage_record(struct request *req)
{
    req->written_ns = loop_tick_ns(req->lane->loop);
    if (req->is_abandoned && !req->is_written)
        req->outcome = req->is_cut ? OUTCOME_FAILED : OUTCOME_ABORTED;
    int64_t total_ns = req->written_ns - req->started_ns;
    if (req->errand) { /* no user asked: it is counted where it was made */
        if (req->supply && req->supply->plugin_count > 0)
            plugins_finished(req);
        errand_ended(req);
        let_go(req);
        return NEXT;
    }
    lane_count(req->lane, LANE_REQUESTS, 1);
    count(req, total_ns);
    if (req->lane->ring)
        write_log(req, total_ns);
    if (req->supply && req->supply->plugin_count > 0)
        plugins_finished(req);
    let_go(req);
    return NEXT;
}
