/* Who pays for what is stored: for the files of this room only.
 *
 * A tenant is here while something of it exists (an object, a flight); objects share it by reference. It has
 * a generation: an object carries the one it came in with, and is dead once it differs, so that
 * a purge costs the same for one object and for a million. Any thread. */
#ifndef CACHE_ACCOUNT_H
#define CACHE_ACCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct cache;
struct holding;

struct account {
    /* Its generation in the upper half; in the lower how many findable objects carry it. One word, so
     * that a purge's answer is exactly what it purged. */
    _Atomic uint64_t live;
    struct cache *cache;
    _Alignas(64) _Atomic uint64_t bytes; /* what it costs now; apart from what each look-up reads */
    _Atomic uint64_t share_bytes;        /* over that it lives on what others leave */
    _Atomic uint32_t refs;
    uint32_t purge_slot;   /* in the cache's purged_ns */
    _Atomic uint32_t hand; /* the shard to take from next when it is over its share */
    _Atomic bool is_over;  /* it is listed: under the shares' lock, but for a look */
    struct list over;      /* under the shares' lock */
    struct str name;
    /* What it has in each shard, or NULL: under that shard's lock, but for a look. The name is behind it. */
    struct holding *_Atomic holdings[];
};

/* A reference, or NULL when out of memory. */
struct account *account_get(struct cache *cache, struct str name);
struct account *account_unref(struct account *tenant); /* NULL is fine; returns NULL */

static inline uint32_t account_generation(const struct account *tenant)
{
    return (uint32_t)(atomic_load_explicit(&tenant->live, memory_order_acquire) >> 32);
}

/* One more object of that generation. False if the tenant was purged since. */
bool account_enter(struct account *tenant, uint32_t generation);
void account_leave(struct account *tenant, uint32_t generation);

/* Starts a new generation; returns how many objects died. 0 if there is no such tenant. */
uint64_t account_purge(struct cache *cache, struct str name);
uint64_t tenants_purge(struct cache *cache);
uint64_t tenants_live(struct cache *cache); /* how many objects can be found */
uint32_t account_purge_slot(struct str name);

/* Cells of the store that it pays for (store_alloc()); with tenant NULL plain memory. hash: whose they are.
 */
void *account_alloc(struct account *tenant, size_t bytes, size_t least, uint32_t hash, size_t *out_bytes);
void account_free(struct account *tenant, void *cell);
void account_shrink(struct account *tenant, void *cell, size_t bytes);
size_t account_cost(const struct account *tenant, void *cell);

/* Charges memory of another kind to it and to the cache's budget. tenant NULL: nobody pays. */
void account_charge(struct account *tenant, uint64_t bytes);
void account_discharge(struct account *tenant, uint64_t bytes);

/* Lists it if it is over its share. */
void account_is_over(struct account *tenant);

#endif
