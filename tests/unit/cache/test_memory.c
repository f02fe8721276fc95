#include <criterion/criterion.h>

#include "fixture.h"

static struct test_key room;

static const struct key *numbered(unsigned i)
{
    char target[32];
    snprintf(target, sizeof target, "/%u", i);
    return test_key(&room, "acme", target);
}

/* An LRU of so many entries, as naive as can be: the number of hits of a trace. */
static unsigned lru_hits(const unsigned *trace, const bool *counts, unsigned len, unsigned size)
{
    unsigned *entries = calloc(size, sizeof *entries); /* newest first */
    unsigned used = 0, hits = 0;
    for (unsigned i = 0; i < len; i++) {
        unsigned at = 0;
        while (at < used && entries[at] != trace[i])
            at++;
        bool is_hit = at < used;
        hits += is_hit && counts[i];
        if (!is_hit && used < size)
            used++;
        if (!is_hit)
            at = used - 1;
        memmove(entries + 1, entries, at * sizeof *entries);
        entries[0] = trace[i];
    }
    free(entries);
    return hits;
}

enum {
    SLOTS = 1000,
    WARM = 800,
    SCAN = 10 * SLOTS,
    TRACE = 4 * WARM + SCAN + WARM
};

/* Warm keys used four times, then a scan of ten times the cache with the warm ones still asked for at times,
 * then the warm ones again. Hits count from the scan on. */
static unsigned make_trace(unsigned *trace, bool *counts)
{
    unsigned len = 0;
    uint64_t random = 3;
    for (unsigned i = 0; i < 4 * WARM; i++)
        trace[len++] = i % WARM;
    for (unsigned i = 0; i < SCAN; i++)
        trace[len++] = i % 12 == 0 ? test_random(&random) % WARM : WARM + i;
    unsigned from = 4 * WARM;
    for (unsigned i = 0; i < WARM; i++)
        trace[len++] = i;
    for (unsigned i = from; i < len; i++)
        counts[i] = trace[i] < WARM;
    return len;
}

Test(memory, keeps_a_warm_set_under_a_scan_where_lru_does_not)
{
    static unsigned trace[TRACE];
    static bool counts[TRACE];
    unsigned len = make_trace(trace, counts);
    unsigned wanted = 0;
    for (unsigned i = 0; i < len; i++)
        wanted += counts[i];

    struct cache *cache = test_cache(1u << 30, 1);
    uint64_t empty = test_bytes(cache);
    for (unsigned i = 0; i < SLOTS; i++)
        test_store(cache, numbered(1000000 + i), 1000, 1);
    struct cache_options options = { .memory_bytes = test_bytes(cache), .object_max_bytes = 8 * MIB };
    cache_purge_all(cache, 1);
    cr_assert_gt(options.memory_bytes, empty);
    cache_set(cache, &options);

    unsigned hits = 0;
    for (unsigned i = 0; i < len; i++) {
        const struct key *key = numbered(trace[i]);
        bool is_hit = test_find(cache, key) != NULL;
        hits += is_hit && counts[i];
        if (!is_hit)
            cr_assert_not_null(test_store(cache, key, 1000, 2));
    }
    unsigned lru = lru_hits(trace, counts, len, SLOTS);
    cr_expect_gt(hits * 100, wanted * 90, "%u of %u", hits, wanted);
    cr_expect_lt(lru * 2, hits, "LRU: %u, S3-FIFO: %u of %u", lru, hits, wanted);
    cache_free(cache);
}

Test(memory, ghost_brings_what_returns_soon_into_the_main_queue)
{
    struct cache *cache = test_cache(1 * MIB, 1);
    unsigned next = 1000;
    for (unsigned i = 0; i < 2000; i++) /* full */
        test_store(cache, numbered(next++), 1000, 1);
    test_store(cache, numbered(1), 1000, 1);
    for (unsigned i = 0; i < 800; i++)
        test_store(cache, numbered(next++), 1000, 1);
    cr_assert_null(test_find(cache, numbered(1)));
    test_store(cache, numbered(1), 1000,
               1); /* returns: once more it would be gone as soon, in the small queue */
    for (unsigned i = 0; i < 800; i++)
        test_store(cache, numbered(next++), 1000, 1);
    cr_expect_not_null(test_find(cache, numbered(1)));
    cache_free(cache);
}

