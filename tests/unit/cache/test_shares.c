/* Tenants' shares of the budget: kept, borrowed and given back. */
#include <criterion/criterion.h>

#include "fixture.h"

#define SIZE 1000

static struct test_key room;

static const struct key *key_of(const char *tenant, unsigned number)
{
    char target[24];
    snprintf(target, sizeof target, "/%u", number);
    return test_key(&room, tenant, target);
}

static void store(struct cache *cache, const char *tenant, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        cr_assert_not_null(test_store(cache, key_of(tenant, i), SIZE, 1));
}

/* How many of them are there; each is used by that. */
static unsigned found(struct cache *cache, const char *tenant, unsigned from, unsigned to)
{
    unsigned count = 0;
    for (unsigned i = from; i < to; i++)
        count += test_find(cache, key_of(tenant, i)) != NULL;
    return count;
}

/* How many objects such a cache holds. */
static unsigned capacity_of(uint64_t memory, unsigned shards)
{
    struct cache *cache = test_cache(memory, shards);
    store(cache, "acme", 0, (unsigned)(memory / SIZE));
    unsigned capacity = (unsigned)test_objects(cache);
    cache_free(cache);
    return capacity;
}

static struct cache *shared(uint64_t memory, unsigned shards, double fallback, const char *tenant,
                            double share)
{
    struct cache *cache = test_cache(memory, shards);
    struct cache_share row = { str_of(tenant), share };
    cache_set_shares(cache, fallback, &row, tenant ? 1 : 0);
    return cache;
}

Test(shares, scan_takes_nothing_from_who_is_within_his)
{
    enum {
        MEMORY = 16 * MIB
    };
    for (unsigned shards = 1; shards <= 16; shards *= 4) {
        unsigned capacity = capacity_of(MEMORY, shards);
        unsigned warm = capacity * 45 / 100;
        struct cache *cache = shared(MEMORY, shards, 0.5, NULL, 0);
        store(cache, "acme", 0, warm); /* never asked for: not even the main queue protects them */
        store(cache, "scanner", 0, 10 * capacity);
        cr_expect_eq(found(cache, "acme", 0, warm), warm, "%u shards", shards);
        cr_expect_gt(test_objects(cache), capacity * 95 / 100);
        cache_free(cache);
    }
}

/* Asked for now and then while somebody scans; what is missing comes again. */
static unsigned hits_under_scan(struct cache *cache, unsigned warm, unsigned scan)
{
    unsigned hits = 0;
    for (unsigned i = 0; i < scan; i++) {
        store(cache, "scanner", i, i + 1);
        if (i % 10 > 0)
            continue;
        const struct key *key = key_of("acme", i / 10 * 7919 % warm);
        bool is_hit = test_find(cache, key) != NULL;
        hits += is_hit;
        if (!is_hit)
            test_store(cache, key, SIZE, 1);
    }
    return hits;
}

Test(shares, scan_costs_a_warm_set_no_hits)
{
    unsigned capacity = capacity_of(16 * MIB, 4);
    unsigned warm = capacity * 45 / 100;
    struct cache *cache = shared(16 * MIB, 4, 0.5, NULL, 0);
    store(cache, "acme", 0, warm);
    unsigned hits = hits_under_scan(cache, warm, 10 * capacity);
    cr_expect_geq(hits, capacity * 9 / 10, "%u of %u", hits, capacity);
    cache_free(cache);
}

/* Without shares it is S3-FIFO that keeps what was used. */
Test(shares, scan_hurts_little_without_any)
{
    unsigned capacity = capacity_of(16 * MIB, 4);
    unsigned warm = capacity * 45 / 100;
    struct cache *cache = test_cache(16 * MIB, 4);
    store(cache, "acme", 0, warm);
    for (unsigned i = 0; i < 3; i++)
        found(cache, "acme", 0, warm);
    unsigned hits = hits_under_scan(cache, warm, 10 * capacity);
    cr_expect_geq(hits, capacity * 9 / 10, "%u of %u", hits, capacity);
    cache_free(cache);
}

Test(shares, one_of_a_thousand_scans)
{
    enum {
        MEMORY = 64 * MIB,
        TENANTS = 1000,
        EACH = 40
    };
    char name[16];
    unsigned capacity = capacity_of(MEMORY, 0);
    struct cache *cache = shared(MEMORY, 0, 1.0 / TENANTS, NULL, 0);
    for (unsigned i = 1; i < TENANTS; i++) {
        snprintf(name, sizeof name, "t%u", i);
        store(cache, name, 0, EACH);
    }
    store(cache, "scanner", 0, 10 * capacity);
    unsigned left = 0;
    for (unsigned i = 1; i < TENANTS; i++) {
        snprintf(name, sizeof name, "t%u", i);
        left += found(cache, name, 0, EACH);
    }
    cr_expect_eq(left, (TENANTS - 1) * EACH);
    cache_free(cache);
}

