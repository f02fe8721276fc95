#include <criterion/criterion.h>

#include "base/clock.h"
#include "fleet/epochs.h"

#define LEASE_MS 2000
#define EPOCH    1000u
#define TERM     77u
#define MS(n)    ((int64_t)(n)*NS_PER_MS)

static struct epochs where;

static void setup(void)
{
    epochs_init(&where, LEASE_MS);
}

TestSuite(epochs, .init = setup);

static enum epochs_news hear(uint64_t epoch, uint64_t last, uint64_t term, int64_t sent_ms)
{
    return epochs_read(&where, epoch, last, term, MS(sent_ms), MS(sent_ms + 1));
}

static void apply_to(uint64_t seq, int64_t now_ms)
{
    while (where.applied < seq) {
        cr_assert_eq(epochs_step(&where, where.epoch, where.applied + 1), EPOCHS_NEXT);
        epochs_applied(&where, where.applied + 1, MS(now_ms));
    }
}

/* In the epoch, caught up to 10, with a lease. */
static void settle(void)
{
    hear(EPOCH, 10, 0, 100);
    apply_to(10, 110);
    hear(EPOCH, 10, TERM, 120);
}

Test(epochs, a_fresh_one_is_trusted_and_not_connected)
{
    cr_assert(epochs_is_caught_up(&where), "it holds nothing yet");
    cr_assert_not(epochs_wants_lease(&where));
    cr_assert_eq(epochs_connected_until_ns(&where), 0);
}

Test(epochs, is_connected_once_it_caught_up_and_holds_a_lease)
{
    cr_assert_eq(hear(EPOCH, 10, 0, 100), EPOCHS_NEW);
    cr_assert_not(epochs_is_caught_up(&where));
    apply_to(9, 110);
    cr_assert_not(epochs_wants_lease(&where));
    apply_to(10, 110);
    cr_assert(epochs_is_caught_up(&where));
    cr_assert(epochs_wants_lease(&where));
    cr_assert_eq(epochs_connected_until_ns(&where), 0, "nobody waits for it yet");
    cr_assert_eq(hear(EPOCH, 10, TERM, 120), EPOCHS_LAPSED, "a lease's first term");
    cr_assert_eq(epochs_connected_until_ns(&where), MS(120 + 1500));
}

Test(epochs, purges_made_before_the_lease_was_taken_come_first)
{
    hear(EPOCH, 10, 0, 100);
    apply_to(10, 110);
    hear(EPOCH, 12, TERM, 120);
    cr_assert_eq(epochs_connected_until_ns(&where), 0);
    cr_assert_not(epochs_is_caught_up(&where));
    apply_to(12, 130);
    cr_assert_eq(epochs_connected_until_ns(&where), MS(120 + 1500));
}

Test(epochs, a_lease_without_a_break_keeps_it_connected_while_it_reads)
{
    settle();
    cr_assert_eq(hear(EPOCH, 15, TERM, 600), EPOCHS_SAME);
    cr_assert(epochs_is_caught_up(&where), "whoever made those five waits for us");
    cr_assert_eq(epochs_connected_until_ns(&where), MS(600 + 1500));
}

Test(epochs, another_term_means_something_may_be_missed)
{
    settle();
    cr_assert_eq(hear(EPOCH, 15, TERM + 1, 5000), EPOCHS_LAPSED);
    cr_assert_not(epochs_is_caught_up(&where));
    cr_assert_eq(epochs_connected_until_ns(&where), 0);
    apply_to(15, 5010);
    cr_assert_eq(epochs_connected_until_ns(&where), MS(5000 + 1500));
}

Test(epochs, a_broken_connection_is_not_a_broken_lease)
{
    settle();
    epochs_cut(&where);
    cr_assert_eq(epochs_connected_until_ns(&where), 0);
    cr_assert(epochs_is_caught_up(&where), "it goes on with what it has");
    cr_assert_eq(hear(EPOCH, 11, TERM, 900), EPOCHS_SAME);
    cr_assert(epochs_is_caught_up(&where));
    cr_assert_eq(epochs_connected_until_ns(&where), MS(900 + 1500));
}

Test(epochs, another_epoch_starts_over)
{
    settle();
    cr_assert_eq(hear(EPOCH + 1, 1, TERM, 900), EPOCHS_NEW);
    cr_assert_not(epochs_is_caught_up(&where));
    cr_assert_eq(epochs_step(&where, EPOCH, 11), EPOCHS_OLD, "an entry of the old one, on its way");
    apply_to(1, 910);
    cr_assert(epochs_is_caught_up(&where));
}

Test(epochs, steps)
{
    settle();
    cr_assert_eq(epochs_step(&where, EPOCH, 10), EPOCHS_OLD);
    cr_assert_eq(epochs_step(&where, EPOCH, 11), EPOCHS_NEXT);
    cr_assert_eq(epochs_step(&where, EPOCH, 12), EPOCHS_GAP);
    cr_assert_eq(epochs_step(&where, EPOCH + 1, 11), EPOCHS_OLD);
}

Test(epochs, who_cannot_read_gives_its_lease_up)
{
    settle();
    hear(EPOCH, 11, TERM, 200);
    cr_assert_not(epochs_give_up(&where, MS(201 + 1499)));
    hear(EPOCH, 12, TERM, 700);
    cr_assert(epochs_give_up(&where, MS(201 + 1500)), "since 11 was heard of, not 12");
    cr_assert_not(epochs_is_caught_up(&where));
    cr_assert_not(epochs_wants_lease(&where));
    cr_assert_eq(epochs_connected_until_ns(&where), 0);
    cr_assert_not(epochs_give_up(&where, MS(9000)), "once");
    apply_to(12, 9001);
    cr_assert(epochs_wants_lease(&where));
}

Test(epochs, who_reads_slowly_but_reads_does_not)
{
    settle();
    /* Always behind, but what it heard of it applies in time. */
    for (uint64_t last = 20; last < 100; last += 10) {
        int64_t now_ms = (int64_t)last * 100;
        hear(EPOCH, last, TERM, now_ms);
        apply_to(last - 10, now_ms + 400);
        cr_assert_not(epochs_give_up(&where, MS(now_ms + 999)));
    }
}
