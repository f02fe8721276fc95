#include <criterion/criterion.h>

#include "fixture.h"

static struct test_key room;

Test(purge, invalidation_takes_all_variants_of_the_primary_key)
{
    struct cache *cache = test_cache(MIB, 4);
    static struct test_key variants[3];
    static const char *const versions[] = { "v1", "v2", "v3" };
    for (unsigned i = 0; i < 3; i++) {
        struct key_parts parts = test_parts("acme", "/items");
        parts.version = str_of(versions[i]);
        test_store(cache, test_key_of(&variants[i], &parts), 10, 1);
    }
    test_store(cache, test_key(&room, "acme", "/other"), 10, 1);
    cr_expect_eq(cache_invalidate(cache, &variants[0].key, 2), 3);
    cr_expect_eq(test_objects(cache), 1);
    cr_expect_eq(cache_invalidate(cache, &variants[0].key, 3), 0);
    cache_free(cache);
}

Test(purge, answers_from_before_do_not_come_in)
{
    static const struct {
        int64_t started_ms;
        bool is_in;
    } rows[] = { { 99, false }, { 100, false }, { 101, true } };
    for (unsigned how = 0; how < 3; how++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            struct cache *cache = test_cache(MIB, 1);
            const struct key *key = test_key(&room, "acme", "/");
            if (how == 0)
                cache_invalidate(cache, key, 100);
            else if (how == 1)
                cache_purge_tenant(cache, STR("acme"), 100);
            else
                cache_purge_all(cache, 100);
            bool is_in = test_store(cache, key, 10, rows[i].started_ms) != NULL;
            cr_expect_eq(is_in, rows[i].is_in, "row %u, %zu", how, i);
            cache_free(cache);
        }
    }
}

Test(purge, an_earlier_time_does_not_undo_a_later_one)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    cache_invalidate(cache, key, 100);
    cache_invalidate(cache, key, 50);
    cr_expect_null(test_store(cache, key, 10, 80));
    cache_purge_all(cache, 200);
    cache_purge_all(cache, 150);
    cr_expect_null(test_store(cache, key, 10, 180));
    cache_free(cache);
}

Test(purge, tenant_takes_its_own_and_nothing_else)
{
    struct cache *cache = test_cache(10 * MIB, 4);
    for (unsigned i = 0; i < 100; i++) {
        char target[16];
        snprintf(target, sizeof target, "/%u", i);
        test_store(cache, test_key(&room, "acme", target), 10, 1);
        test_store(cache, test_key(&room, "tiny", target), 10, 1);
    }
    cr_expect_eq(cache_purge_tenant(cache, STR("acme"), 5), 100);
    cr_expect_eq(cache_purge_tenant(cache, STR("acme"), 6), 0, "once");
    cr_expect_eq(cache_purge_tenant(cache, STR("nobody"), 6), 0);
    cr_expect_eq(test_objects(cache), 100);
    cr_expect_null(test_find(cache, test_key(&room, "acme", "/7")));
    cr_expect_not_null(test_find(cache, test_key(&room, "tiny", "/7")));
    cr_expect_not_null(test_store(cache, test_key(&room, "acme", "/7"), 10, 7));
    cr_expect_not_null(test_find(cache, test_key(&room, "acme", "/7")));
    cr_expect_eq(cache_purge_all(cache, 8), 101);
    cr_expect_eq(test_objects(cache), 0);
    cache_free(cache);
}

Test(purge, the_dead_make_room)
{
    struct cache *cache = test_cache(MIB, 1);
    for (unsigned i = 0; i < 400; i++) {
        char target[16];
        snprintf(target, sizeof target, "/%u", i);
        const struct key *key = test_key(&room, "acme", target);
        test_store(cache, key, 2000, 1);
        for (unsigned hot = 0; hot < 3; hot++)
            test_find(cache, key);
    }
    cache_purge_all(cache, 5);
    for (unsigned i = 0; i < 300; i++) {
        char target[16];
        snprintf(target, sizeof target, "/new/%u", i);
        cr_assert_not_null(test_store(cache, test_key(&room, "acme", target), 2000, 6));
    }
    cr_expect_eq(test_objects(cache), 300, "hot as they were, they go before any living one");
    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    cr_expect_eq(stats.evicted, 0);
    cr_expect_eq(stats.purged, 400);
    cache_free(cache);
}

