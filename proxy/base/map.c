#include "base/map.h"

#include <stdlib.h>

#include "base/hash.h"

#define SLOTS_FIRST 16

struct slot {
    struct str key;
    uint64_t hash;
    void *value; /* NULL: free */
};

struct map {
    struct slot *slots;
    size_t mask;
    size_t count;
};

struct map *map_new(void)
{
    struct map *map = calloc(1, sizeof *map);
    if (!map)
        return NULL;
    map->slots = calloc(SLOTS_FIRST, sizeof *map->slots);
    if (!map->slots) {
        free(map);
        return NULL;
    }
    map->mask = SLOTS_FIRST - 1;
    return map;
}

void map_free(struct map *map)
{
    if (!map)
        return;
    free(map->slots);
    free(map);
}

/* The key's slot, or the free one where it would go. */
static size_t find(const struct map *map, struct str key, uint64_t hash)
{
    size_t at = hash & map->mask;
    while (map->slots[at].value && !(map->slots[at].hash == hash && str_eq(map->slots[at].key, key)))
        at = (at + 1) & map->mask;
    return at;
}

void *map_get(const struct map *map, struct str key)
{
    return map->slots[find(map, key, hash_bytes(key.data, key.len))].value;
}

static bool grow(struct map *map)
{
    struct map bigger = { .mask = map->mask * 2 + 1, .count = map->count };
    bigger.slots = calloc(bigger.mask + 1, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i <= map->mask; i++) {
        const struct slot *slot = &map->slots[i];
        if (slot->value)
            bigger.slots[find(&bigger, slot->key, slot->hash)] = *slot;
    }
    free(map->slots);
    *map = bigger;
    return true;
}

bool map_put(struct map *map, struct str key, void *value)
{
    uint64_t hash = hash_bytes(key.data, key.len);
    size_t at = find(map, key, hash);
    if (!map->slots[at].value) {
        if ((map->count + 1) * 4 > (map->mask + 1) * 3) {
            if (!grow(map))
                return false;
            at = find(map, key, hash);
        }
        map->count++;
    }
    map->slots[at] = (struct slot){ key, hash, value };
    return true;
}

void *map_remove(struct map *map, struct str key)
{
    size_t at = find(map, key, hash_bytes(key.data, key.len));
    void *value = map->slots[at].value;
    if (!value)
        return NULL;
    map->count--;
    /* Close the gap, so that probes never meet a tombstone: move back whoever would be cut off. */
    size_t gap = at;
    for (size_t next = (at + 1) & map->mask; map->slots[next].value; next = (next + 1) & map->mask) {
        size_t home = map->slots[next].hash & map->mask;
        if (((next - home) & map->mask) >= ((next - gap) & map->mask)) {
            map->slots[gap] = map->slots[next];
            gap = next;
        }
    }
    map->slots[gap] = (struct slot){ 0 };
    return value;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

void map_each(const struct map *map, void (*fn)(struct str, void *, void *), void *arg)
{
    for (size_t i = 0; i <= map->mask; i++) {
        if (map->slots[i].value)
            fn(map->slots[i].key, map->slots[i].value, arg);
    }
}
