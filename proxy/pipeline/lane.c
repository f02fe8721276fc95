#include "pipeline/lane.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "fleet/tier.h"
#include "pipeline/fetch.h"
#include "pipeline/request.h"
#include "pipeline/sentinel.h"

#define IDLE_PER_SERVER    128
#define UPSTREAM_READ_SIZE (256 * 1024)
#define TENANTS_MAX        4096
#define TIER_VALUE_MAX     (1 << 20) /* a larger answer does not come within the budget */
#define RELABEL_AFTER      10000

static struct lane_world *lane_world_new(struct world *world)
{
    struct lane_world *here = calloc(1, sizeof *here);
    if (!here)
        return NULL;
    here->tenants = map_new();
    if (!here->tenants) {
        free(here);
        return NULL;
    }
    here->world = world_ref(world);
    return here;
}

static void forget_tenant(struct str key, void *value, void *arg)
{
    struct lane_tenant *tenant = value;
    (void)key;
    (void)arg;
    tenant_unref(tenant->tenant);
    free(tenant);
}

static void lane_world_free(struct lane_world *here)
{
    if (!here)
        return;
    map_each(here->tenants, forget_tenant, NULL);
    map_free(here->tenants);
    world_unref(here->world);
    free(here);
}

static void on_tier_change(void *arg, enum tier_state state, const char *why)
{
    const struct lane *lane = arg;
    if (lane->index == 0) /* all lanes see the same Redis */
        log_info("second tier: %s%s%s", tier_state_word(state), why[0] ? ": " : "", why);
}

static bool join_second_tier(struct lane *lane, const struct config *config)
{
    struct redis_url url;
    const char *why;
    if (!config->cache.redis.is_given || config->cache.memory_bytes == 0)
        return true;
    if (!redis_url_parse(config->cache.redis.url, &url, &why))
        return false;
    const struct tier_options options = {
        .url = &url,
        .budget_ms = config->cache.redis.budget_ms,
        .value_bytes_max = (size_t)min_i64(config->cache.object_max_bytes, TIER_VALUE_MAX),
        .prefix = config->cache.redis.prefix,
        .on_change = on_tier_change,
        .arg = lane,
    };
    lane->tier = tier_new(lane->loop, &options);
    return lane->tier != NULL;
}

struct lane *lane_new(unsigned index, struct city *city, struct world *world, struct tally *tally)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->index = index;
    lane->city = city;
    lane->tally = tally;
    list_init(&lane->clients);
    list_init(&lane->free_requests);
    list_init(&lane->free_fetches);
    list_init(&lane->fetches);
    if (!random_fill(lane->random, sizeof lane->random))
        goto fail;
    lane->random[0] |= 1; /* never all zero */
    lane->loop = loop_new();
    if (!lane->loop)
        goto fail;
    if (!join_second_tier(lane, world->config))
        goto fail;
    lane->pools = pools_new(lane->loop, UPSTREAM_READ_SIZE, IDLE_PER_SERVER);
    lane->now = lane_world_new(world);
    if (!lane->pools || !lane->now)
        goto fail;
    return lane;

fail:
    lane_free(lane);
    return NULL;
}

void lane_end_fetches(struct lane *lane)
{
    lane->is_draining = true; /* no errand is sent out any more */
    while (!list_is_empty(&lane->fetches)) {
        struct fetch *fetch = fetch_from(LIST_ENTRY(lane->fetches.next, struct fetch, link));
        struct request *req = fetch->req;
        bool is_errands = req->errand && fetch->is_attached; /* no client will abandon it */
        fetch->err = ERR_DRAINING;
        request_hold(req);
        fetch_end(fetch);
        if (is_errands)
            request_abandon(req);
        request_drop(req);
    }
    sentinel_stop(lane);
}

void lane_free(struct lane *lane)
{
    if (!lane)
        return;
    list_for_each_safe (link, &lane->free_requests)
        free(LIST_ENTRY(link, struct request, link));
    list_for_each_safe (link, &lane->free_fetches)
        free(LIST_ENTRY(link, struct fetch, link));
    tier_free(lane->tier);
    if (lane->pools)
        pools_free(lane->pools);
    loop_free(lane->loop);
    lane_world_free(lane->now);
    while (lane->earlier) {
        struct lane_world *here = lane->earlier;
        lane->earlier = here->next;
        lane_world_free(here);
    }
    free(lane);
}

