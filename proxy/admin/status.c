/* GET /livez, /readyz, /api/status, /api/latency: what weir is doing now. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/target.h"
#include "net/loop.h"
#include "pipeline/plugin.h"

static const char *const role_words[] = { [ROLE_PRIMARY] = "primary", [ROLE_REPLICA] = "replica" };
static const char *const admin_words[] = {
    [SERVER_ADMIN_UP] = "up",
    [SERVER_ADMIN_DRAIN] = "drain",
    [SERVER_ADMIN_DOWN] = "down",
};

/* --- probes --- */

void get_livez(struct admin *admin, const struct call *call, struct reply *reply)
{
    (void)admin;
    (void)call;
    reply_text(reply, 200, "text/plain", STR("ok"));
}

void get_readyz(struct admin *admin, const struct call *call, struct reply *reply)
{
    const struct world *world = admin_world(admin);
    (void)call;
    if (world_is_ready(world, loop_now_ns(admin->loop)))
        reply_text(reply, 200, "text/plain", STR("ok"));
    else
        reply_error(reply, atomic_load(&world->city->is_draining) ? ERR_DRAINING : ERR_NO_SERVER);
}

/* --- status --- */

static json_t *json_of_time(int64_t wall_ms)
{
    char text[32];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + len, sizeof text - len, ".%03dZ", (int)(wall_ms % 1000));
    return json_string(text);
}

static json_t *json_of_server(const struct server *server, int64_t now_ns)
{
    int64_t lag_ns = atomic_load(&server->lag_ns);
    int64_t mean_ns = atomic_load(&server->mean_ns);
    return json_pack(
        "{s:o, s:s, s:b, s:b, s:s, s:I, s:o, s:I, s:I, s:o}", "address",
        json_of_str(str_of(server->addr.text)), "role", role_words[server_role(server)], "healthy",
        (int)atomic_load(&server->is_healthy), "usable", (int)server_is_usable(server, now_ns), "admin",
        admin_words[atomic_load(&server->admin)], "inflight", (json_int_t)atomic_load(&server->inflight),
        "mean", mean_ns == 0 ? json_null() : json_of_seconds(mean_ns), "requests",
        (json_int_t)atomic_load(&server->requests), "errors", (json_int_t)atomic_load(&server->errors), "lag",
        lag_ns < 0 ? json_null() : json_of_seconds(lag_ns));
}

static json_t *json_of_plugin(const struct plugin *plugin)
{
    struct plugin_stats stats;
    plugin_stats_read(plugin, &stats);
    return json_pack("{s:o, s:I, s:o}", "name", json_of_str(plugin_name(plugin)), "calls",
                     (json_int_t)stats.calls, "seconds", json_of_seconds((int64_t)stats.ns));
}

static json_t *json_of_supply(const struct supply *supply, int64_t now_ns)
{
    const struct upstream *upstream = supply->upstream;
    json_t *servers = json_array();
    json_t *plugins = json_array();
    int64_t inflight = 0;
    for (unsigned i = 0; i < upstream->server_count; i++) {
        inflight += atomic_load(&upstream->servers[i]->inflight);
        json_array_append_new(servers, json_of_server(upstream->servers[i], now_ns));
    }
    for (unsigned i = 0; i < supply->plugin_count; i++)
        json_array_append_new(plugins, json_of_plugin(supply->plugins[i]));
    return json_pack("{s:o, s:o, s:I, s:I, s:o, s:o}", "name", json_of_str(upstream->name), "limit",
                     json_of_limit(supply->line ? line_limit(supply->line) : NEVER), "inflight",
                     (json_int_t)(supply->line ? line_inside(supply->line) : inflight), "queued",
                     (json_int_t)(supply->line ? line_waiting(supply->line) : 0), "servers", servers,
                     "plugins", plugins);
}

static json_t *json_of_canary(const struct edition *edition)
{
    const struct canary *canary = atomic_load_explicit(&edition->canary, memory_order_acquire);
    if (!canary)
        return json_null();
    json_t *tenants = json_array();
    for (unsigned i = 0; i < canary->config.tenant_count; i++)
        json_array_append_new(tenants, json_of_str(canary->config.tenants[i]));
    return json_pack("{s:o, s:f, s:o, s:b}", "upstream", json_of_word(canary->config.upstream), "percent",
                     canary->config.percent, "tenants", tenants, "override", (int)canary->is_override);
}

static json_t *json_of_edition(const struct edition *edition)
{
    return json_pack("{s:o, s:o, s:o}", "name", json_of_str(edition->name), "upstream",
                     edition->supply ? json_of_str(edition->supply->upstream->name) : json_null(), "canary",
                     json_of_canary(edition));
}

