/* Who is primary while databases answer late, not at all, or contradict each other. */
#include <criterion/criterion.h>

#include <string.h>

#include "fake_host.h"
#include "servers.h"

#define PRIMARY 0
#define FIRST   1
#define SECOND  2
#define LONG_MS 10000

static const char *const names[] = { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" };

static struct weir_str address(int slot)
{
    return (struct weir_str){ names[slot], strlen(names[slot]) };
}

static struct servers *servers;
static unsigned wakes, changes, settled_wakes;

static void on_progress(void *arg, bool has_new_roles)
{
    wakes++;
    changes += has_new_roles;
    settled_wakes += servers_roles_are_settled(servers);
}

static void set_up(void)
{
    servers = servers_new(7, on_progress, NULL);
    for (int i = 0; i < 3; i++)
        servers_note_role(servers, servers_find(servers, address(i), (unsigned)i), i == PRIMARY);
}

static void tear_down(void)
{
    servers_free(servers);
}

TestSuite(rw_split_roles, .init = set_up, .fini = tear_down);

static void claims(int slot, uint32_t timeline)
{
    servers_role(servers, address(slot), true, timeline);
}

static void follows(int slot, uint32_t timeline)
{
    servers_role(servers, address(slot), false, timeline);
}

static void is_silent(int slot)
{
    servers_silent(servers, address(slot));
}

static bool leads(int slot)
{
    return servers_role_of(servers, slot) == SERVERS_ROLE_PRIMARY;
}

static bool leads_alone(int slot)
{
    for (int i = 0; i < 3; i++)
        if (leads(i) != (i == slot))
            return false;
    return true;
}

static bool does_nobody_lead(void)
{
    for (int i = 0; i < 3; i++)
        if (servers_role_of(servers, i) != SERVERS_ROLE_REPLICA)
            return false;
    return true;
}

/* --- a newer timeline has ended all lower ones --- */

Test(rw_split_roles, a_blip_of_the_new_primary_does_not_bring_the_old_one_back)
{
    claims(PRIMARY, 1);
    follows(FIRST, 1);
    claims(FIRST, 2);
    cr_assert(leads_alone(FIRST));
    cr_assert(servers_is_pretender(servers, PRIMARY));
    is_silent(FIRST);
    claims(PRIMARY, 1);
    cr_assert(leads_alone(FIRST), "silent it is the last known one");
    cr_assert(servers_is_pretender(servers, PRIMARY));
    servers_clock(servers, 5000, 5000 + 10 * LONG_MS);
    is_silent(FIRST);
    claims(PRIMARY, 1);
    cr_assert(leads_alone(FIRST), "for however long");
    claims(FIRST, 2);
    cr_assert(leads_alone(FIRST));
}

Test(rw_split_roles, a_timeline_that_is_over_does_not_lead_when_the_newer_primary_follows)
{
    claims(PRIMARY, 1);
    follows(SECOND, 1);
    claims(FIRST, 2);
    follows(FIRST, 2);
    cr_assert(does_nobody_lead());
    cr_assert(servers_is_pretender(servers, PRIMARY), "also where nobody leads");
    claims(PRIMARY, 3);
    cr_assert(leads_alone(PRIMARY), "promoted again");
    cr_assert_not(servers_is_pretender(servers, PRIMARY));
}

Test(rw_split_roles, a_replica_that_knows_of_a_newer_timeline_is_evidence_enough)
{
    claims(PRIMARY, 1);
    cr_assert(leads(PRIMARY));
    follows(SECOND, 2); /* of a primary that does not answer, or that nobody asks */
    cr_assert_not(leads(PRIMARY));
    cr_assert(servers_is_pretender(servers, PRIMARY));
    is_silent(SECOND);
    claims(PRIMARY, 1);
    cr_assert_not(leads(PRIMARY));
    claims(FIRST, 2);
    cr_assert(leads_alone(FIRST));
}

/* --- two on one timeline --- */

Test(rw_split_roles, silence_decides_nothing_between_two_of_one_timeline)
{
    servers_clock(servers, 1000, 1000);
    claims(PRIMARY, 1);
    claims(FIRST, 1);
    follows(SECOND, 1);
    cr_assert(does_nobody_lead());
    is_silent(PRIMARY);
    claims(FIRST, 1);
    cr_assert(does_nobody_lead(), "it may take writes all the same");
    is_silent(FIRST);
    cr_assert(does_nobody_lead());
    claims(PRIMARY, 1);
    cr_assert(does_nobody_lead());
    follows(FIRST, 1);
    cr_assert(leads_alone(PRIMARY), "asked again it says that it is none");
}

Test(rw_split_roles, one_of_two_that_is_gone_for_long_was_stopped)
{
    servers_clock(servers, 1000, 1000);
    claims(PRIMARY, 1);
    claims(FIRST, 1);
    follows(SECOND, 1);
    is_silent(PRIMARY);
    servers_clock(servers, 1000 + LONG_MS - 1, 1000 + LONG_MS - 1);
    is_silent(PRIMARY);
    claims(FIRST, 1);
    cr_assert(does_nobody_lead());
    servers_clock(servers, 1000 + LONG_MS, 1000 + LONG_MS);
    claims(FIRST, 1);
    cr_assert(leads_alone(FIRST));
    claims(PRIMARY, 1);
    cr_assert(does_nobody_lead(), "it is back");
}

Test(rw_split_roles, a_silent_leader_is_contradicted_by_another_of_its_timeline)
{
    servers_clock(servers, 1000, 1000);
    claims(PRIMARY, 1);
    follows(FIRST, 1);
    follows(SECOND, 1);
    is_silent(PRIMARY);
    cr_assert(leads_alone(PRIMARY));
    claims(FIRST, 1);
    cr_assert(does_nobody_lead());
}

/* --- at start --- */

static void expect_all(void)
{
    for (int i = 0; i < 3; i++)
        servers_expect(servers, address(i));
}

/* --- a database that is gone --- */

Test(rw_split_roles, one_that_is_gone_keeps_its_role_and_wakes_when_it_is_back)
{
    unsigned before;

    claims(PRIMARY, 1);
    follows(FIRST, 1);
    cr_assert_eq(servers_lost_since_ms(servers, PRIMARY), 0);
    before = wakes;
    servers_gone(servers, address(PRIMARY), 5000);
    servers_silent(servers, address(PRIMARY));
    cr_assert_eq(servers_lost_since_ms(servers, PRIMARY), 5000);
    cr_assert_eq(servers_lost_since_ms(servers, FIRST), 0);
    cr_assert(leads(PRIMARY));
    cr_assert_eq(wakes, before, "nobody has anything of that");
    claims(PRIMARY, 1);
    cr_assert_eq(servers_lost_since_ms(servers, PRIMARY), 0);
    cr_assert_eq(wakes, before + 1);
    servers_gone(servers, address(PRIMARY), 6000);
    servers_gone(servers, address(PRIMARY), 0);
    cr_assert_eq(wakes, before + 2, "it is there, and takes no more connections");
    servers_gone(servers, address(PRIMARY), 0);
    cr_assert_eq(wakes, before + 2);
}

Test(rw_split_roles, without_a_probe_they_are_settled)
{
    cr_assert(servers_roles_are_settled(servers));
    servers_expect(servers, (struct weir_str){ 0 });
    cr_assert(servers_roles_are_settled(servers), "nobody's");
    servers_expect(servers, address(FIRST));
    cr_assert_not(servers_roles_are_settled(servers));
    follows(FIRST, 1);
    cr_assert(servers_roles_are_settled(servers));
}

/* weir was started after a failover, its config names the old primary. */
Test(rw_split_roles, nobody_is_elected_before_all_were_heard)
{
    expect_all();
    claims(PRIMARY, 1);
    cr_assert_eq(servers_role_of(servers, PRIMARY), SERVERS_ROLE_UNKNOWN, "somebody may say more");
    cr_assert_eq(changes, 0);
    follows(SECOND, 1);
    cr_assert_eq(servers_role_of(servers, SECOND), SERVERS_ROLE_REPLICA, "that much is sure");
    cr_assert_not(servers_roles_are_settled(servers));
    claims(FIRST, 2);
    cr_assert(servers_roles_are_settled(servers));
    cr_assert(leads_alone(FIRST));
    cr_assert(servers_is_pretender(servers, PRIMARY));
    cr_assert_eq(settled_wakes, 1, "first weir is told of the roles, then who waits for them looks again");
    cr_assert_eq(wakes, changes + 1);
}

Test(rw_split_roles, one_that_fails_was_heard)
{
    expect_all();
    is_silent(FIRST);
    is_silent(FIRST);
    claims(PRIMARY, 1);
    cr_assert_not(servers_roles_are_settled(servers));
    is_silent(SECOND);
    cr_assert(servers_roles_are_settled(servers));
    cr_assert(leads(PRIMARY));
}

Test(rw_split_roles, where_all_fail_it_stays_as_configured)
{
    expect_all();
    for (int i = 0; i < 3; i++)
        is_silent(i);
    cr_assert(servers_roles_are_settled(servers));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(servers_role_of(servers, i), SERVERS_ROLE_UNKNOWN);
    cr_assert_eq(changes, 0);
    cr_assert_eq(wakes, 1, "who waited must not wait on");
}

Test(rw_split_roles, one_that_said_so_and_went_silent_before_the_last_was_heard_leads)
{
    expect_all();
    claims(FIRST, 2);
    is_silent(FIRST);
    claims(PRIMARY, 1);
    follows(SECOND, 1);
    cr_assert(leads_alone(FIRST));
}

Test(rw_split_roles, a_configured_primary_that_says_it_is_none_is_believed_at_once)
{
    expect_all();
    follows(PRIMARY, 2);
    cr_assert_eq(servers_role_of(servers, PRIMARY), SERVERS_ROLE_REPLICA);
    is_silent(FIRST);
    is_silent(SECOND);
    cr_assert_eq(servers_role_of(servers, PRIMARY), SERVERS_ROLE_REPLICA);
    cr_assert_not(leads(FIRST));
    claims(FIRST, 2);
    cr_assert(leads_alone(FIRST));
}

Test(rw_split_roles, samples_before_that_are_nobodys_as_a_primary)
{
    struct position at = { .is_known = true, .epoch = 1, .value = 10 };

    expect_all();
    claims(PRIMARY, 1);
    servers_sample(servers, address(PRIMARY), 1000, 1001, at);
    servers_told(servers, address(PRIMARY), 1000, 1002, at, true);
    cr_assert_eq(servers_as_of(servers, at), 0);
    follows(FIRST, 1);
    follows(SECOND, 1);
    servers_sample(servers, address(PRIMARY), 1050, 1051, at);
    cr_assert_eq(servers_as_of(servers, at), 1049);
}

Test(rw_split_roles, a_token_of_a_newer_epoch_finds_out_a_stale_primary)
{
    struct seen seen = { .at = { .is_known = true, .epoch = 2, .value = 5 } };
    struct position at = { .is_known = true, .epoch = 1, .value = 900 };

    cr_assert_not(servers_primary_is_stale(servers, PRIMARY, &seen), "nobody knows where it is");
    servers_sample(servers, address(PRIMARY), 1000, 1001, at);
    cr_assert(servers_primary_is_stale(servers, PRIMARY, &seen));
    seen.at.epoch = 1;
    seen.at.value = 1000;
    cr_assert_not(servers_primary_is_stale(servers, PRIMARY, &seen), "a token is ahead of its sample");
    seen.at.epoch = 0;
    cr_assert_not(servers_primary_is_stale(servers, PRIMARY, &seen));
    seen = (struct seen){ .has_source = true, .at_ms = 2000 };
    cr_assert_not(servers_primary_is_stale(servers, PRIMARY, &seen));
}

/* --- what is known of before a reload --- */

static const char *const places[] = { "db1  5432", "db2  5432", "db3  5432" };

/* As a reload does: a new instance is made beside the old one, and takes its place. Its config says that the
 * first one is primary. Only those of the first `count` databases are asked. */
static struct servers *another(int from, int count)
{
    struct servers_database databases[3];
    struct servers *next = servers_new(7, on_progress, NULL);

    for (int i = 0; i < 3; i++)
        servers_note_role(next, servers_find(next, address(i), (unsigned)i), i == PRIMARY);
    for (int i = 0; i < count; i++) {
        databases[i] = (struct servers_database){ address(from + i), places[from + i] };
        servers_expect(next, address(from + i));
    }
    cr_assert(servers_succeed(next, databases, (unsigned)count));
    return next;
}

static void reload(int from, int count)
{
    struct servers *old = servers;

    servers = another(from, count);
    servers_free(old);
}

static void failed_over(void)
{
    reload(PRIMARY, 3);
    follows(SECOND, 2);
    claims(PRIMARY, 1);
    claims(FIRST, 2);
    cr_assert(leads_alone(FIRST));
}

Test(rw_split_roles, a_reload_does_not_bring_the_old_primary_back)
{
    failed_over();
    reload(PRIMARY, 3);
    cr_assert_not(servers_roles_are_settled(servers));
    claims(PRIMARY, 1);
    cr_assert(servers_is_pretender(servers, PRIMARY), "at once");
    cr_assert(leads_alone(FIRST), "it said so a moment ago");
    is_silent(FIRST);
    is_silent(SECOND);
    cr_assert(servers_roles_are_settled(servers), "all were heard");
    claims(PRIMARY, 1);
    cr_assert(leads_alone(FIRST), "silent it is the last known one");
    reload(PRIMARY, 3);
    claims(PRIMARY, 1);
    is_silent(SECOND);
    is_silent(FIRST);
    cr_assert(leads_alone(FIRST), "after one more, too");
    follows(FIRST, 2);
    cr_assert_not(leads(FIRST));
    reload(PRIMARY, 3);
    claims(PRIMARY, 1);
    is_silent(FIRST);
    is_silent(SECOND);
    cr_assert_not(leads(FIRST), "that he does not is known as well");
    cr_assert(servers_is_pretender(servers, PRIMARY));
    claims(FIRST, 2);
    cr_assert(leads_alone(FIRST));
}

Test(rw_split_roles, after_a_reload_the_leaders_word_settles_the_roles)
{
    failed_over();
    reload(PRIMARY, 3);
    claims(PRIMARY, 1);
    cr_assert_not(servers_roles_are_settled(servers));
    settled_wakes = 0;
    claims(FIRST, 2);
    cr_assert(servers_roles_are_settled(servers), "whatever the third one does");
    cr_assert_eq(settled_wakes, 1, "who waits looks again");
    cr_assert(leads_alone(FIRST));
    is_silent(SECOND);
    cr_assert(servers_roles_are_settled(servers));
    cr_assert(leads_alone(FIRST));
    reload(PRIMARY, 3);
    claims(FIRST, 3);
    cr_assert(servers_roles_are_settled(servers), "a later timeline is at least that one");
    cr_assert(leads_alone(FIRST));
}

Test(rw_split_roles, after_a_reload_a_leader_that_says_less_settles_nothing)
{
    failed_over();
    reload(PRIMARY, 3);
    follows(FIRST, 2);
    cr_assert_not(servers_roles_are_settled(servers));
    reload(PRIMARY, 3);
    claims(FIRST, 1);
    cr_assert_not(servers_roles_are_settled(servers), "made anew: it is not who it was");
    claims(PRIMARY, 1);
    follows(SECOND, 1);
    cr_assert(does_nobody_lead());
    cr_assert(servers_is_pretender(servers, FIRST));
}

Test(rw_split_roles, a_failover_just_after_a_reload_is_seen)
{
    failed_over();
    reload(PRIMARY, 3);
    follows(SECOND, 3);
    claims(FIRST, 2);
    cr_assert_not(servers_roles_are_settled(servers), "it was taken over from");
    claims(PRIMARY, 3);
    cr_assert(servers_roles_are_settled(servers));
    cr_assert(leads_alone(PRIMARY));
}

Test(rw_split_roles, the_timeline_is_known_also_where_its_leader_is_not_there_any_more)
{
    reload(PRIMARY, 3);
    claims(PRIMARY, 1);
    follows(FIRST, 1);
    claims(SECOND, 2);
    reload(PRIMARY, 2);
    claims(PRIMARY, 1);
    follows(FIRST, 1);
    cr_assert(servers_roles_are_settled(servers));
    cr_assert(servers_is_pretender(servers, PRIMARY));
    cr_assert_not(leads(PRIMARY));
}

Test(rw_split_roles, what_the_old_instance_hears_meanwhile_counts)
{
    struct servers *old;

    reload(PRIMARY, 3);
    old = servers;
    claims(PRIMARY, 1);
    follows(FIRST, 1);
    follows(SECOND, 1);
    servers = another(PRIMARY, 3);
    servers_role(old, address(SECOND), false, 2);
    claims(PRIMARY, 1);
    cr_assert_not(servers_roles_are_settled(servers));
    cr_assert(servers_is_pretender(servers, PRIMARY));
    servers_free(old);
}

Test(rw_split_roles, it_goes_with_the_last_instance)
{
    failed_over();
    servers_free(servers);
    servers = another(PRIMARY, 3);
    claims(PRIMARY, 1);
    follows(FIRST, 1);
    cr_assert_not(servers_roles_are_settled(servers), "as at a start");
    follows(SECOND, 1);
    cr_assert(leads_alone(PRIMARY));
}

Test(rw_split_roles, other_databases_are_another_line)
{
    struct servers *others;

    reload(PRIMARY, 1);
    claims(PRIMARY, 5);
    others = servers;
    servers = another(FIRST, 2);
    claims(FIRST, 1);
    follows(SECOND, 1);
    cr_assert(leads(FIRST));
    cr_assert_not(servers_is_pretender(servers, FIRST));
    servers_free(others);
}

Test(rw_split_roles, an_upstream_without_the_leader_does_not_make_him_forgotten)
{
    struct servers *beside;

    failed_over();
    beside = servers;
    servers = another(SECOND, 1);
    follows(SECOND, 2);
    servers_free(servers);
    servers = beside;
    reload(PRIMARY, 3);
    claims(FIRST, 2);
    cr_assert(servers_roles_are_settled(servers));
}
