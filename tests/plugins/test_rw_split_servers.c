/* What follows from samples, claims and writes: bounds of what was seen, lags, roles, a tenant's last write.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fake_host.h"
#include "servers_inside.h"

#define CLOCK   7u
#define PRIMARY "10.0.0.1:80"
#define FIRST   "10.0.0.2:80"
#define SECOND  "10.0.0.3:80"

static struct weir_str str(const char *text)
{
    return (struct weir_str){ text, text ? strlen(text) : 0 };
}

static struct position at(uint32_t epoch, uint64_t value)
{
    return (struct position){ .is_known = true, .epoch = epoch, .value = value };
}

static atomic_uint progresses, role_changes;

static void on_progress(void *arg, bool has_new_roles)
{
    progresses++;
    role_changes += has_new_roles;
}

static struct servers *three(void)
{
    struct servers *servers = servers_new(CLOCK, on_progress, NULL);

    servers_note_role(servers, servers_find(servers, str(PRIMARY), 0), true);
    servers_find(servers, str(FIRST), 1);
    servers_find(servers, str(SECOND), 2);
    return servers;
}

static struct seen saw(const char *server, int64_t at_ms)
{
    return (struct seen){ .has_source = true,
                          .source = server ? servers_tag(str(server)) : SOURCE_PRIMARY,
                          .clock = CLOCK,
                          .at_ms = at_ms };
}

Test(rw_split_servers, what_was_seen_is_bound_by_the_first_sample_begun_after_it)
{
    struct servers *servers = three();
    struct seen seen = saw(PRIMARY, 1000);

    servers_sample(servers, str(PRIMARY), 1000, 1002, at(1, 10));
    servers_resolve(servers, &seen, 1100);
    cr_assert(seen.has_source, "a sample begun in the same millisecond may have been before it");
    servers_sample(servers, str(PRIMARY), 1050, 1052, at(1, 20));
    servers_sample(servers, str(PRIMARY), 1100, 1102, at(1, 30));
    servers_resolve(servers, &seen, 1110);
    cr_assert_not(seen.has_source);
    cr_assert_eq(seen.at.value, 20);
    cr_assert_not(servers_covers(servers, 1, &seen));
    servers_sample(servers, str(FIRST), 1110, 1111, at(1, 20));
    cr_assert(servers_covers(servers, 1, &seen));
    servers_free(servers);
}

Test(rw_split_servers, what_a_replica_showed_its_primary_had)
{
    struct servers *servers = three();
    struct seen seen = saw(FIRST, 1000);

    cr_assert(servers_covers(servers, 1, &seen), "it is not behind itself");
    cr_assert_not(servers_covers(servers, 2, &seen));
    servers_sample(servers, str(PRIMARY), 1001, 1002, at(1, 20));
    servers_resolve(servers, &seen, 1100);
    cr_assert_eq(seen.at.value, 20);
    seen = saw(FIRST, 1000);
    servers_sample(servers, str(FIRST), 1001, 1002, at(1, 15));
    servers_resolve(servers, &seen, 1100);
    cr_assert_eq(seen.at.value, 15, "its own word is closer");
    servers_free(servers);
}

Test(rw_split_servers, another_weirs_clock_may_be_behind)
{
    struct servers *servers = three();
    struct seen seen = saw(NULL, 1000);

    seen.clock = CLOCK + 1;
    servers_sample(servers, str(PRIMARY), 1000 + CLOCK_SKEW_MS, 1600, at(1, 20));
    servers_resolve(servers, &seen, 1700);
    cr_assert(seen.has_source);
    servers_sample(servers, str(PRIMARY), 1020 + CLOCK_SKEW_MS, 1600, at(1, 30));
    servers_resolve(servers, &seen, 1700);
    cr_assert_eq(seen.at.value, 30);
    servers_free(servers);
}

Test(rw_split_servers, a_clock_that_was_set_back_resolves_nothing)
{
    struct servers *servers = three();
    struct seen seen = saw(NULL, 5000);

    servers_sample(servers, str(PRIMARY), 9000, 9002, at(1, 20));
    servers_resolve(servers, &seen, 5001);
    cr_assert(seen.has_source, "the sample is of the future: it was before what was seen");
    servers_sample(servers, str(PRIMARY), 5050, 5052, at(1, 25));
    servers_resolve(servers, &seen, 5060);
    cr_assert_eq(seen.at.value, 25);
    servers_free(servers);
}

Test(rw_split_servers, a_server_that_was_made_anew_is_behind_itself)
{
    struct servers *servers = three();
    struct seen seen = saw(FIRST, 1500);

    servers_sample(servers, str(FIRST), 1000, 1002, at(1, 100));
    servers_sample(servers, str(FIRST), 990, 1003, at(1, 90));
    cr_assert_eq(servers_latest(servers, 1).value, 100, "a late word is no step back");
    servers_sample(servers, str(FIRST), 2000, 2002, at(1, 40));
    cr_assert_eq(servers_latest(servers, 1).value, 40);
    cr_assert_not(servers_covers(servers, 1, &seen));
    servers_resolve(servers, &seen, 2100);
    cr_assert(seen.has_source, "what it says now does not bound what it showed then");
    servers_free(servers);
}

Test(rw_split_servers, the_ring_forgets_on_the_safe_side)
{
    struct servers *servers = three();
    struct seen seen = saw(PRIMARY, 1000);

    for (int64_t i = 0; i < 2000; i++)
        servers_sample(servers, str(PRIMARY), 1000 + i * 50, 1001 + i * 50, at(1, (uint64_t)i));
    servers_resolve(servers, &seen, 200000);
    cr_assert_geq(seen.at.value, 1, "at least the true bound");
    cr_assert_eq(seen.at.value, 2000 - 512);
    servers_free(servers);
}

Test(rw_split_servers, lag_is_measured_by_the_primarys_own_samples)
{
    struct servers *servers = three();

    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, 1), -1);
    servers_sample(servers, str(FIRST), 1000, 1001, at(1, 10));
    for (int64_t now_ms = 1000; now_ms <= 3000; now_ms += 50) {
        servers_sample(servers, str(PRIMARY), now_ms, now_ms + 1, at(1, 10 + (uint64_t)(now_ms > 2000)));
        servers_measure(servers);
    }
    cr_assert_eq(servers_lag_ms(servers, 1), 1000);
    cr_assert_eq(servers_as_of(servers, at(1, 10)), 1999);
    cr_assert_eq(servers_as_of(servers, at(1, 9)), 1, "further back than anybody remembers");
    servers_sample(servers, str(FIRST), 3000, 3001, at(1, 11));
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, 1), 0);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, 1), 0, "while the primary is silent nobody falls behind");
    servers_free(servers);
}

Test(rw_split_servers, the_wait_is_estimated_by_the_speed_of_replay)
{
    struct servers *servers = three();
    int slots[] = { 1 };

    cr_assert_eq(servers_eta_s(servers, slots, 1, at(1, 10)), 1, "at least a second");
    for (int64_t i = 0; i < 20; i++)
        servers_sample(servers, str(FIRST), 1000 + i * 100, 1001 + i * 100, at(1, (uint64_t)i * 10));
    cr_assert_eq(servers_eta_s(servers, slots, 1, at(1, 690)), 5, "500 to go at 100 a second");
    cr_assert_eq(servers_eta_s(servers, slots, 1, at(1, 1000000)), 60, "and at most a minute");
    servers_free(servers);
}

/* Each value says its epoch, so that a half-written one is seen. */
static void *say(void *arg)
{
    struct servers *servers = arg;

    for (uint64_t i = 1; i <= 20000; i++) {
        int64_t now_ms = (int64_t)i;
        uint32_t epoch = (uint32_t)(i / 1000 + 1);

        servers_sample(servers, str(FIRST), now_ms, now_ms, at(epoch, epoch * UINT64_C(1000000) + i));
        if (i % 1000 == 0)
            servers_role(servers, str(i % 2000 ? FIRST : SECOND), i % 3000 == 0, epoch);
        if (i % 1500 == 0)
            servers_silent(servers, str(FIRST));
    }
    return NULL;
}

