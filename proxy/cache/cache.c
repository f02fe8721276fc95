#include "cache/cache.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/map.h"
#include "cache/memory.h"

#define SHARD_BYTES                                                                         \
    (16u << 20) /* of the budget: few enough objects that an index doubles in a millisecond \
                 */
#define SHARDS_MIN 4
#define SHARDS_MAX 1024

/* --- life --- */

static unsigned shard_bits_of(const struct cache_options *options)
{
    uint64_t shards = options->shards;
    if (shards == 0) {
        shards = options->memory_bytes / SHARD_BYTES;
        shards = shards < SHARDS_MIN ? SHARDS_MIN : shards;
    }
    unsigned bits = 0;
    while ((2u << bits) <= shards && (2u << bits) <= SHARDS_MAX)
        bits++;
    return bits;
}

struct cache *cache_new(const struct cache_options *options)
{
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    cache->refs = 1;
    cache->shard_bits = shard_bits_of(options);
    cache->limit = options->memory_bytes;
    cache->object_max = options->object_max_bytes;
    cache->began_ns = options->began_ns;
    cache->all_purged_ns = options->began_ns ? options->began_ns : INT64_MIN;
    for (unsigned i = 0; i < PURGE_SLOTS; i++)
        cache->purged_ns[i] = INT64_MIN;
    for (unsigned i = 0; i < TAG_SLOTS; i++)
        cache->tag_purged_ns[i] = INT64_MIN;
    pthread_mutex_init(&cache->tenants_lock, NULL);
    pthread_mutex_init(&cache->witness_lock, NULL);
    store_init(&cache->store, &cache->used);
    shares_init(&cache->shares);
    store_set_warm(&cache->store, warm_bytes(options->memory_bytes));

    size_t bytes = sizeof *cache->shards << cache->shard_bits;
    cache->tenants = map_new();
    cache->shards = aligned_alloc(64, bytes);
    if (cache->shards)
        memset(cache->shards, 0, bytes);
    if (!cache->tenants || !cache->shards)
        goto fail;
    count_up(&cache->used, bytes + sizeof *cache);
    for (unsigned i = 0; i < 1u << cache->shard_bits; i++) {
        if (!shard_init(&cache->shards[i], cache))
            goto fail;
    }
    return cache;

fail:
    cache_free(cache);
    return NULL;
}

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    for (unsigned i = 0; cache->shards && i < 1u << cache->shard_bits; i++)
        shard_fini(&cache->shards[i]);
    free(cache->shards);
    cache->shards = NULL;
    cache_unref(cache);
}

/* Objects that somebody still reads outlive the door: what they cost is counted here. */
void cache_unref(struct cache *cache)
{
    if (atomic_fetch_sub(&cache->refs, 1) != 1)
        return;
    map_free(cache->tenants);
    pthread_mutex_destroy(&cache->tenants_lock);
    pthread_mutex_destroy(&cache->witness_lock);
    store_fini(&cache->store);
    shares_fini(&cache->shares);
    free(cache);
}

int64_t cache_began_ns(const struct cache *cache)
{
    return cache->began_ns;
}

void cache_set(struct cache *cache, const struct cache_options *options)
{
    atomic_store(&cache->limit, options->memory_bytes);
    atomic_store(&cache->object_max, options->object_max_bytes);
    shares_apply(cache);
    store_set_warm(&cache->store, warm_bytes(options->memory_bytes));
    cache_make_room(cache, 0);
}

uint64_t cache_object_max(const struct cache *cache)
{
    return atomic_load_explicit(&cache->object_max, memory_order_relaxed);
}

bool cache_is_full(const struct cache *cache)
{
    /* Holes are no one's: they are filled or given back before anything is refused. */
    uint64_t holes = atomic_load_explicit(&cache->store.holes, memory_order_relaxed);
    return atomic_load_explicit(&cache->used, memory_order_relaxed) >
           atomic_load_explicit(&cache->limit, memory_order_relaxed) + holes;
}

/* --- looking --- */

