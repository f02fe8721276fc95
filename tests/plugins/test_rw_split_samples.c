/* Samples under clocks that are set back, apps that say more or less than a probe, databases that come back
 * further back than they were, and servers that come and go. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "fake_host.h"
#include "servers.h"

#define CLOCK   7u
#define PRIMARY 0
#define FIRST   1
#define SECOND  2
#define STEP    50 /* from one question of the probe to the next */

static const char *const names[] = { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" };

static struct weir_str address(int slot)
{
    return (struct weir_str){ names[slot], strlen(names[slot]) };
}

static struct position at(uint64_t value)
{
    return (struct position){ .is_known = true, .epoch = 1, .value = value };
}

static struct servers *servers;
static unsigned wakes;

static void on_progress(void *arg, bool has_new_roles)
{
    wakes++;
}

static void set_up(void)
{
    servers = servers_new(CLOCK, on_progress, NULL);
    for (int i = 0; i < 3; i++)
        servers_note_role(servers, servers_find(servers, address(i), (unsigned)i), i == PRIMARY);
}

static void tear_down(void)
{
    servers_free(servers);
}

TestSuite(rw_split_samples, .init = set_up, .fini = tear_down);

static void probe(int slot, int64_t now_ms, uint64_t value)
{
    servers_sample(servers, address(slot), now_ms, now_ms + 1, at(value));
}

/* From one time to another, both included, always the same. */
static void probe_on(int slot, int64_t from_ms, int64_t to_ms, uint64_t value)
{
    for (int64_t now_ms = from_ms; now_ms <= to_ms; now_ms += STEP)
        probe(slot, now_ms, value);
}

static void told(int slot, int64_t now_ms, uint64_t value)
{
    servers_told(servers, address(slot), now_ms - 2, now_ms, at(value), true);
}

static struct seen wrote(int64_t at_ms)
{
    return (struct seen){ .has_source = true, .source = SOURCE_PRIMARY, .clock = CLOCK, .at_ms = at_ms };
}

static struct seen saw(int slot, int64_t at_ms)
{
    struct seen seen = wrote(at_ms);

    seen.source = servers_tag(address(slot));
    return seen;
}

static bool covers(int slot, uint64_t value)
{
    struct seen seen = { .at = at(value) };

    return servers_covers(servers, slot, &seen);
}

/* --- the wall clock is set back --- */

/* The monotonic one is 100000 ahead of it before. */
static void clock_is(int64_t wall_ms, int64_t back_ms)
{
    servers_clock(servers, wall_ms, wall_ms + back_ms + 100000);
}

Test(rw_split_samples, a_token_is_not_resolved_by_what_was_before_the_clock_was_set_back)
{
    struct seen seen = wrote(10510);

    clock_is(11001, 0);
    probe_on(PRIMARY, 10000, 11000, 100);
    clock_is(10505, 500); /* a write lands at 200, acknowledged at 10510 */
    probe_on(PRIMARY, 10520, 11100, 200);
    probe(FIRST, 11090, 100);
    servers_resolve(servers, &seen, 11110);
    cr_assert_not(seen.has_source);
    cr_assert_eq(seen.at.value, 200);
    cr_assert_not(servers_covers(servers, FIRST, &seen));
}

Test(rw_split_samples, a_small_step_between_two_questions_counts_as_well)
{
    struct seen seen = wrote(10990);

    clock_is(11001, 0);
    probe_on(PRIMARY, 10000, 11000, 100);
    clock_is(10985, 20); /* the old 11000 is the new 10980 */
    probe(PRIMARY, 11030, 200);
    servers_resolve(servers, &seen, 11100);
    cr_assert_eq(seen.at.value, 200);
}

Test(rw_split_samples, without_a_look_at_the_clock_a_probes_steps_back_are_seen)
{
    struct seen seen = wrote(10510);

    probe_on(PRIMARY, 10000, 11000, 100);
    probe_on(PRIMARY, 10520, 11100, 200);
    servers_resolve(servers, &seen, 11110);
    cr_assert_eq(seen.at.value, 200);
}

Test(rw_split_samples, what_is_known_outlives_a_clock_that_is_set_back)
{
    clock_is(100001, 0);
    probe(FIRST, 99000, 100);
    probe_on(PRIMARY, 99000, 100000, 100);
    probe(PRIMARY, 100020, 200);
    servers_measure(servers);
    cr_assert_lt(servers_lag_ms(servers, FIRST), 100);
    clock_is(40101, 60000);
    cr_assert_eq(servers_as_of(servers, at(100)), 39999, "the old 99999 is the new 39999");
    probe(PRIMARY, 40520, 200);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 520, "as long as it really was");
}