static atomic_bool is_over;

static void *look(void *arg)
{
    struct servers *servers = arg;
    struct position last = { 0 };
    uintptr_t wrong = 0;

    while (!atomic_load(&is_over)) {
        struct seen seen = saw(FIRST, 100);
        struct position now = servers_latest(servers, 1);

        wrong += now.is_known && now.value / 1000000 != now.epoch;
        wrong += position_order(now, last) < 0;
        last = now;
        servers_resolve(servers, &seen, 100000);
        servers_covers(servers, 1, &seen);
        servers_lower(servers, 1, 500);
        servers_measure(servers);
        servers_find(servers, str(SECOND), 0);
    }
    return (void *)wrong;
}

Test(rw_split_servers, many_threads_see_whole_positions_that_never_fall)
{
    struct servers *servers = three();
    pthread_t sayers[2], lookers[2];

    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&lookers[i], NULL, look, servers);
        pthread_create(&sayers[i], NULL, say, servers);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(sayers[i], NULL);
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < 2; i++) {
        void *wrong;

        pthread_join(lookers[i], &wrong);
        cr_assert_null(wrong);
    }
    servers_free(servers);
}

/* --- roles --- */

static enum servers_role role(struct servers *servers, int slot)
{
    return servers_role_of(servers, slot);
}

