#include "policy/fair.h"

#include "ask.h"

enum {
    WAITERS = 4096
};
static struct line_waiter waiters[WAITERS];
static struct fair fair;

/* Adds a waiter whose number in the array says who it is. */
static void add(unsigned number, const char *flow, unsigned weight, uint8_t priority)
{
    waiters[number] = (struct line_waiter){ .priority = priority };
    cr_assert(fair_add(&fair, str_of(flow), weight, &waiters[number]));
}

static int next(void)
{
    struct line_waiter *waiter = fair_next(&fair);
    return waiter ? (int)(waiter - waiters) : -1;
}

static void start(void)
{
    cr_assert(fair_init(&fair));
}

static void stop(void)
{
    while (fair_next(&fair))
        ;
    cr_expect_eq(fair_flow_count(&fair), 0, "nothing is kept when nobody waits");
    fair_fini(&fair);
    fair_fini(NULL);
}

TestSuite(fair, .init = start, .fini = stop);

Test(fair, one_flow_is_first_come_first_served)
{
    for (unsigned i = 0; i < 100; i++)
        add(i, "a", 1, 1);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(next(), i);
    cr_expect_eq(next(), -1);
}

Test(fair, equal_flows_take_turns_in_the_order_they_came)
{
    static const int want[] = { 0, 3, 5, 1, 4, 2 };
    add(0, "a", 1, 1);
    add(1, "a", 1, 1);
    add(2, "a", 1, 1);
    add(3, "b", 1, 1);
    add(4, "b", 1, 1);
    add(5, "c", 1, 1);
    for (size_t i = 0; i < COUNT_OF(want); i++)
        cr_expect_eq(next(), want[i], "turn %zu", i);
}

Test(fair, a_higher_class_goes_first_whatever_waits_below)
{
    add(0, "a", 1000, 2);
    add(1, "a", 1, 1);
    add(2, "a", 1, 0);
    add(3, "b", 1, 0);
    static const int want[] = { 2, 3, 1, 0 };
    for (size_t i = 0; i < COUNT_OF(want); i++)
        cr_expect_eq(next(), want[i], "turn %zu", i);
}

/* Keeps every flow waiting and counts turns. */
static void saturate(const unsigned *weights, unsigned flows, unsigned turns, unsigned *got)
{
    unsigned number = 0;
    for (unsigned i = 0; i < flows; i++) {
        char name[2] = { (char)('a' + i), 0 };
        for (int k = 0; k < 3; k++)
            add(number++, name, weights[i], 1);
    }
    for (unsigned turn = 0; turn < turns; turn++) {
        int at = next();
        char name[2] = { (char)('a' + at / 3), 0 };
        got[at / 3]++;
        add((unsigned)at, name, weights[at / 3], 1);
    }
}

Test(fair, weights_four_to_one_give_four_to_one)
{
    unsigned weights[] = { 4, 1 }, got[2] = { 0 };
    saturate(weights, 2, 1000, got);
    cr_expect_eq(got[0], 800);
    cr_expect_eq(got[1], 200);
}

Test(fair, any_weights_give_their_shares)
{
    uint64_t seed = 7;
    for (int round = 0; round < 50; round++) {
        unsigned weights[20], got[20] = { 0 }, flows = 2 + random_below(&seed, 19), sum = 0;
        enum {
            TURNS = 20000
        };
        for (unsigned i = 0; i < flows; i++)
            sum += weights[i] = 1 + random_below(&seed, 50);
        saturate(weights, flows, TURNS, got);
        for (unsigned i = 0; i < flows; i++) {
            double want = (double)TURNS * weights[i] / sum;
            cr_expect(got[i] > want - 2 && got[i] < want + 2, "round %d flow %u: %u, want %g", round, i,
                      got[i], want);
        }
        while (next() >= 0)
            ;
    }
}

Test(fair, a_quiet_flow_waits_for_one_turn_of_each_other_at_most)
{
    for (unsigned i = 0; i < 1000; i++)
        add(i, "noisy", 1, 1);
    for (int i = 0; i < 500; i++)
        next();
    add(2000, "quiet", 1, 1);
    int turns = 1;
    while (next() != 2000)
        turns++;
    cr_expect_leq(turns, 2);
}

Test(fair, who_comes_back_one_at_a_time_gets_no_more_than_its_share)
{
    unsigned number = 1;
    int one = 0, noisy = 0;
    for (; number <= 300; number++)
        add(number, "noisy", 1, 1);
    add(0, "one", 1, 1);
    for (int turn = 0; turn < 400; turn++) {
        int at = next();
        one += at == 0;
        noisy += at != 0;
        if (at == 0)
            add(0, "one", 1, 1);
    }
    cr_expect(one <= noisy + 1, "%d to %d", one, noisy);
    cr_expect(one >= noisy - 1, "%d to %d", one, noisy);
}

Test(fair, an_idle_time_saves_up_no_turns)
{
    add(0, "late", 1, 1);
    cr_assert_eq(next(), 0);
    unsigned number = 1;
    for (; number <= 1000; number++)
        add(number, "busy", 1, 1);
    for (int i = 0; i < 900; i++)
        next();
    for (unsigned i = 2000; i < 2100; i++)
        add(i, "late", 1, 1);
    int late = 0;
    for (int i = 0; i < 20; i++)
        late += next() >= 2000;
    cr_expect_eq(late, 10);
}

Test(fair, a_waiter_that_leaves_costs_the_others_nothing)
{
    add(0, "a", 1, 1);
    add(1, "a", 1, 1);
    add(2, "b", 1, 1);
    fair_remove(&fair, &waiters[0]);
    cr_expect_eq(fair_flow_count(&fair), 2);
    fair_remove(&fair, &waiters[2]);
    cr_expect_eq(fair_flow_count(&fair), 1);
    cr_expect_eq(next(), 1);
    cr_expect_eq(next(), -1);
}

Test(fair, what_is_remembered_of_empty_flows_is_bounded)
{
    add(0, "anchor", 1, 1);
    add(1, "anchor", 1, 1);
    for (unsigned i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        add(2, name, 1, 1);
        add(3, name, 1, 1);
        fair_remove(&fair, &waiters[3]);
        int at;
        while ((at = next()) != 2)
            add((unsigned)at, "anchor", 1, 1);
        cr_assert_leq(fair_flow_count(&fair), FAIR_IDLE_MAX + 2);
    }
}

Test(fair, random_comings_and_goings_keep_the_order_of_each_flow)
{
    enum {
        FLOWS = 6
    };
    uint64_t seed = 99;
    unsigned used = 0, inside = 0, oldest[FLOWS] = { 0 };
    static unsigned flow_of[WAITERS];
    static bool is_in[WAITERS];
    while (used < WAITERS) {
        unsigned dice = random_below(&seed, 10);
        if (dice < 5) {
            unsigned flow = random_below(&seed, FLOWS);
            char name[2] = { (char)('a' + flow), 0 };
            flow_of[used] = flow;
            is_in[used] = true;
            add(used++, name, flow + 1, 1);
            inside++;
        } else if (dice < 7 && used > 0) {
            unsigned at = random_below(&seed, used);
            if (is_in[at]) {
                fair_remove(&fair, &waiters[at]);
                is_in[at] = false;
                inside--;
            }
        } else {
            int at = next();
            cr_assert_eq(at >= 0, inside > 0);
            if (at < 0)
                continue;
            cr_assert(is_in[at]);
            is_in[at] = false;
            inside--;
            cr_assert_geq((unsigned)at, oldest[flow_of[at]]);
            oldest[flow_of[at]] = (unsigned)at;
        }
    }
}
