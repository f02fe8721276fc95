/* The registry of tenants seen lately. */
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "policy/tenant.h"

struct entry {
    struct tenant tenant;
    struct tenants *owner;
    struct list link; /* in idle while nobody holds it */
};

struct tenants {
    pthread_mutex_t mutex;
    struct map *by_name;
    struct list idle; /* of struct entry, the one let go longest ago first */
    unsigned max;
    bool is_closed; /* tenants_free() was called while some were still held: the last one frees all */
};

struct tenants *tenants_new(unsigned tenants_max)
{
    struct tenants *tenants = calloc(1, sizeof *tenants);
    if (!tenants)
        return NULL;
    tenants->by_name = map_new();
    if (!tenants->by_name) {
        free(tenants);
        return NULL;
    }
    pthread_mutex_init(&tenants->mutex, NULL);
    list_init(&tenants->idle);
    tenants->max = tenants_max;
    return tenants;
}

static struct entry *entry_of(struct tenant *tenant)
{
    return CONTAINER_OF(tenant, struct entry, tenant);
}

static void drop(struct tenants *tenants, struct entry *entry)
{
    list_remove(&entry->link);
    map_remove(tenants->by_name, tenant_name(&entry->tenant));
    free(entry);
}

static void free_all(struct tenants *tenants)
{
    pthread_mutex_destroy(&tenants->mutex);
    map_free(tenants->by_name);
    free(tenants);
}

void tenants_free(struct tenants *tenants)
{
    if (!tenants)
        return;
    pthread_mutex_lock(&tenants->mutex);
    while (!list_is_empty(&tenants->idle))
        drop(tenants, LIST_ENTRY(tenants->idle.next, struct entry, link));
    tenants->is_closed = true;
    bool is_last = map_count(tenants->by_name) == 0;
    pthread_mutex_unlock(&tenants->mutex);
    if (is_last)
        free_all(tenants);
}

/* A new entry, in the place of the longest idle one when the table is full. */
static struct entry *add(struct tenants *tenants, struct str name, int64_t now_ns)
{
    if (map_count(tenants->by_name) >= tenants->max) {
        if (list_is_empty(&tenants->idle))
            return NULL;
        drop(tenants, LIST_ENTRY(tenants->idle.next, struct entry, link));
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    struct tenant *tenant = &entry->tenant;
    memcpy(tenant->name, name.data, name.len);
    tenant->name_len = (uint8_t)name.len;
    tenant->hash = hash_bytes(name.data, name.len);
    bucket_init(&tenant->bucket, now_ns);
    entry->owner = tenants;
    list_init(&entry->link);
    if (!map_put(tenants->by_name, tenant_name(tenant), entry)) {
        free(entry);
        return NULL;
    }
    return entry;
}

struct tenant *tenants_get(struct tenants *tenants, struct str name, int64_t now_ns)
{
    CHECK(name.len <= TENANT_NAME_MAX);
    pthread_mutex_lock(&tenants->mutex);
    struct entry *entry = map_get(tenants->by_name, name);
    if (!entry)
        entry = add(tenants, name, now_ns);
    if (entry) {
        list_remove(&entry->link);
        atomic_fetch_add_explicit(&entry->tenant.references, 1, memory_order_relaxed);
        atomic_store_explicit(&entry->tenant.seen_ns, now_ns, memory_order_relaxed);
    }
    pthread_mutex_unlock(&tenants->mutex);
    return entry ? &entry->tenant : NULL;
}

struct tenant *tenant_unref(struct tenant *tenant)
{
    if (!tenant)
        return NULL;
    struct entry *entry = entry_of(tenant);
    struct tenants *tenants = entry->owner;
    bool is_last = false;
    pthread_mutex_lock(&tenants->mutex);
    int before = atomic_fetch_sub_explicit(&tenant->references, 1, memory_order_relaxed);
    CHECK(before > 0);
    if (before == 1) {
        list_push_back(&tenants->idle, &entry->link);
        if (tenants->is_closed) {
            drop(tenants, entry);
            is_last = map_count(tenants->by_name) == 0;
        }
    }
    pthread_mutex_unlock(&tenants->mutex);
    if (is_last)
        free_all(tenants);
    return NULL;
}

unsigned tenants_count(struct tenants *tenants)
{
    pthread_mutex_lock(&tenants->mutex);
    unsigned count = (unsigned)map_count(tenants->by_name);
    pthread_mutex_unlock(&tenants->mutex);
    return count;
}

struct visit {
    void (*fn)(struct tenant *tenant, void *arg);
    void *arg;
};

static void visit_one(struct str key, void *value, void *arg)
{
    struct visit *visit = arg;
    struct entry *entry = value;
    visit->fn(&entry->tenant, visit->arg);
}

void tenants_each(struct tenants *tenants, void (*fn)(struct tenant *tenant, void *arg), void *arg)
{
    struct visit visit = { fn, arg };
    pthread_mutex_lock(&tenants->mutex);
    map_each(tenants->by_name, visit_one, &visit);
    pthread_mutex_unlock(&tenants->mutex);
}