/* What was changed here and not in the file: it survives a reload, so it must be easy to see. */
static json_t *json_of_overrides(const struct world *world)
{
    json_t *rows = json_array();
    for (unsigned i = 0; i < world->edition_count; i++) {
        const struct edition *edition = &world->editions[i];
        const struct canary *canary = atomic_load_explicit(&edition->canary, memory_order_acquire);
        if (canary && canary->is_override)
            json_array_append_new(rows, json_pack("{s:o, s:o}", "version", json_of_str(edition->name),
                                                  "canary", json_of_canary(edition)));
    }
    for (unsigned i = 0; i < world->supply_count; i++) {
        const struct upstream *upstream = world->supplies[i].upstream;
        for (unsigned k = 0; k < upstream->server_count; k++) {
            int state = atomic_load(&upstream->servers[k]->admin);
            if (state != SERVER_ADMIN_UP)
                json_array_append_new(rows, json_pack("{s:o, s:o, s:s}", "upstream",
                                                      json_of_str(upstream->name), "server",
                                                      json_of_str(str_of(upstream->servers[k]->addr.text)),
                                                      "state", admin_words[state]));
        }
    }
    return rows;
}

static uint64_t sum_of(const struct admin *admin, enum lane_stat stat)
{
    struct lane *const *lanes = admin->hooks.lanes(admin->hooks.arg);
    uint64_t sum = 0;
    for (unsigned i = 0; i < admin->hooks.lane_count; i++)
        sum += atomic_load_explicit(&lanes[i]->stats[stat], memory_order_relaxed);
    return sum;
}

/* null: memory only. */
static json_t *json_of_redis(const struct admin *admin)
{
    struct fleet_state state = { 0 };
    if (!admin->hooks.fleet || !admin->hooks.fleet(admin->hooks.arg, &state))
        return json_null();
    json_t *asked = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I}", "hit", (json_int_t)sum_of(admin, LANE_TIER_HIT), "miss",
        (json_int_t)sum_of(admin, LANE_TIER_MISS), "timeout", (json_int_t)sum_of(admin, LANE_TIER_TIMEOUT),
        "error", (json_int_t)sum_of(admin, LANE_TIER_ERROR), "refused",
        (json_int_t)sum_of(admin, LANE_TIER_REFUSED), "skipped",
        (json_int_t)sum_of(admin, LANE_TIER_SKIPPED));
    return json_pack("{s:s, s:b, s:b, s:i, s:I, s:I, s:I, s:I, s:I, s:o}", "state",
                     state.is_usable ? "up" : "down", "connected", (int)state.is_connected, "trusted",
                     (int)state.is_trusted, "nodes", (int)state.nodes, "sequence", (json_int_t)state.sequence,
                     "pending", (json_int_t)state.pending, "errors", (json_int_t)state.errors, "dropped",
                     (json_int_t)state.dropped, "distrusts", (json_int_t)state.distrusts, "asked", asked);
}

/* Routes whose shared answers are not used any more: the leak sentinel found one that differs by who asks. */
static json_t *json_of_quarantines(const struct world *world)
{
    unsigned max = world->config->route_count + 1; /* and what no route names */
    struct quarantine *found = calloc(max, sizeof *found);
    json_t *rows = found ? json_array() : NULL;
    unsigned count = found ? world_quarantines(world, found, max) : 0;
    for (unsigned i = 0; i < count; i++) {
        char stored[17], fetched[17];
        snprintf(stored, sizeof stored, "%016llx", (unsigned long long)found[i].stored_digest);
        snprintf(fetched, sizeof fetched, "%016llx", (unsigned long long)found[i].fetched_digest);
        json_array_append_new(rows, json_pack("{s:o, s:o, s:s, s:s}", "route", json_of_str(found[i].route),
                                              "since", json_of_time(found[i].since_wall_ms), "stored", stored,
                                              "fetched", fetched));
    }
    free(found);
    return rows;
}

static json_t *json_of_cache(const struct admin *admin, const struct world *world)
{
    struct cache_stats stats = { 0 };
    if (world->city->cache)
        cache_stats_read(world->city->cache, &stats);
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
        "memory", (json_int_t)world->config->cache.memory_bytes, "bytes", (json_int_t)stats.bytes, "objects",
        (json_int_t)stats.objects, "hits", (json_int_t)sum_of(admin, LANE_CACHE_HITS), "misses",
        (json_int_t)sum_of(admin, LANE_CACHE_MISSES), "stale", (json_int_t)sum_of(admin, LANE_CACHE_STALE),
        "collapsed", (json_int_t)sum_of(admin, LANE_CACHE_COLLAPSED), "stored", (json_int_t)stats.stored,
        "evicted", (json_int_t)stats.evicted, "purged", (json_int_t)stats.purged, "invalidated",
        (json_int_t)stats.invalidated, "refused", (json_int_t)stats.refused, "expired",
        (json_int_t)stats.expired, "revalidated", (json_int_t)sum_of(admin, LANE_CACHE_REVALIDATED),
        "refreshed", (json_int_t)sum_of(admin, LANE_CACHE_REFRESHED), "stood_in",
        (json_int_t)sum_of(admin, LANE_CACHE_STOOD_IN), "redis", json_of_redis(admin), "quarantined",
        json_of_quarantines(world));
}

