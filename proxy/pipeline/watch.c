#include "pipeline/watch.h"

#include <stdlib.h>

void watch_unref(struct watch *watch)
{
    if (watch && atomic_fetch_sub_explicit(&watch->references, 1, memory_order_acq_rel) == 1)
        free(watch);
}

static bool is_same_sharing(const struct config_route *a, const struct config_route *b)
{
    if (a->has_cache != b->has_cache || a->cache.share != b->cache.share ||
        a->cache.ttl_ms != b->cache.ttl_ms || a->cache.is_heuristic_off != b->cache.is_heuristic_off ||
        a->cache.cookie_count != b->cache.cookie_count)
        return false;
    for (unsigned i = 0; i < a->cache.cookie_count; i++) {
        if (!str_eq(a->cache.cookies[i], b->cache.cookies[i]))
            return false;
    }
    return true;
}

/* A route that was quarantined stays so until its rule says something else than it did. */
struct watch *watch_for(const struct config_route *route, const struct world *old)
{
    for (unsigned i = 0; old && i <= old->config->route_count; i++) {
        const struct way *way = &old->ways[i];
        bool is_it = route && way->config
                         ? str_eq(way->config->name, route->name) && is_same_sharing(way->config, route)
                         : !route && !way->config;
        if (!is_it)
            continue;
        atomic_fetch_add_explicit(&way->watch->references, 1, memory_order_relaxed);
        return way->watch;
    }
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch)
        atomic_init(&watch->references, 1);
    return watch;
}

/* --- for the admin address --- */

static struct quarantine quarantine_of(const struct way *way)
{
    return (struct quarantine){
        .route = way->config ? way->config->name : STR(""),
        .since_wall_ms = atomic_load(&way->watch->since_wall_ms),
        .stored_digest = atomic_load(&way->watch->stored_digest),
        .fetched_digest = atomic_load(&way->watch->fetched_digest),
    };
}

unsigned world_quarantines(const struct world *world, struct quarantine *out, unsigned max)
{
    unsigned count = 0;
    for (unsigned i = 0; i <= world->config->route_count && count < max; i++) {
        if (atomic_load(&world->ways[i].watch->is_quarantined))
            out[count++] = quarantine_of(&world->ways[i]);
    }
    return count;
}

bool world_lift_quarantine(struct world *world, struct str route)
{
    for (unsigned i = 0; i <= world->config->route_count; i++) {
        const struct way *way = &world->ways[i];
        if (!str_eq(way->config ? way->config->name : STR(""), route))
            continue;
        atomic_store(&way->watch->is_quarantined, false);
        return true;
    }
    return false;
}