/* --- what is asked for --- */

static bool store_tagged(struct cache *cache, const struct key *key, struct str tags, int64_t started_ns)
{
    struct object_meta meta = test_meta(10);
    meta.tags = tags;
    struct object *object = test_object_with(cache, key, &meta, 10);
    bool is_in = cache_insert(cache, key, object, started_ns);
    object_unref(object);
    return is_in;
}

Test(purge, takes_what_a_prefix_names)
{
    static const struct {
        const char *prefix;
        const char *gone; /* of the targets below, by their place; capitals: those of https */
    } rows[] = {
        { "/", "abcdABCD" },
        { "/items", "abcABC" },
        { "/items/", "bB" },
        { "/items?", "cC" },
        { "/Items", "" },
        { "http://api.example.com", "abcd" },
        { "http://api.example.com/", "abcd" },
        { "HTTPS://API.example.com/items/", "B" },
        { "http://api.example.co", "" },
        { "http://api.example.com.evil/", "" },
        { "http://", "" },
        { "http:/", "" },
        { "items", "" },
        { "", "" },
    };
    static const char *const targets[] = { "/items", "/items/1", "/items?a=1", "/other" };
    for (unsigned soft = 0; soft < 2; soft++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            struct cache *cache = test_cache(MIB, 2);
            static struct test_key keys[8];
            for (unsigned k = 0; k < 8; k++) {
                struct key_parts parts = test_parts("acme", targets[k % 4]);
                parts.is_https = k >= 4;
                test_store(cache, test_key_of(&keys[k], &parts), 10, 1);
            }
            struct cache_purge purge = { .kind = PURGE_PREFIX,
                                         .what = str_of(rows[i].prefix),
                                         .is_soft = soft };
            cr_expect_eq(cache_purge(cache, &purge, 5, 5), strlen(rows[i].gone), "row %zu", i);
            for (unsigned k = 0; k < 8; k++) {
                struct cache_found found;
                cache_find(cache, &keys[k].key, NULL, 0, &found);
                bool is_hit = found.object && object_lifetime_ms(found.object) == 10000;
                cr_expect_neq(is_hit, !!strchr(rows[i].gone, (k < 4 ? 'a' : 'A') + (int)k % 4), "row %zu, %u",
                              i, k);
                cr_expect_eq(!!found.object, is_hit || soft);
                object_unref(found.object);
            }
            cache_free(cache);
        }
    }
}

Test(purge, a_prefix_walk_misses_nobody_among_thousands)
{
    enum {
        MANY = 20000
    };
    struct cache *cache = test_cache(64 * MIB, 4);
    for (unsigned i = 0; i < MANY; i++) {
        char target[32];
        snprintf(target, sizeof target, "/%c/%u", i % 3 ? 'a' : 'b', i);
        cr_assert_not_null(test_store(cache, test_key(&room, i % 2 ? "acme" : "tiny", target), 10, 1));
    }
    struct cache_purge purge = { .kind = PURGE_PREFIX, .tenant = STR("acme"), .what = STR("/b/") };
    cr_expect_eq(cache_purge(cache, &purge, 5, 5), (MANY + 3) / 6);
    cr_expect_eq(cache_purge(cache, &purge, 6, 6), 0);
    purge.tenant.data = NULL;
    purge.is_soft = true;
    cr_expect_eq(cache_purge(cache, &purge, 7, 7), (MANY + 5) / 6);
    cr_expect_eq(cache_purge(cache, &purge, 8, 8), 0, "stale already");
    purge.is_soft = false;
    cr_expect_eq(cache_purge(cache, &purge, 9, 9), (MANY + 5) / 6);
    cr_expect_eq(test_objects(cache), MANY - (MANY + 2) / 3);
    cr_expect_eq(cache_verify(cache), 0);
    cache_free(cache);
}

