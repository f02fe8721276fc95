/* The store behind the door: for the files of this room only.
 *
 * Shards, picked by the upper bits of an object's hash. A shard's lock guards its index, its queues (two for
 * each tenant), its ghost, its flights and its memory of invalidations. Nobody ever holds two of these locks,
 * and nothing is freed that others may hold and no callback called under one. The budget is one number for
 * all shards: a shard that must make room evicts from itself if it has its fair share, else from the others
 * in turn. */
#ifndef CACHE_MEMORY_H
#define CACHE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache.h"
#include "cache/index.h"
#include "cache/object_inside.h"
#include "cache/account.h"
#include "cache/share.h"
#include "cache/tags.h"
#include "cache/witness.h"
#include "http/caching.h"

#define FREQ_MAX       3 /* the cap of S3-FIFO's counter: a hot object's line is not written any more */
#define WEIGHT_UNIT    16
#define INVALID_SLOTS  256 /* last invalidations a shard remembers, by hash */
#define PURGE_SLOTS    1024
#define TAG_SLOTS      1024
#define FLIGHT_BUCKETS 128
#define WARM_PART      64 /* of the budget; see warm_bytes() */
#define WARM_MIN       (8 * BLOCK_BYTES)
#define WITNESS_SLOTS  256 /* of recent ones, to share */

struct queue {
    struct list objects; /* oldest first */
    uint64_t weight;     /* as in struct object */
    uint32_t count;
    uint32_t place; /* in its shard's heap, while not empty */
};

enum { /* enum where, less one */
    QUEUE_SMALL,
    QUEUE_MAIN,
    QUEUES
};

/* What one tenant has in one shard; there while it has something. */
struct holding {
    struct queue queues[QUEUES];
};

/* The queues of all tenants, the one with the oldest head first: together they are one queue, in the order in
 * which objects came, and yet each tenant's is at hand. */
struct heap {
    struct heap_slot {
        uint32_t turn; /* of the queue's head */
        struct queue *queue;
    } * slots;
    uint32_t count;
    uint32_t room;
    uint32_t objects;
    uint64_t weight;
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
    struct tags tags;
    struct heap heaps[QUEUES];
    uint32_t holdings;
    uint32_t turn; /* of the next object that is put into a queue */
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
    _Atomic uint32_t tenant_count;
    struct store store;
    struct shares shares;
    pthread_mutex_t witness_lock;
    struct witness *witnesses[WITNESS_SLOTS]; /* borrowed: each leaves when its last reference goes */
    _Atomic int64_t purged_ns[PURGE_SLOTS];   /* a tenant's last purge, by its name's hash: as invalid_ns */
    _Atomic int64_t tag_purged_ns[TAG_SLOTS]; /* a tag's last purge, by its tag_hash() */
    int64_t began_ns;                         /* what was before is not known */
    _Atomic int64_t all_purged_ns;
    _Atomic uint64_t stored;
    _Atomic uint64_t evicted;
    _Atomic uint64_t purged;
    _Atomic uint64_t expired;
    _Atomic uint64_t invalidated;
    _Atomic uint64_t refused;
};

/* What of the store may be resident without use, besides the budget: blocks come and go with every fetch. */
static inline uint64_t warm_bytes(uint64_t memory_bytes)
{
    uint64_t part = memory_bytes / WARM_PART;
    return part > WARM_MIN ? part : WARM_MIN;
}

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

/* fresh takes old's place. False when out of memory. */
bool shard_swap(struct shard *shard, struct object *old, struct object *fresh, struct list *victims);

/* --- queues: holding.c, under the shard's lock --- */

/* What a tenant has here, made if there is none; NULL when out of memory. */
struct holding *holding_get(struct shard *shard, struct account *tenant);
/* Goes, if there is nothing in it. */
void holding_put(struct shard *shard, struct account *tenant);
/* For any thread: only whether there may be one. */
struct holding *holding_of(const struct shard *shard, const struct account *tenant);
void enqueue(struct shard *shard, struct object *object, enum where where); /* there is a holding */
void dequeue(struct shard *shard, struct object *object);
void requeue(struct shard *shard, struct object *object, uint32_t weight);       /* of another weight */
void enqueue_for(struct shard *shard, struct object *old, struct object *fresh); /* in its place and turn */
struct queue *queue_oldest(const struct shard *shard, unsigned which);           /* NULL: all are empty */

bool ghost_has(const struct ghost *ghost, uint32_t hash);

/* Something was written: nobody joins a fetch that began before. */
void flights_close(struct shard *shard, const struct key *key);
/* The same for all that fits is true of, in the bucket. */
void flights_close_some(struct shard *shard, unsigned bucket,
                        bool (*fits)(struct str primary, const void *arg), const void *arg);

/* Its bytes came to be known. */
void shard_reweigh(struct shard *shard, struct object *object);

/* And these: under no lock. */

void victims_free(struct list *victims);

/* Evicts until the budget is kept, or nothing is left to evict. hash: whose shard begins. */
void cache_make_room(struct cache *cache, uint32_t hash);

/* Moves what lives in the block with the most holes elsewhere. False when nothing is gained by that. any:
 * also for a small gain. */
bool cache_clean(struct cache *cache, bool any);

/* Keeps marker for its time; takes over its reference. */
void cache_insert_marker(struct cache *cache, const struct key *key, struct object *marker);

void cache_unref(struct cache *cache);

#endif
