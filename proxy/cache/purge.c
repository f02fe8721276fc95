/* What must go before its time: invalidation of a key, purges of a key, a prefix, a tag, a tenant, of all.
 * Each first leaves a time behind, so that a fetch that began before it does not bring the old answer back:
 * whoever stores looks at the times under his shard's lock, so he either sees this one or is seen by what
 * follows. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/map.h"
#include "cache/memory.h"

/* Objects under one lock. To look at one is some cache misses, to take it out up to a microsecond. */
#define BITE        48
#define ABREAST     8 /* shards: who wants one of them finds it free most of the time */
#define FLIGHT_BITE 32

/* What PURGE_PREFIX names. scheme.data NULL: of any origin. */
struct prefix {
    struct str scheme;
    struct str authority;
    struct str path;
};

struct purging {
    struct cache *cache;
    const struct cache_purge *purge;
    int64_t now_wall_ms;
    struct str tenant; /* data NULL: every one */
    struct prefix prefix;
    struct shard *shard;
    struct list victims;
    uint64_t count;
};

/* How far it came in a shard. */
struct cursor {
    struct index_walk walk;
    unsigned bucket; /* of flights */
    uint64_t left;   /* of a tag's objects */
    bool has_begun;
};

typedef bool bite_fn(struct purging *purging, struct cursor *cursor); /* false: that was the last */

/* --- one object --- */

static void take(struct purging *purging, struct object *object)
{
    bool is_answer = !object_is_marker(object) && !object_is_dead(object);
    if (!purging->purge->is_soft) {
        purging->count += is_answer;
        shard_unlink(purging->shard, object, &purging->victims);
    } else if (is_answer) {
        int64_t before = object_lifetime_ms(object);
        object_expire(object, purging->now_wall_ms);
        purging->count += object_lifetime_ms(object) < before;
    }
}

/* --- many, in bites --- */

static void in_bites(struct purging *purging, bite_fn *bite)
{
    unsigned shards = 1u << purging->cache->shard_bits;
    for (unsigned from = 0; from < shards; from += ABREAST) {
        struct cursor cursors[ABREAST] = { 0 };
        unsigned count = shards - from < ABREAST ? shards - from : ABREAST;
        for (unsigned open = (1u << count) - 1; open != 0;) {
            for (unsigned i = 0; i < count; i++) {
                if (!(open & 1u << i))
                    continue;
                purging->shard = &purging->cache->shards[from + i];
                pthread_mutex_lock(&purging->shard->lock);
                bool has_more = bite(purging, &cursors[i]);
                pthread_mutex_unlock(&purging->shard->lock);
                victims_free(&purging->victims);
                if (!has_more)
                    open &= ~(1u << i);
            }
        }
    }
}

static bool prefix_read(struct str what, struct prefix *out)
{
    *out = (struct prefix){ .path = what };
    if (what.len > 0 && what.data[0] == '/')
        return true;
    const char *colon = what.len > 0 ? memmem(what.data, what.len, "://", 3) : NULL;
    if (!colon)
        return false;
    out->scheme = str_n(what.data, (size_t)(colon - what.data));
    struct str rest = str_from(what, out->scheme.len + 3);
    ptrdiff_t slash = str_find(rest, '/');
    out->authority = slash < 0 ? rest : str_n(rest.data, (size_t)slash);
    out->path = str_from(rest, out->authority.len);
    return true;
}

static bool prefix_fits(const struct prefix *prefix, struct str scheme, struct str authority,
                        struct str target)
{
    if (prefix->scheme.data && (!str_ieq(prefix->scheme, scheme) || !str_ieq(prefix->authority, authority)))
        return false;
    return str_has_prefix(target, prefix->path);
}

/* Is that primary key one of those? */
static bool is_wanted(struct str primary, const void *arg)
{
    const struct purging *purging = arg;
    struct str target = primary, tenant, scheme, authority;
    if (!str_split(&target, '\0', &tenant) || !str_split(&target, '\0', &scheme) ||
        !str_split(&target, '\0', &authority))
        return false;
    if (purging->tenant.data && !str_eq(tenant, purging->tenant))
        return false;
    return purging->purge->kind != PURGE_PREFIX || prefix_fits(&purging->prefix, scheme, authority, target);
}

