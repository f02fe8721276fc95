#include "ties.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "fleet/bus.h"
#include "fleet/redis.h"
#include "net/loop.h"
#include "pipeline/plugin.h"

struct ties {
    struct loop *loop;
    struct city *city;
    struct bus *bus;
    uint64_t purged; /* by the last apply() */
};

/* Both rooms name the same kinds; neither knows the other. */
static const struct {
    enum purge_kind cache;
    enum bus_kind bus;
} kinds[] = {
    { PURGE_URL, BUS_URL },       { PURGE_PREFIX, BUS_PREFIX }, { PURGE_TAG, BUS_TAG },
    { PURGE_TENANT, BUS_TENANT }, { PURGE_ALL, BUS_ALL },
};

/* A key that is only its primary half: all that a purge or an invalidation needs. */
static struct key key_of(struct str primary)
{
    return (struct key){ .primary = primary, .hash = hash_bytes(primary.data, primary.len) };
}

/* --- from the bus --- */

static void apply(void *arg, const struct bus_purge *told)
{
    struct ties *ties = arg;
    struct key key = key_of(told->what);
    struct cache_purge purge = { .tenant = told->tenant, .is_soft = told->is_soft };
    for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i].bus == told->kind)
            purge.kind = kinds[i].cache;
    }
    if (told->kind == BUS_URL)
        purge.key = &key;
    else
        purge.what = told->what;
    ties->purged = cache_purge(ties->city->cache, &purge, loop_tick_ns(ties->loop), loop_wall_ms(ties->loop));
}

static void invalidate(void *arg, struct str primary)
{
    struct ties *ties = arg;
    struct key key = key_of(primary);
    cache_invalidate(ties->city->cache, &key, loop_tick_ns(ties->loop));
}

static const struct bus_events events = { .apply = apply, .invalidate = invalidate };

/* --- life --- */

struct ties *ties_new(struct loop *loop, struct city *city, const struct config_redis *config,
                      const char **why)
{
    struct redis_url url;
    *why = "out of memory";
    if (!redis_url_parse(config->url, &url, why))
        return NULL;
    struct ties *ties = calloc(1, sizeof *ties);
    if (!ties)
        return NULL;
    const struct bus_options options = { .url = &url, .prefix = config->prefix };
    *ties = (struct ties){ .loop = loop, .city = city };
    ties->bus = bus_new(loop, &options, &events, ties);
    if (!ties->bus) {
        free(ties);
        return NULL;
    }
    plugins_join_fleet();
    city->control_loop = loop;
    city->bus = ties->bus;
    return ties;
}

void ties_free(struct ties *ties)
{
    if (!ties)
        return;
    loop_turn(ties->loop, 0); /* what lanes posted to it still finds it */
    ties->city->bus = NULL;
    bus_free(ties->bus);
    loop_turn(ties->loop, 0); /* and so does what it posted itself */
    free(ties);
}

/* --- for the admin address --- */

struct asked {
    purge_done_fn *done;
    void *arg;
    uint64_t count;
};

static void on_done(void *arg, enum bus_end end, unsigned nodes)
{
    static const enum purge_end ends[] = {
        [BUS_DONE] = PURGE_IS_DONE,
        [BUS_ALONE] = PURGE_IS_LOCAL,
        [BUS_UNREACHABLE] = PURGE_UNREACHABLE,
        [BUS_PARTLY] = PURGE_PARTLY,
    };
    struct asked *asked = arg;
    const struct purge_result result = { .count = asked->count, .nodes = nodes, .end = ends[end] };
    asked->done(asked->arg, &result);
    free(asked);
}

void ties_purge(struct ties *ties, const struct cache_purge *purge, purge_done_fn *done, void *done_arg)
{
    struct asked *asked = calloc(1, sizeof *asked);
    struct bus_purge told = {
        .tenant = purge->tenant,
        .what = purge->kind == PURGE_URL ? purge->key->primary : purge->what,
        .is_soft = purge->is_soft,
        .wall_ms = loop_wall_ms(ties->loop),
    };
    for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i].cache == purge->kind)
            told.kind = kinds[i].bus;
    }
    if (purge->kind == PURGE_URL)
        told.tenant = key_tenant(purge->key);
    if (asked) {
        *asked = (struct asked){ .done = done, .arg = done_arg };
        ties->purged = 0;
        if (bus_purge(ties->bus, &told, on_done, asked)) {
            asked->count = ties->purged; /* apply() ran during the call, on_done() did not */
            return;
        }
        free(asked);
    }
    const struct purge_result result = {
        .count = cache_purge(ties->city->cache, purge, loop_tick_ns(ties->loop), loop_wall_ms(ties->loop)),
        .nodes = 1,
        .end = PURGE_UNREACHABLE,
    };
    done(done_arg, &result);
}

void ties_state(const struct ties *ties, struct fleet_state *out)
{
    struct bus_state state;
    bus_state_read(ties->bus, &state);
    *out = (struct fleet_state){
        .is_connected = state.connected,
        .is_trusted = state.trusted,
        .nodes = state.nodes,
        .sequence = state.applied,
        .pending = state.pending,
        .errors = state.errors,
        .dropped = state.dropped,
        .distrusts = state.distrusts,
    };
}
