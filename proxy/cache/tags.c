#include "cache/tags.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/hash.h"
#include "cache/memory.h"

#define BUCKETS_FIRST 16

/* --- an object's tags --- */

bool tags_next(struct str *rest, struct str *out_tag)
{
    while (str_split(rest, '\0', out_tag)) {
        if (out_tag->len > 0)
            return true;
    }
    return false;
}

bool tags_are_allowed(struct str tags)
{
    struct str tag;
    unsigned count = 0;
    while (tags_next(&tags, &tag)) {
        if (++count > CACHE_TAGS_MAX || tag.len > CACHE_TAG_BYTES_MAX)
            return false;
    }
    return true;
}

struct str object_tags(const struct object *object)
{
    if (object_is_marker(object) || object_facts(object)->tags_len == 0)
        return STR("");
    return object_meta_of(object)->tags;
}

bool object_has_tag(const struct object *object, struct str tag)
{
    struct str rest = object_tags(object);
    struct str part;
    while (tags_next(&rest, &part)) {
        if (str_eq(part, tag))
            return true;
    }
    return false;
}

uint64_t tag_hash(uint64_t tenant, struct str tag)
{
    return hash_bytes(tag.data, tag.len) ^ tenant * 0x9e3779b97f4a7c15u;
}

/* --- the table of tags --- */

static uint64_t cost_of(void *allocation)
{
    return malloc_usable_size(allocation) + MALLOC_OVERHEAD;
}

static struct tag **bucket_of(const struct tags *tags, uint64_t hash)
{
    return &tags->buckets[(uint32_t)hash & tags->mask];
}

/* About one tag a bucket. False only when there is no table at all. */
static bool grow(struct tags *tags, struct cache *cache)
{
    if (tags->buckets && tags->count <= tags->mask)
        return true;
    uint32_t size = tags->buckets ? (tags->mask + 1) * 2 : BUCKETS_FIRST;
    struct tag **buckets = size > 0 ? calloc(size, sizeof *buckets) : NULL;
    if (!buckets)
        return tags->buckets != NULL;
    struct tags bigger = { .buckets = buckets, .mask = size - 1 };
    for (uint32_t i = 0; tags->buckets && i <= tags->mask; i++) {
        for (struct tag *tag = tags->buckets[i], *next; tag; tag = next) {
            struct tag **at = bucket_of(&bigger, tag->hash);
            next = tag->next;
            tag->next = *at;
            *at = tag;
        }
    }
    uint64_t before = tags->buckets ? cost_of(tags->buckets) : 0;
    count_up(&cache->used, cost_of(buckets) - before);
    free(tags->buckets);
    tags->buckets = buckets;
    tags->mask = size - 1;
    return true;
}

void tags_fini(struct tags *tags)
{
    CHECK(tags->count == 0);
    CHECK(tags->links == 0);
    free(tags->buckets);
    *tags = (struct tags){ 0 };
}

static struct tag *find(const struct tags *tags, uint64_t hash, struct str tenant, struct str name)
{
    if (!tags->buckets)
        return NULL;
    for (struct tag *tag = *bucket_of(tags, hash); tag; tag = tag->next) {
        if (tag->hash == hash && str_eq(tag->name, name) && str_eq(tag->tenant->name, tenant))
            return tag;
    }
    return NULL;
}

struct tag *tags_find(const struct tags *tags, struct str tenant, struct str name)
{
    return find(tags, tag_hash(hash_bytes(tenant.data, tenant.len), name), tenant, name);
}

static struct tag *add(struct tags *tags, struct account *tenant, uint64_t hash, struct str name)
{
    struct tag *tag = grow(tags, tenant->cache) ? malloc(sizeof *tag + name.len) : NULL;
    if (!tag)
        return NULL;
    char *bytes = memcpy(tag + 1, name.data, name.len);
    *tag = (struct tag){ .tenant = tenant, .hash = hash, .name = str_n(bytes, name.len) };
    list_init(&tag->objects);
    struct tag **bucket = bucket_of(tags, hash);
    tag->next = *bucket;
    *bucket = tag;
    tags->count++;
    account_charge(tenant, cost_of(tag));
    return tag;
}

