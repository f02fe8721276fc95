/* What must go before its time: invalidation of a key, purges of a tenant and of all. Each leaves a time
 * behind, so that a fetch that began before it does not bring the old answer back. */
#include "cache/memory.h"

uint64_t cache_invalidate(struct cache *cache, const struct key *key, int64_t now_ns)
{
    uint32_t hash = hash_fold(key->hash);
    struct shard *shard = shard_of(cache, hash);
    struct list victims;
    uint64_t count = 0;
    list_init(&victims);
    pthread_mutex_lock(&shard->lock);
    int64_t *invalid_ns = &shard->invalid_ns[hash % INVALID_SLOTS];
    *invalid_ns = max_i64(*invalid_ns, now_ns);
    struct object *object;
    for (uint32_t at = INDEX_START; (object = index_next(&shard->index, key, &at)); at = INDEX_START) {
        if (!object_is_marker(object) && !object_is_dead(object))
            count++;
        shard_unlink(shard, object, &victims);
    }
    flights_close(shard, key);
    pthread_mutex_unlock(&shard->lock);
    victims_free(&victims);
    count_up(&cache->invalidated, count);
    return count;
}

static void set_later(_Atomic int64_t *at, int64_t now_ns)
{
    int64_t before = atomic_load(at);
    while (before < now_ns && !atomic_compare_exchange_weak(at, &before, now_ns)) {
    }
}

uint64_t cache_purge_tenant(struct cache *cache, struct str name, int64_t now_ns)
{
    /* The time first: see cache_insert(). Also for who is not here: a fetch that is on its way made no object
     * yet. */
    set_later(&cache->purged_ns[account_purge_slot(name)], now_ns);
    uint64_t count = account_purge(cache, name);
    count_up(&cache->purged, count);
    return count;
}

uint64_t cache_purge_all(struct cache *cache, int64_t now_ns)
{
    set_later(&cache->all_purged_ns, now_ns);
    uint64_t count = tenants_purge(cache);
    count_up(&cache->purged, count);
    return count;
}

void cache_stats_read(struct cache *cache, struct cache_stats *out)
{
    *out = (struct cache_stats){
        .bytes = cache->used,
        .objects = tenants_live(cache),
        .stored = cache->stored,
        .evicted = cache->evicted,
        .purged = cache->purged,
        .invalidated = cache->invalidated,
        .refused = cache->refused,
    };
}
