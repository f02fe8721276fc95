/* The bus on a Redis that stops, starts, forgets, fills up and lies. */
#include "bus_nodes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define JOURNAL "weir:{bus}:journal"

static const char *const on_disk[] = { "--appendonly", "yes", "--appendfsync", "always", NULL };

TestSuite(bus_faults, .init = nodes_setup, .fini = nodes_teardown, .timeout = 120);

static void open_three(const char *const *options)
{
    server_start(&server, options);
    for (unsigned i = 0; i < 3; i++)
        node_open(false, NULL);
    turn_until_connected();
    turn_while(state_of(&nodes[0]).nodes < 3);
}

static void expect(struct node *node, unsigned page, enum bus_end end)
{
    struct outcome outcome;
    node_purge(node, page, &outcome);
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, end, "page %u: %d", page, outcome.end);
}

static bool all_distrusted(unsigned times)
{
    for (unsigned i = 0; i < node_count; i++) {
        if (state_of(&nodes[i]).distrusts < times)
            return false;
    }
    return true;
}

/* --- away --- */

Test(bus_faults, while_redis_is_away_purges_are_kept_and_come_later)
{
    struct node *first = node_open(false, NULL);
    expect(first, 3, BUS_UNREACHABLE);
    expect(first, 4, BUS_UNREACHABLE);
    cr_assert_eq(state_of(first).pending, 2);
    cr_assert(bus_trust(first->bus), "it goes on with what it has");
    cr_assert_not(is_connected(first));
    server_start(&server, NULL);
    struct node *second = node_open(false, NULL);
    turn_until_connected();
    turn_while(second->applied < 2);
    cr_assert_eq(state_of(first).pending, 0);
    cr_assert_eq(second->pages[4].purges, 1);
}

Test(bus_faults, more_than_is_kept_becomes_a_purge_of_everything)
{
    static struct outcome outcome;
    struct node *first = node_open(false, NULL);
    for (unsigned i = 0; i < 65536 + 10; i++)
        node_purge(first, 3, &outcome);
    cr_assert_eq(state_of(first).pending, 10);
    server_start(&server, NULL);
    struct node *second = node_open(false, NULL);
    turn_until_connected();
    turn_while(second->applied < 10);
    cr_assert_eq(second->pages[7].purges, 1, "and of other pages, too");
    cr_assert_eq(second->pages[3].purges, 10);
}

Test(bus_faults, a_redis_that_stands_still_cuts_everybody_off)
{
    struct outcome outcome;
    open_three(NULL);
    expect(&nodes[0], 3, BUS_DONE);
    server_pause(&server);
    node_purge(&nodes[0], 4, &outcome);
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, BUS_UNREACHABLE);
    turn_while(is_connected(&nodes[0]) || is_connected(&nodes[1]) || is_connected(&nodes[2]));
    cr_assert(bus_trust(nodes[1].bus));
    expect(&nodes[1], 5, BUS_UNREACHABLE);
    server_go_on(&server);
    turn_until_connected();
    turn_while(nodes[2].pages[4].purges == 0 || nodes[2].pages[5].purges == 0);
    expect(&nodes[0], 6, BUS_DONE);
    cr_assert_eq(state_of(&nodes[2]).distrusts, 0, "nothing was lost");
}

/* --- restarted --- */

Test(bus_faults, restarted_empty_everybody_distrusts_what_he_had)
{
    open_three(NULL);
    expect(&nodes[0], 3, BUS_DONE);
    uint64_t epoch = state_of(&nodes[0]).epoch;
    int64_t before_ms = loop_wall_ms(loop);
    server_stop(&server, SIGKILL);
    turn_while(is_connected(&nodes[0]));
    server_start(&server, NULL);
    turn_while(!all_distrusted(1));
    turn_until_connected();
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_gt(state_of(&nodes[i]).epoch, epoch);
        cr_assert_eq(state_of(&nodes[i]).epoch, state_of(&nodes[0]).epoch);
        cr_assert_gt(bus_distrusted_before_ms(nodes[i].bus), before_ms);
    }
    expect(&nodes[1], 5, BUS_DONE);
    cr_assert_eq(nodes[2].pages[5].purges, 1);
}

