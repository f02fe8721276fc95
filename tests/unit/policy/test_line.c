#include "policy/line.h"

#include "ask.h"

#define A STR("a")
#define B STR("b")

/* A waiter that remembers when it got its turn. */
struct guest {
    struct line_waiter waiter;
    int turn; /* 0: not yet */
    bool is_refused;
};

static int turns;

static void on_turn(struct line_waiter *waiter)
{
    struct guest *guest = CONTAINER_OF(waiter, struct guest, waiter);
    cr_assert(!guest->is_refused && guest->turn == 0);
    guest->turn = ++turns;
}

static void on_refused(struct line_waiter *waiter)
{
    struct guest *guest = CONTAINER_OF(waiter, struct guest, waiter);
    cr_assert(!guest->is_refused && guest->turn == 0);
    guest->is_refused = true;
}

static enum line_answer enter(struct line *line, struct str flow, unsigned weight, struct guest *guest)
{
    guest->waiter.on_turn = on_turn;
    guest->waiter.on_refused = on_refused;
    guest->turn = 0;
    guest->is_refused = false;
    return line_enter(line, flow, weight, &guest->waiter);
}

/* Everybody who waits goes in, everybody who is in goes home. */
static void close_line(struct line *line)
{
    line_set(line, -1, 0);
    while (line_inside(line) > 0)
        line_leave(line);
    line_free(line);
}

static void expect_counts(const struct line *line, int64_t inside, int64_t waiting)
{
    cr_expect_eq(line_inside(line), inside, "inside: %ld", (long)line_inside(line));
    cr_expect_eq(line_waiting(line), waiting, "waiting: %ld", (long)line_waiting(line));
}

Test(line, lets_in_up_to_its_limit_then_queues_up_to_its_bound_then_refuses)
{
    struct line *line = line_new(2, 1);
    struct guest guests[4] = { 0 };
    cr_expect_eq(line_limit(line), 2);
    cr_expect_eq(enter(line, A, 1, &guests[0]), LINE_ENTERED);
    cr_expect_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    cr_expect_eq(line_enter(line, A, 1, NULL), LINE_FULL, "who cannot wait does not");
    cr_expect_eq(enter(line, A, 1, &guests[1]), LINE_WAITING);
    cr_expect_eq(enter(line, B, 1, &guests[2]), LINE_FULL);
    expect_counts(line, 2, 1);
    line_leave(line);
    cr_expect_eq(guests[1].turn, 1);
    expect_counts(line, 2, 0);
    line_leave(line);
    line_leave(line);
    expect_counts(line, 0, 0);
    line_free(line);
    line_free(NULL);
}

Test(line, a_negative_limit_is_none)
{
    struct line *line = line_new(-1, 0);
    cr_expect_eq(line_limit(line), -1);
    for (int i = 0; i < 10000; i++)
        cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    for (int i = 0; i < 10000; i++)
        line_leave(line);
    line_free(line);
}

Test(line, quitting_gives_up_the_wait_or_says_that_it_is_too_late)
{
    struct line *line = line_new(1, 10);
    struct guest guests[2] = { 0 };
    cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    cr_assert_eq(enter(line, A, 1, &guests[0]), LINE_WAITING);
    cr_assert_eq(enter(line, A, 1, &guests[1]), LINE_WAITING);
    cr_expect(line_quit(line, &guests[0].waiter));
    expect_counts(line, 1, 1);
    line_leave(line);
    cr_expect_eq(guests[0].turn, 0);
    cr_expect_neq(guests[1].turn, 0);
    cr_expect_not(line_quit(line, &guests[1].waiter), "its turn has come: the place is to be given back");
    expect_counts(line, 1, 0);
    line_leave(line);
    line_free(line);
}

