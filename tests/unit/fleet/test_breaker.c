/* When not to ask. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "fleet/breaker.h"

#define STEP_NS (BREAKER_MOMENT_MS * NS_PER_MS)

static struct breaker breaker;
static int64_t now_ns;

/* One after the other, as those who wait for a budget do. */
static void fail_times(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        now_ns += STEP_NS;
        cr_assert(breaker_may(&breaker, now_ns));
        breaker_failed(&breaker, now_ns);
    }
}

Test(breaker, opens_after_five_failures_in_a_row)
{
    breaker_init(&breaker);
    fail_times(4);
    breaker_worked(&breaker);
    fail_times(4);
    cr_assert(breaker_may(&breaker, now_ns), "a success between them starts the row anew");
    fail_times(1);
    cr_assert_not(breaker_may(&breaker, now_ns));
    cr_assert_not(breaker_may(&breaker, now_ns + NS_PER_S - 1));
}

Test(breaker, takes_many_failures_of_one_moment_for_one)
{
    breaker_init(&breaker);
    for (unsigned i = 0; i < 1000; i++)
        breaker_failed(&breaker, i * STEP_NS / 1000);
    cr_assert(breaker_may(&breaker, STEP_NS));
    now_ns = STEP_NS;
    fail_times(4);
    cr_assert_not(breaker_may(&breaker, now_ns), "but it was one");
}

Test(breaker, lets_one_trial_pass_and_closes_when_it_works)
{
    breaker_init(&breaker);
    fail_times(5);
    now_ns += NS_PER_S;
    cr_assert(breaker_may(&breaker, now_ns));
    cr_assert_eq(breaker.state, BREAKER_HALF_OPEN);
    cr_assert_not(breaker_may(&breaker, now_ns), "only one");
    breaker_worked(&breaker);
    cr_assert(breaker_may(&breaker, now_ns));
    fail_times(4);
    cr_assert(breaker_may(&breaker, now_ns), "the count begins anew");
}

Test(breaker, waits_longer_after_each_failed_trial_up_to_ten_seconds)
{
    static const int64_t pauses_ms[] = { 1000, 2000, 4000, 8000, 10000, 10000 };
    breaker_init(&breaker);
    fail_times(5);
    for (size_t i = 0; i < sizeof pauses_ms / sizeof *pauses_ms; i++) {
        cr_assert_not(breaker_may(&breaker, now_ns + pauses_ms[i] * NS_PER_MS - 1), "pause %zu", i);
        now_ns += pauses_ms[i] * NS_PER_MS;
        cr_assert(breaker_may(&breaker, now_ns), "pause %zu", i);
        breaker_failed(&breaker, now_ns);
    }
}

Test(breaker, counts_late_failures_of_one_outage_once)
{
    breaker_init(&breaker);
    fail_times(5);
    for (unsigned i = 0; i < 100; i++)
        breaker_failed(&breaker, now_ns + i * STEP_NS);
    breaker_worked(&breaker);
    cr_assert_not(breaker_may(&breaker, now_ns + 10), "an old answer does not close it");
    cr_assert(breaker_may(&breaker, now_ns + NS_PER_S), "the pause is still the first one");
}

Test(breaker, forgets_a_trial_that_was_called_off_or_never_reported)
{
    breaker_init(&breaker);
    fail_times(5);
    now_ns += NS_PER_S;
    cr_assert(breaker_may(&breaker, now_ns));
    breaker_forget(&breaker, now_ns);
    cr_assert(breaker_may(&breaker, now_ns), "called off: the next one tries");
    cr_assert_not(breaker_may(&breaker, now_ns + 1));
    cr_assert(breaker_may(&breaker, now_ns + NS_PER_S), "never reported");
}

Test(breaker, trips_at_once_for_what_will_not_pass_soon)
{
    breaker_init(&breaker);
    breaker_trip(&breaker, 0);
    breaker_trip(&breaker, 0);
    cr_assert_not(breaker_may(&breaker, NS_PER_S - 1));
    cr_assert(breaker_may(&breaker, NS_PER_S));
}