/* The disk may have lost the newest purges, and who had not read them cannot tell: see bus.h. */
Test(bus_faults, restarted_from_its_disk_is_another_epoch_too)
{
    open_three(on_disk);
    expect(&nodes[0], 3, BUS_DONE);
    uint64_t epoch = state_of(&nodes[0]).epoch;
    server_stop(&server, SIGKILL);
    server_start(&server, on_disk);
    turn_while(!all_distrusted(1));
    turn_until_connected();
    cr_assert_gt(state_of(&nodes[2]).epoch, epoch);
    cr_assert_eq(state_of(&nodes[2]).distrusts, 1, "once");
    expect(&nodes[1], 5, BUS_DONE);
}

Test(bus_faults, a_purge_that_waits_through_a_restart_is_done)
{
    struct outcome outcome;
    open_three(NULL);
    expect(&nodes[0], 3, BUS_DONE);
    /* In the journal, with leases that nobody renews while their loop stands still. */
    struct node *slow = node_open(true, NULL);
    turn_while((loop_turn(slow->loop, 0), !is_connected(slow)));
    turn_while((loop_turn(slow->loop, 0), state_of(&nodes[0]).nodes < 4));
    node_purge(&nodes[0], 4, &outcome);
    turn_while(nodes[1].pages[4].purges == 0);
    cr_assert_eq(outcome.calls, 0);
    server_stop(&server, SIGKILL);
    server_start(&server, NULL);
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, BUS_DONE);
    cr_assert_eq(outcome.nodes, 3);
    cr_assert_not(is_connected(slow));
}

/* --- forgotten --- */

Test(bus_faults, flushed_everybody_distrusts_what_he_had)
{
    open_three(NULL);
    expect(&nodes[0], 3, BUS_DONE);
    server_do(&server, "FLUSHALL");
    turn_while(!all_distrusted(1));
    expect(&nodes[1], 5, BUS_DONE);
    cr_assert_eq(nodes[2].pages[5].purges, 1);
    turn_until_connected();
}

/* Redis knows no lease then, and their weirs still rely on them. */
Test(bus_faults, a_purge_right_after_a_flush_waits_for_those_who_have_not_noticed)
{
    struct outcome outcome;
    open_three(NULL);
    struct node *slow = node_open(true, NULL);
    turn_while((loop_turn(slow->loop, 0), !is_connected(slow)));
    expect(&nodes[0], 3, BUS_DONE);
    turn_while((loop_turn(slow->loop, 0), !is_connected(slow)));
    server_do(&server, "FLUSHALL");
    node_purge(&nodes[0], 4, &outcome);
    while (outcome.calls == 0) {
        bool was_connected = is_connected(slow);
        turn();
        cr_assert(outcome.calls == 0 || !was_connected,
                  "done while one was connected that had not heard of it");
    }
    cr_assert_eq(outcome.end, BUS_DONE);
}

Test(bus_faults, losing_either_key_is_noticed)
{
    static const char *const losses[] = { "DEL " JOURNAL, "DEL weir:{bus}:nodes",
                                          "XTRIM " JOURNAL " MAXLEN 0", "HDEL weir:{bus}:nodes .seal" };
    open_three(NULL);
    for (unsigned i = 0; i < COUNT_OF(losses); i++) {
        expect(&nodes[0], i, BUS_DONE);
        server_do(&server, losses[i]);
        turn_while(!all_distrusted(i + 1));
        expect(&nodes[1], i + 10, BUS_DONE);
        cr_assert_eq(nodes[2].pages[i + 10].purges, 1, "%s", losses[i]);
    }
}

Test(bus_faults, a_journal_set_back_is_another_epoch)
{
    char command[128];
    open_three(NULL);
    expect(&nodes[0], 3, BUS_DONE);
    expect(&nodes[0], 4, BUS_DONE);
    struct bus_state state = state_of(&nodes[0]);
    snprintf(command, sizeof command, "XDEL " JOURNAL " %llu-%llu", (unsigned long long)state.epoch,
             (unsigned long long)state.seq);
    server_do(&server, command);
    turn_while(!all_distrusted(1));
    expect(&nodes[1], 5, BUS_DONE);
    cr_assert_eq(nodes[2].pages[5].purges, 1);
}

/* --- full, wrong, hostile --- */

Test(bus_faults, a_full_redis_takes_no_purges_until_there_is_room)
{
    open_three(NULL);
    expect(&nodes[0], 3, BUS_DONE);
    server_do(&server, "CONFIG SET maxmemory 1");
    turn_while(is_connected(&nodes[0]) || is_connected(&nodes[1]));
    expect(&nodes[0], 4, BUS_UNREACHABLE);
    cr_assert_gt(state_of(&nodes[0]).errors, 0);
    server_do(&server, "CONFIG SET maxmemory 0");
    turn_until_connected();
    turn_while(nodes[2].pages[4].purges == 0);
    expect(&nodes[0], 5, BUS_DONE);
}

