#include "pipeline/world.h"

#include <stdlib.h>

#include "http/date.h"
#include "net/loop.h"
#include "pipeline/plugin.h"
#include "pipeline/plugin_upstream.h"
#include "pipeline/watch.h"

/* --- supplies --- */

static void shared_unref(struct shared_supply *shared)
{
    if (!shared || atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) > 1)
        return;
    line_free(shared->line);
    plugin_upstream_free(shared->face);
    free(shared);
}

static struct shared_supply *shared_take(const struct supply *old)
{
    if (old) {
        atomic_fetch_add_explicit(&old->shared->references, 1, memory_order_relaxed);
        return old->shared;
    }
    struct shared_supply *shared = calloc(1, sizeof *shared);
    if (!shared)
        return NULL;
    atomic_init(&shared->references, 1);
    shared->face = plugin_upstream_new();
    if (!shared->face) {
        free(shared);
        return NULL;
    }
    return shared;
}

static bool prepare_line(struct supply *supply, const struct config_upstream *config)
{
    if (!supply->shared->line && config->limit_concurrency >= 0)
        supply->shared->line = line_new(config->limit_concurrency, config->limit_queue);
    supply->line = supply->shared->line;
    return supply->line || config->limit_concurrency < 0;
}

/* What a plugin was told of the upstreams there are still holds. */
static bool are_upstreams_same(const struct config *a, const struct config *b)
{
    for (unsigned i = 0; i < a->upstream_count; i++) {
        if (!config_find_upstream(b, a->upstreams[i].name))
            return false;
    }
    return a->upstream_count == b->upstream_count;
}

static bool load_plugins(struct world *world, struct supply *supply, const struct world *old_world,
                         const struct config_upstream *config, const char *plugin_dir,
                         struct config_mistakes *mistakes)
{
    const struct supply *old = old_world ? world_supply(old_world, config->name) : NULL;
    bool has_same_upstreams = old && are_upstreams_same(world->config, old_world->config);
    char error[1536]; /* a plugin lists all that it allows */
    for (unsigned i = 0; i < config->plugin_count; i++) {
        const struct config_plugin *row = &config->plugins[i];
        struct plugin *plugin = NULL;
        if (i == PLUGINS_MAX) {
            config_mistake(mistakes, row->mark, "upstream \"%.*s\" has more than %d plugins",
                           STR_FMT(config->name), PLUGINS_MAX);
            return false;
        }
        for (unsigned k = 0; old && has_same_upstreams && !plugin && k < old->plugin_count; k++) {
            if (plugin_is_same(old->plugins[k], row))
                plugin = plugin_ref(old->plugins[k]);
        }
        if (!plugin)
            plugin =
                plugin_new(world->config, config, row, plugin_dir, supply->shared->face, error, sizeof error);
        if (!plugin) {
            config_mistake(mistakes, row->mark, "%s", error);
            return false;
        }
        supply->plugins[supply->plugin_count++] = plugin;
    }
    return true;
}

/* What the world before had at this upstream and this one has not. */
static void retire_others(const struct world *old_world, const struct supply *supply)
{
    const struct supply *old = old_world ? world_supply(old_world, supply->upstream->name) : NULL;
    for (unsigned i = 0; old && i < old->plugin_count; i++) {
        bool is_kept = false;
        for (unsigned k = 0; k < supply->plugin_count; k++)
            is_kept |= supply->plugins[k] == old->plugins[i];
        if (!is_kept)
            plugin_retire(old->plugins[i]);
    }
}

static bool build_supply(struct world *world, unsigned index, const struct world *old_world,
                         const char *plugin_dir, struct config_mistakes *mistakes)
{
    const struct config_upstream *config = &world->config->upstreams[index];
    struct supply *supply = &world->supplies[index];
    const struct supply *old = old_world ? world_supply(old_world, config->name) : NULL;
    char error[256];

    supply->index = index;
    supply->upstream = upstream_new(config, old ? old->upstream : NULL, error, sizeof error);
    if (!supply->upstream) {
        config_mistake(mistakes, config->mark, "upstream \"%.*s\": %s", STR_FMT(config->name), error);
        return false;
    }
    supply->shared = shared_take(old);
    if (!supply->shared)
        return false;
    supply->held = plugin_upstream_held(supply->shared->face);
    /* Its plugins may ask for its servers at once. */
    plugin_upstream_set(supply->shared->face, supply->upstream);
    return prepare_line(supply, config) &&
           load_plugins(world, supply, old_world, config, plugin_dir, mistakes);
}

