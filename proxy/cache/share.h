/* How much of the budget each tenant may call its own: for the files of this room only.
 *
 * A tenant over its share is listed; who must make room takes from those who are, the one that is most over
 * first, and from others only when nobody is. So what others leave idle may be borrowed, and is given back as
 * soon as it is wanted. Any thread; its lock is an inner one (only the store's may be taken inside). */
#ifndef CACHE_SHARE_H
#define CACHE_SHARE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct account;
struct cache;
struct map;

struct shares {
    struct map *rows; /* of struct row, by tenant; under the cache's tenants_lock */
    double fallback;
    pthread_mutex_t lock;
    struct list over; /* accounts that were over their share when last looked at */
    _Atomic uint32_t over_count;
};

void shares_init(struct shares *shares);
void shares_fini(struct shares *shares);

/* Under the tenants' lock: what a tenant's share is, in bytes. */
uint64_t share_bytes(const struct cache *cache, struct str tenant);
/* The budget changed: all shares did. */
void shares_apply(struct cache *cache);

/* It is over its share now. */
void share_enlist(struct account *tenant);
void share_delist(struct account *tenant);

/* Who is most over its share of some that are, with a reference. NULL when nobody is, or all are. */
struct account *share_most_over(struct cache *cache);

#endif
