#include "policy/fair.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"

/* A turn at weight 1. Divides without rest by 1..16 and by most weights people write; small enough for a
 * hundred days of a million turns a second before 64 bits wrap, and tags are compared so that a wrap does no
 * harm. */
#define TURN 720720u

struct line_flow {
    struct fair_class *class;
    struct list waiters; /* of struct line_waiter, oldest first */
    uint64_t tag;
    uint64_t order;
    unsigned weight;
    unsigned waiting;
    unsigned at;      /* index in its heap: due if waiters, else idle */
    unsigned at_long; /* index in longest */
    size_t name_len;
    char name[];
};

static bool is_longer(const struct line_flow *a, const struct line_flow *b)
{
    return (uint64_t)a->waiting * b->weight > (uint64_t)b->waiting * a->weight;
}

static bool is_before(const struct fair_heap *heap, const struct line_flow *a, const struct line_flow *b)
{
    if (heap->is_by_length)
        return is_longer(a, b);
    int64_t tags = (int64_t)(a->tag - b->tag);
    return tags != 0 ? tags < 0 : (int64_t)(a->order - b->order) < 0;
}

static unsigned *index_of(const struct fair_heap *heap, struct line_flow *flow)
{
    return heap->is_by_length ? &flow->at_long : &flow->at;
}

static void place(struct fair_heap *heap, unsigned at, struct line_flow *flow)
{
    heap->items[at] = flow;
    *index_of(heap, flow) = at;
}

/* Puts flow at the hole `at` or where it belongs from there. */
static void sift(struct fair_heap *heap, unsigned at, struct line_flow *flow)
{
    while (at > 0 && is_before(heap, flow, heap->items[(at - 1) / 2])) {
        place(heap, at, heap->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && is_before(heap, heap->items[child + 1], heap->items[child]))
            child++;
        if (!is_before(heap, heap->items[child], flow))
            break;
        place(heap, at, heap->items[child]);
        at = child;
    }
    place(heap, at, flow);
}

static void heap_add(struct fair_heap *heap, struct line_flow *flow)
{
    CHECK(heap->count < heap->size);
    sift(heap, heap->count++, flow);
}

static void heap_remove(struct fair_heap *heap, struct line_flow *flow)
{
    unsigned at = *index_of(heap, flow);
    CHECK(heap->items[at] == flow);
    struct line_flow *last = heap->items[--heap->count];
    if (last != flow)
        sift(heap, at, last);
}

static bool heap_reserve(struct fair_heap *heap, unsigned count)
{
    if (count <= heap->size)
        return true;
    unsigned size = heap->size ? heap->size * 2 : 16;
    struct line_flow **items = realloc(heap->items, size * sizeof(struct line_flow *));
    if (!items)
        return false;
    heap->items = items;
    heap->size = size;
    return true;
}

bool fair_init(struct fair *fair)
{
    *fair = (struct fair){ 0 };
    for (unsigned i = 0; i < FAIR_CLASSES; i++) {
        fair->classes[i].longest.is_by_length = true;
        fair->classes[i].flows = map_new();
        if (!fair->classes[i].flows)
            return false;
    }
    return true;
}

static void flow_free(struct line_flow *flow)
{
    map_remove(flow->class->flows, str_n(flow->name, flow->name_len));
    free(flow);
}

static void forget_first(struct fair_class *class)
{
    struct line_flow *flow = class->idle.items[0];
    heap_remove(&class->idle, flow);
    flow_free(flow);
}

void fair_fini(struct fair *fair)
{
    if (!fair)
        return;
    for (unsigned i = 0; i < FAIR_CLASSES; i++) {
        struct fair_class *class = &fair->classes[i];
        CHECK(class->due.count == 0);
        while (class->idle.count > 0)
            forget_first(class);
        map_free(class->flows);
        free(class->due.items);
        free(class->longest.items);
        free(class->idle.items);
    }
    *fair = (struct fair){ 0 };
}

/* Room in all heaps is made here, once, so that moving between them cannot fail. */
static struct line_flow *flow_new(struct fair_class *class, struct str name)
{
    unsigned count = (unsigned)map_count(class->flows) + 1;
    if (!heap_reserve(&class->due, count) || !heap_reserve(&class->longest, count) ||
        !heap_reserve(&class->idle, count))
        return NULL;
    struct line_flow *flow = malloc(sizeof *flow + name.len);
    if (!flow)
        return NULL;
    *flow = (struct line_flow){ .class = class, .tag = class->now, .name_len = name.len };
    list_init(&flow->waiters);
    if (name.len > 0)
        memcpy(flow->name, name.data, name.len);
    if (!map_put(class->flows, str_n(flow->name, name.len), flow)) {
        free(flow);
        return NULL;
    }
    return flow;
}

