/* A shard's queues: one pair for each tenant that has something here, and a heap over their heads. Putting an
 * object in or taking one out costs the logarithm of how many tenants there are, and nothing with one. */
#include <malloc.h>
#include <stdlib.h>

#include "cache/memory.h"

#define HEAP_FIRST 4

/* --- the heap --- */

/* Turns go round; nobody is half a round older than another. */
static bool is_older(const struct heap_slot *a, const struct heap_slot *b)
{
    return (int32_t)(a->turn - b->turn) < 0;
}

static void put(struct heap *heap, uint32_t place, struct heap_slot slot)
{
    heap->slots[place] = slot;
    slot.queue->place = place;
}

static void settle(struct heap *heap, uint32_t place, struct heap_slot slot)
{
    for (uint32_t up; place > 0 && is_older(&slot, &heap->slots[up = (place - 1) / 2]); place = up)
        put(heap, place, heap->slots[up]);
    for (uint32_t down; (down = 2 * place + 1) < heap->count; place = down) {
        if (down + 1 < heap->count && is_older(&heap->slots[down + 1], &heap->slots[down]))
            down++;
        if (!is_older(&heap->slots[down], &slot))
            break;
        put(heap, place, heap->slots[down]);
    }
    put(heap, place, slot);
}

static struct object *head_of(const struct queue *queue)
{
    return LIST_ENTRY(queue->objects.next, struct object, link);
}

static void heap_add(struct heap *heap, struct queue *queue)
{
    CHECK(heap->count < heap->room);
    settle(heap, heap->count++, (struct heap_slot){ head_of(queue)->turn, queue });
}

static void heap_drop(struct heap *heap, const struct queue *queue)
{
    struct heap_slot last = heap->slots[--heap->count];
    if (last.queue != queue)
        settle(heap, queue->place, last);
}

static bool heap_reserve(struct shard *shard, struct heap *heap, uint32_t count)
{
    if (count <= heap->room)
        return true;
    uint32_t room = heap->room ? heap->room * 2 : HEAP_FIRST;
    uint64_t before = heap->slots ? malloc_usable_size(heap->slots) + MALLOC_OVERHEAD : 0;
    struct heap_slot *slots = malloc(room * sizeof *slots);
    if (!slots)
        return false;
    if (heap->count > 0)
        memcpy(slots, heap->slots, heap->count * sizeof *slots);
    free(heap->slots);
    heap->slots = slots;
    heap->room = room;
    count_up(&shard->cache->used, malloc_usable_size(slots) + MALLOC_OVERHEAD - before);
    return true;
}

/* --- holdings --- */

static struct holding *_Atomic *holding_at(const struct shard *shard, const struct account *tenant)
{
    size_t at = (size_t)(shard - shard->cache->shards);
    return &((struct account *)(uintptr_t)tenant)->holdings[at];
}

struct holding *holding_of(const struct shard *shard, const struct account *tenant)
{
    return atomic_load_explicit(holding_at(shard, tenant), memory_order_relaxed);
}

struct holding *holding_get(struct shard *shard, struct account *tenant)
{
    struct holding *holding = holding_of(shard, tenant);
    if (holding)
        return holding;
    for (unsigned i = 0; i < QUEUES; i++) {
        if (!heap_reserve(shard, &shard->heaps[i], shard->holdings + 1))
            return NULL;
    }
    holding = calloc(1, sizeof *holding);
    if (!holding)
        return NULL;
    for (unsigned i = 0; i < QUEUES; i++)
        list_init(&holding->queues[i].objects);
    account_charge(tenant, malloc_usable_size(holding) + MALLOC_OVERHEAD);
    shard->holdings++;
    atomic_store_explicit(holding_at(shard, tenant), holding, memory_order_relaxed);
    return holding;
}

void holding_put(struct shard *shard, struct account *tenant)
{
    struct holding *holding = holding_of(shard, tenant);
    if (!holding || holding->queues[QUEUE_SMALL].count + holding->queues[QUEUE_MAIN].count > 0)
        return;
    atomic_store_explicit(holding_at(shard, tenant), NULL, memory_order_relaxed);
    shard->holdings--;
    account_discharge(tenant, malloc_usable_size(holding) + MALLOC_OVERHEAD);
    free(holding);
}

/* --- queues --- */

static struct queue *queue_of(const struct shard *shard, const struct object *object)
{
    return &holding_of(shard, object->tenant)->queues[object->where - 1];
}

void enqueue(struct shard *shard, struct object *object, enum where where)
{
    object->where = (uint8_t)where;
    object->turn = shard->turn++;
    struct queue *queue = queue_of(shard, object);
    struct heap *heap = &shard->heaps[where - 1];
    list_push_back(&queue->objects, &object->link);
    queue->weight += object->weight;
    heap->weight += object->weight;
    heap->objects++;
    if (queue->count++ == 0)
        heap_add(heap, queue);
}

void dequeue(struct shard *shard, struct object *object)
{
    struct queue *queue = queue_of(shard, object);
    struct heap *heap = &shard->heaps[object->where - 1];
    bool was_head = head_of(queue) == object;
    list_remove(&object->link);
    queue->weight -= object->weight;
    heap->weight -= object->weight;
    heap->objects--;
    if (--queue->count == 0)
        heap_drop(heap, queue);
    else if (was_head)
        settle(heap, queue->place, (struct heap_slot){ head_of(queue)->turn, queue });
    object->where = WHERE_NONE;
}

void requeue(struct shard *shard, struct object *object, uint32_t weight)
{
    struct queue *queue = queue_of(shard, object);
    struct heap *heap = &shard->heaps[object->where - 1];
    queue->weight += (uint64_t)weight - object->weight;
    heap->weight += (uint64_t)weight - object->weight;
    object->weight = weight;
}

void enqueue_for(struct shard *shard, struct object *old, struct object *fresh)
{
    CHECK(old->tenant == fresh->tenant);
    fresh->where = old->where;
    fresh->turn = old->turn;
    fresh->weight = old->weight;
    list_insert_after(&old->link, &fresh->link);
    list_remove(&old->link);
    old->where = WHERE_NONE;
}

struct queue *queue_oldest(const struct shard *shard, unsigned which)
{
    const struct heap *heap = &shard->heaps[which];
    return heap->count > 0 ? heap->slots[0].queue : NULL;
}