Test(purge, of_one_key_or_tag_leaves_the_tags_of_others)
{
    struct cache *cache = test_cache(MIB, 1);
    static struct test_key keys[4];
    for (unsigned i = 0; i < 4; i++) {
        char target[8];
        snprintf(target, sizeof target, "/%u", i);
        cr_assert(
            store_tagged(cache, test_key(&keys[i], "acme", target), i == 3 ? STR("b\0") : STR("a\0b\0"), 1));
    }
    struct cache_purge url = { .kind = PURGE_URL, .key = &keys[0].key };
    struct cache_purge tag = { .kind = PURGE_TAG, .tenant = STR("acme"), .what = STR("a") };
    cr_expect_eq(cache_purge(cache, &url, 5, 5), 1);
    cr_expect_eq(cache_purge(cache, &tag, 6, 6), 2);
    cr_expect_not_null(test_find(cache, &keys[3].key));
    tag.what = STR("b");
    cr_expect_eq(cache_purge(cache, &tag, 7, 7), 1);
    cr_expect_eq(test_objects(cache), 0);
    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    cr_expect_eq(stats.purged, 4);
    cr_expect_eq(stats.invalidated, 0);
    cache_free(cache);
}

Test(purge, soft_leaves_it_to_be_found_stale_and_counts_it_once)
{
    struct cache *cache = test_cache(MIB, 4);
    const struct key *key = test_key(&room, "acme", "/items");
    struct cache_purge rows[] = {
        { .kind = PURGE_URL, .key = key },
        { .kind = PURGE_PREFIX, .what = STR("/it") },
        { .kind = PURGE_TAG, .what = STR("a") },
        { .kind = PURGE_TAG, .what = STR("a"), .tenant = STR("acme") },
        { .kind = PURGE_TENANT, .tenant = STR("acme") },
        { .kind = PURGE_ALL },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t now_ns = 100 * (int64_t)(i + 1);
        cr_assert(store_tagged(cache, key, STR("a\0"), now_ns));
        rows[i].is_soft = true;
        cr_expect_eq(cache_purge(cache, &rows[i], now_ns + 1, 5000), 1, "row %zu", i);
        cr_expect_eq(cache_purge(cache, &rows[i], now_ns + 2, 6000), 0, "row %zu", i);
        struct cache_found found;
        cache_find(cache, key, NULL, 0, &found);
        cr_assert_not_null(found.object);
        cr_expect_eq(object_lifetime_ms(found.object), 5000, "its age then");
        object_unref(found.object);
        cr_expect_not(store_tagged(cache, key, STR("a\0"), now_ns + 2), "it would come in fresh");
    }
    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    cr_expect_eq(stats.purged, 0);
    cr_expect_eq(stats.expired, COUNT_OF(rows));
    cr_expect_eq(cache_purge_tenant(cache, STR("acme"), 10000), 1);
    cache_free(cache);
}

Test(purge, keeps_out_what_was_fetched_before_and_nothing_else)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/items");
    static struct test_key other;
    test_key(&other, "tiny", "/items");
    struct cache_purge tag = { .kind = PURGE_TAG, .tenant = STR("acme"), .what = STR("a") };
    cr_expect_eq(cache_purge(cache, &tag, 100, 100), 0);
    cr_expect_not(store_tagged(cache, key, STR("b\0a\0"), 100));
    cr_expect(store_tagged(cache, key, STR("b\0a\0"), 101));
    cr_expect(store_tagged(cache, key, STR("b\0"), 50));
    cr_expect(store_tagged(cache, &other.key, STR("a\0"), 50), "another tenant's");
    tag.tenant.data = NULL;
    cr_expect_eq(cache_purge(cache, &tag, 200, 200), 1);
    cr_expect_not(store_tagged(cache, &other.key, STR("a\0"), 200));
    cr_expect_not(store_tagged(cache, key, STR("a\0"), 200));
    cr_expect(store_tagged(cache, &other.key, STR("a\0"), 201));

    struct cache_purge prefix = { .kind = PURGE_PREFIX, .tenant = STR("acme"), .what = STR("/nothing") };
    cr_expect_eq(cache_purge(cache, &prefix, 300, 300), 0);
    cr_expect_not(store_tagged(cache, key, STR(""), 300), "a whole tenant's, to be simple");
    cr_expect(store_tagged(cache, &other.key, STR(""), 300));
    cache_free(cache);
}

