/* The store behind the door: for the files of this room only.
 *
 * Shards, picked by the upper bits of an object's hash. A shard's lock guards its index, its two queues, its
 * ghost, its flights and its memory of invalidations. Nobody ever holds two of these locks, and nothing is
 * freed that others may hold and no callback called under one. The budget is one number for all shards: a
 * shard that must make room evicts from itself if it has its fair share, else from the others in turn. */
#ifndef CACHE_MEMORY_H
#define CACHE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache.h"
#include "cache/index.h"
#include "cache/object_inside.h"
#include "cache/account.h"
#include "http/caching.h"

#define FREQ_MAX       3   /* the cap of S3-FIFO's counter: a hot object's line is not written any more */
#define INVALID_SLOTS  256 /* last invalidations a shard remembers, by hash */
#define PURGE_SLOTS    1024
#define FLIGHT_BUCKETS 128

struct queue {
    struct list objects; /* oldest first */
    uint64_t weight;     /* as in struct object */
    uint32_t count;
};

/* Hashes of what fell out of the small queue lately: rows of a cache line, each overwritten in turn. */
struct ghost_row {
    uint32_t hashes[15];
    uint32_t at;
};

struct ghost {
    struct ghost_row *rows; /* NULL until something was evicted */
    uint32_t mask;
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct cache *cache;
    struct index index;
    struct queue small;
    struct queue main;
    struct ghost ghost;
    struct flight *flights[FLIGHT_BUCKETS];
    /* When something with such a hash was last invalidated. Keys that share a slot only cost each other a
     * store. */
    int64_t invalid_ns[INVALID_SLOTS];
};

struct cache {
    _Atomic uint64_t used;
    _Atomic uint64_t limit;
    _Atomic uint64_t object_max;
    _Atomic uint32_t refs; /* the owner's, and one for each tenant */
    _Atomic uint32_t hand; /* the shard to evict from next */
    unsigned shard_bits;
    struct shard *shards;
    pthread_mutex_t tenants_lock;
    struct map *tenants;
    _Atomic int64_t purged_ns[PURGE_SLOTS]; /* a tenant's last purge, by its name's hash: as invalid_ns */
    _Atomic int64_t all_purged_ns;
    _Atomic uint64_t stored;
    _Atomic uint64_t evicted;
    _Atomic uint64_t purged;
    _Atomic uint64_t invalidated;
    _Atomic uint64_t refused;
};

static inline struct shard *shard_of(const struct cache *cache, uint32_t hash)
{
    return &cache->shards[cache->shard_bits ? hash >> (32 - cache->shard_bits) : 0];
}

static inline void count_up(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

bool shard_init(struct shard *shard, struct cache *cache);
void shard_fini(struct shard *shard); /* lets go of all objects */

/* The rest of these: under the shard's lock. */

static inline bool object_is_dead(const struct object *object)
{
    return object->generation != account_generation(object->tenant);
}

/* What cache_find() and flight_join() both ask. */
struct match {
    struct object *object; /* borrowed */
    struct object *marker; /* borrowed */
    bool has_variants;
};

void shard_match(struct shard *shard, const struct key *key, const struct message *request,
                 struct match *out);

/* Takes a reference. False when out of memory or purged. */
bool shard_link(struct shard *shard, struct object *object, uint32_t generation, enum where where);

/* Takes it out; the index's reference goes to the victims, for victims_free() after the lock. */
void shard_unlink(struct shard *shard, struct object *object, struct list *victims);

/* fresh takes old's place. */
void shard_swap(struct shard *shard, struct object *old, struct object *fresh, struct list *victims);

bool ghost_has(const struct ghost *ghost, uint32_t hash);

/* Something was written: nobody joins a fetch that began before. */
void flights_close(struct shard *shard, const struct key *key);

/* Its bytes came to be known. */
void shard_reweigh(struct shard *shard, struct object *object);

/* And these: under no lock. */

void victims_free(struct list *victims);

/* Evicts until the budget is kept, or nothing is left to evict. hash: whose shard begins. */
void cache_make_room(struct cache *cache, uint32_t hash);

/* Keeps marker for its time; takes over its reference. */
void cache_insert_marker(struct cache *cache, const struct key *key, struct object *marker);

void cache_unref(struct cache *cache);

#endif
