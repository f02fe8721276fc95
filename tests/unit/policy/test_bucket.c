#include "policy/bucket.h"

#include "ask.h"

Test(bucket, refills_with_time_not_with_calls)
{
    struct bucket bucket;
    bucket_init(&bucket, 0);
    cr_assert(bucket_take(&bucket, 10, 1, 0).is_taken);
    for (int i = 0; i < 1000; i++)
        cr_assert_not(bucket_take(&bucket, 10, 1, 99 * NS_PER_MS).is_taken, "the burst is spent");
    cr_assert(bucket_take(&bucket, 10, 1, 100 * NS_PER_MS).is_taken, "100 ms at 10/s buys one token");
}

Test(bucket, starts_full_and_gives_its_burst_at_once)
{
    struct bucket bucket;
    bucket_init(&bucket, 7);
    for (int i = 4; i >= 0; i--) {
        struct bucket_answer answer = bucket_take(&bucket, 5, 5, 7);
        cr_assert(answer.is_taken);
        cr_expect_eq(answer.left, i);
        cr_expect_eq(answer.full_ns, (5 - i) * 200 * NS_PER_MS);
        cr_expect_eq(answer.wait_ns, 0);
    }
    struct bucket_answer answer = bucket_take(&bucket, 5, 5, 7);
    cr_assert_not(answer.is_taken);
    cr_expect_eq(answer.left, 0);
    cr_expect_eq(answer.wait_ns, 200 * NS_PER_MS);
    cr_expect_eq(answer.full_ns, NS_PER_S);
}

Test(bucket, a_wait_that_was_waited_is_enough)
{
    static const struct {
        double rate;
        double burst;
    } rows[] = { { 3, 1 },         { 7, 10 },  { 0.1, 1 },          { 1e-9, 3 },
                 { 123456.7, 50 }, { 3e9, 1 }, { 1000.0 / 60, 2.5 } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bucket bucket;
        struct bucket_answer answer;
        int64_t now = 1000 * NS_PER_S;
        int taken = 0;
        bucket_init(&bucket, now);
        while ((answer = bucket_take(&bucket, rows[i].rate, rows[i].burst, now)).is_taken)
            taken++;
        cr_expect_eq(taken, (int)rows[i].burst, "row %zu", i);
        cr_expect_gt(answer.wait_ns, 0, "row %zu", i);
        cr_expect_not(bucket_take(&bucket, rows[i].rate, rows[i].burst, now + answer.wait_ns - 1).is_taken,
                      "row %zu", i);
        cr_expect(bucket_take(&bucket, rows[i].rate, rows[i].burst, now + answer.wait_ns).is_taken, "row %zu",
                  i);
    }
}

Test(bucket, saves_up_no_more_than_its_burst)
{
    struct bucket bucket;
    bucket_init(&bucket, 0);
    int taken = 0;
    while (bucket_take(&bucket, 100, 3, 3600 * NS_PER_S).is_taken)
        taken++;
    cr_expect_eq(taken, 3);
}

Test(bucket, limits_raised_by_a_reload_hold_at_once)
{
    struct bucket bucket;
    bucket_init(&bucket, 0);
    while (bucket_take(&bucket, 1.0 / 60, 60, 0).is_taken)
        ;
    cr_expect_not(bucket_take(&bucket, 100, 100, NS_PER_S).is_taken, "empty is empty");
    cr_expect(bucket_take(&bucket, 100, 100, NS_PER_S + 10 * NS_PER_MS).is_taken,
              "an hour of the old rate is not waited for");
}

Test(bucket, a_clock_that_lags_behind_another_workers_gains_nothing)
{
    struct bucket bucket;
    bucket_init(&bucket, NS_PER_S);
    for (int i = 0; i < 10; i++)
        cr_assert(bucket_take(&bucket, 10, 10, NS_PER_S).is_taken);
    for (int i = 0; i < 100; i++)
        cr_assert_not(bucket_take(&bucket, 10, 10, NS_PER_S - 500 * NS_PER_MS).is_taken);
    cr_expect(bucket_take(&bucket, 10, 10, NS_PER_S + 100 * NS_PER_MS).is_taken);
}

/* The promise itself, against every window between two takes. */
Test(bucket, never_gives_more_than_burst_and_rate_in_any_window)
{
    enum {
        TAKES = 400
    };
    static int64_t taken_at[TAKES];
    uint64_t seed = 1;
    for (int round = 0; round < 60; round++) {
        double rate = 0.5 + random_below(&seed, 100000) / 50.0;
        double burst = 1 + random_below(&seed, 400) / 10.0;
        double gap_max = 2.0 * (double)NS_PER_S / rate;
        struct bucket bucket;
        int64_t now = 0;
        int count = 0;
        bucket_init(&bucket, now);
        for (int i = 0; i < 20000 && count < TAKES; i++) {
            if (random_below(&seed, 3) == 0)
                now += (int64_t)(gap_max * random_below(&seed, 1000) / 1000);
            if (random_below(&seed, 400) == 0)
                now += 3 * NS_PER_S;
            if (bucket_take(&bucket, rate, burst, now).is_taken)
                taken_at[count++] = now;
        }
        for (int from = 0; from < count; from++) {
            for (int to = from; to < count; to++) {
                double window_s = (double)(taken_at[to] - taken_at[from]) / (double)NS_PER_S;
                cr_assert_leq(to - from + 1, burst + rate * window_s + 1e-6, "round %d: %d..%d", round, from,
                              to);
            }
        }
    }
}

Test(bucket, gives_the_whole_rate_to_who_always_asks)
{
    struct bucket bucket;
    bucket_init(&bucket, 0);
    int taken = 0;
    for (int64_t now = 0; now < 10 * NS_PER_S; now += NS_PER_MS / 4)
        taken += bucket_take(&bucket, 333, 20, now).is_taken;
    cr_expect_geq(taken, 3330 + 19);
    cr_expect_leq(taken, 3330 + 20);
}