Test(rw_split_servers, who_claims_alone_is_the_primary)
{
    struct servers *servers = three();

    cr_assert_eq(role(servers, 0), SERVERS_ROLE_UNKNOWN);
    servers_role(servers, str(FIRST), false, 1);
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_UNKNOWN, "as configured, until it is asked");
    servers_role(servers, str(PRIMARY), true, 1);
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_PRIMARY);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_REPLICA);
    cr_assert_eq(role(servers, 2), SERVERS_ROLE_UNKNOWN, "nobody asks it");
    servers_role(servers, str(PRIMARY), false, 1);
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_REPLICA);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_REPLICA, "now there is none");
    servers_role(servers, str(FIRST), true, 2);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_PRIMARY);
    cr_assert_eq(role(servers, 2), SERVERS_ROLE_REPLICA);
    cr_assert_gt(role_changes, 0);
    servers_free(servers);
}

Test(rw_split_servers, a_probe_that_fails_is_no_failover)
{
    struct servers *servers = three();

    servers_silent(servers, str(PRIMARY));
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_UNKNOWN);
    servers_role(servers, str(PRIMARY), true, 1);
    servers_role(servers, str(FIRST), false, 1);
    servers_silent(servers, str(PRIMARY));
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_PRIMARY);
    servers_role(servers, str(FIRST), true, 2);
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_REPLICA);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_PRIMARY);
    servers_free(servers);
}

Test(rw_split_servers, of_two_the_higher_timeline_wins_and_on_one_nobody)
{
    struct servers *servers = three();

    servers_role(servers, str(PRIMARY), true, 1);
    servers_role(servers, str(FIRST), true, 2);
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_REPLICA);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_PRIMARY);
    cr_assert(servers_is_pretender(servers, 0), "it follows nobody");
    servers_role(servers, str(PRIMARY), true, 2);
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_REPLICA);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_REPLICA);
    servers_role(servers, str(PRIMARY), false, 2);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_PRIMARY);
    cr_assert_not(servers_is_pretender(servers, 0));
    servers_free(servers);
}

Test(rw_split_servers, servers_of_one_database_do_not_contradict_each_other)
{
    struct servers *servers = three();

    servers_pair(servers, str(FIRST), str(PRIMARY));
    servers_role(servers, str(PRIMARY), true, 1);
    servers_role(servers, str(FIRST), true, 1);
    cr_assert_eq(role(servers, 0), SERVERS_ROLE_PRIMARY);
    cr_assert_eq(role(servers, 1), SERVERS_ROLE_PRIMARY);
    servers_free(servers);
}