void cache_find(struct cache *cache, const struct key *key, const struct message *request, int64_t now_ms,
                struct cache_found *out)
{
    struct shard *shard = shard_of(cache, hash_fold(key->hash));
    struct list victims;
    struct match match;
    list_init(&victims);
    pthread_mutex_lock(&shard->lock);
    shard_match(shard, key, request, &match);
    out->is_hot = match.object && match.object->freq >= FREQ_MAX;
    if (match.object) {
        object_ref(match.object);
        if (!out->is_hot)
            match.object->freq++;
    }
    out->object = match.object;
    out->has_variants = match.has_variants && !match.object;
    out->is_uncacheable = match.marker && (int64_t)match.marker->size > now_ms;
    if (match.marker && !out->is_uncacheable)
        shard_unlink(shard, match.marker, &victims);
    pthread_mutex_unlock(&shard->lock);
    if (UNLIKELY(!list_is_empty(&victims)))
        victims_free(&victims);
}

/* --- storing --- */

static bool selects_the_same(const struct object *a, const struct object *b)
{
    if (!str_eq(object_selector(a), object_selector(b)))
        return false;
    if (object_is_marker(a) || object_is_marker(b))
        return true;
    return str_eq(object_vary(a), object_vary(b)) && str_eq(object_vary_key(a), object_vary_key(b));
}

/* Takes out what object replaces, what a purge left behind, and the oldest variant if there are too many. Of
 * what it replaces the new one inherits how much it was wanted. */
static enum where replace(struct shard *shard, const struct key *key, struct object *object,
                          struct list *victims)
{
    enum where where = ghost_has(&shard->ghost, object->hash) ? WHERE_MAIN : WHERE_SMALL;
    struct object *found;
    struct object *oldest;
    unsigned variants;
again:
    variants = 0;
    oldest = NULL;
    for (uint32_t at = INDEX_START; (found = index_next(&shard->index, key, &at));) {
        bool is_dead = object_is_dead(found);
        if (found != object && (is_dead || selects_the_same(found, object))) {
            if (!is_dead && !object_is_marker(found)) {
                object->freq = found->freq;
                where = found->where;
            }
            shard_unlink(shard, found, victims);
            goto again;
        }
        if (object_is_marker(found) || found == object)
            continue;
        variants++;
        if (!oldest || object_stored_ms(found) < object_stored_ms(oldest))
            oldest = found;
        /* Of two that select, the newer one answers (RFC 9111 4), also if one millisecond saw both. */
        if (object_stored_ms(found) == object_stored_ms(object))
            object_facts(object)->stored_wall_ms++;
    }
    if (variants >= VARIANTS_MAX)
        shard_unlink(shard, oldest, victims);
    return where;
}

static bool has_purged_tag(const struct cache *cache, const struct object *object, int64_t fetch_started_ns)
{
    struct str rest = object_tags(object);
    struct str tag;
    if (rest.len == 0)
        return false;
    uint64_t tenant = hash_bytes(object->tenant->name.data, object->tenant->name.len);
    while (tags_next(&rest, &tag)) {
        if (atomic_load(&cache->tag_purged_ns[tag_hash(tenant, tag) % TAG_SLOTS]) >= fetch_started_ns ||
            atomic_load(&cache->tag_purged_ns[tag_hash(0, tag) % TAG_SLOTS]) >= fetch_started_ns)
            return true;
    }
    return false;
}

/* Was something of this key, tenant, tags or everything declared invalid since that fetch began? Its answer
 * may be older then. In the same millisecond nobody knows. */
static bool is_too_old(const struct shard *shard, const struct object *object, int64_t fetch_started_ns)
{
    const struct cache *cache = shard->cache;
    return has_purged_tag(cache, object, fetch_started_ns) ||
           shard->invalid_ns[object->hash % INVALID_SLOTS] >= fetch_started_ns ||
           atomic_load(&cache->purged_ns[object->tenant->purge_slot]) >= fetch_started_ns ||
           atomic_load(&cache->all_purged_ns) >= fetch_started_ns;
}

