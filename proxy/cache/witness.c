#include "cache/witness.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/hash.h"
#include "cache/memory.h"

struct witness {
    _Atomic uint32_t refs;
    uint32_t len;
    uint64_t hash;
    struct account *tenant;
    char bytes[];
};

static struct witness **slot_of(struct cache *cache, uint64_t hash)
{
    return &cache->witnesses[hash % WITNESS_SLOTS];
}

/* Under the witnesses' lock. */
static struct witness *find(struct cache *cache, uint64_t hash, const struct account *tenant, struct str head)
{
    struct witness *witness = *slot_of(cache, hash);
    bool is_it =
        witness && witness->hash == hash && witness->tenant == tenant && str_eq(witness_head(witness), head);
    return is_it ? witness_ref(witness) : NULL;
}

static struct witness *make(struct account *tenant, uint64_t hash, struct str head)
{
    struct witness *witness = head.len <= UINT32_MAX ? malloc(sizeof *witness + head.len) : NULL;
    if (!witness)
        return NULL;
    *witness = (struct witness){ .refs = 1, .len = (uint32_t)head.len, .hash = hash, .tenant = tenant };
    if (head.len > 0)
        memcpy(witness->bytes, head.data, head.len);
    account_charge(tenant, malloc_usable_size(witness) + MALLOC_OVERHEAD);
    return witness;
}

struct witness *witness_new(struct cache *cache, const struct key *key, struct str head)
{
    struct account *tenant = account_get(cache, key_tenant(key));
    if (!tenant)
        return NULL;
    uint64_t hash = hash_bytes(head.data, head.len) ^ (uintptr_t)tenant;
    pthread_mutex_lock(&cache->witness_lock);
    struct witness *witness = find(cache, hash, tenant, head);
    bool is_found = witness != NULL;
    if (!is_found)
        witness = make(tenant, hash, head);
    if (!is_found && witness)
        *slot_of(cache, hash) = witness;
    pthread_mutex_unlock(&cache->witness_lock);
    if (is_found || !witness)
        account_unref(tenant);
    return witness;
}

struct witness *witness_ref(struct witness *witness)
{
    atomic_fetch_add_explicit(&witness->refs, 1, memory_order_relaxed);
    return witness;
}

struct witness *witness_unref(struct witness *witness)
{
    if (!witness)
        return NULL;
    /* The last reference goes under the lock only, so that find() never revives a dead one. */
    uint32_t refs = atomic_load_explicit(&witness->refs, memory_order_relaxed);
    while (refs > 1) {
        if (atomic_compare_exchange_weak_explicit(&witness->refs, &refs, refs - 1, memory_order_release,
                                                  memory_order_relaxed))
            return NULL;
    }
    struct account *tenant = witness->tenant;
    struct cache *cache = tenant->cache;
    pthread_mutex_lock(&cache->witness_lock);
    bool is_last = atomic_fetch_sub_explicit(&witness->refs, 1, memory_order_acq_rel) == 1;
    struct witness **slot = slot_of(cache, witness->hash);
    if (is_last && *slot == witness)
        *slot = NULL;
    pthread_mutex_unlock(&cache->witness_lock);
    if (!is_last)
        return NULL;
    account_discharge(tenant, malloc_usable_size(witness) + MALLOC_OVERHEAD);
    free(witness);
    account_unref(tenant);
    return NULL;
}

struct str witness_head(const struct witness *witness)
{
    return str_n(witness->bytes, witness->len);
}
