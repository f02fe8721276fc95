/* GET /metrics: everything of the contract's A5, in Prometheus's text format. Every HELP and TYPE is there
 * from the start. */
#include <math.h>
#include <stdio.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"
#include "observe/access_log.h"
#include "observe/prometheus.h"
#include "pipeline/plugin.h"
#include "pipeline/plugin_upstream.h"

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

static const char *const role_words[] = { [ROLE_PRIMARY] = "primary", [ROLE_REPLICA] = "replica" };

struct page {
    const struct admin *admin;
    const struct world *world;
    int64_t now_ns;
    struct buf *out;
};

static bool put_one(struct buf *out, const char *name, enum prom_kind kind, const char *help, double value)
{
    return prom_head(out, name, kind, help) && prom_value(out, name, NULL, 0, value);
}

/* --- cache --- */

static double lanes_sum(const struct admin *admin, enum lane_stat stat)
{
    struct lane *const *lanes = admin->hooks.lanes(admin->hooks.arg);
    uint64_t sum = 0;
    for (unsigned i = 0; i < admin->hooks.lane_count; i++)
        sum += atomic_load_explicit(&lanes[i]->stats[stat], memory_order_relaxed);
    return (double)sum;
}

static bool put_cache(const struct page *page)
{
    const struct admin *admin = page->admin;
    struct buf *out = page->out;
    struct cache_stats stats = { 0 };
    if (page->world->city->cache)
        cache_stats_read(page->world->city->cache, &stats);
    return put_one(out, "weir_cache_hits_total", PROM_COUNTER, "Requests answered from the cache.",
                   lanes_sum(admin, LANE_CACHE_HITS)) &&
           put_one(out, "weir_cache_misses_total", PROM_COUNTER, "Requests that the cache had no answer for.",
                   lanes_sum(admin, LANE_CACHE_MISSES)) &&
           put_one(out, "weir_cache_stale_total", PROM_COUNTER,
                   "Requests answered beyond an answer's freshness.", lanes_sum(admin, LANE_CACHE_STALE)) &&
           put_one(out, "weir_cache_collapsed_total", PROM_COUNTER,
                   "Requests that shared somebody else's fetch.", lanes_sum(admin, LANE_CACHE_COLLAPSED)) &&
           put_one(out, "weir_cache_stored_total", PROM_COUNTER, "Answers stored.", (double)stats.stored) &&
           put_one(out, "weir_cache_evicted_total", PROM_COUNTER, "Answers that made room for others.",
                   (double)stats.evicted) &&
           put_one(out, "weir_cache_purged_total", PROM_COUNTER, "Answers removed through the admin address.",
                   (double)stats.purged) &&
           put_one(out, "weir_cache_expired_total", PROM_COUNTER, "Answers that a soft purge made stale.",
                   (double)stats.expired) &&
           put_one(out, "weir_cache_invalidated_total", PROM_COUNTER,
                   "Answers removed because a write succeeded.", (double)stats.invalidated) &&
           put_one(out, "weir_cache_revalidated_total", PROM_COUNTER,
                   "Stored answers that the app said are still good.",
                   lanes_sum(admin, LANE_CACHE_REVALIDATED)) &&
           put_one(out, "weir_cache_refreshed_total", PROM_COUNTER,
                   "Fetches in the background, that no client waited for.",
                   lanes_sum(admin, LANE_CACHE_REFRESHED)) &&
           put_one(out, "weir_cache_stood_in_total", PROM_COUNTER,
                   "Requests answered with a stored answer instead of an error.",
                   lanes_sum(admin, LANE_CACHE_STOOD_IN)) &&
           put_one(out, "weir_cache_bytes", PROM_GAUGE, "Memory of all that is stored, metadata included.",
                   (double)stats.bytes);
}

struct result {
    const char *word;
    enum lane_stat stat;
};

static bool put_results(const struct page *page, const char *name, const char *help,
                        const struct result *results, unsigned count)
{
    bool ok = prom_head(page->out, name, PROM_COUNTER, help);
    for (unsigned i = 0; ok && i < count; i++) {
        const struct prom_label label = { "result", str_of(results[i].word) };
        ok = prom_value(page->out, name, &label, 1, lanes_sum(page->admin, results[i].stat));
    }
    return ok;
}