static void visit(struct object *object, void *arg)
{
    struct purging *purging = arg;
    if (purging->purge->kind == PURGE_TAG && !object_has_tag(object, purging->purge->what))
        return;
    if (is_wanted(object_primary(object), purging))
        take(purging, object);
}

/* Of everything. Nobody joins a fetch any more whose answer will not come in; of tags nobody can know that.
 */
static bool bite_of_all(struct purging *purging, struct cursor *cursor)
{
    if (purging->purge->kind != PURGE_TAG && cursor->bucket < FLIGHT_BUCKETS) {
        for (unsigned i = 0; i < FLIGHT_BITE && cursor->bucket < FLIGHT_BUCKETS; i++)
            flights_close_some(purging->shard, cursor->bucket++, is_wanted, purging);
        return true;
    }
    return index_bite(&purging->shard->index, &cursor->walk, BITE, visit, purging);
}

/* Of one tenant's tag. Who comes in meanwhile comes in at the end of its list. A hard purge empties the list,
 * a soft one goes round it once: another one that does the same at the same time only spares it work. */
static bool bite_of_tag(struct purging *purging, struct cursor *cursor)
{
    struct tag *tag = tags_find(&purging->shard->tags, purging->tenant, purging->purge->what);
    if (!tag)
        return false;
    if (!cursor->has_begun)
        cursor->left = tag->count;
    cursor->has_begun = true;
    for (unsigned i = 0; i < BITE; i++) {
        struct tag_link *first = LIST_ENTRY(tag->objects.next, struct tag_link, link);
        if (purging->purge->is_soft) {
            if (cursor->left-- == 0)
                return false;
            take(purging, first->object);
            list_remove(&first->link);
            list_push_back(&tag->objects, &first->link);
        } else {
            bool is_last = tag->count == 1; /* the tag goes with it */
            take(purging, first->object);
            if (is_last)
                return false;
        }
    }
    return true;
}

/* --- a tag of every tenant --- */

struct tenants {
    struct account **at;
    size_t count;
};

static void add_tenant(struct str name, void *value, void *arg)
{
    struct tenants *tenants = arg;
    struct account *tenant = value;
    atomic_fetch_add_explicit(&tenant->refs, 1, memory_order_relaxed);
    tenants->at[tenants->count++] = tenant;
}

/* Whoever is no tenant yet has nothing stored, and what he stores from now on is compared with our time. */
static bool list_tenants(struct cache *cache, struct tenants *out)
{
    pthread_mutex_lock(&cache->tenants_lock);
    *out = (struct tenants){ .at = malloc((map_count(cache->tenants) + 1) * sizeof *out->at) };
    if (out->at)
        map_each(cache->tenants, add_tenant, out);
    pthread_mutex_unlock(&cache->tenants_lock);
    return out->at != NULL;
}

static void purge_tag(struct purging *purging)
{
    struct tenants tenants;
    if (purging->tenant.data) {
        in_bites(purging, bite_of_tag);
        return;
    }
    if (!list_tenants(purging->cache, &tenants)) {
        in_bites(purging, bite_of_all); /* slower, but needs no memory */
        return;
    }
    for (size_t i = 0; i < tenants.count; i++) {
        purging->tenant = tenants.at[i]->name;
        in_bites(purging, bite_of_tag);
        account_unref(tenants.at[i]);
    }
    free(tenants.at);
}

/* --- one key --- */

static void purge_key(struct purging *purging, const struct key *key, int64_t now_ns)
{
    uint32_t hash = hash_fold(key->hash);
    struct shard *shard = purging->shard = shard_of(purging->cache, hash);
    pthread_mutex_lock(&shard->lock);
    int64_t *invalid_ns = &shard->invalid_ns[hash % INVALID_SLOTS];
    *invalid_ns = max_i64(*invalid_ns, now_ns);
    struct object *object;
    for (uint32_t at = INDEX_START; (object = index_next(&shard->index, key, &at));) {
        take(purging, object);
        if (!purging->purge->is_soft) /* it is out: others moved */
            at = INDEX_START;
    }
    flights_close(shard, key);
    pthread_mutex_unlock(&shard->lock);
    victims_free(&purging->victims);
}

