/* Emptying blocks of the store: what lives in the one with the most holes is copied elsewhere. Only what
 * nobody but its shard holds may move, and the shard's lock is held meanwhile: no look-up sees it half. */
#include "cache/memory.h"

#define CHAIN_MAX 256 /* pieces of a body that are looked through for one */

/* Nobody else has it, or can come to have it while the shard is locked. */
static bool is_idle(const struct object *object)
{
    if (atomic_load_explicit(&object->refs, memory_order_acquire) > 1)
        return false;
    return object_is_marker(object) || (object_state(object) == OBJECT_SEALED && !object_is_window(object));
}

static void *copy(struct store *store, const void *cell, uint32_t hash)
{
    size_t bytes = store_cost(cell) - CELL_OVERHEAD;
    void *fresh = store_alloc(store, STORE_MOVED, bytes, bytes, hash, &bytes);
    return fresh ? memcpy(fresh, cell, bytes) : NULL;
}

static void move_object(struct shard *shard, struct object **slot)
{
    struct object *object = *slot;
    struct object *fresh = copy(&shard->cache->store, object, object->hash);
    if (!fresh)
        return;
    *slot = fresh;
    fresh->link.prev->next = &fresh->link;
    fresh->link.next->prev = &fresh->link;
    for (uint32_t i = 0; fresh->tagged && i < fresh->tagged->count; i++)
        fresh->tagged->at[i].object = fresh;
    store_free(&shard->cache->store, object);
}

/* Where the pointer to that piece is; NULL if it is none of the object's own. */
static struct object_piece **piece_slot(struct object *object, const void *piece)
{
    if (object_is_marker(object) || !is_idle(object))
        return NULL;
    struct object_piece **at = &object->first;
    for (unsigned i = 0; i < CHAIN_MAX && *at; i++, at = &(*at)->next) {
        /* Somebody reads the same body through the object that this one renewed. */
        if (atomic_load_explicit(&(*at)->refs, memory_order_acquire) > 1)
            return NULL;
        if (*at == piece)
            return at;
    }
    return NULL;
}

static bool move_piece(struct shard *shard, struct object *object, const void *piece)
{
    struct object_piece **slot = piece_slot(object, piece);
    if (!slot)
        return false;
    struct object_piece *old = *slot;
    struct object_piece *fresh = copy(&shard->cache->store, old, object->hash);
    if (fresh) {
        *slot = fresh;
        store_free(&shard->cache->store, old);
    }
    return true;
}

static void move(struct shard *shard, const void *cell, uint32_t hash)
{
    const struct index *index = &shard->index;
    /* First by address alone: only what is found may be looked at, since the cell may be free by now. */
    for (uint32_t at = hash & index->mask; index->marks[at]; at = (at + 1) & index->mask) {
        if (index->slots[at] != cell)
            continue;
        if (is_idle(index->slots[at]))
            move_object(shard, &index->slots[at]);
        return;
    }
    for (uint32_t at = hash & index->mask; index->marks[at]; at = (at + 1) & index->mask) {
        struct object *object = index->slots[at];
        if (object->hash == hash && move_piece(shard, object, cell))
            return;
    }
}

bool cache_clean(struct cache *cache, bool any)
{
    struct store_walk walk;
    void *cell;
    uint32_t hash;
    if (!store_clean_begin(&cache->store, &walk, any))
        return false;
    while (store_clean_next(&cache->store, &walk, &cell, &hash)) {
        struct shard *shard = shard_of(cache, hash);
        pthread_mutex_lock(&shard->lock);
        move(shard, cell, hash);
        pthread_mutex_unlock(&shard->lock);
    }
    return store_clean_end(&cache->store, &walk) > 0;
}