Test(shares, what_is_idle_is_borrowed_and_given_back)
{
    unsigned capacity = capacity_of(16 * MIB, 4);
    struct cache *cache = shared(16 * MIB, 4, 0.5, "acme", 0.1);
    store(cache, "acme", 0, 2 * capacity);
    unsigned borrowed = (unsigned)test_objects(cache);
    cr_expect_gt(borrowed, capacity * 9 / 10, "%u of %u", borrowed, capacity);
    for (unsigned i = 0; i < 4; i++)
        found(cache, "acme", 0, 2 * capacity); /* however much it is used */
    unsigned theirs = capacity * 45 / 100;
    store(cache, "bolt", 0, theirs);
    cr_expect_eq(found(cache, "bolt", 0, theirs), theirs);
    cr_expect_lt(found(cache, "acme", 0, 2 * capacity), capacity * 6 / 10);
    cache_free(cache);
}

Test(shares, who_borrows_most_gives_back_first)
{
    unsigned capacity = capacity_of(16 * MIB, 4);
    struct cache *cache = shared(16 * MIB, 4, 0.1, "idle", 0.7);
    store(cache, "idle", 0, 1);
    unsigned theirs = capacity * 25 / 100; /* over its share, and used once */
    store(cache, "acme", 0, theirs);
    for (unsigned i = 0; i < 10; i++)
        store(cache, "scanner", i * capacity, (i + 1) * capacity);
    cr_expect_eq(found(cache, "acme", 0, theirs), theirs);
    cr_expect_eq(found(cache, "idle", 0, 1), 1);
    cache_free(cache);
}

Test(shares, with_all_over_theirs_used_ones_stay)
{
    unsigned capacity = capacity_of(16 * MIB, 4);
    struct cache *cache = shared(16 * MIB, 4, 0.05, NULL, 0);
    unsigned warm = capacity * 40 / 100;
    store(cache, "acme", 0, warm);
    for (unsigned i = 0; i < 3; i++)
        found(cache, "acme", 0, warm);
    unsigned hits = hits_under_scan(cache, warm, 10 * capacity);
    cr_expect_geq(hits, capacity * 9 / 10, "%u of %u", hits, capacity);
    cache_free(cache);
}

Test(shares, change_at_a_reload)
{
    unsigned capacity = capacity_of(16 * MIB, 4);
    struct cache *cache = test_cache(16 * MIB, 4);
    store(cache, "acme", 0, 2 * capacity);
    struct cache_share rows[] = { { STR_INIT("acme"), 0.2 },
                                  { STR_INIT("acme"), 0.9 } /* the first counts */ };
    cache_set_shares(cache, 0.8, rows, COUNT_OF(rows));
    unsigned theirs = capacity * 70 / 100;
    store(cache, "bolt", 0, theirs);
    cr_expect_eq(found(cache, "bolt", 0, theirs), theirs);
    /* Half the budget, half of each share. */
    struct cache_options options = { .memory_bytes = 8 * MIB, .object_max_bytes = 8 * MIB };
    cache_set(cache, &options);
    store(cache, "acme", 0, 2 * capacity);
    unsigned left = found(cache, "bolt", 0, theirs);
    cr_expect_gt(left, capacity / 2 * 70 / 100, "%u", left);
    cr_expect_lt(left, capacity / 2 * 85 / 100, "%u", left);
    cache_set_shares(cache, 1, NULL, 0); /* all of it is everyone's again: bolt takes acme's, in their turn */
    store(cache, "bolt", 10000, 10000 + 2 * capacity);
    cr_expect_lt(found(cache, "acme", 0, 2 * capacity), capacity / 20);
    cache_free(cache);
}

Test(shares, what_is_read_is_left_alone)
{
    unsigned capacity = capacity_of(4 * MIB, 1);
    struct object *held[200];
    struct cache *cache = shared(4 * MIB, 1, 0.5, "scanner", 0);
    for (unsigned i = 0; i < COUNT_OF(held); i++) {
        const struct key *key = key_of("scanner", i);
        held[i] = test_object(cache, key, SIZE);
        cr_assert(cache_insert(cache, key, held[i], 1));
    }
    store(cache, "acme", 0, capacity * 45 / 100);
    store(cache, "scanner", 1000, 1000 + 3 * capacity);
    cr_expect_eq(found(cache, "acme", 0, capacity * 45 / 100), capacity * 45 / 100);
    for (unsigned i = 0; i < COUNT_OF(held); i++) {
        cr_expect_eq(test_find(cache, key_of("scanner", i)), held[i]);
        object_unref(held[i]);
    }
    cr_expect_leq(test_bytes(cache), 4 * MIB);
    cache_free(cache);
}
