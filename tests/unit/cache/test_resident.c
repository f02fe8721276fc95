/* cache.memory is resident bytes: what this process really holds, measured after each kind of churn. */
#include <criterion/criterion.h>
#include <math.h>

#include "fixture.h"
#include "resident.h"

#define BUDGET (256ull * MIB)
#define SPARE  (2 * MIB) /* of the process itself: stacks, the test's keys, pages of libraries */

static uint64_t before;
static uint64_t random_state;
static unsigned next_number;

static struct test_key room;

static const struct key *numbered(unsigned number)
{
    char target[32];
    snprintf(target, sizeof target, "/items/%08u", number);
    return test_key(&room, "acme", target);
}

static struct cache *begin(uint64_t budget)
{
    numbered(0);
    before = resident_bytes();
    random_state = 99;
    next_number = 0;
    return test_cache(budget, 0);
}

static void expect_within(struct cache *cache, uint64_t budget, const char *phase)
{
    uint64_t resident = resident_bytes() - before;
    uint64_t counted = test_bytes(cache);
    cr_expect_leq(counted, budget, "%s: %llu counted", phase, (unsigned long long)counted);
    if (IS_MEASURED)
        cr_expect_leq(resident, budget + budget / 20 + SPARE, "%s: %llu KiB resident, %llu KiB counted",
                      phase, (unsigned long long)resident / KIB, (unsigned long long)counted / KIB);
}

/* Stores so many bytes in objects of that size; length unknown for every third. Uses some again, so that not
 * all go in the order in which they came. */
static void churn(struct cache *cache, uint64_t bytes, uint64_t (*size_of)(void))
{
    for (uint64_t stored = 0; stored < bytes;) {
        uint64_t size = size_of();
        struct object_meta meta = test_meta(next_number % 3 == 0 ? -1 : (int64_t)size);
        const struct key *key = numbered(next_number++);
        struct object *object = test_object_with(cache, key, &meta, size);
        cr_assert(cache_insert(cache, key, object, 1));
        object_unref(object);
        stored += size;
        for (unsigned i = 0; i < 2; i++)
            test_find(cache, numbered(test_random(&random_state) % next_number));
    }
}

static double uniform(void)
{
    return (test_random(&random_state) + 1.0) / 4294967297.0;
}

/* Median 4 KiB, from 100 B to 1 MiB. */
static uint64_t lognormal(void)
{
    double normal = sqrt(-2 * log(uniform())) * cos(6.283185307 * uniform());
    double size = exp(8.3 + 1.6 * normal);
    return size < 100 ? 100 : size > MIB ? MIB : (uint64_t)size;
}

Test(resident, lognormal_sizes)
{
    struct cache *cache = begin(BUDGET);
    for (unsigned i = 0; i < 4; i++) {
        churn(cache, BUDGET, lognormal);
        expect_within(cache, BUDGET, "lognormal");
    }
    uint64_t counted = test_bytes(cache);
    cr_expect_gt(counted, BUDGET - BUDGET / 50, "and it is used");
    cache_free(cache);
}

static uint64_t fixed_size;

static uint64_t fixed(void)
{
    return fixed_size;
}

Test(resident, one_size_after_another)
{
    static const uint64_t sizes[] = {
        1 * KIB, 3 * KIB, 700, 60 * KIB, 1500, 100, 500 * KIB, 5 * KIB, 1 * KIB
    };
    struct cache *cache = begin(BUDGET);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        char phase[32];
        snprintf(phase, sizeof phase, "%llu bytes", (unsigned long long)sizes[i]);
        fixed_size = sizes[i];
        churn(cache, sizes[i] < KIB ? BUDGET / 4 : BUDGET + BUDGET / 8, fixed);
        expect_within(cache, BUDGET, phase);
    }
    cache_free(cache);
}

/* A few small ones of each block are in use, while all else goes. */
Test(resident, what_is_read_pins_no_more_than_its_pages)
{
    enum {
        HELD = 500
    };
    static struct object *held[HELD];
    struct cache *cache = begin(64 * MIB);
    for (unsigned i = 0; i < HELD; i++) {
        fixed_size = 1000;
        churn(cache, 120 * KIB, fixed);
        struct cache_found found;
        cache_find(cache, numbered(next_number - 1), NULL, 0, &found);
        held[i] = found.object;
        cr_assert_not_null(held[i]);
    }
    fixed_size = 20 * KIB;
    churn(cache, 128 * MIB, fixed);
    expect_within(cache, 64 * MIB, "held");
    cr_expect_gt(test_objects(cache), 2000, "%llu: and the rest is used",
                 (unsigned long long)test_objects(cache));
    for (unsigned i = 0; i < HELD; i++)
        object_unref(held[i]);
    cache_free(cache);
}

Test(resident, shrinking_gives_back)
{
    struct cache *cache = begin(BUDGET);
    churn(cache, BUDGET + BUDGET / 4, lognormal);
    struct cache_options options = { .memory_bytes = 32 * MIB, .object_max_bytes = 8 * MIB };
    cache_set(cache, &options);
    expect_within(cache, options.memory_bytes, "after shrinking");
    options.memory_bytes = 0;
    cache_set(cache, &options);
    /* What is left: its tables for as many objects as there were. */
    if (IS_MEASURED)
        cr_expect_leq(resident_bytes() - before, 12 * MIB, "%llu KiB",
                      (unsigned long long)(resident_bytes() - before) / KIB);
    cache_free(cache);
    if (IS_MEASURED)
        cr_expect_leq(resident_bytes() - before, 6 * MIB, "%llu KiB",
                      (unsigned long long)(resident_bytes() - before) / KIB);
}

Test(resident, small_objects_cost_a_quarter_more_than_their_bytes)
{
    enum {
        COUNT = 50000
    };
    static char head[200] = "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\n";
    struct cache *cache = begin(BUDGET);
    for (unsigned i = 0; i < COUNT; i++) {
        struct object_meta meta = test_meta(1024);
        meta.head = str_n(head, sizeof head);
        meta.etag = STR("\"abc\"");
        const struct key *key = numbered(i);
        struct object *object = test_object_with(cache, key, &meta, 1024);
        cr_assert(cache_insert(cache, key, object, 1));
        object_unref(object);
    }
    double payload = (double)COUNT * (1024 + sizeof head);
    double resident = (double)(resident_bytes() - before);
    cr_expect_leq((double)test_bytes(cache), payload * 1.25, "%.3f", (double)test_bytes(cache) / payload);
    if (IS_MEASURED)
        cr_expect_leq(resident, payload * 1.25, "%.3f", resident / payload);
    cache_free(cache);
}
