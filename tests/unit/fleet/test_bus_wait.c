/* Who waits for whom, without a Redis: what was read and heard is put in by hand. */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "fleet/bus_inside.h"

#define EPOCH 9u
#define ME    1u
#define OTHER 2u
#define THIRD 3u

static struct loop *loop;
static struct bus *bus;
static enum bus_end told;
static unsigned told_nodes;
static unsigned told_times;

static void on_done(void *arg, enum bus_end end, unsigned count)
{
    told = end;
    told_nodes = count;
    told_times++;
}

static void ignore_purge(void *arg, const struct bus_purge *purge)
{
}

static const struct bus_events events = { .apply = ignore_purge };

static void setup(void)
{
    struct bus_options options = { 0 };
    loop = loop_new();
    bus = bus_new(loop, &options, &events, NULL);
    bus->id = ME;
    bus->where.epoch = EPOCH;
    bus->where.applied = 20;
    bus->reading =
        (struct bus_reading){ .epoch = EPOCH,
                              .last = 20,
                              .node_count = 3,
                              .nodes = { { ME, EPOCH, 5 }, { OTHER, EPOCH, 20 }, { THIRD, EPOCH, 10 } } };
}

static void teardown(void)
{
    bus_free(bus);
    loop_free(loop);
}

TestSuite(bus_wait, .init = setup, .fini = teardown);

static struct ticket *wait_for(uint64_t seq)
{
    struct ticket *ticket = calloc(1, sizeof *ticket);
    ticket->fn = on_done;
    ticket->seq = seq;
    ticket->deadline_ns = INT64_MAX;
    list_push_back(&bus->waiting, &ticket->link);
    bus->waiting_count++;
    bus->waiting_in_journal += seq != 0;
    return ticket;
}

static bool is_done(void)
{
    bus_wait_look(bus);
    loop_turn(loop, 0);
    return told_times > 0;
}

Test(bus_wait, for_the_last_one)
{
    wait_for(15);
    cr_assert_not(is_done(), "the third is at 10");
    bus_wait_heard(bus, THIRD, EPOCH, 14);
    cr_assert_not(is_done());
    bus_wait_heard(bus, THIRD, EPOCH, 15);
    cr_assert(is_done());
    cr_assert_eq(told, BUS_DONE);
    cr_assert_eq(told_nodes, 3);
}

Test(bus_wait, what_was_heard_late_takes_nothing_back)
{
    wait_for(15);
    bus_wait_heard(bus, OTHER, EPOCH, 3);
    bus_wait_heard(bus, OTHER, EPOCH - 1, 99);
    bus_wait_heard(bus, THIRD, EPOCH, 15);
    cr_assert(is_done());
}

Test(bus_wait, another_epochs_number_says_nothing)
{
    bus->reading.nodes[2] = (struct bus_node){ THIRD, EPOCH - 1, 100 };
    wait_for(2);
    cr_assert_not(is_done());
    bus_wait_heard(bus, THIRD, EPOCH, 2);
    cr_assert(is_done());
}

Test(bus_wait, who_was_not_there_when_it_was_appended_must_have_been_asked_for)
{
    bus->reading.node_count = 1;
    wait_for(21);
    bus->where.applied = 21;
    cr_assert_not(is_done(), "those leases were read before");
    bus->reading.last = 21;
    cr_assert(is_done());
    cr_assert_eq(told_nodes, 1);
}

Test(bus_wait, not_before_the_epoch_is_as_old_as_a_lease)
{
    bus->settled_ns = INT64_MAX;
    wait_for(5);
    cr_assert_not(is_done());
    bus->settled_ns = 0;
    cr_assert(is_done());
}

Test(bus_wait, never_in_a_fleet_that_was_not_read_whole)
{
    bus->reading.is_cut = true;
    wait_for(5);
    cr_assert_not(is_done());
}

Test(bus_wait, a_new_epoch_need_only_be_entered)
{
    wait_for(15);
    wait_for(0);
    bus->where.epoch = bus->reading.epoch = EPOCH + 1;
    bus->where.applied = bus->reading.last = 1;
    bus_wait_new_epoch(bus);
    cr_assert_not(is_done());
    bus_wait_heard(bus, OTHER, EPOCH + 1, 1);
    cr_assert_not(is_done());
    bus_wait_heard(bus, THIRD, EPOCH + 1, 1);
    cr_assert(is_done());
    cr_assert_eq(told_times, 1, "the one that is not in the journal yet waits on");
}

Test(bus_wait, patience_ends_by_where_it_got_to)
{
    wait_for(15)->deadline_ns = 1;
    cr_assert_eq(bus_wait_expire(bus), INT64_MAX);
    bus_wait_deliver(bus);
    cr_assert_eq(told, BUS_PARTLY);
    cr_assert_eq(told_nodes, 2);
    wait_for(0)->deadline_ns = 1;
    wait_for(5);
    cr_assert_eq(bus_wait_expire(bus), INT64_MAX, "the next one's");
    bus_wait_deliver(bus);
    cr_assert_eq(told, BUS_UNREACHABLE);
    cr_assert_eq(told_times, 2);
}