Test(rw_split_samples, requests_from_before_the_clock_was_set_back_say_nothing)
{
    clock_is(11000, 0);
    clock_is(10500, 500);
    servers_told(servers, address(FIRST), 10900, 10950, at(300), true);
    cr_assert_not(servers_latest(servers, FIRST).is_known, "by which clock it was asked nobody knows");
    servers_told(servers, address(FIRST), 10990, 10600, at(300), true);
    cr_assert_not(servers_latest(servers, FIRST).is_known);
    probe(FIRST, 10520, 200);
    cr_assert_not(servers_lower(servers, FIRST, 10900).is_known, "it may have been asked before");
    servers_told(servers, address(FIRST), 11010, 11020, at(300), true);
    cr_assert_eq(servers_latest(servers, FIRST).value, 300, "that time is over");
    cr_assert_eq(servers_lower(servers, FIRST, 11030).value, 300);
}

Test(rw_split_samples, a_clock_set_back_by_an_hour_is_in_doubt_for_a_minutes_requests)
{
    clock_is(7200000, 0);
    clock_is(3600000, 3600000);
    told(FIRST, 3600100, 50);
    cr_assert_eq(servers_latest(servers, FIRST).value, 50);
    servers_told(servers, address(FIRST), 7199000, 7199500, at(300), true);
    cr_assert_eq(servers_latest(servers, FIRST).value, 50, "there was this time before");
}

Test(rw_split_samples, reading_two_clocks_one_after_the_other_is_no_step)
{
    struct seen seen = wrote(10990);

    clock_is(10000, 0);
    probe(PRIMARY, 10000, 100);
    for (int64_t i = 0; i < 100; i++)
        clock_is(10001 + i * 10, i % 2);
    cr_assert_eq(servers_as_of(servers, at(100)), 9999, "a ms here and there moves nothing");
    clock_is(20000, -3600000);
    probe(PRIMARY, 20050, 200);
    servers_resolve(servers, &seen, 20100);
    cr_assert_eq(seen.at.value, 200, "set forward it only seems older");
}

/* --- apps and probes --- */

Test(rw_split_samples, a_write_that_landed_ahead_of_the_probe_makes_nobody_anew)
{
    struct seen seen = wrote(5005);

    for (int64_t now_ms = 1000; now_ms <= 5000; now_ms += STEP)
        probe(PRIMARY, now_ms, (uint64_t)now_ms);
    servers_landed(servers, address(PRIMARY), 5010, at(5600)); /* inserted */
    probe(PRIMARY, 5050, 5500);                                /* written */
    cr_assert_eq(servers_as_of(servers, at(4000)), 3999);
    for (int64_t now_ms = 5100; now_ms <= 6000; now_ms += STEP)
        probe(PRIMARY, now_ms, (uint64_t)now_ms + 500);
    servers_resolve(servers, &seen, 6010);
    cr_assert_not(seen.has_source);
    cr_assert_eq(seen.at.value, 5500);
}

Test(rw_split_samples, an_app_that_says_less_than_the_probe_makes_nobody_anew)
{
    struct seen seen = saw(FIRST, 1070);

    probe_on(FIRST, 1000, 1050, 100);
    told(FIRST, 1060, 90); /* flushed */
    cr_assert_eq(servers_latest(servers, FIRST).value, 100);
    cr_assert(servers_covers(servers, FIRST, &seen), "it is not behind itself");
    probe(FIRST, 1100, 110);
    servers_resolve(servers, &seen, 1110);
    cr_assert_eq(seen.at.value, 110);
}

Test(rw_split_samples, an_app_that_says_more_of_a_replica_is_corrected)
{
    struct seen seen = saw(FIRST, 1070);

    probe_on(FIRST, 1000, 1050, 100);
    told(FIRST, 1060, 500); /* received */
    cr_assert(covers(FIRST, 500), "believed for now");
    servers_sample(servers, address(FIRST), 1055, 1061, at(101));
    cr_assert(covers(FIRST, 500), "asked before");
    probe(FIRST, 1100, 110);
    cr_assert_not(covers(FIRST, 500));
    cr_assert(covers(FIRST, 110));
    servers_resolve(servers, &seen, 1110);
    cr_assert_eq(seen.at.value, 110, "it has not gone back: what was seen is bound by it");
}