static bool put_quarantines(const struct page *page)
{
    const struct world *world = page->world;
    unsigned count = 0;
    for (unsigned i = 0; i <= world->config->route_count; i++)
        count += atomic_load(&world->ways[i].watch->is_quarantined);
    return put_one(page->out, "weir_quarantined_routes", PROM_GAUGE,
                   "Routes that share nothing since a leak was found.", count);
}

static bool put_leak_checks(const struct page *page)
{
    static const struct result results[] = {
        { "same", LANE_LEAK_SAME },
        { "changed", LANE_LEAK_CHANGED },
        { "inconclusive", LANE_LEAK_UNSURE },
        { "leak", LANE_LEAK_FOUND },
    };
    return put_results(page, "weir_leak_checks_total",
                       "Stored answers that were fetched again without credentials and compared.", results,
                       COUNT_OF(results));
}

/* --- what several weirs share --- */

static bool put_second_tier(const struct page *page)
{
    static const struct result results[] = {
        { "hit", LANE_TIER_HIT },     { "miss", LANE_TIER_MISS },       { "timeout", LANE_TIER_TIMEOUT },
        { "error", LANE_TIER_ERROR }, { "refused", LANE_TIER_REFUSED }, { "skipped", LANE_TIER_SKIPPED },
    };
    return put_results(page, "weir_second_tier_total", "Questions to the second tier of the cache.", results,
                       COUNT_OF(results));
}

static bool put_fleet(const struct page *page)
{
    const struct admin_hooks *hooks = &page->admin->hooks;
    struct fleet_state state = { 0 };
    bool has_fleet = hooks->fleet && hooks->fleet(hooks->arg, &state);
    const struct {
        const char *name;
        const char *help;
        enum prom_kind kind;
        double value;
    } rows[] = {
        { "weir_second_tier_usable", "1 if the second tier is asked, 0 while it is left in peace.",
          PROM_GAUGE, state.is_usable },
        { "weir_fleet_connected", "1 if this weir hears the others.", PROM_GAUGE, state.is_connected },
        { "weir_fleet_trusted", "1 if no purge can have been missed.", PROM_GAUGE, state.is_trusted },
        { "weir_fleet_nodes", "Connected weirs, this one included.", PROM_GAUGE, state.nodes },
        { "weir_fleet_sequence", "The last purge that was done here.", PROM_GAUGE, (double)state.sequence },
        { "weir_fleet_pending", "Purges that the others were not told yet.", PROM_GAUGE,
          (double)state.pending },
        { "weir_fleet_errors_total", "Questions that Redis refused or did not answer in time.", PROM_COUNTER,
          (double)state.errors },
        { "weir_fleet_dropped_total", "Invalidations that the others were not told for want of room.",
          PROM_COUNTER, (double)state.dropped },
        { "weir_fleet_distrusts_total", "Times that everything stored had to be validated.", PROM_COUNTER,
          (double)state.distrusts },
    };
    bool ok = true;
    for (unsigned i = 0; ok && i < COUNT_OF(rows); i++)
        ok = prom_head(page->out, rows[i].name, rows[i].kind, rows[i].help) &&
             (!has_fleet || prom_value(page->out, rows[i].name, NULL, 0, rows[i].value));
    return ok;
}

/* --- upstreams --- */

typedef double server_fn(const struct server *server, int64_t now_ns);

static double requests_of(const struct server *server, int64_t now_ns)
{
    (void)now_ns;
    return (double)atomic_load(&server->requests);
}

static double errors_of(const struct server *server, int64_t now_ns)
{
    (void)now_ns;
    return (double)atomic_load(&server->errors);
}

static double usable_of(const struct server *server, int64_t now_ns)
{
    return server_is_usable(server, now_ns) ? 1 : 0;
}

