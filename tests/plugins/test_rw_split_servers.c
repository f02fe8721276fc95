/* What follows from samples, claims and writes: bounds of what was seen, lags, roles, a tenant's last write.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fake_host.h"
#include "servers.h"
#include "tenants.h"

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
    cr_assert_eq(servers_as_of(servers, at(1, 9)), 0);
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

Test(rw_split_servers, a_text_without_an_epoch_gets_its_servers)
{
    struct servers *servers = three();

    cr_assert_eq(servers_complete(servers, str(PRIMARY), at(0, 50), false).epoch, 0);
    servers_role(servers, str(PRIMARY), true, 4);
    servers_sample(servers, str(PRIMARY), 1000, 1001, at(4, 50));
    cr_assert_eq(servers_complete(servers, str(PRIMARY), at(0, 51), false).epoch, 4);
    cr_assert_eq(servers_complete(servers, str(FIRST), at(0, 51), false).epoch, 4, "it must have come there");
    cr_assert_eq(servers_complete(servers, str(FIRST), at(0, 49), false).epoch, 0);
    cr_assert_eq(servers_complete(servers, str(PRIMARY), at(9, 51), true).epoch, 9, "its own word stands");
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
    cr_assert_eq(servers_find(servers, str("10.9.9.9:80"), 0), -1);
    servers_sample(servers, str("10.9.9.9:80"), 1, 2, at(1, 1));
    servers_role(servers, str("10.9.9.9:80"), true, 1);
    servers_silent(servers, str("10.9.9.9:80"));
    servers_lag(servers, str("10.9.9.9:80"), 1);
    memset(name, 'x', sizeof name);
    cr_assert_eq(servers_find(servers, (struct weir_str){ name, sizeof name }, 0), -1);
    cr_assert_eq(servers_find(servers, (struct weir_str){ 0 }, 0), -1);
    servers_free(servers);
}

/* --- tenants --- */

Test(rw_split_servers, a_tenants_last_write_is_everybodys_in_it)
{
    struct tenants *tenants = tenants_new(CLOCK, 500);
    struct seen wrote = { .at = at(1, 30) }, seen = { 0 };

    cr_assert_eq(tenants_last(tenants, str("acme"), &seen), 500, "what was before is not known");
    cr_assert_eq(seen.at_ms, 500);
    tenants_wrote(tenants, str("acme"), &wrote, 1000);
    wrote.at.value = 20;
    tenants_wrote(tenants, str("acme"), &wrote, 900);
    seen = (struct seen){ 0 };
    cr_assert_eq(tenants_last(tenants, str("acme"), &seen), 1000);
    cr_assert_eq(seen.at.value, 30, "forward only");
    seen = (struct seen){ 0 };
    tenants_last(tenants, str("tiny"), &seen);
    cr_assert_not(seen.at.is_known);
    tenants_free(tenants);
}
