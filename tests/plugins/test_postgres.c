/* The probe beside real PostgreSQL: a primary and a streaming replica for each test, made by postgres.sh. */
#include <criterion/criterion.h>

#include <string.h>

#include "postgres_kit.h"

#define PRIMARY "10.0.0.1:3000"
#define REPLICA "10.0.0.2:3000"

TestSuite(postgres, .timeout = 60);

static struct server primary, replica;

static struct postgres *probe_both(void)
{
    primary = server_new("primary", NULL);
    replica = server_new("replica", &primary);
    return kit_probe((struct postgres_target[]){ { PRIMARY, primary.dsn }, { REPLICA, replica.dsn } }, 2);
}

static uint64_t write_note(const struct server *server, int id)
{
    char sql[64];

    snprintf(sql, sizeof sql, "INSERT INTO note VALUES (%d, 'x')", id);
    server_sql(server, sql);
    return server_lsn(server, "pg_current_wal_lsn");
}

static bool is_at(const char *address, uint32_t epoch, uint64_t value)
{
    return told_of(address)->at.epoch == epoch && told_of(address)->at.value >= value;
}

Test(postgres, roles_positions_and_times_are_the_databases_own)
{
    struct postgres *postgres = probe_both();
    int64_t before_ms = kit_host.wall_ms();
    uint64_t written = write_note(&primary, 1);

    TICK_UNTIL(postgres, is_at(PRIMARY, 1, written) && is_at(REPLICA, 1, written));
    cr_assert(told_of(PRIMARY)->is_primary);
    cr_assert_not(told_of(REPLICA)->is_primary);
    cr_assert_eq(told_of(PRIMARY)->timeline, 1);
    cr_assert_eq(told_of(REPLICA)->timeline, 1);
    cr_assert_eq(told_of(PRIMARY)->lag_ms, 0);
    cr_assert_eq(told_of(REPLICA)->lag_ms, 0, "all it received is replayed");
    cr_assert_geq(told_of(PRIMARY)->before_ms, before_ms);
    cr_assert_leq(told_of(PRIMARY)->after_ms, kit_host.wall_ms());
    cr_assert_leq(told_of(PRIMARY)->at.value, server_lsn(&primary, "pg_current_wal_lsn"));
    cr_assert_eq(kit_lines, 2, "each one once: %s", kit_log);
    cr_assert_not(strstr(kit_log, "hush"));
    postgres_free(postgres);
}

Test(postgres, a_sample_never_says_more_than_a_replica_has_replayed)
{
    struct postgres *postgres = probe_both();

    for (int i = 0; i < 30; i++) {
        uint64_t written = write_note(&primary, i);
        unsigned samples = told_of(REPLICA)->samples;

        TICK_UNTIL(postgres, is_at(REPLICA, 1, written) && told_of(REPLICA)->samples > samples);
        cr_assert_eq(atoi(server_sql(&replica, "SELECT max(id) FROM note")), i,
                     "what a position covers is there");
    }
    postgres_free(postgres);
}

Test(postgres, a_replica_whose_replay_is_paused_stays_where_it_is_and_its_lag_grows)
{
    struct postgres *postgres = probe_both();
    uint64_t before = write_note(&primary, 1), after;
    unsigned samples;

    TICK_UNTIL(postgres, is_at(REPLICA, 1, before));
    server_sql(&replica, "SELECT pg_wal_replay_pause()");
    after = write_note(&primary, 2);
    samples = told_of(REPLICA)->samples;
    TICK_UNTIL(postgres, is_at(PRIMARY, 1, after) && told_of(REPLICA)->lag_ms > 100);
    cr_assert_lt(told_of(REPLICA)->at.value, after);
    cr_assert_gt(told_of(REPLICA)->samples, samples);
    server_sql(&replica, "SELECT pg_wal_replay_resume()");
    TICK_UNTIL(postgres, is_at(REPLICA, 1, after) && told_of(REPLICA)->lag_ms == 0);
    postgres_free(postgres);
}