static bool put_servers(const struct page *page, const char *name, enum prom_kind kind, const char *help,
                        server_fn *value)
{
    bool ok = prom_head(page->out, name, kind, help);
    for (unsigned i = 0; i < page->world->supply_count; i++) {
        const struct upstream *upstream = page->world->supplies[i].upstream;
        for (unsigned k = 0; ok && k < upstream->server_count; k++) {
            const struct server *server = upstream->servers[k];
            const struct prom_label labels[] = {
                { "upstream", upstream->name },
                { "server", str_of(server->addr.text) },
                { "role", str_of(role_words[server_role(server)]) },
            };
            ok = prom_value(page->out, name, labels, COUNT_OF(labels), value(server, page->now_ns));
        }
    }
    return ok;
}

/* The lag has only its server's name: one that serves several upstreams is told once. */
static bool is_told_before(const struct world *world, unsigned supply, const struct server *server)
{
    for (unsigned i = 0; i < supply; i++) {
        const struct upstream *upstream = world->supplies[i].upstream;
        for (unsigned k = 0; k < upstream->server_count; k++) {
            if (strcmp(upstream->servers[k]->addr.text, server->addr.text) == 0 &&
                atomic_load(&upstream->servers[k]->lag_ns) >= 0)
                return true;
        }
    }
    return false;
}

static bool put_lag(const struct page *page)
{
    static const char name[] = "weir_replica_lag_seconds";
    bool ok =
        prom_head(page->out, name, PROM_GAUGE, "How far a replica is behind its primary, where it is known.");
    for (unsigned i = 0; i < page->world->supply_count; i++) {
        const struct upstream *upstream = page->world->supplies[i].upstream;
        for (unsigned k = 0; ok && k < upstream->server_count; k++) {
            const struct server *server = upstream->servers[k];
            int64_t lag_ns = atomic_load(&server->lag_ns);
            if (lag_ns < 0 || is_told_before(page->world, i, server))
                continue;
            const struct prom_label label = { "server", str_of(server->addr.text) };
            ok = prom_value(page->out, name, &label, 1, (double)lag_ns / (double)NS_PER_S);
        }
    }
    return ok;
}

typedef double supply_fn(const struct supply *supply);

static double inflight_of(const struct supply *supply)
{
    int64_t sum = 0;
    if (supply->line)
        return (double)line_inside(supply->line);
    for (unsigned i = 0; i < supply->upstream->server_count; i++)
        sum += atomic_load(&supply->upstream->servers[i]->inflight);
    return (double)sum;
}

static double limit_of(const struct supply *supply)
{
    int64_t limit = supply->line ? line_limit(supply->line) : NEVER;
    return limit < 0 ? INFINITY : (double)limit;
}

static double queued_of(const struct supply *supply)
{
    return supply->line ? (double)line_waiting(supply->line) : 0;
}

static bool put_supplies(const struct page *page, const char *name, const char *help, supply_fn *value)
{
    bool ok = prom_head(page->out, name, PROM_GAUGE, help);
    for (unsigned i = 0; ok && i < page->world->supply_count; i++) {
        const struct supply *supply = &page->world->supplies[i];
        const struct prom_label label = { "upstream", supply->upstream->name };
        ok = prom_value(page->out, name, &label, 1, value(supply));
    }
    return ok;
}

static bool put_upstreams(const struct page *page)
{
    return put_servers(page, "weir_upstream_requests_total", PROM_COUNTER, "Requests sent to a server.",
                       requests_of) &&
           put_servers(page, "weir_upstream_errors_total", PROM_COUNTER,
                       "Requests to a server that brought no reply.", errors_of) &&
           put_servers(page, "weir_upstream_usable", PROM_GAUGE, "1 if a server gets requests now.",
                       usable_of) &&
           put_supplies(page, "weir_upstream_inflight", "Requests in progress at an upstream.",
                        inflight_of) &&
           put_supplies(page, "weir_upstream_limit", "How many may be; +Inf: any.", limit_of) &&
           put_supplies(page, "weir_upstream_queued", "Requests waiting for their turn.", queued_of) &&
           put_lag(page);
}

/* --- plugins --- */

