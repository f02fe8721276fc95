/* Which objects carry which tag. Linked with allocators of its own that can be told to fail. */
#include <criterion/criterion.h>

#include "cache/memory.h"
#include "fixture.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static long fails_in = -1; /* -1: never */

static bool fails(void)
{
    return fails_in >= 0 && fails_in-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

static struct test_key room;

static struct object *tagged_object(struct cache *cache, const struct key *key, struct str tags)
{
    struct object_meta meta = test_meta(0);
    meta.tags = tags;
    meta.lifetime_ms = 1000000000;
    return test_object_with(cache, key, &meta, 0);
}

Test(tags, are_cut_at_each_nul)
{
    static const struct {
        struct str tags;
        unsigned count;
    } rows[] = { { STR_INIT(""), 0 },        { STR_INIT("\0\0"), 0 },      { STR_INIT("a\0"), 1 },
                 { STR_INIT("a\0b\0"), 2 },  { STR_INIT("a\0\0b\0"), 2 },  { STR_INIT("a"), 1 },
                 { STR_INIT("\0a\0bc"), 2 }, { STR_INIT("a b,c\0d\0"), 2 } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct str rest = rows[i].tags, tag;
        unsigned count = 0;
        for (; tags_next(&rest, &tag); count++)
            cr_expect(tag.len > 0, "row %zu", i);
        cr_expect_eq(count, rows[i].count, "row %zu", i);
    }
    struct str none = { 0 }, tag;
    cr_expect_not(tags_next(&none, &tag));
}

Test(tags, more_or_longer_than_allowed_are_not_stored)
{
    static char bytes[CACHE_TAGS_MAX * 4 + CACHE_TAG_BYTES_MAX + 10];
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    size_t len = 0;
    for (unsigned i = 0; i <= CACHE_TAGS_MAX; i++)
        len += (size_t)snprintf(bytes + len, sizeof bytes - len, "%03u", i) + 1;
    static const struct {
        size_t drop;
        bool is_in;
    } rows[] = { { 0, false }, { 4, true } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct object *object = tagged_object(cache, key, str_n(bytes, len - rows[i].drop));
        cr_expect_eq(cache_insert(cache, key, object, 1), rows[i].is_in, "row %zu", i);
        object_unref(object);
    }
    memset(bytes, 'x', sizeof bytes);
    for (size_t n = CACHE_TAG_BYTES_MAX; n <= CACHE_TAG_BYTES_MAX + 1; n++) {
        struct object *object = tagged_object(cache, key, str_n(bytes, n));
        cr_expect_eq(cache_insert(cache, key, object, 1), n == CACHE_TAG_BYTES_MAX);
        object_unref(object);
    }
    cr_expect_eq(cache_verify(cache), 0);
    cache_free(cache);
}

Test(tags, cost_nothing_where_there_are_none)
{
    struct cache *cache = test_cache(MIB, 1);
    static const struct str nothing[] = { { NULL, 0 }, STR_INIT(""), STR_INIT("\0\0\0") };
    for (size_t i = 0; i < COUNT_OF(nothing); i++) {
        struct object *object = tagged_object(cache, test_key(&room, "acme", "/"), nothing[i]);
        cr_assert(cache_insert(cache, &room.key, object, 1));
        cr_expect_null(object->tagged);
        object_unref(object);
    }
    cr_expect_null(cache->shards[0].tags.buckets);
    cr_expect_eq(cache->shards[0].tags.count, 0);
    struct cache_purge purge = { .kind = PURGE_TAG, .what = STR("") };
    cr_expect_eq(cache_purge(cache, &purge, 5, 5), 0, "there is no empty tag");
    cr_expect_eq(test_objects(cache), 1);
    cache_free(cache);
}

Test(tags, an_entry_goes_with_its_last_object_and_so_does_its_memory)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct tags *tags = &cache->shards[0].tags;
    static struct test_key keys[2];
    struct object *objects[2];
    struct object *first = tagged_object(cache, test_key(&room, "acme", "/warm"), STR("w\0"));
    cr_assert(cache_insert(cache, &room.key, first, 1));
    cache_remove(cache, first);
    object_unref(first);
    uint64_t before = test_bytes(cache);
    for (unsigned i = 0; i < 2; i++) {
        objects[i] = tagged_object(cache, test_key(&keys[i], "acme", i ? "/1" : "/0"), STR("a\0b\0a\0"));
        cr_assert(cache_insert(cache, &keys[i].key, objects[i], 1));
        cr_expect_eq(objects[i]->tagged->count, 2, "twice the same is once");
    }
    cr_expect_eq(tags->count, 2);
    cr_expect_eq(tags->links, 4);
    cache_remove(cache, objects[0]);
    cr_expect_null(objects[0]->tagged);
    cr_expect_eq(tags->count, 2);
    cache_remove(cache, objects[1]);
    cr_expect_eq(tags->count, 0);
    cr_expect_eq(tags->links, 0);
    object_unref(objects[0]);
    object_unref(objects[1]);
    cr_expect_eq(test_bytes(cache), before);
    cache_free(cache);
}

