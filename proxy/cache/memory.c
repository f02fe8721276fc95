#include "cache/memory.h"

#include <malloc.h>
#include <stdlib.h>

#define WEIGHT_UNIT   16
#define SMALL_PERCENT 10 /* of a shard's weight: S3-FIFO's small queue */
/* Yang et al., algorithm 1: an object leaves the small queue for the main one if it was used more than once.
 */
#define FREQ_TO_MAIN  2

bool shard_init(struct shard *shard, struct cache *cache)
{
    shard->cache = cache;
    list_init(&shard->small.objects);
    list_init(&shard->main.objects);
    for (unsigned i = 0; i < INVALID_SLOTS; i++)
        shard->invalid_ns[i] = INT64_MIN;
    pthread_mutex_init(&shard->lock, NULL);
    if (!index_init(&shard->index))
        return false;
    count_up(&cache->used, index_bytes(&shard->index));
    return true;
}

void shard_fini(struct shard *shard)
{
    if (!shard->cache)
        return;
    struct list victims;
    list_init(&victims);
    while (!list_is_empty(&shard->small.objects))
        shard_unlink(shard, LIST_ENTRY(shard->small.objects.next, struct object, link), &victims);
    while (!list_is_empty(&shard->main.objects))
        shard_unlink(shard, LIST_ENTRY(shard->main.objects.next, struct object, link), &victims);
    victims_free(&victims);
    index_fini(&shard->index);
    free(shard->ghost.rows);
    pthread_mutex_destroy(&shard->lock);
}

/* --- looking --- */

/* RFC 9111 4.1: the request's selecting fields must be those of the request it was fetched for. Variants of
 * one key usually name the same fields: then they share what was computed. */
struct vary_room {
    struct str spec; /* data NULL: nothing computed yet */
    int len;
    char bytes[VARY_KEY_MAX];
};

static bool is_selected(const struct object *object, const struct message *request, struct vary_room *room)
{
    const struct object_meta *meta = object_meta_of(object);
    if (meta->vary.len == 0)
        return true;
    if (!request)
        return false;
    if (!room->spec.data || !str_eq(room->spec, meta->vary)) {
        room->spec = meta->vary;
        room->len = vary_key(meta->vary, request, room->bytes, sizeof room->bytes);
    }
    return room->len >= 0 && str_eq(str_n(room->bytes, (size_t)room->len), meta->vary_key);
}

void shard_match(struct shard *shard, const struct key *key, const struct message *request, struct match *out)
{
    struct vary_room room;
    room.spec.data = NULL;
    *out = (struct match){ 0 };
    struct object *object;
    for (uint32_t at = INDEX_START; (object = index_next(&shard->index, key, &at));) {
        if (object_is_dead(object))
            continue;
        bool is_marker = object_is_marker(object);
        if (!is_marker)
            out->has_variants = true;
        if (!str_eq(object_selector(object), key->selector))
            continue;
        if (is_marker)
            out->marker = object;
        else if (is_selected(object, request, &room) &&
                 (!out->object ||
                  object_meta_of(object)->stored_wall_ms > object_meta_of(out->object)->stored_wall_ms))
            out->object = object;
    }
}

/* --- linking --- */

static struct queue *queue_of(struct shard *shard, enum where where)
{
    return where == WHERE_SMALL ? &shard->small : &shard->main;
}

/* What it costs, or will when it has grown. */
static uint32_t weight_of(const struct object *object)
{
    uint64_t bytes = malloc_usable_size((void *)(uintptr_t)object) + MALLOC_OVERHEAD;
    if (!object_is_marker(object) && !object_inline_body(object)) {
        int64_t length = object_meta_of(object)->length;
        bytes += length >= 0 ? (uint64_t)length : object_size(object);
    }
    uint64_t weight = bytes / WEIGHT_UNIT;
    return weight < UINT32_MAX ? (uint32_t)weight : UINT32_MAX;
}

static void enqueue(struct shard *shard, struct object *object, enum where where)
{
    struct queue *queue = queue_of(shard, where);
    object->where = (uint8_t)where;
    list_push_back(&queue->objects, &object->link);
    queue->weight += object->weight;
    queue->count++;
}

static void dequeue(struct shard *shard, struct object *object)
{
    struct queue *queue = queue_of(shard, object->where);
    list_remove(&object->link);
    queue->weight -= object->weight;
    queue->count--;
    object->where = WHERE_NONE;
}

bool shard_link(struct shard *shard, struct object *object, uint32_t generation, enum where where)
{
    CHECK(object->where == WHERE_NONE);
    uint64_t before = index_bytes(&shard->index);
    if (!index_add(&shard->index, object))
        return false;
    count_up(&shard->cache->used, index_bytes(&shard->index) - before);
    /* Counted last: from here on a purge kills it. */
    object->generation = generation;
    bool is_alive =
        object_is_marker(object) ? !object_is_dead(object) : account_enter(object->tenant, generation);
    if (!is_alive) {
        index_drop(&shard->index, object);
        return false;
    }
    object->weight = weight_of(object);
    enqueue(shard, object, where);
    object_ref(object);
    return true;
}