Test(rw_split_samples, without_a_probe_an_apps_word_is_judged_by_its_earlier_one)
{
    struct seen seen = saw(FIRST, 1050);

    told(FIRST, 1000, 100);
    servers_landed(servers, address(FIRST), 1010, at(130));
    told(FIRST, 1040, 110);
    cr_assert_eq(servers_latest(servers, FIRST).value, 130, "what landed there is there");
    cr_assert(servers_covers(servers, FIRST, &seen));
    told(FIRST, 1100, 40);
    cr_assert_eq(servers_latest(servers, FIRST).value, 40, "made anew from a backup");
    cr_assert_not(servers_covers(servers, FIRST, &seen));
}

Test(rw_split_samples, apps_speak_for_a_server_whose_probe_fails)
{
    struct seen seen = saw(FIRST, 2010);

    probe(FIRST, 1000, 100);
    told(FIRST, 1050, 120);
    servers_resolve(servers, &seen, 2100);
    servers_silent(servers, address(FIRST));
    told(FIRST, 2000, 90);
    told(FIRST, 2050, 130);
    servers_resolve(servers, &seen, 2100);
    cr_assert_eq(seen.at.value, 130);
    probe(FIRST, 3000, 125);
    cr_assert_eq(servers_latest(servers, FIRST).value, 125);
    seen = saw(FIRST, 2990);
    cr_assert(servers_covers(servers, FIRST, &seen), "two voices are no step back");
}

/* --- lags --- */

Test(rw_split_samples, a_replica_hours_behind_is_not_fresh_at_start)
{
    probe(PRIMARY, 10000000, 1000000);
    servers_lag(servers, address(FIRST), 3600000);
    probe(FIRST, 10000000, 5);
    probe(SECOND, 10000000, 5);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 3600000);
    cr_assert_eq(servers_lag_ms(servers, SECOND), 0, "nobody says, so it is from now on that we count");
    cr_assert_eq(servers_as_of(servers, at(5)), 1, "further back than anybody remembers");
    cr_assert_eq(servers_as_of(servers, (struct position){ 0 }), 0);
    probe(PRIMARY, 10001000, 1000001);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 3601000, "and goes on falling behind");
    cr_assert_eq(servers_lag_ms(servers, SECOND), 1000);
    probe(FIRST, 10001000, 1000000);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 1000, "it caught up");
}

Test(rw_split_samples, one_that_is_behind_all_that_is_remembered_is_at_least_so_far_behind)
{
    probe(PRIMARY, 1000, 10);
    for (uint64_t i = 0; i < 600; i++)
        probe(PRIMARY, 2000 + (int64_t)i * STEP, 100 + i);
    probe(FIRST, 2000, 5);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 511 * STEP);
}

Test(rw_split_samples, where_commits_are_rare_the_measured_lag_counts)
{
    probe_on(PRIMARY, 1000000, 1010000, 100);
    probe(FIRST, 1010000, 100);
    probe(PRIMARY, 1010050, 101);
    servers_lag(servers, address(FIRST),
                900000); /* since the last commit, which was a quarter of an hour ago */
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 50);
}

Test(rw_split_samples, while_the_primary_says_nothing_a_replicas_own_word_counts)
{
    probe_on(PRIMARY, 1000, 2000, 100);
    probe(FIRST, 2000, 100);
    servers_lag(servers, address(FIRST), 5000);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 0);
    servers_silent(servers, address(PRIMARY));
    probe(FIRST, 3050, 100);
    probe(SECOND, 3050, 100);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 5000, "it receives, and does not replay");
    cr_assert_eq(servers_lag_ms(servers, SECOND), 0, "it does not say: nobody falls behind who is gone");
    servers_lag(servers, address(FIRST), -1);
    servers_measure(servers);
    cr_assert_eq(servers_lag_ms(servers, FIRST), 0);
}

/* --- a connection breaks --- */

static void lose(int slot, int64_t now_ms)
{
    servers_lost(servers, address(slot), now_ms);
    servers_silent(servers, address(slot));
}