Test(bus_faults, a_key_of_another_kind_in_our_place_costs_the_connection_only)
{
    open_three(NULL);
    server_do(&server, "SET " JOURNAL " x");
    turn_while(is_connected(&nodes[0]));
    expect(&nodes[0], 4, BUS_UNREACHABLE);
    server_do(&server, "DEL " JOURNAL);
    turn_until_connected();
    turn_while(nodes[2].pages[4].purges == 0);
}

Test(bus_faults, an_entry_that_cannot_be_read_distrusts_everything)
{
    static const char *const bad[] = { "p x", "q W1", "p x q y", "p W1AAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
    open_three(NULL);
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        char command[256];
        struct bus_state state = state_of(&nodes[0]);
        uint64_t stamp = journal_stamp(bus_journal(nodes[1].bus));
        snprintf(command, sizeof command, "XADD " JOURNAL " %llu-%llu %s", (unsigned long long)state.epoch,
                 (unsigned long long)state.seq + 1, bad[i]);
        server_do(&server, command);
        turn_while(!all_distrusted(i + 1));
        cr_assert_geq(state_of(&nodes[1]).garbage, i + 1);
        cr_assert_not(journal_covers(bus_journal(nodes[1].bus), stamp, STR("a\0x"), STR("")));
        expect(&nodes[0], i, BUS_DONE);
        cr_assert_eq(nodes[2].pages[i].purges, 1, "and the next one is read");
    }
}

Test(bus_faults, noise_on_the_channel_is_counted_and_nothing_else)
{
    static const char *const noise[] = {
        "x", "N", "N 99999999999999 5", "A 1 2 3", "I123456789", "NNNN 1 2"
    };
    char command[256];
    open_three(NULL);
    for (unsigned i = 0; i < COUNT_OF(noise); i++) {
        snprintf(command, sizeof command, "PUBLISH weir:{bus}:news \"%s\"", noise[i]);
        server_do(&server, command);
    }
    turn_while(state_of(&nodes[2]).garbage < 4);
    expect(&nodes[0], 3, BUS_DONE);
    cr_assert(all_distrusted(0));
    cr_assert_eq(state_of(&nodes[2]).distrusts, 0);
}

Test(bus_faults, without_messages_purges_still_travel)
{
    open_three(NULL);
    server_do(&server, "CLIENT KILL TYPE pubsub");
    expect(&nodes[0], 3, BUS_DONE);
    cr_assert_eq(nodes[2].pages[3].purges, 1);
}

/* A server that answers everything with what the test wants. */
static const char *lie;

static const char *tell_lie(struct fake *fake, int argc, const struct str *argv)
{
    return str_ieq(argv[0], STR("SUBSCRIBE")) ? "*3\r\n$9\r\nsubscribe\r\n$15\r\nweir:{bus}:news\r\n:1\r\n"
                                              : lie;
}

static void ignore_purge(void *arg, const struct bus_purge *purge)
{
}

static void count_end(void *arg, enum bus_end end, unsigned count)
{
    cr_assert_neq(end, BUS_DONE);
    (*(unsigned *)arg)++;
}

Test(bus_faults, lies_are_errors)
{
    static const char *const lies[] = {
        "+OK\r\n",
        ":1\r\n",
        "$-1\r\n",
        "*0\r\n",
        "-ERR no\r\n",
        "*5\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n",
        "*5\r\n:5\r\n:9\r\n:0\r\n:0\r\n:0\r\n",
        "*5\r\n:5\r\n:9\r\n:7\r\n:99999\r\n:0\r\n",
        "*5\r\n:5\r\n:1099511627776\r\n:7\r\n:99999\r\n:0\r\n",
        "*6\r\n:5\r\n:9\r\n:7\r\n:9\r\n:0\r\n:0\r\n",
        "*8\r\n:5\r\n:9\r\n:7\r\n:9\r\n:0\r\n$1\r\nx\r\n:1\r\n:1\r\n",
        "*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\np\r\n$1\r\nx\r\n",
        "$536870912\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        "\r\n\r\n",
        "junk",
    };
    static const struct bus_events quiet = { .apply = ignore_purge };
    struct fake fake;
    fake_open(&fake, loop, tell_lie);
    struct redis_url url = fake_url(&fake);
    for (unsigned i = 0; i < COUNT_OF(lies); i++) {
        struct bus_options options = { .url = &url, .lease_ms = 100, .patience_ms = 200 };
        struct bus_purge all = { .kind = BUS_ALL };
        unsigned told = 0, commands = fake.commands;
        lie = lies[i];
        struct bus *bus = bus_new(loop, &options, &quiet, NULL);
        turn_while(fake.commands < commands + 3);
        cr_assert(bus_purge(bus, &all, count_end, &told));
        turn_while(told == 0);
        bus_free(bus);
        loop_turn(loop, 0);
    }
    fake_close(&fake);
    server_start(&server, NULL);
}

