/* When a database is gone, and when it is only late. Time is a parameter. */
#include <criterion/criterion.h>

#include "postgres_loss.h"

static struct loss loss;

static void set_up(void)
{
    loss = (struct loss){ 0 };
    loss_answered(&loss);
}

TestSuite(postgres_loss, .init = set_up);

static int64_t late(int64_t now_ms)
{
    loss_failed(&loss, FAILURE_LATE, true, now_ms);
    return loss.since_ms;
}

static int64_t refused(int64_t now_ms)
{
    loss_failed(&loss, FAILURE_CLOSED, false, now_ms);
    return loss.since_ms;
}

static int64_t broken(int64_t now_ms)
{
    loss_failed(&loss, FAILURE_CLOSED, true, now_ms);
    return loss.since_ms;
}

Test(postgres_loss, one_that_refuses_connections_is_gone_since_its_session_ended)
{
    cr_assert_eq(broken(5000), 0, "that one may have been ended");
    cr_assert_eq(refused(5100), 5000);
    cr_assert_eq(refused(9000), 5000, "as long as it lasts");
    loss_answered(&loss);
    cr_assert_eq(loss.since_ms, 0);
    cr_assert_eq(refused(12000), 12000, "another loss");
}

Test(postgres_loss, one_whose_next_session_does_not_come_about_is_gone)
{
    cr_assert_eq(broken(5000), 0);
    cr_assert_eq(late(7000), 5000);
    set_up();
    cr_assert_eq(broken(5000), 0);
    cr_assert_eq(broken(5010), 5000, "it breaks before it has answered");
}

Test(postgres_loss, one_whose_next_session_answers_is_not)
{
    for (int64_t now_ms = 5000; now_ms < 6000; now_ms += 10) {
        cr_assert_eq(broken(now_ms), 0);
        loss_answered(&loss);
    }
}

Test(postgres_loss, one_that_says_that_it_stops_or_starts_is_gone_at_once)
{
    loss_failed(&loss, failure_by_state("57P01"), true, 5000);
    cr_assert_eq(loss.since_ms, 5000);
    loss_failed(&loss, failure_by_state("57P03"), false, 5100);
    cr_assert_eq(loss.since_ms, 5000);
}

Test(postgres_loss, three_times_late_in_a_row_is_gone_and_twice_is_not)
{
    cr_assert_eq(late(5000), 0);
    cr_assert_eq(late(9000), 0);
    loss_answered(&loss);
    cr_assert_eq(late(10000), 0);
    cr_assert_eq(late(10400), 0);
    cr_assert_eq(late(10800), 0, "not in a second");
    cr_assert_eq(late(11000), 11000);
    cr_assert_eq(late(12000), 11000);
}

Test(postgres_loss, one_that_says_anything_else_is_there)
{
    static const char *const states[] = { "53300", "28P01", "3D000", "57014", "57P05" };

    for (unsigned i = 0; i < sizeof states / sizeof states[0]; i++) {
        refused(5000);
        cr_assert_eq(loss.since_ms, 5000);
        loss_failed(&loss, failure_by_state(states[i]), false, 6000);
        cr_assert_eq(loss.since_ms, 0, "%s", states[i]);
    }
    cr_assert_eq(refused(7000), 7000, "and has been there");
}

Test(postgres_loss, one_that_never_answered_is_a_mistake_in_the_config)
{
    loss = (struct loss){ 0 };
    for (int64_t now_ms = 5000; now_ms < 9000; now_ms += 100)
        cr_assert_eq(refused(now_ms), 0);
    loss_failed(&loss, FAILURE_SPOKE, false, 9000);
    cr_assert_eq(refused(9100), 0, "nor was that an answer");
}

Test(postgres_loss, the_pause_before_the_next_try_grows_and_not_while_somebody_waits)
{
    static const int64_t at_first[] = { 0, 100, 200, 250, 250 }, later[] = { 500, 1000, 2000, 2000 };

    refused(5000);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(loss_pause_ms(&loss, i == 0, true, 5000), at_first[i], "%u", i);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(loss_pause_ms(&loss, false, true, 40000), later[i], "%u", i);
    loss_answered(&loss);
    cr_assert_eq(loss_pause_ms(&loss, false, false, 41000), 2000, "one answer ends no row");
    cr_assert_eq(loss_pause_ms(&loss, true, false, 42000), 100, "a session that lasted does");
    cr_assert_eq(loss_pause_ms(&loss, true, true, 43000), 0);
}