static bool is_known(const struct server *server, void *arg)
{
    const struct world *world = arg;
    for (unsigned i = 0; i < world->supply_count; i++) {
        const struct upstream *upstream = world->supplies[i].upstream;
        for (unsigned k = 0; k < upstream->server_count; k++) {
            if (upstream->servers[k] == server)
                return true;
        }
    }
    return false;
}

void lane_enter_world(struct lane *lane, struct world *world)
{
    struct lane_world *fresh = lane_world_new(world);
    if (!fresh)
        return; /* out of memory: go on in the old one */
    struct lane_world *old = lane->now;
    lane->now = fresh;
    if (old->requests == 0) {
        lane_world_free(old);
    } else {
        old->next = lane->earlier;
        lane->earlier = old;
    }
    pools_forget(lane->pools, is_known, world);
}

struct lane_world *lane_world_take(struct lane *lane)
{
    lane->now->requests++;
    return lane->now;
}

void lane_world_give(struct lane *lane, struct lane_world *here)
{
    CHECK(here->requests > 0);
    if (--here->requests > 0 || here == lane->now)
        return;
    struct lane_world **at = &lane->earlier;
    while (*at != here)
        at = &(*at)->next;
    *at = here->next;
    lane_world_free(here);
}

struct idle_tenants {
    struct lane_tenant *rows[256];
    unsigned count;
};

static void pick_idle(struct str key, void *value, void *arg)
{
    struct idle_tenants *idle = arg;
    struct lane_tenant *tenant = value;
    (void)key;
    if (tenant->requests == 0 && idle->count < COUNT_OF(idle->rows))
        idle->rows[idle->count++] = tenant;
}

/* The table stays small whatever names clients make up: some that are not in use go. */
static void make_room(struct lane_world *here)
{
    struct idle_tenants idle = { .count = 0 };
    map_each(here->tenants, pick_idle, &idle);
    for (unsigned i = 0; i < idle.count; i++) {
        map_remove(here->tenants, tenant_name(idle.rows[i]->tenant));
        forget_tenant((struct str){ NULL, 0 }, idle.rows[i], NULL);
    }
}

static void label(struct lane *lane, struct lane_tenant *here)
{
    struct tenant *tenant = here->tenant;
    here->label = labels_tenant(lane->city->labels, tenant_name(tenant), here->rules->name.data != NULL,
                                atomic_load_explicit(&tenant->requests, memory_order_relaxed));
    here->until_relabel = RELABEL_AFTER;
}

static struct lane_tenant *meet(struct lane *lane, struct lane_world *world, struct str name, int *out_err)
{
    const struct config_tenant *rules = tenant_rules_find(world->world->rules, name);
    if (!rules) {
        *out_err = ERR_NO_TENANT;
        return NULL;
    }
    *out_err = ERR_NO_MEMORY;
    if (map_count(world->tenants) >= TENANTS_MAX)
        make_room(world);
    struct lane_tenant *here = calloc(1, sizeof *here);
    if (!here)
        return NULL;
    here->tenant = tenants_get(lane->city->tenants, name, loop_now_ns(lane->loop));
    if (!here->tenant) { /* full of tenants that lanes only remember */
        make_room(world);
        here->tenant = tenants_get(lane->city->tenants, name, loop_now_ns(lane->loop));
    }
    here->rules = rules;
    if (!here->tenant || !map_put(world->tenants, tenant_name(here->tenant), here)) {
        tenant_unref(here->tenant);
        free(here);
        return NULL;
    }
    label(lane, here);
    return here;
}

struct lane_tenant *lane_tenant_take(struct lane *lane, struct lane_world *world, struct str name,
                                     int *out_err)
{
    struct lane_tenant *here = map_get(world->tenants, name);
    if (!here)
        here = meet(lane, world, name, out_err);
    if (!here)
        return NULL;
    if (here->until_relabel-- == 0) {
        atomic_fetch_add_explicit(&here->tenant->requests, RELABEL_AFTER, memory_order_relaxed);
        label(lane, here);
    }
    here->requests++;
    return here;
}

void lane_tenant_give(struct lane_tenant *tenant)
{
    CHECK(tenant->requests > 0);
    tenant->requests--;
}

/* xorshift128+ (Vigna 2014). */
uint64_t lane_random(struct lane *lane)
{
    uint64_t a = lane->random[0];
    uint64_t b = lane->random[1];
    lane->random[0] = b;
    a ^= a << 23;
    lane->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return lane->random[1] + b;
}
