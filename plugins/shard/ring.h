/* Which shard a tenant belongs to, by its name alone: weighted rendezvous hashing.
 *
 * Each shard has as many points as its weight. A tenant's name and each point give a number, and the shard of
 * the highest one has the tenant. So a shard that is added takes its share from all others, and no tenant
 * moves between those; one that is taken away leaves its own to the others; and a heavier one only takes.
 *
 * The numbers are part of what weir promises: the same in every weir, version and machine, whatever the order
 * of the shards in the config. No clock, no secret, no floating point. They are written down, with examples,
 * in ../README.md, and must never change: a tenant's data would be looked for in another database.
 *
 * Owner: its maker. Immutable, so any thread may look. */
#ifndef SHARD_RING_H
#define SHARD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/plugin.h>

#define RING_SHARDS_MAX 256
#define RING_WEIGHT_MAX 100
#define RING_POINTS_MAX 1024 /* all weights together: each is one step of every look-up, about 1 ns */

struct ring_shard {
    struct weir_str name;
    unsigned weight; /* 1 to RING_WEIGHT_MAX */
};

struct ring;

/* Copies what it needs, but not the names. NULL without memory. count: 1 to RING_SHARDS_MAX. */
struct ring *ring_new(const struct ring_shard *shards, unsigned count);
void ring_free(struct ring *ring);

/* The index of the tenant's shard in what ring_new() was given. */
unsigned ring_find(const struct ring *ring, struct weir_str tenant);

/* A name's own number; here for who wants to compute the same elsewhere. */
uint64_t ring_hash(struct weir_str name);

#endif