static void drop(struct tags *tags, struct tag *tag)
{
    struct tag **at = bucket_of(tags, tag->hash);
    while (*at != tag)
        at = &(*at)->next;
    *at = tag->next;
    tags->count--;
    account_discharge(tag->tenant, cost_of(tag));
    free(tag);
}

/* --- an object under its tags --- */

static bool has_link(const struct tag_links *links, const struct tag *tag)
{
    for (uint32_t i = 0; i < links->count; i++) {
        if (links->at[i].tag == tag)
            return true;
    }
    return false;
}

static unsigned count_of(struct str rest)
{
    struct str tag;
    unsigned count = 0;
    while (tags_next(&rest, &tag))
        count++;
    return count;
}

bool tags_link(struct tags *tags, struct object *object)
{
    struct str rest = object_tags(object);
    struct str name;
    unsigned count = count_of(rest);
    CHECK(object->tagged == NULL);
    if (count == 0)
        return true;
    struct tag_links *links = malloc(sizeof *links + count * sizeof links->at[0]);
    if (!links)
        return false;
    links->count = 0;
    object->tagged = links;
    account_charge(object->tenant, cost_of(links));
    struct str tenant = object->tenant->name;
    uint64_t tenant_hash = hash_bytes(tenant.data, tenant.len);
    while (tags_next(&rest, &name)) {
        uint64_t hash = tag_hash(tenant_hash, name);
        struct tag *tag = find(tags, hash, tenant, name);
        if (!tag)
            tag = add(tags, object->tenant, hash, name);
        if (!tag) {
            tags_unlink(tags, object);
            return false;
        }
        if (has_link(links, tag)) /* the app named it twice */
            continue;
        struct tag_link *link = &links->at[links->count++];
        *link = (struct tag_link){ .tag = tag, .object = object };
        list_push_back(&tag->objects, &link->link);
        tag->count++;
        tags->links++;
    }
    return true;
}

void tags_unlink(struct tags *tags, struct object *object)
{
    struct tag_links *links = object->tagged;
    if (!links)
        return;
    for (uint32_t i = 0; i < links->count; i++) {
        struct tag *tag = links->at[i].tag;
        list_remove(&links->at[i].link);
        tags->links--;
        if (--tag->count == 0)
            drop(tags, tag);
    }
    account_discharge(object->tenant, cost_of(links));
    free(links);
    object->tagged = NULL;
}

/* --- is all of it as it should be? --- */

static bool is_whole(const struct list *link)
{
    return link->next->prev == link && link->prev->next == link;
}

uint64_t tags_check_object(const struct tags *tags, const struct object *object)
{
    const struct tag_links *links = object->tagged;
    struct str rest = object_tags(object);
    struct str name;
    uint64_t wrong = 0;
    if (!links)
        return count_of(rest);
    while (tags_next(&rest, &name)) {
        const struct tag *tag = tags_find(tags, object->tenant->name, name);
        wrong += !tag || !has_link(links, tag);
    }
    for (uint32_t i = 0; i < links->count; i++) {
        const struct tag_link *at = &links->at[i];
        wrong += at->object != object;
        wrong += !is_whole(&at->link);
        wrong += !object_has_tag(object, at->tag->name);
        wrong += at->tag->tenant != object->tenant;
    }
    return wrong + (links->count == 0);
}

uint64_t tags_check_bucket(const struct tags *tags, uint32_t bucket, uint64_t *links)
{
    uint64_t wrong = 0;
    for (const struct tag *tag = tags->buckets[bucket]; tag; tag = tag->next) {
        struct str tenant = tag->tenant->name;
        wrong += tag->hash != tag_hash(hash_bytes(tenant.data, tenant.len), tag->name);
        wrong += ((uint32_t)tag->hash & tags->mask) != bucket;
        wrong += list_is_empty(&tag->objects) || !is_whole(&tag->objects);
        wrong += tag->count == 0 || LIST_ENTRY(tag->objects.next, struct tag_link, link)->tag != tag;
        *links += tag->count;
    }
    return wrong;
}