bool fair_add(struct fair *fair, struct str name, unsigned weight, struct line_waiter *waiter)
{
    CHECK(waiter->priority < FAIR_CLASSES);
    struct fair_class *class = &fair->classes[waiter->priority];
    struct line_flow *flow = map_get(class->flows, name);
    bool is_new = !flow;
    if (is_new)
        flow = flow_new(class, name);
    if (!flow)
        return false;
    flow->weight = weight > 0 ? weight : 1;
    if (flow->waiting++ > 0) {
        sift(&class->longest, flow->at_long, flow);
    } else {
        if (!is_new)
            heap_remove(&class->idle, flow);
        flow->order = class->order++;
        heap_add(&class->due, flow);
        heap_add(&class->longest, flow);
    }
    list_push_back(&flow->waiters, &waiter->link);
    waiter->flow = flow;
    return true;
}

/* A flow whose last waiter has gone. The busy period ends with the class's last one; then nothing is owed. */
static void flow_emptied(struct fair_class *class, struct line_flow *flow)
{
    if (class->due.count == 0) {
        flow_free(flow);
        while (class->idle.count > 0)
            forget_first(class);
        class->now = 0;
    } else if ((int64_t)(flow->tag - class->now) > 0) {
        heap_add(&class->idle, flow);
        if (class->idle.count > FAIR_IDLE_MAX)
            forget_first(class);
    } else {
        flow_free(flow);
    }
}

/* Takes a waiter out of its flow. True if it was the flow's last: the flow is then in no heap. */
static bool take_out(struct line_waiter *waiter)
{
    struct line_flow *flow = waiter->flow;
    struct fair_class *class = flow->class;
    list_remove(&waiter->link);
    waiter->flow = NULL;
    if (--flow->waiting > 0) {
        sift(&class->longest, flow->at_long, flow);
        return false;
    }
    heap_remove(&class->longest, flow);
    heap_remove(&class->due, flow);
    return true;
}

void fair_remove(struct fair *fair, struct line_waiter *waiter)
{
    struct line_flow *flow = waiter->flow;
    if (take_out(waiter))
        flow_emptied(flow->class, flow);
}

static struct line_waiter *class_next(struct fair_class *class)
{
    struct line_flow *flow = class->due.items[0];
    struct line_waiter *waiter = LIST_ENTRY(flow->waiters.next, struct line_waiter, link);
    bool is_last = take_out(waiter);

    class->now = flow->tag;
    while (class->idle.count > 0 && (int64_t)(class->idle.items[0]->tag - class->now) <= 0)
        forget_first(class);

    unsigned step = TURN / flow->weight;
    flow->tag += step > 0 ? step : 1;
    flow->order = class->order++;
    if (is_last)
        flow_emptied(class, flow);
    else
        sift(&class->due, 0, flow);
    return waiter;
}

struct line_waiter *fair_next(struct fair *fair)
{
    for (unsigned i = 0; i < FAIR_CLASSES; i++) {
        if (fair->classes[i].due.count > 0)
            return class_next(&fair->classes[i]);
    }
    return NULL;
}

struct line_waiter *fair_victim(const struct fair *fair, struct str name, unsigned weight, uint8_t priority)
{
    for (int i = FAIR_CLASSES - 1; i >= priority; i--) {
        const struct fair_class *class = &fair->classes[i];
        if (class->longest.count == 0)
            continue;
        const struct line_flow *longest = class->longest.items[0];
        struct line_waiter *newest = LIST_ENTRY(longest->waiters.prev, struct line_waiter, link);
        if (i > priority)
            return newest;
        const struct line_flow *own = map_get(class->flows, name);
        struct line_flow coming = { .waiting = (own ? own->waiting : 0) + 1,
                                    .weight = weight > 0 ? weight : 1 };
        return own != longest && is_longer(longest, &coming) ? newest : NULL;
    }
    return NULL;
}

unsigned fair_flow_count(const struct fair *fair)
{
    unsigned count = 0;
    for (unsigned i = 0; i < FAIR_CLASSES; i++)
        count += (unsigned)map_count(fair->classes[i].flows);
    return count;
}