bool cache_insert(struct cache *cache, const struct key *key, struct object *object, int64_t fetch_started_ns)
{
    CHECK(object->tenant != NULL);
    CHECK(object->tenant->cache == cache);
    struct shard *shard = shard_of(cache, object->hash);
    struct list victims;
    list_init(&victims);
    cache_make_room(cache, object->hash);
    int64_t length = object_declared_length(object);
    uint64_t size = length >= 0 ? (uint64_t)length : object_size(object);
    bool is_in = size <= cache_object_max(cache) && !cache_is_full(cache) &&
                 object_vary_key(object).len <= VARY_KEY_MAX && tags_are_allowed(object_tags(object));
    if (is_in) {
        /* The generation is read before the times are: a purge sets its time first, so it either is seen
         * here, or makes the generation outdated. */
        uint32_t generation = account_generation(object->tenant);
        pthread_mutex_lock(&shard->lock);
        is_in = !is_too_old(shard, object, fetch_started_ns);
        if (is_in) {
            enum where where = replace(shard, key, object, &victims);
            is_in = shard_link(shard, object, generation, where);
        }
        pthread_mutex_unlock(&shard->lock);
    }
    victims_free(&victims);
    cache_make_room(cache, object->hash);
    count_up(is_in ? &cache->stored : &cache->refused, 1);
    return is_in;
}

/* What the new marker replaces, else one too many of its primary key: whoever varies a credential would fill
 * a key with them, and each look-up of the key walks over all. */
static struct object *marker_to_drop(struct shard *shard, const struct key *key)
{
    struct object *found;
    struct object *first_to_end = NULL;
    unsigned count = 0;
    for (uint32_t at = INDEX_START; (found = index_next(&shard->index, key, &at));) {
        if (!object_is_marker(found))
            continue;
        if (object_is_dead(found) || str_eq(object_selector(found), key->selector))
            return found;
        count++;
        if (!first_to_end || found->size < first_to_end->size)
            first_to_end = found;
    }
    return count >= VARIANTS_MAX ? first_to_end : NULL;
}

void cache_insert_marker(struct cache *cache, const struct key *key, struct object *marker)
{
    struct shard *shard = shard_of(cache, marker->hash);
    struct list victims;
    list_init(&victims);
    uint32_t generation = account_generation(marker->tenant);
    struct object *outdated;
    pthread_mutex_lock(&shard->lock);
    while ((outdated = marker_to_drop(shard, key)))
        shard_unlink(shard, outdated, &victims);
    shard_link(shard, marker, generation, WHERE_SMALL);
    pthread_mutex_unlock(&shard->lock);
    victims_free(&victims);
    object_unref(marker);
    cache_make_room(cache, hash_fold(key->hash));
}

bool cache_refresh(struct cache *cache, const struct key *key, struct object *old, struct object *fresh)
{
    return cache_renew(cache, key, old, fresh, INT64_MAX);
}

bool cache_renew(struct cache *cache, const struct key *key, struct object *old, struct object *fresh,
                 int64_t fetch_started_ns)
{
    struct shard *shard = shard_of(cache, old->hash);
    struct list victims;
    list_init(&victims);
    pthread_mutex_lock(&shard->lock);
    bool is_in = old->where != WHERE_NONE && !object_is_dead(old) &&
                 !is_too_old(shard, old, fetch_started_ns) && !is_too_old(shard, fresh, fetch_started_ns) &&
                 tags_are_allowed(object_tags(fresh)) && shard_swap(shard, old, fresh, &victims);
    if (is_in) {
        uint8_t freq = fresh->freq;
        replace(shard, key, fresh, &victims);
        fresh->freq = freq > fresh->freq ? freq : fresh->freq;
    }
    pthread_mutex_unlock(&shard->lock);
    victims_free(&victims);
    return is_in;
}

void cache_remove(struct cache *cache, struct object *object)
{
    struct shard *shard = shard_of(cache, object->hash);
    struct list victims;
    list_init(&victims);
    pthread_mutex_lock(&shard->lock);
    if (object->where != WHERE_NONE)
        shard_unlink(shard, object, &victims);
    pthread_mutex_unlock(&shard->lock);
    victims_free(&victims);
}