/* --- editions and ways --- */

static struct str edition_fields(struct world *world, const struct config_version *config)
{
    struct arena *arena = &world->config->arena;
    char date[HTTP_DATE_LEN] = "";
    struct str out = STR("");
    if (config->deprecated_s)
        out = arena_printf(arena, "Deprecation: @%lld\r\n", (long long)config->deprecated_s);
    if (config->sunset_s) {
        http_date_format(config->sunset_s, date);
        out = arena_printf(arena, "%.*sSunset: %.*s\r\n", STR_FMT(out), HTTP_DATE_LEN, date);
    }
    if (config->link.data)
        out = arena_printf(arena, "%.*sLink: <%.*s>; rel=\"deprecation\"\r\n", STR_FMT(out),
                           STR_FMT(config->link));
    return out;
}

static struct canary *canary_new(const struct world *world, const struct config_canary *config,
                                 bool is_override)
{
    struct canary *canary = calloc(1, sizeof *canary);
    if (!canary)
        return NULL;
    canary->config = *config;
    canary->is_override = is_override;
    if (config->upstream.data)
        canary->supply = world_supply(world, config->upstream);
    return canary;
}

static bool is_same_canary(const struct config_canary *a, const struct config_canary *b)
{
    if (!str_eq(a->upstream, b->upstream) || a->percent != b->percent || a->tenant_count != b->tenant_count)
        return false;
    for (unsigned i = 0; i < a->tenant_count; i++) {
        if (!str_eq(a->tenants[i], b->tenants[i]))
            return false;
    }
    return true;
}

/* What the admin address set stays until the file says something else than it did (A2). */
static struct canary *kept_canary(const struct world *world, const struct config_version *config,
                                  const struct world *old)
{
    for (unsigned i = 0; old && i < old->edition_count; i++) {
        const struct edition *edition = &old->editions[i];
        if (!edition->config || !str_eq(edition->name, config->name))
            continue;
        struct canary *canary = atomic_load(&edition->canary);
        if (!canary || !canary->is_override || !is_same_canary(&edition->config->canary, &config->canary))
            return NULL;
        struct config_canary kept = { .percent =
                                          canary->config.percent }; /* whom the file names is not in it */
        if (canary->supply) { /* by the name as the new world spells it: the old one's strings go with it */
            struct supply *supply = world_supply(world, canary->supply->upstream->name);
            kept.upstream = supply ? supply->upstream->name : (struct str){ NULL, 0 };
        }
        return canary_new(world, &kept, true);
    }
    return NULL;
}

static bool build_editions(struct world *world, const struct world *old)
{
    const struct config_versions *config = &world->config->versions;
    struct supply *only = world->supply_count == 1 ? &world->supplies[0] : NULL;
    world->edition_count = config->is_given && config->known_count > 0 ? config->known_count : 1;
    world->editions = calloc(world->edition_count, sizeof *world->editions);
    if (!world->editions)
        return false;
    world->editions[0] = (struct edition){ .name = STR(""), .supply = only, .fields = STR("") };
    for (unsigned i = 0; config->is_given && i < config->known_count; i++) {
        const struct config_version *version = &config->known[i];
        struct edition *edition = &world->editions[i];
        edition->config = version;
        edition->name = version->name;
        edition->supply = version->upstream.data ? world_supply(world, version->upstream) : only;
        edition->fields = edition_fields(world, version);
        struct canary *canary = kept_canary(world, version, old);
        if (!canary && version->canary.upstream.data)
            canary = canary_new(world, &version->canary, false);
        atomic_init(&edition->canary, canary);
        if (!edition->fields.data)
            return false;
    }
    for (unsigned i = 0; i < world->edition_count; i++)
        world->editions[i].label = labels_version(world->city->labels, world->editions[i].name);
    return true;
}