Test(memory, budget_is_kept_within_one_object_for_all_sizes)
{
    static const struct {
        uint64_t memory;
        unsigned shards;
        uint64_t size_max;
    } rows[] = {
        { 1 * MIB, 1, 2000 },
        { 4 * MIB, 16, 100 * KIB },
        { 64 * MIB, 0, 8 * MIB },
        { 8 * MIB, 8, 2 * MIB },
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct cache *cache = test_cache(rows[row].memory, rows[row].shards);
        uint64_t random = 11, stored = 0;
        for (unsigned i = 0; i < 300 || stored < rows[row].memory * 3; i++) {
            uint64_t size = 1 + test_random(&random) % rows[row].size_max;
            stored += size;
            cr_assert_not_null(test_store(cache, numbered(i), size, 1), "row %zu, %u", row, i);
            cr_assert_leq(test_bytes(cache), rows[row].memory + rows[row].size_max + 64 * KIB, "row %zu",
                          row);
        }
        cr_expect_leq(test_bytes(cache), rows[row].memory, "row %zu", row);
        cr_expect_gt(test_bytes(cache), rows[row].memory - 2 * rows[row].size_max - 64 * KIB,
                     "row %zu: and it is used", row);
        cr_expect_gt(test_objects(cache), 0);
        cache_free(cache);
    }
}

Test(memory, what_is_read_is_not_evicted_and_still_counts)
{
    struct cache *cache = test_cache(8 * MIB, 1);
    struct object *held = test_object(cache, numbered(0), 4 * MIB);
    cr_assert(cache_insert(cache, numbered(0), held, 1));
    for (unsigned i = 1; i < 100; i++)
        test_store(cache, numbered(i), 100 * KIB, 1);
    cr_expect_eq(test_find(cache, numbered(0)), held);
    cr_expect_geq(test_bytes(cache), 4 * MIB);
    cr_expect_leq(test_bytes(cache), 8 * MIB);
    cache_remove(cache, held);
    cr_expect_geq(test_bytes(cache), 4 * MIB, "out of the index, but there");
    object_unref(held);
    cache_free(cache);
}

Test(memory, a_full_cache_says_so_and_takes_nothing)
{
    struct cache *cache = test_cache(4 * MIB, 1);
    struct object *held[2];
    for (unsigned i = 0; i < 2; i++) {
        held[i] = test_object(cache, numbered(i), 3 * MIB);
        cr_expect_eq(cache_insert(cache, numbered(i), held[i], 1), i == 0);
    }
    cr_expect(cache_is_full(cache));
    object_unref(held[1]);
    cr_expect_not(cache_is_full(cache));
    object_unref(held[0]);
    cache_free(cache);
}

Test(memory, shrinking_evicts_at_once)
{
    struct cache *cache = test_cache(8 * MIB, 4);
    for (unsigned i = 0; i < 2000; i++)
        test_store(cache, numbered(i), 2000, 1);
    struct cache_options options = { .memory_bytes = 1 * MIB, .object_max_bytes = 1000 };
    cache_set(cache, &options);
    cr_expect_leq(test_bytes(cache), 1 * MIB);
    cr_expect_gt(test_objects(cache), 100);
    cr_expect_eq(cache_object_max(cache), 1000);
    cr_expect_null(test_store(cache, numbered(1), 2000, 1), "over the new object_max");
    cache_free(cache);
}

Test(memory, no_memory_stores_nothing)
{
    struct cache *cache = test_cache(0, 0);
    cr_expect_null(test_store(cache, numbered(1), 10, 1));
    cr_expect_eq(test_objects(cache), 0);
    cache_free(cache);
}

Test(memory, million_small_objects_cost_a_quarter_more_than_their_bytes)
{
    struct cache *cache = test_cache(1u << 30, 0);
    static char head[250] = "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\n";
    struct object_meta meta = test_meta(1024);
    meta.head = str_n(head, sizeof head);
    meta.etag = STR("\"abc\"");
    uint64_t before = test_bytes(cache);
    enum {
        COUNT = 20000
    };
    for (unsigned i = 0; i < COUNT; i++) {
        const struct key *key = numbered(i);
        struct object *object = test_object_with(cache, key, &meta, 1024);
        cr_assert(cache_insert(cache, key, object, 1));
        object_unref(object);
    }
    cr_expect_leq((test_bytes(cache) - before) / COUNT, (1024 + 250) * 5 / 4);
    cache_free(cache);
}
