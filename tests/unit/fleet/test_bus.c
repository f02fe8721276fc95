/* The bus on a Redis that works: order, who waits for whom, and what everybody learns. */
#include "bus_nodes.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

static void setup(void)
{
    nodes_setup();
    server_start(&server, NULL);
}

TestSuite(bus, .init = setup, .fini = nodes_teardown, .timeout = 120);

static unsigned told_alone;

static void on_alone(void *arg, enum bus_end end, unsigned count)
{
    told_alone++;
    cr_assert_eq(end, BUS_ALONE);
    cr_assert_eq(count, 1);
}

static void count_call(void *arg, const struct bus_purge *purge)
{
    (*(unsigned *)arg)++;
}

Test(bus, without_redis_a_purge_is_this_weirs_only)
{
    static const struct bus_events counting = { .apply = count_call };
    static unsigned calls;
    struct bus_options options = { 0 };
    struct bus *bus = bus_new(loop, &options, &counting, &calls);
    struct bus_purge all = { .kind = BUS_ALL };
    cr_assert(bus_purge(bus, &all, on_alone, NULL));
    cr_assert_eq(calls, 1, "at once");
    cr_assert_eq(told_alone, 0);
    loop_turn(loop, 0);
    cr_assert_eq(told_alone, 1);
    cr_assert(bus_trust(bus));
    cr_assert_eq(bus_distrusted_before_ms(bus), 0);
    bus_invalidate(bus, STR("x"));
    bus_free(bus);
}

Test(bus, a_purge_reaches_every_weir_before_it_is_done)
{
    struct outcome outcome;
    for (unsigned i = 0; i < 3; i++)
        node_open(false, NULL);
    turn_until_connected();
    node_purge(&nodes[0], 7, &outcome);
    cr_assert_eq(nodes[0].calls, 1, "here at once");
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, BUS_DONE);
    cr_assert_eq(outcome.nodes, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(nodes[i].applied, 1);
        cr_assert_eq(nodes[i].last.kind, BUS_URL);
        cr_assert_eq(nodes[i].pages[7].purges, i == 0 ? 2 : 1);
        cr_assert_eq(state_of(&nodes[i]).applied, state_of(&nodes[0]).seq);
        cr_assert_eq(state_of(&nodes[i]).distrusts, 0);
        cr_assert_eq(state_of(&nodes[i]).pending, 0);
        cr_assert_eq(state_of(&nodes[i]).nodes, 3);
        cr_assert_eq(state_of(&nodes[i]).garbage, 0);
    }
}

Test(bus, all_kinds_arrive_as_they_were_posted)
{
    static const struct bus_purge kinds[] = {
        { .kind = BUS_TAG, .tenant = STR_INIT("acme"), .what = STR_INIT("red"), .wall_ms = 5 },
        { .kind = BUS_TAG, .what = STR_INIT("blue"), .is_soft = true },
        { .kind = BUS_PREFIX, .tenant = STR_INIT("acme"), .what = STR_INIT("https://a/x") },
        { .kind = BUS_TENANT, .tenant = STR_INIT("acme"), .is_soft = true },
        { .kind = BUS_ALL },
    };
    node_open(false, NULL);
    node_open(false, NULL);
    turn_until_connected();
    for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
        cr_assert(bus_purge(nodes[0].bus, &kinds[i], NULL, NULL));
        turn_while(nodes[1].applied < i + 1);
        cr_assert_eq(nodes[1].last.kind, kinds[i].kind);
        cr_assert_eq(nodes[1].last.is_soft, kinds[i].is_soft);
        cr_assert_eq(nodes[1].last.wall_ms, kinds[i].wall_ms);
        cr_assert_eq(nodes[1].last.tenant.len, kinds[i].tenant.len);
        cr_assert_eq(nodes[1].last.tenant.data == NULL, kinds[i].tenant.data == NULL);
        cr_assert_str_eq(nodes[1].last_what, kinds[i].what.data ? kinds[i].what.data : "");
    }
}

Test(bus, what_no_entry_can_hold_is_refused)
{
    struct bus_purge bad = { .kind = BUS_URL };
    node_open(false, NULL);
    turn_until_connected();
    cr_assert_not(bus_purge(nodes[0].bus, &bad, NULL, NULL));
    cr_assert_eq(nodes[0].calls, 0);
}

Test(bus, ten_thousand_purges_at_once_are_done_in_order)
{
    static struct outcome outcomes[10000];
    for (unsigned i = 0; i < 3; i++)
        node_open(false, NULL);
    turn_until_connected();
    turn_while(state_of(&nodes[0]).nodes < 3);
    int64_t start_ns = test_now_ns();
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++)
        node_purge(&nodes[i % 3], (unsigned)rand() % PAGES, &outcomes[i]);
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++) {
        turn_until_told(&outcomes[i]);
        cr_assert_eq(outcomes[i].end, BUS_DONE, "%u: %d", i, outcomes[i].end);
        cr_assert_eq(outcomes[i].nodes, 3);
    }
    fprintf(stderr, "10000 purges, 3 weirs: %lld ms\n", (long long)(test_now_ns() - start_ns) / 1000000);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(nodes[i].applied, COUNT_OF(outcomes));
        cr_assert_eq(state_of(&nodes[i]).distrusts, 0);
    }
}

