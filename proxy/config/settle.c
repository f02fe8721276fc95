#include <sched.h>

#include "base/addr.h"
#include "base/check.h"
#include "config/reading.h"

/* The cores this process may use; a container's share is often less than the machine. */
static unsigned core_count(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) < 1)
        return 1;
    return (unsigned)CPU_COUNT(&cores);
}

static void settle_listen(struct reading *r)
{
    struct config *config = r->config;
    if (config->listen_count > 0)
        return;
    config->listens = arena_zalloc(&config->arena, sizeof *config->listens);
    if (!config->listens) {
        r->is_out_of_memory = true;
        return;
    }
    config->listen_count = 1;
    CHECK(addr_parse(STR("127.0.0.1:8080"), &config->listens[0].address));
}

/* What a named tenant does not say, `default` says. A burst belongs to its rate. */
static void settle_tenant(struct reading *r, struct config_tenant *tenant)
{
    const struct config_tenant *fallback = &r->config->tenants.fallback;
    if (!reading_has(r, &tenant->rate_per_s)) {
        tenant->rate_per_s = fallback->rate_per_s;
        if (!reading_has(r, &tenant->burst))
            tenant->burst = fallback->burst;
    }
    if (!reading_has(r, &tenant->concurrency))
        tenant->concurrency = fallback->concurrency;
    if (!reading_has(r, &tenant->weight))
        tenant->weight = fallback->weight;
    if (!reading_has(r, &tenant->cache_share))
        tenant->cache_share = fallback->cache_share;
}

static void settle_tenants(struct reading *r)
{
    struct config_tenants *tenants = &r->config->tenants;
    for (unsigned i = 0; i < tenants->named_count; i++)
        settle_tenant(r, &tenants->named[i]);
    /* Limits without sources: everybody is the one tenant, rather than nobody. */
    if (!tenants->is_given || (tenants->from_count == 0 && !reading_has(r, &tenants->is_unknown_default)))
        tenants->is_unknown_default = true;
}

static void settle_versions(struct config_versions *versions)
{
    if (versions->is_given && !versions->fallback.data && versions->known_count == 1)
        versions->fallback = versions->known[0].name;
}

/* An upstream with replicas wants its reads there: rw_split with its own defaults. */
static void settle_plugins(struct reading *r, struct config_upstream *upstream)
{
    if (upstream->replica_count == 0 || reading_has(r, &upstream->plugins))
        return;
    upstream->plugins = arena_zalloc(&r->config->arena, sizeof *upstream->plugins);
    if (!upstream->plugins) {
        r->is_out_of_memory = true;
        return;
    }
    upstream->plugin_count = 1;
    upstream->plugins[0] = (struct config_plugin){
        .name = STR("rw_split"),
        .json = STR("{}"),
        .mark = upstream->mark,
    };
}

static struct str joined_methods(struct arena *arena, const struct config_route *route)
{
    struct str joined = STR("");
    for (unsigned i = 0; i < route->method_count && joined.data; i++)
        joined =
            arena_printf(arena, "%.*s%s%.*s", STR_FMT(joined), i > 0 ? "," : "", STR_FMT(route->methods[i]));
    return joined;
}

/* "POST shop.example.com/checkout": as unique as the route is. */
static void settle_route(struct reading *r, struct config_route *route)
{
    if (route->name.data)
        return;
    struct arena *arena = &r->config->arena;
    struct str methods = joined_methods(arena, route);
    struct str path = route->path.data ? route->path : STR("/**");
    struct str host = route->host.data ? route->host : STR("");
    if (methods.data)
        route->name = arena_printf(arena, "%.*s%s%.*s%.*s", STR_FMT(methods), methods.len > 0 ? " " : "",
                                   STR_FMT(host), STR_FMT(path));
    if (!route->name.data)
        r->is_out_of_memory = true;
}

static void settle_cache_rule(struct config_cache_rule *rule)
{
    for (unsigned i = 0; i < rule->ignore_count; i++)
        rule->ignored |= 1U << rule->ignores[i];
}

void reading_settle(struct reading *r)
{
    struct config *config = r->config;
    settle_listen(r);
    if (config->workers == 0)
        config->workers = core_count();
    settle_tenants(r);
    settle_versions(&config->versions);
    config->cache.redis.mark = reading_mark(r, &config->cache.redis.url);
    config->log.mark = reading_mark(r, &config->log.path);
    for (unsigned i = 0; i < config->upstream_count; i++)
        settle_plugins(r, &config->upstreams[i]);
    for (unsigned i = 0; i < config->route_count; i++) {
        settle_route(r, &config->routes[i]);
        settle_cache_rule(&config->routes[i].cache);
    }
}