static bool build_ways(struct world *world, const struct world *old)
{
    unsigned count = world->config->route_count;
    world->ways = calloc(count + 1, sizeof *world->ways);
    if (!world->ways)
        return false;
    for (unsigned i = 0; i <= count; i++) {
        const struct config_route *route = i < count ? &world->config->routes[i] : NULL;
        world->ways[i] = (struct way){
            .config = route,
            .supply = route && route->upstream.data ? world_supply(world, route->upstream) : NULL,
            .label = labels_route(world->city->labels, route ? route->name : STR("")),
            .watch = watch_for(route, old),
        };
        if (!world->ways[i].watch)
            return false;
    }
    return true;
}

/* --- gates --- */

static const struct gate *old_gate(const struct world *old, const struct config_listen *config)
{
    for (unsigned i = 0; old && i < old->config->listen_count; i++) {
        if (strcmp(old->gates[i].config->address.text, config->address.text) == 0)
            return &old->gates[i];
    }
    return NULL;
}

static bool build_gate(struct world *world, unsigned index, const struct world *old,
                       struct config_mistakes *mistakes)
{
    const struct config_listen *config = &world->config->listens[index];
    struct gate *gate = &world->gates[index];
    struct tls_certificate certificates[64];
    char error[256];

    gate->config = config;
    if (config->certificate_count == 0)
        return true;
    unsigned count = config->certificate_count < 64 ? config->certificate_count : 64;
    for (unsigned i = 0; i < count; i++) {
        certificates[i].certificate = config->certificates[i].certificate.data;
        certificates[i].key = config->certificates[i].key.data;
    }
    gate->tls = tls_server_new(certificates, count, config->client_ca.data, "http/1.1", error, sizeof error);
    if (!gate->tls) {
        config_mistake(mistakes, config->certificates[0].mark, "%s", error);
        return false;
    }
    const struct gate *before = old_gate(old, config);
    if (before && before->tls)
        tls_server_adopt(gate->tls, before->tls);
    return true;
}

/* --- the world --- */

struct world *world_new(struct city *city, struct config *config, struct world *old, const char *plugin_dir,
                        struct config_mistakes *mistakes)
{
    struct world *world = calloc(1, sizeof *world);
    if (!world)
        return NULL;
    atomic_init(&world->references, 1);
    world->city = city;
    world->config = config_ref(config);
    world->supplies = calloc(config->upstream_count, sizeof *world->supplies);
    world->gates = calloc(config->listen_count, sizeof *world->gates);
    if (!world->supplies || !world->gates)
        goto fail;
    for (; world->supply_count < config->upstream_count; world->supply_count++) {
        if (!build_supply(world, world->supply_count, old, plugin_dir, mistakes)) {
            world->supply_count++; /* half-built: world_unref() copes */
            goto fail;
        }
    }
    for (unsigned i = 0; i < config->listen_count; i++) {
        if (!build_gate(world, i, old, mistakes))
            goto fail;
    }
    world->versions = versions_new(&config->versions);
    world->routes = routes_new(config->routes, config->route_count);
    world->rules = tenant_rules_new(&config->tenants);
    if (!world->versions || !world->routes || !world->rules || !build_editions(world, old) ||
        !build_ways(world, old))
        goto fail;

    /* It lives: from here on what it shares with the world before follows the new config. */
    for (unsigned i = 0; i < world->supply_count; i++) {
        const struct config_upstream *upstream = &config->upstreams[i];
        plugin_upstream_set(world->supplies[i].shared->face, world->supplies[i].upstream);
        retire_others(old, &world->supplies[i]);
        if (world->supplies[i].line)
            line_set(world->supplies[i].line, upstream->limit_concurrency, upstream->limit_queue);
    }
    world->generation = atomic_fetch_add(&city->generation, 1) + 1;
    return world;

fail:
    if (mistakes->count == 0)
        config_mistake(mistakes, (struct config_mark){ 1, 1 }, "out of memory");
    for (unsigned i = 0; old && i < old->supply_count; i++)
        plugin_upstream_set(old->supplies[i].shared->face, old->supplies[i].upstream);
    world_unref(world);
    return NULL;
}

