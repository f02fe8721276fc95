#include "cache/object.h"

#include <malloc.h>
#include <stdlib.h>

#include "cache/memory.h"
#include "cache/object_inside.h"
#include "cache/witness.h"

static void *put(char *at, struct str part)
{
    if (part.len > 0)
        memcpy(at, part.data, part.len);
    return at + part.len;
}

/* --- life --- */

/* Room for an object, with its key in place; not growing yet. */
static struct object *allocate(struct account *tenant, const struct key *key, size_t facts_bytes, size_t more)
{
    CHECK(key->primary.len <= UINT16_MAX);
    CHECK(key->selector.len <= UINT16_MAX);
    size_t bytes = sizeof(struct object) + facts_bytes + key->primary.len + key->selector.len + more;
    uint32_t hash = hash_fold(key->hash);
    struct object *object = account_alloc(tenant, bytes, bytes, hash, &bytes);
    if (!object)
        return NULL;
    *object = (struct object){
        .refs = 1,
        .primary_len = (uint16_t)key->primary.len,
        .selector_len = (uint16_t)key->selector.len,
        .hash = hash,
        .tenant = tenant,
    };
    list_init(&object->link);
    put(put((char *)(object + 1) + facts_bytes, key->primary), key->selector);
    return object;
}

static struct object *allocate_with_meta(struct account *tenant, const struct key *key,
                                         const struct object_meta *meta)
{
    size_t bytes;
    if (!facts_size(meta, &bytes))
        return NULL;
    size_t facts_bytes = sizeof(struct facts);
    struct object *object = allocate(tenant, key, facts_bytes, bytes - facts_bytes);
    if (object)
        facts_put(object, meta);
    return object;
}

struct object *object_new(struct cache *cache, const struct key *key, const struct object_meta *meta)
{
    struct account *tenant = cache ? account_get(cache, key_tenant(key)) : NULL;
    if (cache && !tenant)
        return NULL;
    struct growth *growth = calloc(1, sizeof *growth);
    struct object *object = growth ? allocate_with_meta(tenant, key, meta) : NULL;
    if (!object) {
        free(growth);
        account_unref(tenant);
        return NULL;
    }
    list_init(&growth->waiting);
    object->growth = growth;
    account_charge(tenant, malloc_usable_size(growth) + MALLOC_OVERHEAD);
    if (cache)
        cache_make_room(cache, object->hash);
    return object;
}

struct object *object_new_marker(struct cache *cache, const struct key *key, int64_t until_ms)
{
    struct account *tenant = account_get(cache, key_tenant(key));
    struct object *object = tenant ? allocate(tenant, key, 0, 0) : NULL;
    if (!object) {
        account_unref(tenant);
        return NULL;
    }
    object->size = (uint64_t)until_ms;
    object->state = OBJECT_MARKER;
    return object;
}

struct object *object_renew(struct object *old, const struct object_meta *meta)
{
    CHECK(object_state(old) == OBJECT_SEALED);
    CHECK(!object_is_window(old));
    struct object_meta same_body = *meta;
    same_body.length = object_declared_length(old);
    struct key key = { object_primary(old), object_selector(old), old->hash, 0 };
    struct object *object = allocate_with_meta(old->tenant, &key, &same_body);
    if (!object)
        return NULL;
    if (old->tenant)
        atomic_fetch_add_explicit(&old->tenant->refs, 1, memory_order_relaxed);
    object_set_witness(object, old->witness);
    object->size = old->size;
    object->state = OBJECT_SEALED;
    char *body = object_inline_body(object);
    if (body) {
        memcpy(body, object_inline_body(old), old->size);
    } else if (old->first) {
        atomic_fetch_add_explicit(&old->first->refs, 1, memory_order_relaxed);
        object->first = old->first;
    }
    if (object->tenant)
        cache_make_room(object->tenant->cache, object->hash);
    return object;
}

struct object *object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

static void object_free(struct object *object)
{
    struct account *tenant = object->tenant;
    uint8_t state = atomic_load_explicit(&object->state, memory_order_relaxed);
    struct growth *growth = state == OBJECT_MARKER ? NULL : object_growth(object);
    if (growth) {
        pieces_release(tenant, growth->first);
        pieces_release(tenant, growth->last);
        account_discharge(tenant, malloc_usable_size(growth) + MALLOC_OVERHEAD);
        free(growth);
    } else if (state != OBJECT_MARKER) {
        pieces_release(tenant, object->first);
    }
    witness_unref(object->witness);
    account_free(tenant, object);
    account_unref(tenant);
}

struct object *object_unref(struct object *object)
{
    if (object && atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1)
        object_free(object);
    return NULL;
}

/* --- asking --- */

void object_set_witness(struct object *object, struct witness *witness)
{
    struct witness *before = object->witness;
    object->witness = witness ? witness_ref(witness) : NULL;
    witness_unref(before);
}

struct witness *object_witness(const struct object *object)
{
    return object->witness;
}

uint64_t object_size(const struct object *object)
{
    return atomic_load_explicit(&object->size, memory_order_acquire);
}

enum object_state object_state(const struct object *object)
{
    return atomic_load_explicit(&object->state, memory_order_acquire);
}

bool object_is_window(const struct object *object)
{
    return atomic_load_explicit(&object->is_window, memory_order_acquire);
}

uint64_t object_held_bytes(const struct object *object)
{
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    const struct growth *growth = object_growth(object);
    uint64_t held = growth ? (uint64_t)max_i64(growth->held, 0) : object_size(object);
    pthread_mutex_unlock(lock);
    return held;
}

unsigned object_readers(const struct object *object)
{
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    const struct growth *growth = object_growth(object);
    unsigned readers = growth ? growth->readers : 0;
    pthread_mutex_unlock(lock);
    return readers;
}

int object_err(const struct object *object)
{
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    const struct growth *growth = object_growth(object);
    int err = growth ? growth->err : 0;
    pthread_mutex_unlock(lock);
    return err;
}
