#include "cache/index.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/check.h"
#include "cache/object_inside.h"

#define SLOTS_FIRST 64

static uint8_t tag_of(uint32_t hash)
{
    return (uint8_t)(0x80u | (hash >> 15 & 0x7f));
}

/* No slot is reached without its tag, so only tags need to be zero. */
static bool allocate(struct index *index, uint32_t size)
{
    struct object **slots = malloc(size * (sizeof *slots + 1));
    if (!slots)
        return false;
    index->slots = slots;
    index->tags = memset(slots + size, 0, size);
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
    while (index->tags[at])
        at = (at + 1) & index->mask;
    index->tags[at] = tag_of(object->hash);
    index->slots[at] = object;
}

static bool grow(struct index *index)
{
    struct index bigger = { .count = index->count };
    if (index->mask >= UINT32_MAX / 2 || !allocate(&bigger, (index->mask + 1) * 2))
        return false;
    for (uint32_t at = 0; at <= index->mask; at++) {
        if (index->tags[at])
            put(&bigger, index->slots[at]);
    }
    free(index->slots);
    *index = bigger;
    return true;
}

bool index_add(struct index *index, struct object *object)
{
    /* Seven eighths: tags make long probes cheap, and empty slots are memory. */
    if (index->count >= (index->mask + 1) / 8 * 7 && !grow(index))
        return false;
    put(index, object);
    index->count++;
    return true;
}

static uint32_t slot_of(const struct index *index, const struct object *object)
{
    uint32_t at = object->hash & index->mask;
    for (;; at = (at + 1) & index->mask) {
        CHECK(index->tags[at] != 0);
        if (index->slots[at] == object)
            return at;
    }
}

void index_drop(struct index *index, const struct object *object)
{
    uint32_t gap = slot_of(index, object);
    /* Close the gap, so that probes never meet a tombstone: move back whoever would be cut off. */
    for (uint32_t at = (gap + 1) & index->mask; index->tags[at]; at = (at + 1) & index->mask) {
        uint32_t home = index->slots[at]->hash & index->mask;
        if (((at - home) & index->mask) >= ((at - gap) & index->mask)) {
            index->slots[gap] = index->slots[at];
            index->tags[gap] = index->tags[at];
            gap = at;
        }
    }
    index->tags[gap] = 0;
    index->slots[gap] = NULL;
    index->count--;
}

void index_swap(struct index *index, const struct object *old, struct object *fresh)
{
    CHECK(old->hash == fresh->hash);
    index->slots[slot_of(index, old)] = fresh;
}

struct object *index_next(const struct index *index, const struct key *key, uint32_t *at)
{
    uint32_t hash = hash_fold(key->hash);
    uint8_t tag = tag_of(hash);
    uint32_t i = *at == INDEX_START ? hash & index->mask : (*at + 1) & index->mask;
    for (; index->tags[i]; i = (i + 1) & index->mask) {
        if (index->tags[i] != tag)
            continue;
        struct object *object = index->slots[i];
        /* One object in a hundred is another one: ask for its meta and its key at once, not in turn. */
        __builtin_prefetch((const char *)object + 128);
        __builtin_prefetch((const char *)object + sizeof *object + sizeof(struct object_meta));
        if (object->hash == hash && str_eq(object_primary(object), key->primary)) {
            *at = i;
            return object;
        }
    }
    return NULL;
}