Test(rw_split_servers, a_replicas_samples_do_not_count_as_the_primarys)
{
    struct servers *servers = three();
    struct seen seen = saw(NULL, 1000);

    servers_role(servers, str(PRIMARY), true, 1);
    servers_role(servers, str(FIRST), false, 1);
    servers_sample(servers, str(FIRST), 1010, 1011, at(1, 5));
    servers_role(servers, str(FIRST), true, 2);
    servers_resolve(servers, &seen, 1100);
    cr_assert(seen.has_source, "what it said before it was promoted is no bound");
    servers_sample(servers, str(FIRST), 1060, 1061, at(2, 8));
    servers_resolve(servers, &seen, 1100);
    cr_assert_eq(seen.at.epoch, 2);
    cr_assert_eq(seen.at.value, 8);
    servers_free(servers);
}

Test(rw_split_servers, a_text_without_an_epoch_is_of_its_servers_or_a_later_one)
{
    struct servers *servers = three();
    struct position said;

    cr_assert_eq(servers_complete(servers, str(PRIMARY), at(0, 50), false).epoch, 0);
    cr_assert_not(servers_complete(servers, str(PRIMARY), at(0, 50), false).is_open, "there are none");
    servers_role(servers, str(PRIMARY), true, 4);
    servers_sample(servers, str(PRIMARY), 1000, 1001, at(4, 50));
    said = servers_complete(servers, str(PRIMARY), at(0, 51), false);
    cr_assert_eq(said.epoch, 4);
    cr_assert_eq(said.value, 51);
    cr_assert(said.is_open, "it may have been promoted again");
    said = servers_complete(servers, str(FIRST), at(0, 51), false);
    cr_assert_eq(said.epoch, 0, "nobody knows: it may go on in an older one");
    cr_assert(said.is_open);
    said = servers_complete(servers, str(PRIMARY), at(9, 51), true);
    cr_assert_eq(said.epoch, 9, "its own word stands");
    cr_assert_not(said.is_open);
    servers_free(servers);
}

/* --- an app says a position without an epoch, and there is a failover --- */

/* The first of them was promoted: the probe has seen the primary's epoch 2 at 100, at that time. */
static struct servers *failed_over(int64_t now_ms)
{
    struct servers *servers = three();

    servers_role(servers, str(PRIMARY), true, 1);
    servers_sample(servers, str(PRIMARY), 1000, 1001, at(1, 50));
    servers_role(servers, str(FIRST), true, 2);
    servers_sample(servers, str(FIRST), now_ms, now_ms + 1, at(2, 100));
    servers_role(servers, str(SECOND), false, 1);
    return servers;
}

static struct seen seen_open(uint32_t epoch, uint64_t value, int64_t until_ms)
{
    struct position open = { .is_known = true, .epoch = epoch, .is_open = true, .value = value };

    return (struct seen){ .at = open, .clock = CLOCK, .at_ms = until_ms, .until_ms = until_ms };
}

/* A weir that did not know of the failover said epoch 1 of what the new primary's app said. */
Test(rw_split_servers, a_later_epoch_alone_does_not_cover_an_open_one)
{
    struct servers *servers = failed_over(2000);
    struct seen seen = seen_open(1, 120, 3000);

    servers_role(servers, str(SECOND), false, 2);
    servers_sample(servers, str(SECOND), 3000, 3001, at(2, 110));
    servers_resolve(servers, &seen, 3100);
    cr_assert_not(servers_covers(servers, 2, &seen));
    servers_sample(servers, str(SECOND), 3050, 3051, at(2, 120));
    cr_assert(servers_covers(servers, 2, &seen));
    servers_free(servers);
}

