#include "cache/share.h"

#include <stdlib.h>

#include "base/map.h"
#include "cache/memory.h"

#define SAMPLE 8 /* of those that are over: the most over of them is near enough the most over of all */

struct row {
    double share;
    struct str tenant; /* behind it */
};

void shares_init(struct shares *shares)
{
    *shares = (struct shares){ .fallback = 1 };
    pthread_mutex_init(&shares->lock, NULL);
    list_init(&shares->over);
}

static void free_row(struct str name, void *row, void *arg)
{
    free(row);
}

static void rows_free(struct map *rows)
{
    if (!rows)
        return;
    map_each(rows, free_row, NULL);
    map_free(rows);
}

void shares_fini(struct shares *shares)
{
    rows_free(shares->rows);
    pthread_mutex_destroy(&shares->lock);
}

/* --- what the shares are --- */

uint64_t share_bytes(const struct cache *cache, struct str tenant)
{
    const struct row *row = cache->shares.rows ? map_get(cache->shares.rows, tenant) : NULL;
    double share = row ? row->share : cache->shares.fallback;
    uint64_t limit = atomic_load_explicit(&cache->limit, memory_order_relaxed);
    return share >= 1 ? UINT64_MAX : (uint64_t)((double)limit * (share > 0 ? share : 0));
}

static void apply(struct str name, void *value, void *arg)
{
    struct account *tenant = value;
    atomic_store_explicit(&tenant->share_bytes, share_bytes(arg, name), memory_order_relaxed);
    account_is_over(tenant);
}

void shares_apply(struct cache *cache)
{
    pthread_mutex_lock(&cache->tenants_lock);
    map_each(cache->tenants, apply, cache);
    pthread_mutex_unlock(&cache->tenants_lock);
}

/* A row for which there is no memory is not there: its tenant has the fallback's share. */
static void add_row(struct map *rows, const struct cache_share *share)
{
    struct row *row = malloc(sizeof *row + share->tenant.len);
    if (!row)
        return;
    if (share->tenant.len > 0)
        memcpy(row + 1, share->tenant.data, share->tenant.len);
    *row = (struct row){ share->share, str_n((const char *)(row + 1), share->tenant.len) };
    if (map_get(rows, row->tenant) || !map_put(rows, row->tenant, row))
        free(row);
}

void cache_set_shares(struct cache *cache, double fallback_share, const struct cache_share *rows,
                      unsigned count)
{
    struct map *fresh = count > 0 ? map_new() : NULL;
    for (unsigned i = 0; fresh && i < count; i++)
        add_row(fresh, &rows[i]);
    pthread_mutex_lock(&cache->tenants_lock);
    struct map *before = cache->shares.rows;
    cache->shares.rows = fresh;
    cache->shares.fallback = fallback_share;
    pthread_mutex_unlock(&cache->tenants_lock);
    rows_free(before);
    shares_apply(cache);
}

/* --- who is over --- */

static bool is_over(const struct account *tenant)
{
    return atomic_load_explicit(&tenant->bytes, memory_order_relaxed) >
           atomic_load_explicit(&tenant->share_bytes, memory_order_relaxed);
}

static void delist(struct shares *shares, struct account *tenant)
{
    if (!atomic_load_explicit(&tenant->is_over, memory_order_relaxed))
        return;
    list_remove(&tenant->over);
    atomic_store_explicit(&tenant->is_over, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shares->over_count, 1, memory_order_relaxed);
}

void share_enlist(struct account *tenant)
{
    struct shares *shares = &tenant->cache->shares;
    pthread_mutex_lock(&shares->lock);
    if (!atomic_load_explicit(&tenant->is_over, memory_order_relaxed)) {
        list_push_back(&shares->over, &tenant->over);
        atomic_store_explicit(&tenant->is_over, true, memory_order_relaxed);
        atomic_fetch_add_explicit(&shares->over_count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&shares->lock);
}

void share_delist(struct account *tenant)
{
    struct shares *shares = &tenant->cache->shares;
    pthread_mutex_lock(&shares->lock);
    delist(shares, tenant);
    pthread_mutex_unlock(&shares->lock);
}

static double excess(const struct account *tenant)
{
    double share = (double)atomic_load_explicit(&tenant->share_bytes, memory_order_relaxed);
    return (double)atomic_load_explicit(&tenant->bytes, memory_order_relaxed) / (share + 1);
}

/* Not a last one that is on its way out. */
static bool try_ref(struct account *tenant)
{
    uint32_t refs = atomic_load_explicit(&tenant->refs, memory_order_relaxed);
    while (refs > 0) {
        if (atomic_compare_exchange_weak_explicit(&tenant->refs, &refs, refs + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
    return false;
}

struct account *share_most_over(struct cache *cache)
{
    struct shares *shares = &cache->shares;
    uint32_t count = atomic_load_explicit(&shares->over_count, memory_order_relaxed);
    /* With all over there is nobody to protect: the oldest goes, whose ever it is. */
    if (LIKELY(count == 0) || count >= atomic_load_explicit(&cache->tenant_count, memory_order_relaxed))
        return NULL;
    struct account *most = NULL;
    pthread_mutex_lock(&shares->lock);
    for (unsigned i = 0; i < SAMPLE && !list_is_empty(&shares->over); i++) {
        struct account *tenant = LIST_ENTRY(shares->over.next, struct account, over);
        if (!is_over(tenant)) {
            delist(shares, tenant);
            continue;
        }
        if (i > 0 && tenant == most)
            break; /* all were seen */
        list_remove(&tenant->over);
        list_push_back(&shares->over, &tenant->over);
        if (!most || excess(tenant) > excess(most))
            most = tenant;
    }
    if (most && !try_ref(most))
        most = NULL;
    pthread_mutex_unlock(&shares->lock);
    return most;
}
