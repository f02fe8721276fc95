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