Test(tags, of_two_tenants_never_meet)
{
    struct cache *cache = test_cache(MIB, 1);
    static const char *const tenants[] = { "acme", "tiny", "" };
    static struct test_key keys[3];
    for (unsigned i = 0; i < 3; i++) {
        struct object *object = tagged_object(cache, test_key(&keys[i], tenants[i], "/"), STR("items\0"));
        cr_assert(cache_insert(cache, &keys[i].key, object, 1));
        object_unref(object);
    }
    cr_expect_eq(cache->shards[0].tags.count, 3);
    struct cache_purge purge = { .kind = PURGE_TAG, .tenant = STR("acme"), .what = STR("items") };
    cr_expect_eq(cache_purge(cache, &purge, 5, 5), 1);
    cr_expect_null(test_find(cache, &keys[0].key));
    cr_expect_not_null(test_find(cache, &keys[1].key));
    purge.tenant = STR("");
    cr_expect_eq(cache_purge(cache, &purge, 6, 6), 1, "what all tenants share is nobody's else");
    cr_expect_not_null(test_find(cache, &keys[1].key));
    purge.tenant.data = NULL;
    cr_expect_eq(cache_purge(cache, &purge, 7, 7), 1, "of every tenant");
    cr_expect_eq(cache_verify(cache), 0);
    cache_free(cache);
}

Test(tags, table_grows_with_them)
{
    enum {
        MANY = 5000
    };
    struct cache *cache = test_cache(64 * MIB, 1);
    for (unsigned i = 0; i < MANY; i++) {
        char bytes[32];
        int len = snprintf(bytes, sizeof bytes, "/tag/%u", i);
        struct object *object =
            tagged_object(cache, test_key(&room, "acme", bytes), str_n(bytes, (size_t)len + 1));
        cr_assert(cache_insert(cache, &room.key, object, 1));
        object_unref(object);
    }
    cr_expect_eq(cache->shards[0].tags.count, MANY);
    cr_expect_geq(cache->shards[0].tags.mask, MANY / 2);
    cr_expect_eq(cache_verify(cache), 0);
    for (unsigned i = 0; i < MANY; i += 7) {
        char bytes[32];
        int len = snprintf(bytes, sizeof bytes, "/tag/%u", i);
        struct cache_purge purge = { .kind = PURGE_TAG, .what = str_n(bytes, (size_t)len) };
        cr_assert_eq(cache_purge(cache, &purge, 5, 5), 1);
    }
    cr_expect_eq(cache_verify(cache), 0);
    cache_free(cache);
}