Test(rw_split_servers, who_goes_on_in_an_old_epoch_does_not_cover_an_open_one)
{
    struct servers *servers = failed_over(2000);
    struct seen seen = seen_open(1, 120, 3000), before = seen_open(1, 90, 1500);

    servers_sample(servers, str(SECOND), 3000, 3001, at(1, 130));
    servers_resolve(servers, &seen, 3100);
    cr_assert_not(servers_covers(servers, 2, &seen), "it follows the old primary");
    cr_assert(servers_may_be_past(servers, seen.at, at(1, 130)));
    cr_assert_not(servers_may_be_past(servers, seen.at, at(2, 130)));
    cr_assert_not(servers_may_be_past(servers, at(1, 120), at(1, 130)), "who said so knew");
    servers_resolve(servers, &before, 3100);
    cr_assert(servers_covers(servers, 2, &before), "of before the failover");
    servers_free(servers);
}

Test(rw_split_servers, what_was_lost_in_a_failover_does_not_block)
{
    struct servers *servers = failed_over(2000);
    struct seen lost = seen_open(1, 500, 1900);
    struct seen later = seen_open(1, 500, 2500), foreign = seen_open(1, 500, 1900);

    servers_role(servers, str(SECOND), false, 2);
    servers_sample(servers, str(SECOND), 3000, 3001, at(2, 110));
    servers_resolve(servers, &lost, 3100);
    cr_assert(servers_covers(servers, 2, &lost));
    cr_assert_eq(lost.at.epoch, 2);
    cr_assert_not(lost.at.is_open);
    servers_resolve(servers, &later, 3100);
    cr_assert_not(servers_covers(servers, 2, &later), "that may be the new primary's");
    foreign.clock = CLOCK + 1;
    servers_resolve(servers, &foreign, 3100);
    cr_assert_not(servers_covers(servers, 2, &foreign), "by another clock it may have been later");
    servers_free(servers);
}

Test(rw_split_servers, an_open_epoch_is_evidence_that_there_is_one)
{
    struct servers *servers = failed_over(2000);
    struct seen seen = seen_open(2, 10, 3000);

    cr_assert(servers_primary_is_stale(servers, 0, &seen));
    cr_assert_not(servers_primary_is_stale(servers, 1, &seen));
    servers_free(servers);
}

/* Its probe fails, and it is promoted meanwhile. */
Test(rw_split_servers, an_apps_word_bounds_what_was_seen_by_an_open_epoch)
{
    struct servers *servers = three();
    struct seen seen = saw(FIRST, 2500);

    servers_role(servers, str(FIRST), false, 1);
    servers_sample(servers, str(FIRST), 1000, 1001, at(1, 50));
    servers_silent(servers, str(FIRST));
    servers_told(servers, str(FIRST), 2000, 2001, at(0, 60), false);
    servers_told(servers, str(FIRST), 3000, 3001, at(0, 70), false);
    cr_assert_eq(servers_latest(servers, 1).value, 70);
    cr_assert_eq(servers_latest(servers, 1).epoch, 1, "that it has reached for sure");
    cr_assert_not(servers_latest(servers, 1).is_open);
    cr_assert_eq(servers_lower(servers, 1, 2500).value, 60);
    cr_assert_not(servers_lower(servers, 1, 2500).is_open);
    servers_resolve(servers, &seen, 3100);
    cr_assert_not(seen.has_source);
    cr_assert_eq(seen.at.value, 70);
    cr_assert(seen.at.is_open);
    servers_landed(servers, str(FIRST), 3200, servers_complete(servers, str(FIRST), at(0, 80), false));
    cr_assert_eq(servers_latest(servers, 1).value, 80);
    cr_assert_not(servers_latest(servers, 1).is_open);
    servers_free(servers);
}