Test(rw_split_samples, a_replica_that_went_covers_nothing_until_it_says_where_it_is)
{
    struct seen seen = saw(FIRST, 1500), nothing = { 0 };

    servers_role(servers, address(PRIMARY), true, 1);
    servers_role(servers, address(FIRST), false, 1);
    probe_on(FIRST, 1000, 1500, 200);
    cr_assert(covers(FIRST, 200));
    lose(FIRST, 1520);
    cr_assert_not(covers(FIRST, 200));
    cr_assert_not(covers(FIRST, 1));
    cr_assert(servers_covers(servers, FIRST, &nothing), "who has seen nothing may read anything");
    cr_assert_not(servers_covers(servers, FIRST, &seen), "it may be behind itself");
    cr_assert_eq(servers_lower(servers, FIRST, 1510).value, 200, "what it was asked before is as it was");
    cr_assert_not(servers_lower(servers, FIRST, 1600).is_known);
    wakes = 0;
    servers_sample(servers, address(FIRST), 1515, 1620, at(200));
    cr_assert_not(covers(FIRST, 200), "asked before it went");
    probe(FIRST, 1700, 150);
    cr_assert_eq(servers_latest(servers, FIRST).value, 150);
    cr_assert(covers(FIRST, 150));
    cr_assert_not(covers(FIRST, 151));
    cr_assert_not(servers_covers(servers, FIRST, &seen));
    cr_assert_gt(wakes, 0);
    cr_assert_eq(servers_lower(servers, FIRST, 1800).value, 150);
    cr_assert_not(servers_lower(servers, FIRST, 1600).is_known);
}

Test(rw_split_samples, one_that_comes_back_where_it_was_wakes_who_waits)
{
    servers_role(servers, address(FIRST), false, 1);
    probe_on(FIRST, 1000, 1500, 200);
    lose(FIRST, 1520);
    wakes = 0;
    probe(FIRST, 1600, 200);
    cr_assert_eq(wakes, 1);
    cr_assert(covers(FIRST, 200));
    cr_assert_not(servers_lower(servers, FIRST, 1590).is_known, "meanwhile it may have been further back");
    probe(FIRST, 1650, 210);
    cr_assert_eq(servers_lower(servers, FIRST, 1640).value, 200);
}

Test(rw_split_samples, an_app_may_say_where_it_is_while_the_probe_is_refused)
{
    servers_role(servers, address(FIRST), false, 1);
    probe(FIRST, 1000, 200);
    lose(FIRST, 1020);
    told(FIRST, 1100, 150);
    cr_assert(covers(FIRST, 150));
    cr_assert_not(covers(FIRST, 200));
    lose(FIRST, 1200); /* refused once more: it is the same loss */
    cr_assert(covers(FIRST, 150));
    probe(FIRST, 1300, 220);
    lose(FIRST, 1400);
    cr_assert_not(covers(FIRST, 150));
}

Test(rw_split_samples, a_primary_whose_connection_breaks_keeps_its_history)
{
    struct seen seen = wrote(1010);

    servers_role(servers, address(PRIMARY), true, 1);
    probe_on(PRIMARY, 1000, 1500, 200);
    lose(PRIMARY, 1520);
    servers_resolve(servers, &seen, 1600);
    cr_assert_eq(seen.at.value, 200);
    cr_assert_eq(servers_as_of(servers, at(200)), 1499);
}

/* --- servers come and go --- */

static int find(unsigned number)
{
    char name[40];

    snprintf(name, sizeof name, "10.1.%u.%u:80", number / 250, number % 250);
    return servers_find(servers, (struct weir_str){ name, strlen(name) }, 0);
}

/* As tick does: every lag is measured, then weir's servers are named. */
static void go_by(unsigned turns)
{
    while (turns-- > 0) {
        servers_measure(servers);
        for (int i = 0; i < 2; i++)
            servers_note_role(servers, servers_find(servers, address(i), (unsigned)i), i == PRIMARY);
    }
}

Test(rw_split_samples, the_place_of_one_that_has_gone_is_given_to_others)
{
    servers_expect(servers, address(SECOND)); /* a probe asks it, though no server is named so */
    for (unsigned i = 3; i < SERVERS_MAX; i++)
        cr_assert_eq(find(i), (int)i);
    servers_sample(servers, (struct weir_str){ "10.1.0.3:80", 11 }, 1000, 1001, at(5));
    cr_assert_eq(find(1000), -1, "all of them were here just now");
    go_by(64 * 10);
    cr_assert_eq(find(1000), -1);
    go_by(64 * 10);
    for (unsigned i = 0; i < 10 * SERVERS_MAX; i++) {
        int slot = find(1000 + i);

        if (i < SERVERS_MAX - 3)
            cr_assert_geq(slot, 3, "server %u", i);
        if (i == 0)
            cr_assert_not(servers_latest(servers, slot).is_known, "nothing is left of who was there");
        if (i % (SERVERS_MAX - 3) == SERVERS_MAX - 4)
            go_by(64 * 20);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(servers_find(servers, address(i), 0), i, "named, or probed");
}
