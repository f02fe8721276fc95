#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "net/loop.h"

static unsigned calls;
static struct loop *loop;

static void setup(void)
{
    loop = loop_new();
    cr_assert_not_null(loop);
    calls = 0;
}

static void teardown(void)
{
    loop_free(loop);
}

TestSuite(loop, .init = setup, .fini = teardown, .timeout = 10);

static void count_up(void *arg)
{
    calls++;
}

/* --- time --- */

Test(loop, the_time_stands_still_within_a_turn)
{
    loop_turn(loop, 0);
    int64_t now_ns = loop_now_ns(loop);
    cr_assert_eq(loop_now_ns(loop), now_ns);
    int64_t tick_ns = loop_tick_ns(loop);
    cr_assert_gt(tick_ns, now_ns);
    cr_assert_eq(loop_now_ns(loop), tick_ns);
    loop_turn(loop, 0);
    cr_assert_gt(loop_now_ns(loop), tick_ns);
}

Test(loop, the_wall_clock_is_the_wall_clock)
{
    int64_t apart_ms = clock_wall_ns() / NS_PER_MS - loop_wall_ms(loop);
    cr_assert_lt(llabs(apart_ms), 200);
}

Test(loop, a_timer_fires_once_and_neither_early_nor_much_late)
{
    struct timer timer;
    timer_init(&timer, count_up, NULL);
    int64_t start_ns = loop_tick_ns(loop);
    timer_set(loop, &timer, 30);
    cr_assert(timer_is_set(&timer));
    while (calls == 0)
        loop_turn(loop, -1);
    int64_t took_ms = (clock_mono_ns() - start_ns) / NS_PER_MS;
    cr_expect_geq(took_ms, 30);
    cr_expect_lt(took_ms, 500, "a busy machine is late, but not that late");
    cr_expect_not(timer_is_set(&timer));
    loop_turn(loop, 30);
    cr_assert_eq(calls, 1);
}

Test(loop, turns_are_few_while_a_timer_waits)
{
    struct timer timer;
    unsigned turns = 0;
    timer_init(&timer, count_up, NULL);
    timer_set(loop, &timer, 200);
    for (; calls == 0; turns++)
        loop_turn(loop, -1);
    cr_assert_lt(turns, 8, "%u turns", turns);
}

Test(loop, a_turn_with_a_bound_returns_without_events)
{
    int64_t start_ns = clock_mono_ns();
    loop_turn(loop, 20);
    cr_assert_geq(clock_mono_ns() - start_ns, 15 * NS_PER_MS);
}

/* --- put off --- */

struct again {
    struct later later;
    unsigned runs;
};

static void run_again(void *arg)
{
    struct again *again = arg;
    if (++again->runs < 3)
        loop_later(loop, &again->later);
}

Test(loop, what_is_put_off_runs_once_at_the_end_of_the_turn)
{
    struct later later;
    later_init(&later, count_up, NULL);
    loop_later(loop, &later);
    loop_later(loop, &later);
    cr_assert_eq(calls, 0);
    loop_turn(loop, -1);
    cr_assert_eq(calls, 1, "and the turn did not wait");
    loop_turn(loop, 0);
    cr_assert_eq(calls, 1);
}

Test(loop, put_off_by_what_was_put_off_waits_for_the_next_turn)
{
    struct again again = { .runs = 0 };
    later_init(&again.later, run_again, &again);
    loop_later(loop, &again.later);
    for (unsigned turn = 1; turn <= 3; turn++) {
        loop_turn(loop, -1);
        cr_assert_eq(again.runs, turn);
    }
}

Test(loop, cancelled_is_not_run)
{
    struct later later;
    later_init(&later, count_up, NULL);
    later_cancel(&later);
    loop_later(loop, &later);
    later_cancel(&later);
    loop_turn(loop, 0);
    cr_assert_eq(calls, 0);
}

static void touch_freed(void *arg)
{
    char *memory = arg;
    memory[0] = 1; /* put off before it: not freed yet */
    calls++;
}

Test(loop, memory_is_freed_after_what_was_put_off)
{
    char *memory = malloc(16);
    struct later later;
    later_init(&later, touch_freed, memory);
    loop_free_later(loop, memory);
    for (unsigned i = 0; i < 200; i++)
        loop_free_later(loop, malloc(8));
    loop_free_later(loop, NULL);
    loop_later(loop, &later);
    loop_turn(loop, 0);
    cr_assert_eq(calls, 1);
    loop_free_later(loop, malloc(8)); /* goes with the loop */
}

/* --- messages --- */

struct numbered {
    struct post post;
    unsigned number;
};

static unsigned last_number;

static void take_number(struct post *post)
{
    struct numbered *numbered = (struct numbered *)post;
    cr_assert_eq(numbered->number, last_number + 1);
    last_number = numbered->number;
    free(numbered);
}

static void post_number(unsigned number)
{
    struct numbered *numbered = malloc(sizeof *numbered);
    *numbered = (struct numbered){ .post.fn = take_number, .number = number };
    loop_post(loop, &numbered->post);
}

Test(loop, messages_arrive_in_the_order_they_were_sent)
{
    last_number = 0;
    for (unsigned i = 1; i <= 5; i++)
        post_number(i);
    loop_turn(loop, -1);
    cr_assert_eq(last_number, 5);
    post_number(6);
    loop_turn(loop, -1);
    cr_assert_eq(last_number, 6);
}

static void *send_and_stop(void *arg)
{
    for (unsigned i = 1; i <= 1000; i++)
        post_number(i);
    loop_stop(loop);
    return NULL;
}

Test(loop, nothing_sent_before_the_stop_is_lost)
{
    pthread_t thread;
    last_number = 0;
    pthread_create(&thread, NULL, send_and_stop, NULL);
    loop_run(loop);
    pthread_join(thread, NULL);
    cr_assert_eq(last_number, 1000);
}

Test(loop, may_be_stopped_before_it_runs_and_run_again)
{
    loop_stop(loop);
    loop_run(loop);
    loop_stop(loop);
    loop_run(loop);
}

Test(loop, half_built_or_none_may_be_freed)
{
    loop_free(NULL);
}
