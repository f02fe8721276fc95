#include "cache/memory.h"

#include <malloc.h>
#include <stdlib.h>

bool shard_init(struct shard *shard, struct cache *cache)
{
    shard->cache = cache;
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
    for (unsigned i = 0; i < QUEUES; i++) {
        struct queue *queue;
        while ((queue = queue_oldest(shard, i)))
            shard_unlink(shard, LIST_ENTRY(queue->objects.next, struct object, link), &victims);
    }
    victims_free(&victims);
    index_fini(&shard->index);
    tags_fini(&shard->tags);
    free(shard->ghost.rows);
    for (unsigned i = 0; i < QUEUES; i++)
        free(shard->heaps[i].slots);
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
    struct str vary = object_vary(object);
    if (vary.len == 0)
        return true;
    if (!request)
        return false;
    if (!room->spec.data || !str_eq(room->spec, vary)) {
        room->spec = vary;
        room->len = vary_key(vary, request, room->bytes, sizeof room->bytes);
    }
    return room->len >= 0 && str_eq(str_n(room->bytes, (size_t)room->len), object_vary_key(object));
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
                 (!out->object || object_stored_ms(object) > object_stored_ms(out->object)))
            out->object = object;
    }
}

/* --- linking --- */

/* What it costs, or will when it has grown. */
static uint32_t weight_of(const struct object *object)
{
    uint64_t bytes = account_cost(object->tenant, (void *)(uintptr_t)object);
    if (!object_is_marker(object) && !object_inline_body(object)) {
        int64_t length = object_declared_length(object);
        bytes += length >= 0 ? (uint64_t)length : object_size(object);
    }
    uint64_t weight = bytes / WEIGHT_UNIT;
    return weight < UINT32_MAX ? (uint32_t)weight : UINT32_MAX;
}

/* Into index and tags, and counted. False: it is nowhere. */
static bool list_it(struct shard *shard, struct object *object, uint32_t generation)
{
    /* Who is not under its tags could not be purged by them. */
    if (!tags_link(&shard->tags, object))
        return false;
    uint64_t before = index_bytes(&shard->index);
    if (!index_add(&shard->index, object)) {
        tags_unlink(&shard->tags, object);
        return false;
    }
    count_up(&shard->cache->used, index_bytes(&shard->index) - before);
    /* Counted last: from here on a purge kills it. */
    object->generation = generation;
    bool is_alive =
        object_is_marker(object) ? !object_is_dead(object) : account_enter(object->tenant, generation);
    if (!is_alive) {
        tags_unlink(&shard->tags, object);
        index_drop(&shard->index, object);
    }
    return is_alive;
}

bool shard_link(struct shard *shard, struct object *object, uint32_t generation, enum where where)
{
    CHECK(object->where == WHERE_NONE);
    if (!holding_get(shard, object->tenant))
        return false;
    if (!list_it(shard, object, generation)) {
        holding_put(shard, object->tenant);
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
    tags_unlink(&shard->tags, object);
    dequeue(shard, object);
    holding_put(shard, object->tenant);
    if (!object_is_marker(object))
        account_leave(object->tenant, object->generation);
    list_push_back(victims, &object->link);
}

void shard_reweigh(struct shard *shard, struct object *object)
{
    if (object->where != WHERE_NONE)
        requeue(shard, object, weight_of(object));
}

bool shard_swap(struct shard *shard, struct object *old, struct object *fresh, struct list *victims)
{
    CHECK(fresh->where == WHERE_NONE);
    if (!tags_link(&shard->tags, fresh))
        return false;
    tags_unlink(&shard->tags, old);
    index_swap(&shard->index, old, fresh);
    fresh->generation = old->generation;
    fresh->freq = old->freq;
    enqueue_for(shard, old, fresh);
    list_push_back(victims, &old->link);
    object_ref(fresh);
    shard_reweigh(shard, fresh);
    return true;
}

void victims_free(struct list *victims)
{
    while (!list_is_empty(victims)) {
        struct object *object = LIST_ENTRY(victims->next, struct object, link);
        list_remove(&object->link);
        object_unref(object);
    }
}