void shard_unlink(struct shard *shard, struct object *object, struct list *victims)
{
    index_drop(&shard->index, object);
    dequeue(shard, object);
    if (!object_is_marker(object))
        account_leave(object->tenant, object->generation);
    list_push_back(victims, &object->link);
}

void shard_reweigh(struct shard *shard, struct object *object)
{
    if (object->where == WHERE_NONE)
        return;
    struct queue *queue = queue_of(shard, object->where);
    queue->weight -= object->weight;
    object->weight = weight_of(object);
    queue->weight += object->weight;
}

void shard_swap(struct shard *shard, struct object *old, struct object *fresh, struct list *victims)
{
    CHECK(fresh->where == WHERE_NONE);
    index_swap(&shard->index, old, fresh);
    fresh->generation = old->generation;
    fresh->freq = old->freq;
    fresh->where = old->where;
    fresh->weight = old->weight;
    list_insert_after(&old->link, &fresh->link);
    list_remove(&old->link);
    old->where = WHERE_NONE;
    list_push_back(victims, &old->link);
    object_ref(fresh);
    shard_reweigh(shard, fresh);
}

void victims_free(struct list *victims)
{
    while (!list_is_empty(victims)) {
        struct object *object = LIST_ENTRY(victims->next, struct object, link);
        list_remove(&object->link);
        object_unref(object);
    }
}

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

/* --- evicting: S3-FIFO --- */

static bool is_small_over(const struct shard *shard)
{
    uint64_t all = shard->small.weight + shard->main.weight;
    return shard->small.weight * 100 > all * SMALL_PERCENT || shard->main.count == 0;
}

static void rotate(struct shard *shard, struct object *object, enum where where)
{
    dequeue(shard, object);
    enqueue(shard, object, where);
}

/* Takes the next victim out. False if all that is left is in use. */
static bool evict_one(struct shard *shard, struct list *victims)
{
    /* Nothing is gained by evicting what somebody holds. */
    uint32_t skips = 2 * (shard->small.count + shard->main.count);
    uint32_t small_skips = shard->small.count;
    while (shard->index.count > 0) {
        bool is_small = small_skips > 0 && shard->small.count > 0 && is_small_over(shard);
        struct queue *queue = is_small ? &shard->small : &shard->main;
        if (queue->count == 0)
            return false;
        struct object *object = LIST_ENTRY(queue->objects.next, struct object, link);
        if (atomic_load_explicit(&object->refs, memory_order_relaxed) > 1) {
            if (skips-- == 0)
                return false;
            small_skips -= is_small;
            rotate(shard, object, object->where);
            continue;
        }
        bool is_dead = object_is_dead(object);
        if (!is_dead && is_small && object->freq >= FREQ_TO_MAIN) {
            object->freq = 0;
            rotate(shard, object, WHERE_MAIN);
            continue;
        }
        if (!is_dead && !is_small && object->freq > 0) {
            object->freq--;
            rotate(shard, object, WHERE_MAIN);
            continue;
        }
        if (!is_dead && is_small && !object_is_marker(object))
            ghost_add(shard, object->hash);
        if (!is_dead && !object_is_marker(object))
            count_up(&shard->cache->evicted, 1);
        shard_unlink(shard, object, victims);
        return true;
    }
    return false;
}

static bool is_over(const struct cache *cache)
{
    return atomic_load_explicit(&cache->used, memory_order_relaxed) >
           atomic_load_explicit(&cache->limit, memory_order_relaxed);
}

static bool has_fair_share(const struct cache *cache, const struct shard *shard)
{
    uint64_t bytes = (shard->small.weight + shard->main.weight) * WEIGHT_UNIT;
    return bytes >= atomic_load_explicit(&cache->used, memory_order_relaxed) >> cache->shard_bits;
}

void cache_make_room(struct cache *cache, uint32_t hash)
{
    unsigned count = 1u << cache->shard_bits;
    unsigned failures = 0;
    struct list victims;
    list_init(&victims);
    for (unsigned turn = 0; is_over(cache) && failures <= count; turn++) {
        bool is_own = turn == 0;
        struct shard *shard =
            is_own ? shard_of(cache, hash) : &cache->shards[atomic_fetch_add(&cache->hand, 1) % count];
        pthread_mutex_lock(&shard->lock);
        bool is_done = (!is_own || has_fair_share(cache, shard)) && evict_one(shard, &victims);
        pthread_mutex_unlock(&shard->lock);
        victims_free(&victims);
        failures = is_done ? 0 : failures + 1;
    }
}