static bool put_plugins_as(const struct page *page, const char *name, const char *help, bool is_seconds)
{
    bool ok = prom_head(page->out, name, PROM_COUNTER, help);
    for (unsigned i = 0; i < page->world->supply_count; i++) {
        const struct supply *supply = &page->world->supplies[i];
        for (unsigned k = 0; ok && k < supply->plugin_count; k++) {
            struct plugin_stats stats;
            char place[16];
            plugin_stats_read(supply->plugins[k], &stats);
            /* One plugin may stand twice in an upstream, with other keys. */
            snprintf(place, sizeof place, "%u", k + 1);
            const struct prom_label labels[] = {
                { "upstream", supply->upstream->name },
                { "plugin", plugin_name(supply->plugins[k]) },
                { "place", str_of(place) },
            };
            ok = prom_value(page->out, name, labels, COUNT_OF(labels),
                            is_seconds ? (double)stats.ns / (double)NS_PER_S : (double)stats.calls);
        }
    }
    return ok;
}

static bool put_plugin_events(const struct page *page)
{
    static const char name[] = "weir_plugin_events_total";
    bool ok = prom_head(page->out, name, PROM_COUNTER, "Events that the plugins of an upstream count.");
    for (unsigned i = 0; i < page->world->supply_count; i++) {
        const struct supply *supply = &page->world->supplies[i];
        uint64_t count;
        const char *event;
        for (unsigned n = 0; ok && (event = plugin_upstream_event(supply->shared->face, n, &count)); n++) {
            const struct prom_label labels[] = {
                { "upstream", supply->upstream->name },
                { "event", str_of(event) },
            };
            ok = prom_value(page->out, name, labels, COUNT_OF(labels), (double)count);
        }
    }
    return ok;
}

static bool put_plugins(const struct page *page)
{
    return put_plugin_events(page) &&
           put_plugins_as(page, "weir_plugin_calls_total", "Calls of a plugin's hooks.", false) &&
           put_plugins_as(page, "weir_plugin_seconds_total", "Time spent in a plugin's hooks.", true);
}

/* --- weir itself --- */

static bool put_log(const struct page *page)
{
    static const char name[] = "weir_log_dropped_total";
    const struct access_log *log = page->admin->hooks.log;
    const struct prom_label access = { "log", STR("access") };
    const struct prom_label error = { "log", STR("error") };
    return prom_head(page->out, name, PROM_COUNTER,
                     "Log lines that were given up so that nobody had to wait.") &&
           prom_value(page->out, name, &access, 1, log ? (double)access_log_dropped(log) : 0) &&
           prom_value(page->out, name, &error, 1, (double)log_dropped());
}

static bool put_weir(const struct page *page)
{
    const struct city *city = page->world->city;
    return put_one(page->out, "weir_connections", PROM_GAUGE, "Connections of clients.",
                   (double)atomic_load(&city->connections)) &&
           put_one(page->out, "weir_connections_total", PROM_COUNTER, "Connections of clients so far.",
                   lanes_sum(page->admin, LANE_CONNECTIONS)) &&
           put_one(page->out, "weir_config_generation", PROM_GAUGE, "Grows by one with each reload.",
                   (double)page->world->generation) &&
           put_one(page->out, "weir_draining", PROM_GAUGE, "1 while weir is shutting down.",
                   atomic_load(&city->is_draining) ? 1 : 0) &&
           put_one(page->out, "weir_start_time_seconds", PROM_GAUGE, "When weir was started, unix time.",
                   (double)city->started_wall_ms / 1000.0) &&
           put_log(page);
}

bool metrics_write(struct admin *admin, struct buf *out)
{
    const struct page page = {
        .admin = admin,
        .world = admin_world(admin),
        .now_ns = loop_now_ns(admin->loop),
        .out = out,
    };
    return series_prometheus(admin->hooks.city->labels, admin->hooks.tallies, admin->hooks.lane_count, out) &&
           put_cache(&page) && put_leak_checks(&page) && put_quarantines(&page) && put_second_tier(&page) &&
           put_fleet(&page) && put_upstreams(&page) && put_plugins(&page) && put_weir(&page);
}

void get_metrics(struct admin *admin, const struct call *call, struct reply *reply)
{
    (void)call;
    reply_text(reply, 200, TYPE_METRICS, STR(""));
    if (!metrics_write(admin, &reply->body))
        reply->is_broken = true;
}