Test(line, a_raised_limit_lets_waiters_in_and_a_lowered_one_nobody_until_there_is_room)
{
    struct line *line = line_new(1, 10);
    struct guest guests[4] = { 0 };
    cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(enter(line, A, 1, &guests[i]), LINE_WAITING);
    line_set(line, 3, 10);
    expect_counts(line, 3, 2);
    cr_expect(guests[0].turn && guests[1].turn && !guests[2].turn);
    line_set(line, 1, 0);
    line_leave(line);
    line_leave(line);
    expect_counts(line, 1, 2);
    cr_expect_not(guests[2].turn);
    cr_expect_eq(line_enter(line, A, 1, NULL), LINE_FULL);
    line_leave(line);
    expect_counts(line, 1, 1);
    cr_expect(guests[2].turn);
    line_set(line, -1, 0);
    expect_counts(line, 2, 0);
    line_leave(line);
    line_leave(line);
    line_free(line);
}

Test(line, nobody_overtakes_who_waits)
{
    struct line *line = line_new(1, 10);
    struct guest guests[2] = { 0 };
    cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    cr_assert_eq(enter(line, A, 1, &guests[0]), LINE_WAITING);
    line_set(line, 0, 10);
    line_leave(line);
    expect_counts(line, 0, 1);
    cr_expect_eq(enter(line, B, 1, &guests[1]), LINE_WAITING);
    line_set(line, 1, 10);
    cr_expect(guests[0].turn && !guests[1].turn);
    line_leave(line);
    line_leave(line);
    line_free(line);
}

Test(line, in_a_full_queue_the_tenant_with_the_most_waiters_makes_room)
{
    struct line *line = line_new(1, 4);
    struct guest a[4] = { 0 }, b[3] = { 0 };
    cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(enter(line, A, 1, &a[i]), LINE_WAITING, "alone it may have the whole queue");
    cr_expect_eq(enter(line, A, 1, &b[0]), LINE_FULL);
    cr_expect_eq(enter(line, B, 1, &b[0]), LINE_WAITING);
    cr_expect(a[3].is_refused, "its newest");
    cr_expect(line_quit(line, &a[3].waiter), "has no place to give back");
    cr_expect_eq(enter(line, B, 1, &b[1]), LINE_WAITING);
    cr_expect(a[2].is_refused);
    cr_expect_eq(enter(line, B, 1, &b[2]), LINE_FULL, "two and two are fair");
    expect_counts(line, 1, 4);
    line_leave(line);
    cr_expect_eq(enter(line, B, 4, &b[2]), LINE_WAITING);
    expect_counts(line, 1, 4);
    cr_expect(a[0].turn && !a[1].is_refused && !b[0].turn);
    close_line(line);
}

Test(line, a_higher_class_makes_itself_room)
{
    struct line *line = line_new(1, 1);
    struct guest low = { .waiter.priority = 2 }, normal = { .waiter.priority = 1 }, high = { 0 }, late = low;
    cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    cr_expect_eq(enter(line, A, 1, &low), LINE_WAITING);
    cr_expect_eq(enter(line, A, 1, &normal), LINE_WAITING);
    cr_expect(low.is_refused);
    cr_expect_eq(enter(line, A, 1, &late), LINE_FULL);
    cr_expect_eq(enter(line, A, 1, &high), LINE_WAITING);
    cr_expect(normal.is_refused);
    expect_counts(line, 1, 1);
    close_line(line);
}

Test(line, who_cannot_be_told_is_not_pushed_out)
{
    struct line *line = line_new(1, 2);
    struct guest a[2] = { 0 }, b = { 0 };
    cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    for (int i = 0; i < 2; i++) {
        a[i].waiter.on_turn = on_turn;
        cr_assert_eq(line_enter(line, A, 1, &a[i].waiter), LINE_WAITING);
    }
    cr_expect_eq(enter(line, B, 1, &b), LINE_FULL);
    close_line(line);
}