struct world *world_ref(struct world *world)
{
    atomic_fetch_add_explicit(&world->references, 1, memory_order_relaxed);
    return world;
}

static void free_supply(struct supply *supply)
{
    CHECK(supply->health == NULL);
    for (unsigned i = 0; i < supply->plugin_count; i++)
        plugin_unref(supply->plugins[i]);
    upstream_free(supply->upstream);
    shared_unref(supply->shared);
}

struct world *world_unref(struct world *world)
{
    if (!world || atomic_fetch_sub_explicit(&world->references, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (unsigned i = 0; i < world->supply_count; i++)
        free_supply(&world->supplies[i]);
    for (unsigned i = 0; world->gates && i < world->config->listen_count; i++)
        tls_server_unref(world->gates[i].tls);
    for (unsigned i = 0; i < world->edition_count; i++) {
        struct canary *canary = world->editions ? atomic_load(&world->editions[i].canary) : NULL;
        while (canary) {
            struct canary *older = canary->older;
            free(canary);
            canary = older;
        }
    }
    versions_free(world->versions);
    routes_free(world->routes);
    tenant_rules_free(world->rules);
    free(world->editions);
    for (unsigned i = 0; world->ways && i <= world->config->route_count; i++)
        watch_unref(world->ways[i].watch);
    free(world->ways);
    free(world->supplies);
    free(world->gates);
    config_unref(world->config);
    free(world);
    return NULL;
}

static void on_checked(void *arg, const struct server *server, const struct message *reply, struct str body,
                       int64_t sent_wall_ms)
{
    plugins_checked(arg, server, reply, body, sent_wall_ms);
}

void world_start_health(struct world *world, struct loop *loop)
{
    for (unsigned i = 0; i < world->supply_count; i++) {
        struct supply *supply = &world->supplies[i];
        if (!supply->health)
            supply->health = health_new(loop, supply->upstream, on_checked, supply);
    }
}

void world_stop_health(struct world *world)
{
    for (unsigned i = 0; i < world->supply_count; i++) {
        health_free(world->supplies[i].health);
        world->supplies[i].health = NULL;
    }
}

struct supply *world_supply(const struct world *world, struct str name)
{
    for (unsigned i = 0; i < world->supply_count; i++) {
        if (world->supplies[i].upstream && str_eq(world->supplies[i].upstream->name, name))
            return &world->supplies[i];
    }
    return NULL;
}

bool world_set_canary(struct world *world, struct str version, double percent, struct str upstream)
{
    for (unsigned i = 0; i < world->edition_count; i++) {
        struct edition *edition = &world->editions[i];
        if (!edition->config || !str_eq(edition->name, version))
            continue;
        struct canary *before = atomic_load(&edition->canary);
        /* As a whole: tenants that were always in it are not any more. */
        struct config_canary config = { .percent = percent };
        const struct supply *supply = upstream.data ? world_supply(world, upstream)
                                      : before      ? before->supply
                                                    : NULL;
        if (!supply && (upstream.data || percent > 0))
            return false;
        if (supply)
            config.upstream = supply->upstream->name;
        struct canary *canary = canary_new(world, &config, true);
        if (!canary)
            return false;
        canary->older = before;
        atomic_store_explicit(&edition->canary, canary, memory_order_release);
        return true;
    }
    return false;
}

static bool has_usable(const struct supply *supply, int64_t now_ns)
{
    for (unsigned i = 0; i < supply->upstream->server_count; i++) {
        if (server_is_usable(supply->upstream->servers[i], now_ns))
            return true;
    }
    return false;
}

bool world_is_ready(const struct world *world, int64_t now_ns)
{
    if (atomic_load(&world->city->is_draining))
        return false;
    for (unsigned i = 0; i < world->supply_count; i++) {
        if (has_usable(&world->supplies[i], now_ns))
            return true;
    }
    return false;
}

bool world_trusts(const struct world *world, const struct sockaddr *peer)
{
    for (unsigned i = 0; i < world->config->trusted_peer_count; i++) {
        if (cidr_has(&world->config->trusted_peers[i], peer))
            return true;
    }
    return false;
}
