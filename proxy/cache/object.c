#include "cache/object.h"

#include <malloc.h>
#include <stdlib.h>

#include "cache/memory.h"
#include "cache/object_inside.h"

/* --- its bytes: object, meta, primary, selector, inline body, text --- */

static uint64_t cost_of(void *allocation)
{
    return malloc_usable_size(allocation) + MALLOC_OVERHEAD;
}

/* Copies part to *at and moves *at on. */
static struct str put(char **at, struct str part)
{
    char *start = *at;
    if (part.len > 0)
        memcpy(start, part.data, part.len);
    *at += part.len;
    return str_n(start, part.len);
}

/* A validator is usually part of the head's text: then it is a view of it, and costs nothing. */
static const char *find_in(struct str part, struct str head)
{
    return part.data && part.len <= head.len ? memmem(head.data, head.len, part.data, part.len) : NULL;
}

static struct str put_validator(char **at, struct str part, struct str head)
{
    if (!part.data)
        return part;
    const char *found = find_in(part, head);
    return found ? str_n(found, part.len) : put(at, part);
}

static size_t text_bytes(const struct object_meta *meta)
{
    size_t bytes =
        meta->head.len + meta->vary.len + meta->vary_key.len + meta->domain.len + meta->position.len;
    if (!find_in(meta->etag, meta->head))
        bytes += meta->etag.len;
    if (!find_in(meta->last_modified, meta->head))
        bytes += meta->last_modified.len;
    return bytes;
}

static void put_meta(struct object_meta *out, const struct object_meta *meta, char *at)
{
    *out = *meta;
    out->vary = put(&at, meta->vary);
    out->vary_key = put(&at, meta->vary_key);
    out->head = put(&at, meta->head);
    out->domain = put(&at, meta->domain);
    out->position = put(&at, meta->position);
    out->etag = put_validator(&at, meta->etag, out->head);
    out->last_modified = put_validator(&at, meta->last_modified, out->head);
}

static size_t inline_bytes(const struct object_meta *meta)
{
    return meta->length > 0 && meta->length <= INLINE_MAX ? (size_t)meta->length : 0;
}

char *object_inline_body(const struct object *object)
{
    if (inline_bytes(object_meta_of(object)) == 0)
        return NULL;
    struct str selector = object_selector(object);
    return (char *)(uintptr_t)(selector.data + selector.len);
}

/* --- life --- */

/* Room for an object, with its key in place; not growing yet. */
static struct object *allocate(struct account *tenant, const struct key *key, size_t meta_bytes, size_t more)
{
    CHECK(key->primary.len <= UINT16_MAX);
    CHECK(key->selector.len <= UINT16_MAX);
    struct object *object = malloc(sizeof *object + meta_bytes + key->primary.len + key->selector.len + more);
    if (!object)
        return NULL;
    *object = (struct object){
        .refs = 1,
        .primary_len = (uint16_t)key->primary.len,
        .selector_len = (uint16_t)key->selector.len,
        .hash = hash_fold(key->hash),
        .tenant = tenant,
    };
    list_init(&object->link);
    char *at = (char *)(object + 1) + meta_bytes;
    put(&at, key->primary);
    put(&at, key->selector);
    account_charge(tenant, cost_of(object));
    return object;
}

static struct object *allocate_with_meta(struct account *tenant, const struct key *key,
                                         const struct object_meta *meta)
{
    size_t body = inline_bytes(meta);
    struct object *object = allocate(tenant, key, sizeof *meta, body + text_bytes(meta));
    if (!object)
        return NULL;
    struct str selector = object_selector(object);
    put_meta(object_meta_of(object), meta, (char *)(uintptr_t)(selector.data + selector.len + body));
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
    account_charge(tenant, cost_of(growth));
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
    const struct object_meta *before = object_meta_of(old);
    struct object_meta same_body = *meta;
    same_body.length = before->length;
    struct key key = { object_primary(old), object_selector(old), 0, 0 };
    struct object *object = allocate_with_meta(old->tenant, &key, &same_body);
    if (!object)
        return NULL;
    if (old->tenant)
        atomic_fetch_add_explicit(&old->tenant->refs, 1, memory_order_relaxed);
    object->hash = old->hash;
    object->size = old->size;
    object->state = OBJECT_SEALED;
    size_t body = inline_bytes(before);
    if (body > 0) {
        memcpy(object_inline_body(object), object_inline_body(old), body);
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
        account_discharge(tenant, cost_of(growth));
        free(growth);
    } else if (state != OBJECT_MARKER) {
        pieces_release(tenant, object->first);
    }
    account_discharge(tenant, cost_of(object));
    free(object);
    account_unref(tenant);
}

struct object *object_unref(struct object *object)
{
    if (object && atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1)
        object_free(object);
    return NULL;
}

/* --- asking --- */

const struct object_meta *object_meta(const struct object *object)
{
    return object_meta_of(object);
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