void get_status(struct admin *admin, const struct call *call, struct reply *reply)
{
    const struct world *world = admin_world(admin);
    struct city *city = world->city;
    int64_t now_ns = loop_now_ns(admin->loop);
    int64_t up_ms = loop_wall_ms(admin->loop) - city->started_wall_ms;
    json_t *upstreams = json_array();
    json_t *versions = json_array();
    (void)call;

    for (unsigned i = 0; i < world->supply_count; i++)
        json_array_append_new(upstreams, json_of_supply(&world->supplies[i], now_ns));
    for (unsigned i = 0; i < world->edition_count; i++)
        json_array_append_new(versions, json_of_edition(&world->editions[i]));
    json_t *config = json_pack("{s:I, s:o, s:o}", "generation", (json_int_t)world->generation, "loaded_at",
                               json_of_time(world->loaded_wall_ms), "file", json_of_str(world->config->file));
    reply_json(reply, 200,
               json_pack("{s:s, s:f, s:i, s:I, s:I, s:I, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "version",
                         WEIR_VERSION, "uptime", (double)max_i64(up_ms, 0) / 1000.0, "workers",
                         (int)admin->hooks.lane_count, "connections",
                         (json_int_t)atomic_load(&city->connections), "connections_max",
                         (json_int_t)city->connections_max, "requests",
                         (json_int_t)sum_of(admin, LANE_REQUESTS), "draining",
                         (int)atomic_load(&city->is_draining), "ready", (int)world_is_ready(world, now_ns),
                         "config", config, "upstreams", upstreams, "versions", versions, "cache",
                         json_of_cache(admin, world), "overrides", json_of_overrides(world)));
}

/* --- latency --- */

/* A mistyped one would look as if there were nothing to tell. */
static bool parameters_are_known(struct str query, const char *const *names, unsigned count,
                                 struct reply *reply)
{
    struct str pair;
    while (str_split(&query, '&', &pair)) {
        ptrdiff_t equals = str_find(pair, '=');
        struct str name = equals < 0 ? pair : str_n(pair.data, (size_t)equals);
        bool is_known = name.len == 0;
        for (unsigned i = 0; i < count; i++)
            is_known = is_known || str_eq(name, str_of(names[i]));
        if (is_known)
            continue;
        reply_problem(reply, 400, "bad-query",
                      "unknown parameter \"%.*s\"; allowed: tenant version route stage", STR_FMT(name));
        return false;
    }
    return true;
}

static bool stage_is_known(struct str stage, struct reply *reply)
{
    struct buf allowed;
    if (stage.len == 0 || str_eq(stage, STR("total")) || str_eq(stage, STR("*")))
        return true;
    buf_init(&allowed);
    for (unsigned i = 0; i < STAGE_COUNT; i++) {
        if (str_eq(stage, str_of(stage_word((enum stage_time)i)))) {
            buf_fini(&allowed);
            return true;
        }
        buf_printf(&allowed, " %s", stage_word((enum stage_time)i));
    }
    reply_problem(reply, 400, "bad-query",
                  "there is no stage \"%.*s\"; allowed: total, * for all, or one of%.*s", STR_FMT(stage),
                  STR_FMT(buf_str(&allowed)));
    buf_fini(&allowed);
    return false;
}

void get_latency(struct admin *admin, const struct call *call, struct reply *reply)
{
    static const char *const names[] = { "tenant", "version", "route", "stage" };
    struct latency_query query = { 0 };
    struct str *const values[] = { &query.tenant, &query.version, &query.route, &query.stage };
    char *decoded[COUNT_OF(names)] = { NULL };

    if (!parameters_are_known(call->ask->msg->query, names, COUNT_OF(names), reply))
        return;
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        if (query_find(call->ask->msg->query, str_of(names[i]), values[i]) &&
            !(decoded[i] = api_decode(*values[i], values[i])))
            reply->is_broken = true;
    }
    if (stage_is_known(query.stage, reply)) {
        reply_text(reply, 200, "application/json", STR(""));
        if (!series_latency_json(admin->hooks.city->labels, admin->hooks.tallies, admin->hooks.lane_count,
                                 &query, &reply->body))
            reply->is_broken = true;
    }
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        free(decoded[i]);
}

void get_hot(struct admin *admin, const struct call *call, struct reply *reply)
{
    (void)admin;
    (void)call;
    reply_problem(reply, 501, "not-built", "the busiest keys are not counted yet");
}