Test(postgres, a_promoted_replica_claims_the_next_timeline)
{
    struct postgres *postgres = probe_both();
    uint64_t written = write_note(&primary, 1);

    TICK_UNTIL(postgres, is_at(REPLICA, 1, written));
    server_do(&primary, "kill");
    TICK_UNTIL(postgres, told_of(PRIMARY)->silences > 0);
    server_do(&replica, "promote");
    TICK_UNTIL(postgres, told_of(REPLICA)->is_primary);
    cr_assert_eq(told_of(REPLICA)->timeline, 2);
    written = write_note(&replica, 2);
    TICK_UNTIL(postgres, is_at(REPLICA, 2, written));
    cr_assert_eq(told_of(REPLICA)->silences, 0, "it was asked throughout");
    /* The old one comes back and still believes to be it: that is told as it is. */
    server_do(&primary, "start");
    written = told_of(PRIMARY)->samples;
    TICK_UNTIL(postgres, told_of(PRIMARY)->samples > written);
    cr_assert(told_of(PRIMARY)->is_primary);
    cr_assert_eq(told_of(PRIMARY)->timeline, 1);
    postgres_free(postgres);
}

/* What it has replayed decides, not whom it follows. */
Test(postgres, a_replica_is_on_the_new_timeline_once_its_replay_is)
{
    struct postgres *postgres = probe_both();
    struct server third = server_new("third", &primary);
    uint64_t written = write_note(&primary, 1);
    unsigned samples;
    char sql[160];

    postgres_free(postgres);
    postgres = kit_probe((struct postgres_target[]){ { PRIMARY, replica.dsn }, { REPLICA, third.dsn } }, 2);
    TICK_UNTIL(postgres, is_at(REPLICA, 1, written) && is_at(PRIMARY, 1, written));
    server_sql(&third, "SELECT pg_wal_replay_pause()");
    written = write_note(&primary, 2);
    TICK_UNTIL(postgres, is_at(PRIMARY, 1, written));
    server_do(&primary, "kill");
    server_do(&replica, "promote");
    written = write_note(&replica, 3);
    TICK_UNTIL(postgres, is_at(PRIMARY, 2, written));
    snprintf(sql, sizeof sql, "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=%d user=postgres'",
             replica.port);
    server_sql(&third, sql);
    server_sql(&third, "SELECT pg_reload_conf()");
    samples = told_of(REPLICA)->samples;
    TICK_UNTIL(postgres, told_of(REPLICA)->samples > samples + 3);
    cr_assert_eq(told_of(REPLICA)->at.epoch, 1, "what it shows is of before the promotion");
    server_sql(&third, "SELECT pg_wal_replay_resume()");
    TICK_UNTIL(postgres, is_at(REPLICA, 2, written));
    /* Without a receiver nothing says so any more: it is remembered. */
    server_do(&replica, "kill");
    TICK_UNTIL(postgres, server_sql(&third, "SELECT received_tli FROM pg_stat_wal_receiver")[0] == '\0');
    samples = told_of(REPLICA)->samples;
    TICK_UNTIL(postgres, told_of(REPLICA)->samples > samples + 3);
    cr_assert_eq(told_of(REPLICA)->at.epoch, 2);
    postgres_free(postgres);
}

Test(postgres, a_frozen_database_delays_nothing_but_its_own_figures)
{
    struct postgres *postgres = probe_both();
    unsigned samples;
    int64_t longest_ms = 0, since_ms;

    TICK_UNTIL(postgres, told_of(PRIMARY)->samples > 3 && told_of(REPLICA)->samples > 3);
    server_do(&replica, "freeze");
    samples = told_of(PRIMARY)->samples;
    since_ms = kit_real_ms();
    while (told_of(PRIMARY)->samples < samples + 40) {
        int64_t begun_ms = kit_real_ms(), took_ms;

        postgres_tick(postgres);
        took_ms = kit_real_ms() - begun_ms;
        longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
        cr_assert_lt(kit_real_ms(), since_ms + 8000);
    }
    cr_assert_lt(longest_ms, 500, "a tick of 5 ms took %d ms", (int)longest_ms);
    kit_pushed_ms += 1100; /* longer than an answer may take */
    TICK_UNTIL(postgres, told_of(REPLICA)->silences > 0);
    cr_assert(strstr(kit_log,
                     "the database of " REPLICA " does not answer: it was asked and did not answer in time"),
              "%s", kit_log);
    samples = told_of(REPLICA)->samples;
    server_do(&replica, "thaw");
    TICK_UNTIL(postgres, told_of(REPLICA)->samples > samples);
    cr_assert_eq(told_of(PRIMARY)->silences, 0);
    postgres_free(postgres);
}