Test(purge, a_renewal_from_before_does_not_come_in)
{
    static const struct {
        const char *tags_then; /* of the renewed one */
        const char *purged;
        bool is_soft;
        bool is_in;
    } rows[] = {
        { "a", "a", false, false }, { "a", "a", true, false },  { "b", "a", true, false },
        { "b", "b", true, false },  { "b", "b", false, false }, { "b", "c", false, true },
    };
    const struct key *key = test_key(&room, "acme", "/");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache *cache = test_cache(MIB, 1);
        struct object_meta meta = test_meta(10);
        meta.tags = STR("a\0");
        struct object *old = test_object_with(cache, key, &meta, 10);
        cr_assert(cache_insert(cache, key, old, 1));
        struct cache_purge purge = { .kind = PURGE_TAG,
                                     .what = str_of(rows[i].purged),
                                     .is_soft = rows[i].is_soft };
        cache_purge(cache, &purge, 100, 5000);
        meta.tags = str_n(rows[i].tags_then, 2);
        struct object *fresh = object_renew(old, &meta);
        cr_expect_eq(cache_renew(cache, key, old, fresh, 100), rows[i].is_in, "row %zu", i);
        bool is_gone = !rows[i].is_soft && strcmp(rows[i].purged, "a") == 0;
        if (!rows[i].is_in && !is_gone) {
            cr_expect_eq(test_find(cache, key), old, "row %zu: what was there stays", i);
            cr_expect(cache_renew(cache, key, old, fresh, 101), "row %zu", i);
        }
        object_unref(old);
        object_unref(fresh);
        cr_expect_eq(cache_verify(cache), 0);
        cache_free(cache);
    }
}

Test(purge, leaves_nothing_behind_but_times)
{
    struct cache *cache = test_cache(MIB, 4);
    const struct key *key = test_key(&room, "acme", "/");
    cr_assert(store_tagged(cache, key, STR("kept\0"), 1));
    uint64_t before = test_bytes(cache);
    for (unsigned i = 0; i < 50000; i++) {
        char what[32];
        int len = snprintf(what, sizeof what, "/nothing/%u", i);
        struct cache_purge purge = { .kind = i % 2 ? PURGE_TAG : PURGE_PREFIX,
                                     .what = str_n(what, (size_t)len),
                                     .is_soft = i % 4 >= 2 };
        if (i % 8 >= 4)
            purge.tenant = STR("tiny");
        cr_assert_eq(cache_purge(cache, &purge, 100 + i, 100), 0);
    }
    cr_expect_eq(test_bytes(cache), before);
    cr_expect_not_null(test_find(cache, key));
    cache_free(cache);
}

Test(purge, what_may_be_older_than_the_cache_does_not_come_in)
{
    struct cache_options options = {
        .memory_bytes = MIB, .object_max_bytes = MIB, .shards = 1, .began_ns = 100
    };
    struct cache *cache = cache_new(&options);
    cr_assert_not_null(cache);
    cr_expect_eq(cache_began_ns(cache), 100);
    const struct key *key = test_key(&room, "acme", "/");
    cr_expect_null(test_store(cache, key, 10, 99),
                   "a replica's, which knows of less: nobody knows what was invalidated");
    cr_expect_null(test_store(cache, key, 10, 100));
    cr_expect_not_null(test_store(cache, key, 10, 101));
    cache_free(cache);
}
