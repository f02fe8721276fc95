/* What goes when memory runs out: S3-FIFO (Yang et al., SOSP 2023), over all tenants' queues as one while
 * nobody is over its share, else over those of one tenant that is. */
#include <malloc.h>
#include <stdlib.h>

#include "cache/memory.h"

#define SMALL_PERCENT 10 /* of the weight: S3-FIFO's small queue */
/* Yang et al., algorithm 1: an object leaves the small queue for the main one if it was used more than once.
 */
#define FREQ_TO_MAIN  2
/* A lock is held for one eviction, so that one looks at few objects: each look takes one off a counter, and
 * at the last the next in turn goes as it is. */
#define LOOKS_MAX     256
#define SKIPS_MAX     64 /* of these, over what somebody holds */
#define SHARDS_TRIED  4  /* for something of a tenant over its share; then it is anybody's */
#define HOLES_PART    32 /* of the budget: what may be holes before blocks are emptied */

/* --- the ghost --- */

bool ghost_has(const struct ghost *ghost, uint32_t hash)
{
    if (!ghost->rows)
        return false;
    const struct ghost_row *row = &ghost->rows[hash & ghost->mask];
    for (unsigned i = 0; i < COUNT_OF(row->hashes); i++) {
        if (row->hashes[i] == hash)
            return true;
    }
    return false;
}

/* About as many hashes as there are objects (the paper: as the main queue has). Doubling copies every row to
 * both places that its hashes may belong to now. */
static void ghost_grow(struct shard *shard)
{
    struct ghost *ghost = &shard->ghost;
    uint32_t count = ghost->rows ? ghost->mask + 1 : 0;
    if (count > 0 && shard->index.count < count * COUNT_OF(ghost->rows->hashes) / 3 * 4)
        return;
    uint32_t bigger = count > 0 ? count * 2 : 1;
    struct ghost_row *rows = calloc(bigger, sizeof *rows);
    if (!rows)
        return; /* it only remembers less */
    for (uint32_t i = 0; i < bigger && count > 0; i++)
        rows[i] = ghost->rows[i & ghost->mask];
    uint64_t before = ghost->rows ? malloc_usable_size(ghost->rows) + MALLOC_OVERHEAD : 0;
    count_up(&shard->cache->used, malloc_usable_size(rows) + MALLOC_OVERHEAD - before);
    free(ghost->rows);
    *ghost = (struct ghost){ rows, bigger - 1 };
}

static void ghost_add(struct shard *shard, uint32_t hash)
{
    ghost_grow(shard);
    if (!shard->ghost.rows)
        return;
    struct ghost_row *row = &shard->ghost.rows[hash & shard->ghost.mask];
    row->hashes[row->at] = hash;
    row->at = (row->at + 1) % COUNT_OF(row->hashes);
}

/* --- one shard --- */

/* All tenants' queues, or one's. */
struct view {
    struct shard *shard;
    struct holding *holding; /* NULL: all */
};

static uint64_t weight_in(const struct view *view, unsigned which)
{
    return view->holding ? view->holding->queues[which].weight : view->shard->heaps[which].weight;
}

static struct object *oldest_in(const struct view *view, unsigned which)
{
    struct queue *queue = view->holding ? &view->holding->queues[which] : queue_oldest(view->shard, which);
    if (!queue || queue->count == 0)
        return NULL;
    return LIST_ENTRY(queue->objects.next, struct object, link);
}

static bool is_small_over(const struct view *view)
{
    uint64_t small = weight_in(view, QUEUE_SMALL);
    return small * 100 > (small + weight_in(view, QUEUE_MAIN)) * SMALL_PERCENT;
}

static struct object *candidate_in(const struct view *view, bool prefers_main)
{
    struct object *small = oldest_in(view, QUEUE_SMALL);
    if (small && !prefers_main && is_small_over(view))
        return small;
    struct object *object = oldest_in(view, QUEUE_MAIN);
    return object ? object : small;
}

static void rotate(struct shard *shard, struct object *object, enum where where)
{
    dequeue(shard, object);
    enqueue(shard, object, where);
}

/* It was used since it was last looked at. */
static bool is_wanted(struct object *object)
{
    if (object_is_dead(object))
        return false;
    return object->where == WHERE_SMALL ? object->freq >= FREQ_TO_MAIN : object->freq > 0;
}