Test(postgres, a_database_that_starts_again_is_found_again)
{
    struct postgres *postgres = probe_both();
    unsigned samples;

    TICK_UNTIL(postgres, told_of(PRIMARY)->samples > 3);
    server_do(&primary, "stop");
    TICK_UNTIL(postgres, told_of(PRIMARY)->silences > 2);
    cr_assert(strstr(kit_log, "does not answer"), "%s", kit_log);
    samples = told_of(PRIMARY)->samples;
    server_do(&primary, "start");
    TICK_UNTIL(postgres, told_of(PRIMARY)->samples > samples + 3);
    cr_assert(told_of(PRIMARY)->is_primary);
    postgres_free(postgres);
}

/* hot_standby = off: it recovers, and tells whoever asks that it is not to be asked. */
Test(postgres, a_database_that_only_recovers_is_told_of_once)
{
    struct postgres *postgres;
    unsigned lines;

    primary = server_new("primary", NULL);
    replica = server_new("replica", &primary);
    server_sql(&replica, "ALTER SYSTEM SET hot_standby = off");
    server_do(&replica, "stop");
    server_do(&replica, "start");
    postgres = kit_probe((struct postgres_target[]){ { PRIMARY, primary.dsn }, { REPLICA, replica.dsn } }, 2);
    TICK_UNTIL(postgres, told_of(REPLICA)->silences > 3 && told_of(PRIMARY)->samples > 3);
    lines = kit_lines;
    cr_assert_eq(lines, 2, "%s", kit_log);
    cr_assert(strstr(kit_log, "the database system is"), "%s", kit_log);
    cr_assert_eq(told_of(REPLICA)->samples, 0);
    postgres_free(postgres);
}

Test(postgres, a_wrong_password_is_logged_once_and_never_said)
{
    char dsn[160];
    struct postgres *postgres;

    primary = server_new("primary", NULL);
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d dbname=postgres user=probe password='open sesame'",
             primary.port);
    postgres = kit_probe((struct postgres_target[]){ { REPLICA, dsn }, { PRIMARY, primary.dsn } }, 2);
    TICK_UNTIL(postgres, told_of(REPLICA)->silences > 3);
    cr_assert(strstr(kit_log, "password authentication failed"), "%s", kit_log);
    cr_assert_not(strstr(kit_log, "sesame"), "%s", kit_log);
    cr_assert_eq(kit_lines, 2, "%s", kit_log);
    cr_assert_gt(told_of(PRIMARY)->samples, 3, "the other one was asked all the while");
    postgres_free(postgres);
}

/* Also by a name, and with a role that may do nothing but connect. */
Test(postgres, a_role_without_rights_learns_role_position_and_timeline)
{
    char first[160], second[160];
    struct postgres *postgres;
    uint64_t written;

    primary = server_new("primary", NULL);
    replica = server_new("replica", &primary);
    snprintf(first, sizeof first, "postgresql://stranger:unknown-to-most@localhost:%d/postgres",
             primary.port);
    snprintf(second, sizeof second,
             "host=localhost port=%d dbname=postgres user=stranger password=unknown-to-most "
             "target_session_attrs=read-write options='-c work_mem=1MB'",
             replica.port);
    written = write_note(&primary, 1);
    postgres = kit_probe((struct postgres_target[]){ { PRIMARY, first }, { REPLICA, second } }, 2);
    TICK_UNTIL(postgres, is_at(PRIMARY, 1, written) && is_at(REPLICA, 1, written));
    cr_assert(told_of(PRIMARY)->is_primary);
    cr_assert_not(told_of(REPLICA)->is_primary, "target_session_attrs is not the probe's");
    cr_assert_eq(told_of(REPLICA)->lag_ms, 0);
    postgres_free(postgres);
}

Test(postgres, commits_that_are_not_waited_for_count_as_well)
{
    struct postgres *postgres;
    uint64_t written;

    primary = server_new("primary", NULL);
    server_sql(&primary, "ALTER SYSTEM SET synchronous_commit = off");
    server_sql(&primary, "ALTER SYSTEM SET wal_writer_delay = '10s'");
    server_sql(&primary, "SELECT pg_reload_conf()");
    postgres = kit_probe((struct postgres_target[]){ { PRIMARY, primary.dsn } }, 1);
    TICK_UNTIL(postgres, strcmp(server_sql(&primary, "SHOW synchronous_commit"), "off") == 0);
    server_sql(&primary, "INSERT INTO note VALUES (1, 'x')");
    written = server_lsn(&primary, "pg_current_wal_insert_lsn");
    TICK_UNTIL(postgres, is_at(PRIMARY, 1, written));
    postgres_free(postgres);
}