uint64_t cache_invalidate(struct cache *cache, const struct key *key, int64_t now_ns)
{
    static const struct cache_purge hard = { .kind = PURGE_URL };
    struct purging purging = { .cache = cache, .purge = &hard };
    list_init(&purging.victims);
    purge_key(&purging, key, now_ns);
    count_up(&cache->invalidated, purging.count);
    return purging.count;
}

/* --- the door --- */

static void set_later(_Atomic int64_t *at, int64_t now_ns)
{
    int64_t before = atomic_load(at);
    while (before < now_ns && !atomic_compare_exchange_weak(at, &before, now_ns)) {
    }
}

/* Also for who is not here: a fetch that is on its way made no object yet. */
static void remember(const struct purging *purging, int64_t now_ns)
{
    struct cache *cache = purging->cache;
    struct str tenant = purging->tenant;
    if (purging->purge->kind == PURGE_TAG) {
        uint64_t tenant_hash = tenant.data ? hash_bytes(tenant.data, tenant.len) : 0;
        set_later(&cache->tag_purged_ns[tag_hash(tenant_hash, purging->purge->what) % TAG_SLOTS], now_ns);
    } else if (tenant.data) {
        set_later(&cache->purged_ns[account_purge_slot(tenant)], now_ns);
    } else {
        set_later(&cache->all_purged_ns, now_ns);
    }
}

static void purge_tenants(struct purging *purging)
{
    if (purging->purge->is_soft)
        in_bites(purging, bite_of_all);
    else if (purging->tenant.data)
        purging->count = account_purge(purging->cache, purging->tenant);
    else
        purging->count = tenants_purge(purging->cache);
}

uint64_t cache_purge(struct cache *cache, const struct cache_purge *purge, int64_t now_ns,
                     int64_t now_wall_ms)
{
    struct purging purging = {
        .cache = cache, .purge = purge, .now_wall_ms = now_wall_ms, .tenant = purge->tenant
    };
    list_init(&purging.victims);
    /* Nobody's purge must not become everyone's. */
    if (purge->kind == PURGE_TENANT && !purging.tenant.data)
        purging.tenant = STR("");
    if (purge->kind != PURGE_URL)
        remember(&purging, now_ns);
    switch (purge->kind) {
    case PURGE_URL:
        purge_key(&purging, purge->key, now_ns);
        break;
    case PURGE_PREFIX:
        if (prefix_read(purge->what, &purging.prefix))
            in_bites(&purging, bite_of_all);
        break;
    case PURGE_TAG:
        purge_tag(&purging);
        break;
    case PURGE_TENANT:
    case PURGE_ALL:
        purge_tenants(&purging);
        break;
    }
    count_up(purge->is_soft ? &cache->expired : &cache->purged, purging.count);
    return purging.count;
}

uint64_t cache_purge_tenant(struct cache *cache, struct str name, int64_t now_ns)
{
    struct cache_purge purge = { .kind = PURGE_TENANT, .tenant = name };
    return cache_purge(cache, &purge, now_ns, 0);
}

uint64_t cache_purge_all(struct cache *cache, int64_t now_ns)
{
    struct cache_purge purge = { .kind = PURGE_ALL };
    return cache_purge(cache, &purge, now_ns, 0);
}

void cache_stats_read(struct cache *cache, struct cache_stats *out)
{
    *out = (struct cache_stats){
        .bytes = cache->used,
        .objects = tenants_live(cache),
        .stored = cache->stored,
        .evicted = cache->evicted,
        .purged = cache->purged,
        .expired = cache->expired,
        .invalidated = cache->invalidated,
        .refused = cache->refused,
    };
}