static void evict(struct shard *shard, struct object *object, struct list *victims)
{
    if (!object_is_dead(object) && !object_is_marker(object)) {
        if (object->where == WHERE_SMALL)
            ghost_add(shard, object->hash);
        count_up(&shard->cache->evicted, 1);
    }
    shard_unlink(shard, object, victims);
}

/* Takes the next victim out. False if what was looked at is all in use. */
static bool evict_one(const struct view *view, struct list *victims)
{
    struct shard *shard = view->shard;
    unsigned skips = 0;
    for (unsigned looks = 0; skips < SKIPS_MAX; looks++) {
        struct object *object = candidate_in(view, skips >= SKIPS_MAX / 2);
        if (!object)
            return false;
        /* Nothing is gained by evicting what somebody holds. */
        if (atomic_load_explicit(&object->refs, memory_order_relaxed) > 1) {
            skips++;
            rotate(shard, object, object->where);
            continue;
        }
        if (looks >= LOOKS_MAX || !is_wanted(object)) {
            evict(shard, object, victims);
            return true;
        }
        object->freq = object->where == WHERE_SMALL ? 0 : object->freq - 1;
        rotate(shard, object, WHERE_MAIN);
    }
    return false;
}

/* --- all shards --- */

static bool is_over(const struct cache *cache)
{
    return atomic_load_explicit(&cache->used, memory_order_relaxed) >
           atomic_load_explicit(&cache->limit, memory_order_relaxed);
}

static bool has_fair_share(const struct cache *cache, const struct shard *shard)
{
    uint64_t bytes = (shard->heaps[QUEUE_SMALL].weight + shard->heaps[QUEUE_MAIN].weight) * WEIGHT_UNIT;
    return bytes >= atomic_load_explicit(&cache->used, memory_order_relaxed) >> cache->shard_bits;
}

/* The shard of who asks first, if it has its part of all there is; then one after the other. */
static bool evict_next(struct cache *cache, uint32_t hash, bool is_own)
{
    struct list victims;
    list_init(&victims);
    unsigned count = 1u << cache->shard_bits;
    struct view view = { is_own ? shard_of(cache, hash)
                                : &cache->shards[atomic_fetch_add(&cache->hand, 1) % count] };
    pthread_mutex_lock(&view.shard->lock);
    bool is_done = (!is_own || has_fair_share(cache, view.shard)) && evict_one(&view, &victims);
    pthread_mutex_unlock(&view.shard->lock);
    victims_free(&victims);
    return is_done;
}

static bool evict_of(struct shard *shard, struct account *tenant)
{
    struct list victims;
    list_init(&victims);
    pthread_mutex_lock(&shard->lock);
    struct view view = { shard, holding_of(shard, tenant) };
    bool is_done = view.holding && evict_one(&view, &victims);
    pthread_mutex_unlock(&shard->lock);
    victims_free(&victims);
    return is_done;
}

/* Something of a tenant that is over its share, from one shard after the other. */
static bool evict_over(struct cache *cache)
{
    struct account *tenant = share_most_over(cache);
    if (!tenant)
        return false;
    unsigned count = 1u << cache->shard_bits;
    unsigned tried = 0;
    bool is_done = false;
    for (unsigned i = 0; i < count + SHARDS_TRIED && tried < SHARDS_TRIED && !is_done; i++) {
        struct shard *shard = &cache->shards[atomic_fetch_add(&tenant->hand, 1) % count];
        if (!holding_of(shard, tenant))
            continue;
        is_done = evict_of(shard, tenant);
        tried++;
    }
    account_unref(tenant);
    return is_done;
}

static bool has_holes(const struct cache *cache)
{
    uint64_t limit = atomic_load_explicit(&cache->limit, memory_order_relaxed);
    return atomic_load_explicit(&cache->store.holes, memory_order_relaxed) >
           (uint64_t)max_i64((int64_t)(limit / HOLES_PART), BLOCK_BYTES);
}

void cache_make_room(struct cache *cache, uint32_t hash)
{
    unsigned count = 1u << cache->shard_bits;
    unsigned failures = 0;
    for (bool is_own = true; is_over(cache); is_own = false) {
        if (has_holes(cache) && cache_clean(cache, false))
            continue;
        bool is_done = evict_over(cache) || evict_next(cache, hash, is_own);
        failures = is_done ? 0 : failures + 1;
        if (failures > count && !cache_clean(cache, true))
            break;
    }
}
