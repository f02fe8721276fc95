/* A timer kept to a millisecond. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "net/exact.h"
#include "net/loop.h"

static struct loop *loop;
static struct exact *exact;
static unsigned calls;
static int64_t called_ns;

static void on_due(void *arg)
{
    calls++;
    called_ns = loop_now_ns(loop);
}

static void open_loop(void (*fn)(void *arg))
{
    loop = loop_new();
    exact = exact_new(loop, fn, NULL);
    cr_assert_not_null(exact);
}

static void close_loop(void)
{
    exact_free(exact);
    loop_turn(loop, 0);
    loop_free(loop);
}

static void turn_until_called(void)
{
    int64_t end_ns = clock_mono_ns() + 5 * NS_PER_S;
    while (calls == 0 && clock_mono_ns() < end_ns)
        loop_turn(loop, -1);
    cr_assert_eq(calls, 1);
}

Test(exact, is_never_early_and_hardly_late)
{
    static const int64_t delays_us[] = { 100, 1000, 2500, 5000, 7300 };
    open_loop(on_due);
    for (size_t i = 0; i < sizeof delays_us / sizeof *delays_us; i++) {
        int64_t best_ns = INT64_MAX; /* of some: the machine may be busy */
        for (unsigned round = 0; round < 10; round++) {
            int64_t due_ns = loop_tick_ns(loop) + delays_us[i] * 1000;
            calls = 0;
            exact_set(exact, due_ns);
            turn_until_called();
            cr_assert_geq(called_ns, due_ns, "row %zu", i);
            if (called_ns - due_ns < best_ns)
                best_ns = called_ns - due_ns;
        }
        cr_expect_leq(best_ns, 500000, "row %zu: %ld ns late", i, (long)best_ns);
    }
    close_loop();
}

Test(exact, moves_and_is_called_off)
{
    open_loop(on_due);
    int64_t now_ns = loop_tick_ns(loop);
    exact_set(exact, now_ns + NS_PER_S);
    exact_set(exact, now_ns + 3 * NS_PER_MS);
    turn_until_called();
    cr_assert_lt(called_ns, now_ns + NS_PER_S / 2);
    calls = 0;
    exact_set(exact, loop_tick_ns(loop) + NS_PER_MS);
    exact_cancel(exact);
    exact_cancel(exact);
    loop_turn(loop, 20);
    cr_assert_eq(calls, 0);
    exact_set(exact, 1);
    turn_until_called();
    close_loop();
}

static void free_it(void *arg)
{
    calls++;
    exact_free(exact);
    exact = NULL;
}

Test(exact, may_be_freed_by_what_it_calls)
{
    open_loop(free_it);
    exact_set(exact, loop_tick_ns(loop));
    turn_until_called();
    close_loop();
}
