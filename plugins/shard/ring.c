#include "ring.h"

#include <stdlib.h>

struct point {
    uint64_t number;
    unsigned shard;
};

struct ring {
    unsigned count;
    struct point points[];
};

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014; Stafford's variant 13): every bit of the result
 * depends on every bit of the input, and no two inputs give the same. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* FNV-1a with 64 bits, mixed since it is weak in its upper bits for short names. */
uint64_t ring_hash(struct weir_str name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.data[i]) * UINT64_C(0x100000001b3);
    return mix(hash);
}

struct ring *ring_new(const struct ring_shard *shards, unsigned count)
{
    size_t points = 0;
    struct ring *ring;

    for (unsigned i = 0; i < count; i++)
        points += shards[i].weight;
    ring = calloc(1, sizeof *ring + points * sizeof *ring->points);
    if (!ring)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        uint64_t hash = ring_hash(shards[i].name);

        for (unsigned k = 1; k <= shards[i].weight; k++)
            ring->points[ring->count++] = (struct point){ mix(hash + k * UINT64_C(0x9e3779b97f4a7c15)), i };
    }
    return ring;
}

void ring_free(struct ring *ring)
{
    free(ring);
}

/* No ties to decide: mix() gives no number twice, and no two points of a config are the same but by a chance
 * of 2^-64. So the order of the points does not matter. */
unsigned ring_find(const struct ring *ring, struct weir_str tenant)
{
    uint64_t hash = ring_hash(tenant);
    uint64_t best = 0;
    unsigned shard = ring->points[0].shard;

    for (unsigned i = 0; i < ring->count; i++) {
        uint64_t number = mix(hash ^ ring->points[i].number);

        if (number > best) {
            best = number;
            shard = ring->points[i].shard;
        }
    }
    return shard;
}
