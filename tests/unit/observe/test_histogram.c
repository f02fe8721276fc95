#include "observe/histogram.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "seed.h"

static struct page_pool *pool;
static struct histogram histogram;
static struct histogram_sum sum;

static void start(void)
{
    pool = page_pool_new(2000);
    histogram_init(&histogram);
    sum = (struct histogram_sum){ 0 };
}

static void stop(void)
{
    page_pool_free(pool);
    page_pool_free(NULL);
}

TestSuite(histogram, .init = start, .fini = stop);

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

Test(histogram, one_value_is_known_to_one_percent_from_1_us_to_1_h)
{
    uint64_t seed = 1;
    for (double value = 1000; value <= 3600.0 * (double)NS_PER_S;
         value *= 1.0007 + random_below(&seed, 100) / 1e5) {
        struct histogram_sum one = { 0 };
        struct histogram h;
        struct page_pool *small = page_pool_new(1);
        histogram_init(&h);
        histogram_add(&h, small, (int64_t)value);
        h.max_ns = UINT64_MAX / 2; /* or it would be the answer */
        histogram_sum_add(&one, &h);
        double got = (double)histogram_quantile_ns(&one, 0.5);
        cr_assert(got > 0.99 * value && got < 1.01 * value, "%.0f -> %.0f", value, got);
        page_pool_free(small);
    }
}

Test(histogram, quantiles_are_within_one_percent_of_the_exact_ones)
{
    enum {
        VALUES = 20000
    };
    static int64_t values[VALUES];
    static const double shares[] = { 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0 };
    uint64_t seed = 2;
    for (int round = 0; round < 20; round++) {
        struct histogram h;
        struct page_pool *pages = page_pool_new(32);
        static struct histogram_sum s;
        s = (struct histogram_sum){ 0 };
        histogram_init(&h);
        for (int i = 0; i < VALUES; i++) {
            /* From microseconds to minutes, most of them short. */
            unsigned bits = 10 + random_below(&seed, 8 + (unsigned)round);
            values[i] = 1000 + (int64_t)(random_next(&seed) & (((uint64_t)1 << bits) - 1));
            histogram_add(&h, pages, values[i]);
        }
        histogram_sum_add(&s, &h);
        qsort(values, VALUES, sizeof values[0], by_value);
        for (size_t i = 0; i < COUNT_OF(shares); i++) {
            int at = (int)(shares[i] * VALUES + 0.999999) - 1;
            double want = (double)values[at], got = (double)histogram_quantile_ns(&s, shares[i]);
            cr_expect(got >= 0.99 * want && got <= 1.01 * want, "round %d p%g: %.0f, want %.0f", round,
                      shares[i], got, want);
        }
        cr_expect_eq(s.count, VALUES);
        cr_expect_eq(s.max_ns, (uint64_t)values[VALUES - 1]);
        page_pool_free(pages);
    }
}

Test(histogram, what_is_outside_counts_in_the_first_or_last_step)
{
    static const int64_t values[] = { INT64_MIN, -1, 0, 1, 500, INT64_MAX };
    for (size_t i = 0; i < COUNT_OF(values); i++)
        histogram_add(&histogram, pool, values[i]);
    histogram_sum_add(&sum, &histogram);
    cr_expect_eq(sum.count, 6);
    cr_expect_eq(sum.counts[0], 5);
    cr_expect_eq(sum.counts[COUNT_OF(sum.counts) - 1], 1);
    cr_expect_eq(histogram_quantile_ns(&sum, 1), INT64_MAX, "the longest is known as it is");
    cr_expect_leq(histogram_quantile_ns(&sum, 0.5), 1000);
}

Test(histogram, an_empty_one_has_no_quantiles)
{
    histogram_sum_add(&sum, &histogram);
    cr_expect_eq(sum.count, 0);
    cr_expect_eq(histogram_quantile_ns(&sum, 0.99), 0);
    cr_expect_eq(histogram_count_until(&sum, INT64_MAX), 0);
}

Test(histogram, a_quantile_is_never_above_the_longest_value)
{
    uint64_t seed = 3;
    for (int round = 0; round < 1000; round++) {
        static struct histogram_sum one;
        int64_t value = (int64_t)(random_next(&seed) >> (14 + random_below(&seed, 40)));
        one = (struct histogram_sum){ 0 };
        histogram_init(&histogram);
        histogram_add(&histogram, pool, value);
        histogram_sum_add(&one, &histogram);
        cr_assert_leq(histogram_quantile_ns(&one, 1), value);
    }
}

Test(histogram, counts_until_a_limit_include_the_limit)
{
    static const int64_t limits[] = { 1000, 100000, NS_PER_MS, NS_PER_S, 60 * NS_PER_S, 3600 * NS_PER_S };
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        histogram_add(&histogram, pool, limits[i]);
    histogram_sum_add(&sum, &histogram);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        cr_expect_eq(histogram_count_until(&sum, limits[i]), i + 1, "row %zu", i);
        cr_expect_eq(histogram_count_until(&sum, limits[i] - limits[i] / 60), i, "row %zu", i);
    }
    cr_expect_eq(histogram_count_until(&sum, INT64_MAX), sum.count);
    cr_expect_eq(histogram_count_until(&sum, -1), 0);
}

Test(histogram, sums_add_up_over_workers)
{
    struct histogram other;
    histogram_init(&other);
    histogram_add(&histogram, pool, 1000);
    histogram_add(&other, pool, 3000);
    histogram_add(&other, pool, NS_PER_S);
    histogram_sum_add(&sum, &histogram);
    histogram_sum_add(&sum, &other);
    cr_expect_eq(sum.count, 3);
    cr_expect_eq(sum.sum_ns, 4000 + NS_PER_S);
    cr_expect_eq(sum.max_ns, NS_PER_S);
}

Test(histogram, without_pages_left_it_says_so_and_counts)
{
    struct page_pool *small = page_pool_new(1);
    cr_expect(histogram_add(&histogram, small, 1000));
    cr_expect_not(histogram_add(&histogram, small, NS_PER_S));
    cr_expect(histogram_add(&histogram, small, 1001));
    histogram_sum_add(&sum, &histogram);
    cr_expect_eq(sum.count, 2);
    cr_expect_eq(sum.max_ns, 1001);
    cr_expect_eq(page_pool_overflowed(small), 1);
    page_pool_free(small);
}