Test(bus, a_dead_weir_is_waited_for_until_its_lease_ends)
{
    struct outcome outcome;
    node_open(false, NULL);
    struct node *dead = node_open(true, NULL);
    turn_until_connected();
    turn_while(state_of(&nodes[0]).nodes < 2);
    turn_while((loop_turn(dead->loop, 0), !is_connected(dead)));
    int64_t start_ns = test_now_ns();
    node_purge(&nodes[0], 3, &outcome); /* and the other's loop does not turn */
    while (outcome.calls == 0) {
        bool was_connected = is_connected(dead);
        turn();
        cr_assert(outcome.calls == 0 || !was_connected, "done while it thought itself connected");
    }
    cr_assert_eq(outcome.end, BUS_DONE);
    cr_assert_eq(outcome.nodes, 1);
    cr_assert_lt(test_now_ns() - start_ns, (int64_t)3 * LEASE_MS * 1000000);

    /* It comes back: not trusted before it has caught up, then connected. */
    dead->pages[3] = (struct page){ .version = 1, .fetched_ms = INT64_MAX };
    cr_assert(bus_trust(dead->bus), "cut off it goes on");
    while (!is_connected(dead)) {
        loop_turn(dead->loop, 1);
        cr_assert(!is_connected(dead) || dead->pages[3].version == 0);
    }
    cr_assert_eq(state_of(dead).distrusts, 0, "it read what it had missed");
    cr_assert_eq(dead->applied, 1);
}

Test(bus, patience_ends_while_a_weir_lives_and_does_not_answer)
{
    struct bus_options options = { .patience_ms = LEASE_MS / 4, .lease_ms = 4 * LEASE_MS };
    struct outcome outcome;
    node_open(false, &options);
    struct node *slow = node_open(true, &options);
    turn_until_connected();
    turn_while(state_of(&nodes[0]).nodes < 2);
    int64_t settled_ns = test_now_ns() + (int64_t)4 * LEASE_MS * 1000000;
    turn_while((loop_turn(slow->loop, 0), test_now_ns() < settled_ns));
    turn_while((loop_turn(slow->loop, 0), !is_connected(slow)));
    node_purge(&nodes[0], 3, &outcome);
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, BUS_PARTLY);
    cr_assert_eq(outcome.nodes, 1);
    turn_while((loop_turn(slow->loop, 0), slow->applied < 1));
}

Test(bus, a_weir_that_leaves_is_not_waited_for_long)
{
    struct outcome outcome;
    node_open(false, NULL);
    node_open(false, NULL);
    turn_until_connected();
    node_close(&nodes[1]);
    node_purge(&nodes[0], 3, &outcome);
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, BUS_DONE);
}

Test(bus, who_comes_later_reads_the_whole_journal)
{
    struct outcome outcomes[300];
    node_open(false, NULL);
    turn_until_connected();
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++)
        node_purge(&nodes[0], i % PAGES, &outcomes[i]);
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++)
        turn_until_told(&outcomes[i]);
    struct node *late = node_open(false, NULL);
    cr_assert(bus_trust(late->bus));
    cr_assert_eq(journal_stamp(bus_journal(late->bus)), 0);
    turn_until_connected();
    cr_assert_eq(late->applied, COUNT_OF(outcomes));
    cr_assert_eq(state_of(late).distrusts, 0);
    cr_assert_eq(journal_stamp(bus_journal(late->bus)), journal_stamp(bus_journal(nodes[0].bus)));
    cr_assert_eq(state_of(late).seq, COUNT_OF(outcomes) + 1, "the first entry opened the epoch");
}

Test(bus, a_value_is_good_until_its_key_is_purged_anywhere)
{
    struct str key = STR("acme\0https\0a\0/7");
    struct outcome outcome;
    node_open(false, NULL);
    node_open(false, NULL);
    turn_until_connected();
    uint64_t stamp = journal_stamp(bus_journal(nodes[1].bus));
    cr_assert(journal_covers(bus_journal(nodes[0].bus), stamp, key, STR("")));
    node_purge(&nodes[0], 7, &outcome);
    turn_until_told(&outcome);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_not(journal_covers(bus_journal(nodes[i].bus), stamp, key, STR("")));
        cr_assert(journal_covers(bus_journal(nodes[i].bus), journal_stamp(bus_journal(nodes[1 - i].bus)), key,
                                 STR("")));
    }
}