/* One place, one request served each turn; the noisy tenant sends two a turn, the quiet one a tenth. */
Test(line, a_quiet_tenant_is_not_starved_by_one_that_sends_20_times_as_much)
{
    enum {
        TURNS = 4000,
        QUEUE = 100
    };
    static struct guest noisy[TURNS * 2], quiet[TURNS];
    static int asked[TURNS], served_noisy;
    struct line *line = line_new(1, QUEUE);
    unsigned sent = 0, refused = 0, served = 0;
    int wait_max = 0;
    uint64_t seed = 5;
    cr_assert_eq(line_enter(line, A, 1, NULL), LINE_ENTERED);
    for (int turn = 0; turn < TURNS; turn++) {
        enter(line, A, 1, &noisy[2 * turn]);
        enter(line, A, 1, &noisy[2 * turn + 1]);
        if (random_below(&seed, 10) == 0) {
            asked[sent] = turns;
            refused += enter(line, B, 1, &quiet[sent++]) == LINE_FULL;
        }
        line_leave(line);
    }
    for (unsigned i = 0; i < sent; i++) {
        refused += quiet[i].is_refused;
        served += quiet[i].turn > 0;
        if (quiet[i].turn - asked[i] > wait_max)
            wait_max = quiet[i].turn - asked[i];
    }
    for (int i = 0; i < TURNS * 2; i++)
        served_noisy += noisy[i].turn > 0;
    cr_expect_gt(sent, 300);
    cr_expect_eq(refused, 0, "%u of %u", refused, sent);
    cr_expect_geq(served, sent - 1);
    cr_expect_leq(wait_max, 3, "waited for %d turns", wait_max);
    cr_expect_geq(served_noisy, TURNS - (int)sent, "the rest is the noisy one's");
    close_line(line);
}

Test(line, random_enters_quits_and_leaves_keep_the_counts_right)
{
    enum {
        GUESTS = 64
    };
    enum {
        OUT,
        IN,
        WAITING
    };
    static struct guest guests[GUESTS];
    static int states[GUESTS];
    static const struct str flows[] = { STR_INIT("a"), STR_INIT("b"), STR_INIT("c"), STR_INIT("d") };
    uint64_t seed = 11;
    int64_t limit = 5, queue = 20;
    struct line *line = line_new(limit, queue);
    for (int step = 0; step < 200000; step++) {
        unsigned at = random_below(&seed, GUESTS);
        if (states[at] == WAITING && (guests[at].turn || guests[at].is_refused))
            states[at] = guests[at].turn ? IN : OUT;
        if (states[at] == IN) {
            line_leave(line);
            states[at] = OUT;
        } else if (states[at] == WAITING && random_below(&seed, 2)) {
            cr_assert(line_quit(line, &guests[at].waiter));
            states[at] = OUT;
        } else if (states[at] == OUT) {
            guests[at].waiter.priority = (uint8_t)random_below(&seed, 3);
            enum line_answer answer = enter(line, flows[random_below(&seed, COUNT_OF(flows))],
                                            1 + random_below(&seed, 9), &guests[at]);
            states[at] = answer == LINE_ENTERED ? IN : answer == LINE_WAITING ? WAITING : OUT;
            cr_assert(answer != LINE_FULL || line_waiting(line) >= queue);
        }
        if (random_below(&seed, 500) == 0)
            line_set(line, limit = random_below(&seed, 12), queue = random_below(&seed, 30));

        int64_t inside = 0, waiting = 0;
        for (unsigned i = 0; i < GUESTS; i++) {
            bool is_in = states[i] == IN || (states[i] == WAITING && guests[i].turn);
            inside += is_in;
            waiting += states[i] == WAITING && !is_in && !guests[i].is_refused;
        }
        cr_assert_eq(line_inside(line), inside);
        cr_assert_eq(line_waiting(line), waiting);
        cr_assert(waiting == 0 || inside >= limit, "work-conserving: nobody waits beside a free place");
    }
    close_line(line);
}
