#include "cache/index.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/check.h"
#include "cache/object_inside.h"

#define SLOTS_FIRST 64

static uint8_t mark_of(uint32_t hash)
{
    return (uint8_t)(0x80u | (hash >> 15 & 0x7f));
}

/* No slot is reached without its mark, so only marks need to be zero. */
static bool allocate(struct index *index, uint32_t size)
{
    struct object **slots = malloc(size * (sizeof *slots + 1));
    if (!slots)
        return false;
    index->slots = slots;
    index->marks = memset(slots + size, 0, size);
    index->mask = size - 1;
    return true;
}

bool index_init(struct index *index)
{
    *index = (struct index){ 0 };
    return allocate(index, SLOTS_FIRST);
}

void index_fini(struct index *index)
{
    if (!index)
        return;
    free(index->slots);
    *index = (struct index){ 0 };
}

uint64_t index_bytes(const struct index *index)
{
    return malloc_usable_size(index->slots) + MALLOC_OVERHEAD;
}

static void put(struct index *index, struct object *object)
{
    uint32_t at = object->hash & index->mask;
    while (index->marks[at])
        at = (at + 1) & index->mask;
    index->marks[at] = mark_of(object->hash);
    index->slots[at] = object;
}

static bool grow(struct index *index)
{
    struct index bigger = { .count = index->count, .changes = index->changes };
    if (index->mask >= UINT32_MAX / 2 || !allocate(&bigger, (index->mask + 1) * 2))
        return false;
    for (uint32_t at = 0; at <= index->mask; at++) {
        if (index->marks[at])
            put(&bigger, index->slots[at]);
    }
    free(index->slots);
    *index = bigger;
    return true;
}

bool index_add(struct index *index, struct object *object)
{
    /* Seven eighths: marks make long probes cheap, and empty slots are memory. */
    if (index->count >= (index->mask + 1) / 8 * 7 && !grow(index))
        return false;
    put(index, object);
    index->count++;
    index->changes++;
    return true;
}

static uint32_t slot_of(const struct index *index, const struct object *object)
{
    uint32_t at = object->hash & index->mask;
    for (;; at = (at + 1) & index->mask) {
        CHECK(index->marks[at] != 0);
        if (index->slots[at] == object)
            return at;
    }
}

void index_drop(struct index *index, const struct object *object)
{
    uint32_t gap = slot_of(index, object);
    /* Close the gap, so that probes never meet a tombstone: move back whoever would be cut off. */
    for (uint32_t at = (gap + 1) & index->mask; index->marks[at]; at = (at + 1) & index->mask) {
        uint32_t home = index->slots[at]->hash & index->mask;
        if (((at - home) & index->mask) >= ((at - gap) & index->mask)) {
            index->slots[gap] = index->slots[at];
            index->marks[gap] = index->marks[at];
            gap = at;
        }
    }
    index->marks[gap] = 0;
    index->slots[gap] = NULL;
    index->count--;
    index->changes++;
}

void index_swap(struct index *index, const struct object *old, struct object *fresh)
{
    CHECK(old->hash == fresh->hash);
    index->slots[slot_of(index, old)] = fresh;
    index->changes++;
}

struct object *index_next(const struct index *index, const struct key *key, uint32_t *at)
{
    uint32_t hash = hash_fold(key->hash);
    uint8_t mark = mark_of(hash);
    uint32_t i = *at == INDEX_START ? hash & index->mask : (*at + 1) & index->mask;
    __builtin_prefetch(&index->slots[i]);
    for (; index->marks[i]; i = (i + 1) & index->mask) {
        if (index->marks[i] != mark)
            continue;
        struct object *object = index->slots[i];
        /* One object in a hundred is another one: ask for its meta and its key at once, not in turn. */
        __builtin_prefetch((const char *)object + 128);
        __builtin_prefetch((const char *)object + 192);
        if (object->hash == hash && str_eq(object_primary(object), key->primary)) {
            *at = i;
            return object;
        }
    }
    return NULL;
}

#define AHEAD 8 /* each object is a cache miss or two: enough of them at once */

static void prefetch(const struct index *index, uint32_t at)
{
    uint32_t ahead = (at + AHEAD) & index->mask;
    if (!index->marks[ahead])
        return;
    const char *object = (const char *)index->slots[ahead];
    __builtin_prefetch(object);
    __builtin_prefetch(object + 64);
    __builtin_prefetch(object + 128);
}

bool index_bite(const struct index *index, struct index_walk *walk, unsigned homes,
                void (*visit)(struct object *object, void *arg), void *arg)
{
    if (walk->mask != index->mask)
        *walk = (struct index_walk){ .mask = index->mask };
    uint64_t from = walk->at;
    uint64_t end = from + homes <= index->mask ? from + homes : (uint64_t)index->mask + 1;
    /* Who belongs to these homes lies from there on, before the first free slot behind the last of them; that
     * may be round the corner. Who is dropped leaves his slot to somebody from behind, so that one is seen
     * next. */
    for (uint64_t i = from; i - from <= index->mask;) {
        uint32_t at = (uint32_t)i & index->mask;
        if (!index->marks[at]) {
            if (i >= end)
                break;
            i++;
            continue;
        }
        struct object *object = index->slots[at];
        uint64_t home = object->hash & index->mask;
        prefetch(index, at);
        if (home >= from && home < end)
            visit(object, arg);
        if (index->marks[at] && index->slots[at] == object)
            i++;
    }
    walk->at = (uint32_t)end;
    return end <= index->mask;
}