Test(rw_split_servers, what_one_had_written_as_the_primary_is_no_lower_bound_once_it_is_none)
{
    struct servers *servers = failed_over(2000);

    cr_assert(servers_lower(servers, 1, 2100).is_known);
    cr_assert_not(servers_lower(servers, 0, 2100).is_known, "a commit is written before it is shown");
    servers_role(servers, str(PRIMARY), false, 2);
    servers_sample(servers, str(PRIMARY), 2200, 2201, at(2, 100));
    cr_assert_eq(servers_lower(servers, 0, 2300).value, 100);
    servers_free(servers);
}

Test(rw_split_servers, the_table_of_servers_is_bounded)
{
    struct servers *servers = servers_new(CLOCK, NULL, NULL);
    char name[160];

    for (unsigned i = 0; i < SERVERS_MAX; i++) {
        snprintf(name, sizeof name, "10.0.%u.%u:80", i / 250, i % 250);
        cr_assert_eq(servers_find(servers, str(name), i), (int)i);
    }
    cr_assert_not(servers_are_full(servers), "all have a place");
    cr_assert_eq(servers_find(servers, str("10.9.9.9:80"), 0), -1);
    cr_assert(servers_are_full(servers));
    servers_sample(servers, str("10.9.9.9:80"), 1, 2, at(1, 1));
    servers_role(servers, str("10.9.9.9:80"), true, 1);
    servers_silent(servers, str("10.9.9.9:80"));
    servers_lag(servers, str("10.9.9.9:80"), 1);
    memset(name, 'x', sizeof name);
    cr_assert_eq(servers_find(servers, (struct weir_str){ name, sizeof name }, 0), -1);
    cr_assert_eq(servers_find(servers, (struct weir_str){ 0 }, 0), -1);
    servers_free(servers);
}

/* --- reading beside who writes --- */

Test(rw_split_servers, a_writer_that_sleeps_in_the_middle_makes_nobody_spin)
{
    struct servers *servers = three();
    struct seen seen = { .at = at(1, 20) }, newer = { .at = at(2, 5) };

    servers_sample(servers, str(FIRST), 1000, 1001, at(1, 20));
    cr_assert(servers_covers(servers, 1, &seen));
    atomic_fetch_add(&servers->slots[1]->turn, 1);
    cr_assert_not(servers_latest(servers, 1).is_known);
    cr_assert_eq(servers_latest(servers, 1).value, 0);
    cr_assert_not(servers_latest(servers, 1).is_open);
    cr_assert_not(servers_covers(servers, 1, &seen));
    cr_assert(servers_primary_is_stale(servers, 1, &newer), "that is found out all the same");
    atomic_fetch_add(&servers->slots[1]->turn, 1);
    cr_assert(servers_covers(servers, 1, &seen));
    servers_free(servers);
}

#define RETURNS 20000

static atomic_uint losses;

static uint64_t after_returns(unsigned count)
{
    return 2 * RETURNS - count;
}

/* A replica that breaks off and comes back further back, over and over. */
static void *comes_back(void *arg)
{
    struct servers *servers = arg;

    for (unsigned i = 1; i <= RETURNS; i++) {
        int64_t now_ms = 10000 + i * INT64_C(10);

        servers_lost(servers, str(FIRST), now_ms);
        atomic_store(&losses, i);
        servers_sample(servers, str(FIRST), now_ms + 1, now_ms + 2, at(1, after_returns(i)));
    }
    return NULL;
}

Test(rw_split_servers, one_that_comes_back_is_not_believed_by_where_it_was)
{
    struct servers *servers = three();
    unsigned lost = 0, believed = 0;
    pthread_t thread;

    servers_sample(servers, str(FIRST), 1000, 1001, at(1, after_returns(0)));
    cr_assert_eq(pthread_create(&thread, NULL, comes_back, servers), 0);
    while (lost < RETURNS) {
        struct seen seen;

        lost = losses;
        /* Where it was before this loss: never again. */
        seen = (struct seen){ .at = at(1, after_returns(lost - 1)) };
        if (lost > 0 && servers_covers(servers, 1, &seen))
            believed++;
    }
    pthread_join(thread, NULL);
    cr_assert_eq(believed, 0);
    servers_free(servers);
}
