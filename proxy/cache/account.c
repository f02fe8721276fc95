#include "cache/account.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/map.h"
#include "cache/memory.h"

static struct account *account_new(struct cache *cache, struct str name)
{
    size_t holdings = sizeof(struct holding *) << cache->shard_bits;
    struct account *tenant = aligned_alloc(64, (sizeof *tenant + holdings + name.len + 63) / 64 * 64);
    if (!tenant)
        return NULL;
    *tenant = (struct account){ .cache = cache, .refs = 1 };
    char *bytes = memset(tenant->holdings, 0, holdings);
    bytes += holdings;
    if (name.len > 0)
        memcpy(bytes, name.data, name.len);
    tenant->name = str_n(bytes, name.len);
    tenant->purge_slot = account_purge_slot(name);
    tenant->share_bytes = share_bytes(cache, name);
    list_init(&tenant->over);
    if (!map_put(cache->tenants, tenant->name, tenant)) {
        free(tenant);
        return NULL;
    }
    count_up(&cache->used, malloc_usable_size(tenant) + MALLOC_OVERHEAD);
    atomic_fetch_add(&cache->refs, 1);
    atomic_fetch_add(&cache->tenant_count, 1);
    return tenant;
}

uint32_t account_purge_slot(struct str name)
{
    return (uint32_t)(hash_bytes(name.data, name.len) % PURGE_SLOTS);
}

struct account *account_get(struct cache *cache, struct str name)
{
    pthread_mutex_lock(&cache->tenants_lock);
    struct account *tenant = map_get(cache->tenants, name);
    if (tenant)
        atomic_fetch_add_explicit(&tenant->refs, 1, memory_order_relaxed);
    else
        tenant = account_new(cache, name);
    pthread_mutex_unlock(&cache->tenants_lock);
    return tenant;
}

struct account *account_unref(struct account *tenant)
{
    if (!tenant)
        return NULL;
    /* The last reference goes under the lock only, so that account_get() never revives a dead one. */
    uint32_t refs = atomic_load_explicit(&tenant->refs, memory_order_relaxed);
    while (refs > 1) {
        if (atomic_compare_exchange_weak_explicit(&tenant->refs, &refs, refs - 1, memory_order_release,
                                                  memory_order_relaxed))
            return NULL;
    }
    struct cache *cache = tenant->cache;
    pthread_mutex_lock(&cache->tenants_lock);
    bool is_last = atomic_fetch_sub_explicit(&tenant->refs, 1, memory_order_acq_rel) == 1;
    if (is_last) {
        map_remove(cache->tenants, tenant->name);
        atomic_fetch_sub(&cache->tenant_count, 1);
        share_delist(tenant);
    }
    pthread_mutex_unlock(&cache->tenants_lock);
    if (is_last) {
        atomic_fetch_sub_explicit(&cache->used, malloc_usable_size(tenant) + MALLOC_OVERHEAD,
                                  memory_order_relaxed);
        free(tenant);
        cache_unref(cache);
    }
    return NULL;
}

bool account_enter(struct account *tenant, uint32_t generation)
{
    uint64_t live = atomic_load_explicit(&tenant->live, memory_order_relaxed);
    do {
        if ((uint32_t)(live >> 32) != generation)
            return false;
    } while (!atomic_compare_exchange_weak(&tenant->live, &live, live + 1));
    return true;
}

void account_leave(struct account *tenant, uint32_t generation)
{
    uint64_t live = atomic_load_explicit(&tenant->live, memory_order_relaxed);
    do {
        if ((uint32_t)(live >> 32) != generation)
            return;
    } while (!atomic_compare_exchange_weak(&tenant->live, &live, live - 1));
}

/* --- purging: under the lock of all tenants --- */

static uint32_t begin_generation(struct account *tenant)
{
    uint64_t live = atomic_load_explicit(&tenant->live, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&tenant->live, &live, ((live >> 32) + 1) << 32)) {
    }
    return (uint32_t)live;
}

uint64_t account_purge(struct cache *cache, struct str name)
{
    pthread_mutex_lock(&cache->tenants_lock);
    struct account *tenant = map_get(cache->tenants, name);
    uint64_t count = tenant ? begin_generation(tenant) : 0;
    pthread_mutex_unlock(&cache->tenants_lock);
    return count;
}

static void purge_each(struct str name, void *value, void *arg)
{
    *(uint64_t *)arg += begin_generation(value);
}

uint64_t tenants_purge(struct cache *cache)
{
    uint64_t count = 0;
    pthread_mutex_lock(&cache->tenants_lock);
    map_each(cache->tenants, purge_each, &count);
    pthread_mutex_unlock(&cache->tenants_lock);
    return count;
}

static void count_each(struct str name, void *value, void *arg)
{
    const struct account *tenant = value;
    *(uint64_t *)arg += (uint32_t)atomic_load_explicit(&tenant->live, memory_order_relaxed);
}

uint64_t tenants_live(struct cache *cache)
{
    uint64_t count = 0;
    pthread_mutex_lock(&cache->tenants_lock);
    map_each(cache->tenants, count_each, &count);
    pthread_mutex_unlock(&cache->tenants_lock);
    return count;
}

/* --- paying --- */

void *account_alloc(struct account *tenant, size_t bytes, size_t least, uint32_t hash, size_t *out_bytes)
{
    *out_bytes = bytes;
    if (!tenant)
        return malloc(bytes);
    void *cell = store_alloc(&tenant->cache->store, STORE_FRESH, bytes, least, hash, out_bytes);
    if (cell) {
        count_up(&tenant->bytes, store_cost(cell));
        account_is_over(tenant);
    }
    return cell;
}

void account_free(struct account *tenant, void *cell)
{
    if (!tenant) {
        free(cell);
        return;
    }
    atomic_fetch_sub_explicit(&tenant->bytes, store_cost(cell), memory_order_relaxed);
    store_free(&tenant->cache->store, cell);
}

void account_shrink(struct account *tenant, void *cell, size_t bytes)
{
    if (!tenant)
        return;
    size_t less = store_shrink(&tenant->cache->store, cell, bytes);
    atomic_fetch_sub_explicit(&tenant->bytes, less, memory_order_relaxed);
}

size_t account_cost(const struct account *tenant, void *cell)
{
    return tenant ? store_cost(cell) : malloc_usable_size(cell) + MALLOC_OVERHEAD;
}

void account_charge(struct account *tenant, uint64_t bytes)
{
    if (!tenant)
        return;
    count_up(&tenant->bytes, bytes);
    count_up(&tenant->cache->used, bytes);
    account_is_over(tenant);
}

void account_is_over(struct account *tenant)
{
    if (atomic_load_explicit(&tenant->bytes, memory_order_relaxed) >
            atomic_load_explicit(&tenant->share_bytes, memory_order_relaxed) &&
        !atomic_load_explicit(&tenant->is_over, memory_order_relaxed))
        share_enlist(tenant);
}

void account_discharge(struct account *tenant, uint64_t bytes)
{
    if (!tenant)
        return;
    atomic_fetch_sub_explicit(&tenant->bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&tenant->cache->used, bytes, memory_order_relaxed);
}