/* --- all at once --- */

static void read_some(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        node_read(&nodes[(unsigned)rand() % node_count], (unsigned)rand() % PAGES);
}

/* Three weirs, ten thousand purges among reads, and Redis is killed, started, flushed and stopped in between.
 */
Test(bus_faults, ten_thousand_purges_and_a_redis_that_comes_and_goes)
{
    static struct outcome outcomes[10000];
    unsigned next = 0, told = 0, done = 0;
    open_three(NULL);
    bool has_stopped = false, has_started = false, has_flushed = false, has_paused = false, goes_on = false;
    int64_t paused_ns = 0, stopped_ns = 0;
    while (told < COUNT_OF(outcomes)) {
        for (unsigned i = 0; i < 8 && next < COUNT_OF(outcomes) && next < told + 500; i++, next++)
            node_purge(&nodes[(unsigned)rand() % 3], (unsigned)rand() % PAGES, &outcomes[next]);
        read_some(60);
        turn();
        for (; told < next && outcomes[told].calls > 0; told++)
            done += outcomes[told].end == BUS_DONE;
        if (next > 2500 && !has_stopped) {
            server_stop(&server, SIGKILL);
            has_stopped = true;
            stopped_ns = test_now_ns();
        } else if (has_stopped && !has_started && test_now_ns() - stopped_ns > 30000000) {
            server_start(&server, NULL);
            has_started = true;
        } else if (next > 5000 && has_started && !has_flushed) {
            server_do(&server, "FLUSHALL");
            has_flushed = true;
        } else if (next > 7500 && has_flushed && !has_paused) {
            server_pause(&server);
            has_paused = true;
            paused_ns = test_now_ns();
        } else if (has_paused && !goes_on && test_now_ns() - paused_ns > 200000000) {
            server_go_on(&server);
            goes_on = true;
        }
    }
    if (!has_started)
        server_start(&server, NULL);
    if (has_paused)
        server_go_on(&server);
    turn_until_connected();
    turn_while(state_of(&nodes[0]).pending + state_of(&nodes[1]).pending + state_of(&nodes[2]).pending > 0);
    expect(&nodes[0], 0, BUS_DONE);
    fprintf(stderr, "%u of 10000 done, %u hits\n", done, hits);
    cr_assert_gt(done, 2000);
    cr_assert_gt(hits, 1000);
}

/* One of three stands still now and then, for longer than its lease, while its readers go on. */
Test(bus_faults, purges_while_a_weir_is_cut_off_and_comes_back)
{
    static struct outcome outcomes[20000];
    unsigned next = 0, told = 0, returns = 0;
    int64_t change_ns = test_now_ns() + (int64_t)LEASE_MS * 1000000, post_ns = 0;
    bool is_still = false;
    server_start(&server, NULL);
    node_open(false, NULL);
    node_open(false, NULL);
    struct node *third = node_open(true, NULL);
    turn_while((loop_turn(third->loop, 0), !is_connected(third)));
    turn_until_connected();
    while (told < next || returns < 3) {
        /* Spread over all of it. */
        if (next < COUNT_OF(outcomes) && returns < 3 && test_now_ns() > post_ns) {
            node_purge(&nodes[(unsigned)rand() % 2], (unsigned)rand() % PAGES, &outcomes[next]);
            next++;
            post_ns = test_now_ns() + 300000;
        }
        read_some(60);
        turn();
        if (!is_still)
            loop_turn(third->loop, 0);
        if (test_now_ns() > change_ns) {
            is_still = !is_still;
            returns += !is_still;
            change_ns = test_now_ns() + (is_still ? 2 : 1) * (int64_t)LEASE_MS * 1000000 * 3 / 4;
        }
        for (; told < next && outcomes[told].calls > 0; told++)
            cr_assert_eq(outcomes[told].end, BUS_DONE);
    }
    turn_while((loop_turn(third->loop, 0), !is_connected(third)));
    cr_assert_eq(third->applied, next);
    cr_assert_eq(state_of(third).distrusts, 0);
    cr_assert_gt(hits, 1000);
}
