#include <criterion/criterion.h>

#include <stdlib.h>

#include "net/loop.h"
#include "net/wheel.h"

#define MS 1000000LL

static struct wheel wheel;
static unsigned fired;

static void count_up(void *arg)
{
    fired++;
}

static void begin(int64_t now_ns)
{
    wheel_init(&wheel, now_ns);
    fired = 0;
}

Test(wheel, fires_never_early_and_at_most_one_tick_late)
{
    static const int64_t delays_ms[] = { 0, 1, 9, 10, 11, 630, 640, 650, 40950, 40960, 41000, 3600000 };

    for (size_t i = 0; i < COUNT_OF(delays_ms); i++) {
        int64_t start_ns = 123456789 * MS + 777;
        int64_t deadline_ns = start_ns + delays_ms[i] * MS + 1;
        struct timer timer;
        begin(start_ns);
        timer_init(&timer, count_up, NULL);
        wheel_set(&wheel, &timer, deadline_ns);
        /* Only where the wheel says that something may be due. */
        int64_t now_ns = start_ns;
        while (fired == 0) {
            now_ns = wheel_next_ns(&wheel);
            cr_assert_neq(now_ns, WHEEL_NEVER);
            wheel_advance(&wheel, now_ns);
        }
        cr_expect_geq(now_ns, deadline_ns, "row %zu", i);
        cr_expect_leq(now_ns, deadline_ns + WHEEL_TICK_NS, "row %zu", i);
        cr_expect_not(timer_is_set(&timer), "row %zu", i);
        cr_expect_eq(wheel_next_ns(&wheel), WHEEL_NEVER, "row %zu", i);
    }
}

Test(wheel, moving_a_timer_later_leaves_it_where_it_is)
{
    struct timer timer;
    begin(0);
    timer_init(&timer, count_up, NULL);
    wheel_set(&wheel, &timer, 100 * MS);
    struct list *before = timer.link.prev;
    wheel_set(&wheel, &timer, 300 * MS);
    cr_assert_eq(timer.link.prev, before);

    wheel_advance(&wheel, 100 * MS);
    cr_assert_eq(fired, 0, "its slot came due, it did not");
    wheel_advance(&wheel, 290 * MS);
    cr_assert_eq(fired, 0);
    wheel_advance(&wheel, 300 * MS);
    cr_assert_eq(fired, 1);
}

Test(wheel, moving_a_timer_earlier_makes_it_fire_earlier)
{
    struct timer timer;
    begin(0);
    timer_init(&timer, count_up, NULL);
    wheel_set(&wheel, &timer, 30000 * MS);
    wheel_set(&wheel, &timer, 50 * MS);
    wheel_advance(&wheel, 50 * MS);
    cr_assert_eq(fired, 1);
}

Test(wheel, a_cancelled_timer_is_silent_and_can_be_set_again)
{
    struct timer timer;
    begin(0);
    timer_init(&timer, count_up, NULL);
    timer_cancel(&timer);
    wheel_set(&wheel, &timer, 50 * MS);
    timer_cancel(&timer);
    timer_cancel(&timer);
    wheel_advance(&wheel, 1000 * MS);
    cr_assert_eq(fired, 0);
    wheel_set(&wheel, &timer, 1050 * MS);
    wheel_advance(&wheel, 1050 * MS);
    cr_assert_eq(fired, 1);
}

Test(wheel, farther_than_the_wheel_reaches_is_far_but_not_lost)
{
    struct timer timer;
    begin(0);
    timer_init(&timer, count_up, NULL);
    wheel_set(&wheel, &timer, INT64_MAX / 4);
    wheel_advance(&wheel, INT64_MAX / 8);
    cr_assert_eq(fired, 0);
    cr_assert(timer_is_set(&timer));
    wheel_advance(&wheel, INT64_MAX / 4 + WHEEL_TICK_NS);
    cr_assert_eq(fired, 1);
}

static void cancel_other(void *arg)
{
    timer_cancel(arg);
    fired++;
}

Test(wheel, one_timer_may_cancel_the_next_of_the_same_slot)
{
    struct timer first;
    struct timer second;
    begin(0);
    timer_init(&first, cancel_other, &second);
    timer_init(&second, count_up, NULL);
    wheel_set(&wheel, &first, 20 * MS);
    wheel_set(&wheel, &second, 20 * MS);
    wheel_advance(&wheel, 20 * MS);
    cr_assert_eq(fired, 1);
}

static void set_again(void *arg)
{
    fired++;
    wheel_set(&wheel, arg, 20 * MS + 1);
}

Test(wheel, a_timer_set_again_by_its_own_callback_waits_for_the_next_tick)
{
    struct timer timer;
    begin(0);
    timer_init(&timer, set_again, &timer);
    wheel_set(&wheel, &timer, 20 * MS);
    wheel_advance(&wheel, 20 * MS);
    cr_assert_eq(fired, 1);
    cr_assert_eq(wheel_next_ns(&wheel), 30 * MS);
}

struct model {
    struct timer timer;
    int64_t deadline_ns;
    int64_t now_ns;
};

static int64_t model_now_ns;

static void model_fire(void *arg)
{
    struct model *model = arg;
    cr_assert_leq(model->deadline_ns, model_now_ns, "early");
    cr_assert_neq(model->deadline_ns, 0, "cancelled");
    model->deadline_ns = 0;
}

/* Many timers moved about at random: whatever is two ticks overdue has fired, nothing fires early. */
Test(wheel, agrees_with_a_plain_list)
{
    static struct model models[64];
    srand(42);
    begin(0);
    model_now_ns = 0;
    for (size_t i = 0; i < COUNT_OF(models); i++)
        timer_init(&models[i].timer, model_fire, &models[i]);
    for (unsigned step = 0; step < 200000; step++) {
        struct model *model = &models[(size_t)rand() % COUNT_OF(models)];
        if (rand() % 8 == 0) {
            timer_cancel(&model->timer);
            model->deadline_ns = 0;
        } else {
            model->deadline_ns = model_now_ns + 1 + (int64_t)rand() % (1LL << (10 + rand() % 30));
            wheel_set(&wheel, &model->timer, model->deadline_ns);
        }
        model_now_ns += (int64_t)rand() % (1LL << (rand() % 31));
        wheel_advance(&wheel, model_now_ns);
        for (size_t i = 0; i < COUNT_OF(models); i++)
            cr_assert(models[i].deadline_ns == 0 || models[i].deadline_ns + 2 * WHEEL_TICK_NS > model_now_ns);
    }
}