Test(bus, a_weir_cut_off_behind_a_trimmed_journal_distrusts_what_it_had)
{
    struct bus_options options = { .journal_max = 10 };
    static struct outcome outcomes[2000];
    node_open(false, &options);
    struct node *cut = node_open(true, &options);
    turn_until_connected();
    turn_while(state_of(&nodes[0]).nodes < 2);
    cut->pages[3] = (struct page){ .version = 1, .fetched_ms = loop_wall_ms(loop) };
    uint64_t old_stamp = journal_stamp(bus_journal(cut->bus));
    turn_while(is_connected(cut)); /* its loop stands still */
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++)
        node_purge(&nodes[0], 5, &outcomes[i]);
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++)
        turn_until_told(&outcomes[i]);
    int64_t before_ms = bus_distrusted_before_ms(cut->bus);
    turn_while((loop_turn(cut->loop, 1), !is_connected(cut)));
    cr_assert_geq(state_of(cut).distrusts, 1);
    cr_assert_gt(bus_distrusted_before_ms(cut->bus), before_ms);
    cr_assert_gt(bus_distrusted_before_ms(cut->bus), cut->pages[3].fetched_ms);
    cr_assert_lt(cut->applied, 2000);
    cr_assert_not(journal_covers(bus_journal(cut->bus), old_stamp, STR("acme\0x"), STR("")));
}

/* --- where Redis is, and what it allows --- */

#define RIGHTS                                                                                               \
    "ACL SETUSER weir on >secret ~weir:{bus}:* &weir:{bus}:news +eval +time +xadd +xrange +xrevrange +hget " \
    "+hset +hdel +hgetall +del +publish +subscribe +ping +client|setname "

static void purges_as(const char *rights)
{
    struct outcome outcome;
    char text[128];
    server_do(&server, rights);
    snprintf(text, sizeof text, "redis://weir:secret@127.0.0.1:%d", server.port);
    nodes_url = text;
    node_open(false, NULL);
    node_open(false, NULL);
    turn_until_connected();
    node_purge(&nodes[0], 3, &outcome);
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, BUS_DONE);
    cr_assert_eq(outcome.nodes, 2);
}

Test(bus, the_rights_it_names_are_enough)
{
    purges_as(RIGHTS "+info");
}

Test(bus, without_info_it_works_and_misses_restarts_only)
{
    purges_as(RIGHTS "-info");
}

Test(bus, in_a_cluster)
{
    static const char *const options[] = { "--cluster-enabled", "yes", NULL };
    struct outcome outcome;
    server_stop(&server, SIGKILL);
    server_start(&server, options);
    server_do(&server, "CLUSTER ADDSLOTSRANGE 0 16383");
    turn_while(!strstr(server_do(&server, "CLUSTER INFO"), "cluster_state:ok"));
    node_open(false, NULL);
    node_open(false, NULL);
    turn_until_connected();
    node_purge(&nodes[0], 3, &outcome);
    turn_until_told(&outcome);
    cr_assert_eq(outcome.end, BUS_DONE);
    cr_assert_eq(outcome.nodes, 2);
    cr_assert_eq(nodes[1].applied, 1);
}

/* --- invalidations --- */

static void *invalidate_many(void *arg)
{
    char key[32];
    for (unsigned i = 0; i < 1000; i++) {
        int len = snprintf(key, sizeof key, "acme%c/%u", 0, i % PAGES);
        bus_invalidate(arg, str_n(key, (size_t)len));
    }
    return NULL;
}

Test(bus, invalidations_come_from_any_thread_and_reach_the_others)
{
    pthread_t threads[3];
    node_open(false, NULL);
    node_open(false, NULL);
    turn_until_connected();
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, invalidate_many, nodes[0].bus);
    turn_while(nodes[1].invalidated < 3000);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(nodes[0].invalidated, 0, "not back to where they came from");
    cr_assert_eq(state_of(&nodes[0]).dropped, 0);
}

Test(bus, invalidations_beyond_the_bound_are_dropped_and_counted)
{
    node_open(false, NULL);
    for (unsigned i = 0; i < 5; i++) {
        invalidate_many(nodes[0].bus); /* it is not up yet */
        invalidate_many(nodes[0].bus);
    }
    cr_assert_eq(state_of(&nodes[0]).dropped, 10000 - 4096);
    bus_invalidate(nodes[0].bus, str_n("x", BUS_WHAT_MAX));
    cr_assert_eq(state_of(&nodes[0]).dropped, 10001 - 4096, "nor does one that fits no message");
}

Test(bus, is_freed_with_everything_still_on_its_way)
{
    struct outcome outcomes[1000];
    node_open(false, NULL);
    node_open(false, NULL);
    turn_until_connected();
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++)
        node_purge(&nodes[0], i % PAGES, &outcomes[i]);
    loop_turn(loop, 0);
    bus_invalidate(nodes[0].bus, STR("a\0x"));
    node_close(&nodes[0]);
    for (unsigned i = 0; i < COUNT_OF(outcomes); i++) {
        cr_assert_eq(outcomes[i].calls, 1);
        cr_assert(outcomes[i].end == BUS_UNREACHABLE || outcomes[i].end == BUS_PARTLY);
    }
}