Test(tags, verify_finds_what_is_wrong)
{
    struct cache *cache = test_cache(MIB, 1);
    struct tags *tags = &cache->shards[0].tags;
    struct object *object = tagged_object(cache, test_key(&room, "acme", "/"), STR("a\0b\0"));
    cr_assert(cache_insert(cache, &room.key, object, 1));
    cr_expect_eq(cache_verify(cache), 0);

    struct tag_links *links = object->tagged;
    object->tagged = NULL;
    cr_expect_gt(cache_verify(cache), 0, "an object that lost its tags");
    object->tagged = links;

    links->count = 1;
    cr_expect_gt(cache_verify(cache), 0, "a link too few");
    links->count = 2;

    links->at[0].tag->count++;
    cr_expect_gt(cache_verify(cache), 0, "a wrong count");
    links->at[0].tag->count--;

    struct tag *tag = links->at[0].tag;
    links->at[0].tag = links->at[1].tag;
    cr_expect_gt(cache_verify(cache), 0, "a link to another tag");
    links->at[0].tag = tag;

    tag->hash++;
    cr_expect_gt(cache_verify(cache), 0, "a tag that is not found");
    tag->hash--;

    tags->links++;
    cr_expect_gt(cache_verify(cache), 0, "a wrong sum");
    tags->links--;

    object->where = WHERE_NONE;
    cr_expect_gt(cache_verify(cache), 0, "in the index, but in no queue");
    object->where = WHERE_SMALL;
    cr_expect_eq(cache_verify(cache), 0);
    object_unref(object);
    cache_free(cache);
}

Test(tags, who_cannot_be_put_under_all_his_tags_is_not_stored)
{
    unsigned refused = 0;
    for (long n = 0; n < 12; n++) {
        struct cache *cache = test_cache(MIB, 1);
        const struct tags *tags = &cache->shards[0].tags;
        struct object *object = tagged_object(cache, test_key(&room, "acme", "/"), STR("a\0b\0c\0"));
        fails_in = n;
        bool is_in = cache_insert(cache, &room.key, object, 1);
        fails_in = -1;
        refused += !is_in;
        cr_expect_eq(tags->links, is_in ? 3 : 0, "allocation %ld", n);
        cr_expect_eq(tags->count, is_in ? 3 : 0, "allocation %ld", n);
        cr_expect_eq(cache_verify(cache), 0, "allocation %ld", n);
        if (!is_in)
            cr_expect(cache_insert(cache, &room.key, object, 1), "with memory it is");
        cr_expect_eq(cache_verify(cache), 0, "allocation %ld", n);
        object_unref(object);
        cache_free(cache);
    }
    cr_expect_geq(refused, 5, "the table, the links, each of the tags");
}

Test(tags, a_renewal_without_memory_leaves_what_was_there)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct tags *tags = &cache->shards[0].tags;
    const struct key *key = test_key(&room, "acme", "/");
    struct object_meta meta = test_meta(0);
    struct object *old = tagged_object(cache, key, STR("a\0b\0"));
    cr_assert(cache_insert(cache, key, old, 1));
    meta.tags = STR("b\0c\0d\0");
    struct object *fresh = object_renew(old, &meta);
    for (long n = 0; n < 3; n++) {
        fails_in = n;
        cr_expect_not(cache_renew(cache, key, old, fresh, 2), "allocation %ld", n);
        fails_in = -1;
        cr_expect_eq(test_find(cache, key), old);
        cr_expect_eq(tags->links, 2);
        cr_expect_eq(tags->count, 2);
        cr_expect_eq(cache_verify(cache), 0);
    }
    cr_expect(cache_renew(cache, key, old, fresh, 2));
    cr_expect_eq(tags->links, 3);
    cr_expect_eq(tags->count, 3);
    object_unref(old);
    object_unref(fresh);
    cache_free(cache);
}

Test(tags, of_every_tenant_are_purged_without_memory_too)
{
    static const char *const tenants[] = { "acme", "tiny", "" };
    struct cache *cache = test_cache(MIB, 4);
    for (unsigned i = 0; i < 30; i++) {
        char target[16];
        snprintf(target, sizeof target, "/%u", i);
        struct object *object =
            tagged_object(cache, test_key(&room, tenants[i % 3], target), i % 2 ? STR("b\0a\0") : STR("b\0"));
        cr_assert(cache_insert(cache, &room.key, object, 1));
        object_unref(object);
    }
    struct cache_purge purge = { .kind = PURGE_TAG, .what = STR("a"), .is_soft = true };
    for (unsigned hard = 0; hard < 2; hard++) {
        purge.is_soft = !hard;
        fails_in = 0;
        cr_expect_eq(cache_purge(cache, &purge, 5, 5), 15);
        fails_in = -1;
    }
    cr_expect_eq(test_objects(cache), 15);
    cr_expect_eq(cache_verify(cache), 0);
    cache_free(cache);
}
