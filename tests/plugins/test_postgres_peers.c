/* The probe and what is no PostgreSQL: connection strings, closed doors, peers that hang or talk nonsense. A
 * peer here is a socket that the test itself answers between two ticks; deadlines pass by pushing the clock.
 */
#include <criterion/criterion.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postgres_kit.h"

#define ADDRESS "10.0.0.1:3000"
#define OTHER   "10.0.0.2:3000"

TestSuite(postgres_peers, .timeout = 60);

/* --- connection strings --- */

Test(postgres_peers, a_connection_string_names_one_server)
{
    static const struct {
        const char *dsn, *why;
    } rows[] = {
        { "postgres://u:s3cret@[::1", "is no connection string" },
        { "host=a password=s3cret s3cret=1", "is no connection string" },
        { "s3cret", "is no connection string" },
        { "postgresql://u:s3cret%zz@a/b", "is no connection string" },
        { "host='a", "is no connection string" },
        { "", "names no host" },
        { "postgresql://", "names no host" },
        { "user=u password=s3cret dbname=b", "names no host" },
        { "postgresql://u:s3cret@a,b/c", "names several hosts" },
        { "hostaddr=192.0.2.1,192.0.2.2", "names several hosts" },
    };
    char error[256];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct postgres_target target = { ADDRESS, rows[i].dsn };

        cr_assert_null(postgres_new(&kit_host, NULL, &target, 1, 5, error, sizeof error), "row %zu", i);
        cr_assert(strstr(error, rows[i].why), "row %zu: %s", i, error);
        cr_assert(strstr(error, ADDRESS), "row %zu: %s", i, error);
        cr_assert_not(strstr(error, "s3cret"), "row %zu: %s", i, error);
    }
    cr_assert_null(postgres_new(&kit_host, NULL,
                                (struct postgres_target[]){ { ADDRESS, "host=a" }, { OTHER, "user=x" } }, 2,
                                5, error, 20),
                   "a short error is cut");
    cr_assert_eq(strlen(error), 19);
}

Test(postgres_peers, nobody_is_connected_to_before_the_first_tick)
{
    int port, door = kit_listen(&port);
    struct pollfd knock = { .fd = door, .events = POLLIN };
    char dsn[64];
    struct postgres *postgres;

    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d", port);
    postgres = kit_probe((struct postgres_target[]){ { ADDRESS, dsn } }, 1);
    cr_assert_eq(poll(&knock, 1, 20), 0);
    cr_assert(told_of(ADDRESS)->is_expected, "but it is waited for");
    postgres_tick(postgres);
    cr_assert_eq(poll(&knock, 1, 1000), 1);
    postgres_free(postgres);
    close(door);
}

/* --- memory --- */

static unsigned allocations_left; /* 0: no limit */

/* The linker sends the probe's own allocations through these (--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

static bool is_out_of_memory(void)
{
    return allocations_left > 0 && --allocations_left == 0;
}

void *__wrap_malloc(size_t size)
{
    return is_out_of_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_out_of_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return is_out_of_memory() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return is_out_of_memory() ? NULL : __real_strdup(text);
}

Test(postgres_peers, without_memory_it_is_not_made_and_does_not_break)
{
    static const struct postgres_target targets[] = { { ADDRESS, "host=localhost port=1" },
                                                      { OTHER, "host=127.0.0.1 port=1" } };
    struct postgres *postgres = NULL;
    unsigned fails = 0;

    while (!postgres) {
        char error[256] = "";

        allocations_left = ++fails;
        postgres = postgres_new(&kit_host, NULL, targets, 2, 5, error, sizeof error);
        allocations_left = 0;
        cr_assert(postgres || strstr(error, "memory"), "%s", error);
        cr_assert_lt(fails, 100);
    }
    cr_assert_gt(fails, 7);
    for (unsigned i = 1; i < 20; i++) {
        unsigned silences = told_of(ADDRESS)->silences;

        allocations_left = i;
        kit_pushed_ms += 3000;
        TICK_UNTIL(postgres, told_of(ADDRESS)->silences > silences);
        allocations_left = 0;
    }
    cr_assert(strstr(kit_log, "no memory or thread"), "%s", kit_log);
    postgres_free(postgres);
}

/* --- peers --- */

static int door = -1, peer = -1;
static char peer_dsn[160];

static struct postgres *probe_peer(void)
{
    int port;

    door = kit_listen(&port);
    snprintf(peer_dsn, sizeof peer_dsn, "postgresql://u:s3cret@127.0.0.1:%d/d?sslmode=disable", port);
    return kit_probe((struct postgres_target[]){ { ADDRESS, peer_dsn } }, 1);
}

/* What the probe sends next, after the accept if it is a new connection. */
static size_t receive(struct postgres *postgres, char *out, size_t size)
{
    ssize_t got = -1;
    struct pollfd knock = { .fd = door, .events = POLLIN };

    for (int i = 0; peer < 0 && i < 1000; i++) {
        postgres_tick(postgres);
        if (poll(&knock, 1, 0) == 1)
            peer = accept(door, NULL, NULL);
    }
    cr_assert_geq(peer, 0, "nobody came: %s", kit_log);
    for (int i = 0; got < 0 && i < 1000; i++) {
        postgres_tick(postgres);
        got = recv(peer, out, size, MSG_DONTWAIT);
    }
    cr_assert_geq(got, 0, "nothing came: %s", kit_log);
    return (size_t)got;
}

static void reply(const char *bytes, size_t len)
{
    cr_assert_eq(send(peer, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

#define REPLY(literal)    reply(literal, sizeof literal - 1)

#define WELCOME           "R\0\0\0\x08\0\0\0\0Z\0\0\0\5I"
#define ASKS_FOR_PASSWORD "R\0\0\0\x08\0\0\0\3"

Test(postgres_peers, a_closed_port_is_told_of_once_and_asked_less_and_less_often)
{
    int port;
    char dsn[64];
    struct postgres *postgres;

    close(kit_listen(&port));
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d", port);
    postgres = kit_probe((struct postgres_target[]){ { ADDRESS, dsn } }, 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    kit_pushed_ms += 90;
    postgres_tick(postgres);
    kit_pushed_ms += 20;
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 2);
    kit_pushed_ms += 110;
    postgres_tick(postgres);
    cr_assert_eq(told_of(ADDRESS)->silences, 2, "100 ms, then 200");
    for (unsigned i = 3; i < 20; i++) {
        kit_pushed_ms += 2000;
        TICK_UNTIL(postgres, told_of(ADDRESS)->silences == i);
    }
    cr_assert_eq(kit_lines, 1, "%s", kit_log);
    cr_assert(strstr(kit_log, "Connection refused"), "%s", kit_log);
    cr_assert_eq(told_of(ADDRESS)->losses, 19, "nobody is there who could know how far it is");
    cr_assert_gt(kit_clocks, 0);
    postgres_free(postgres);
}

Test(postgres_peers, a_peer_that_takes_the_connection_and_says_nothing_is_left_in_time)
{
    struct postgres *postgres = probe_peer();
    char bytes[512];

    receive(postgres, bytes, sizeof bytes);
    kit_pushed_ms += 1500;
    for (int i = 0; i < 5; i++)
        postgres_tick(postgres);
    cr_assert_eq(told_of(ADDRESS)->silences, 0);
    kit_pushed_ms += 600;
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    cr_assert(strstr(kit_log, "could not be connected to in time"), "%s", kit_log);
    cr_assert_eq(recv(peer, bytes, sizeof bytes, 0), 0, "it was hung up on");
    postgres_free(postgres);
    close(peer);
    close(door);
}

/* Also where TLS is tried first, as libpq does by default: the first byte of the answer decides. */
Test(postgres_peers, a_web_server_is_no_database)
{
    struct postgres *postgres = probe_peer();
    char bytes[512];

    receive(postgres, bytes, sizeof bytes);
    REPLY("HTTP/1.1 400 Bad Request\r\n\r\n");
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    cr_assert(strstr(kit_log, "expected authentication request"), "%s", kit_log);
    postgres_free(postgres);
    close(peer);
    close(door);
}

Test(postgres_peers, a_password_that_a_peer_says_back_does_not_reach_the_log)
{
    struct postgres *postgres = probe_peer();
    char bytes[512];

    receive(postgres, bytes, sizeof bytes);
    REPLY(ASKS_FOR_PASSWORD);
    cr_assert(memmem(bytes, receive(postgres, bytes, sizeof bytes), "s3cret", 6), "it is sent to it");
    REPLY("E\0\0\0\x40SFATAL\0C28P01\0MNo:\n\n\x1b[31m s3cret\r\n\tis no password, \xff is s3cret.\0\0");
    close(peer);
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    cr_assert(strstr(kit_log, "[31m ****** is no password, ? is ******."), "%s", kit_log);
    cr_assert_not(strpbrk(kit_log, "\x1b\r\t\xff"), "%s", kit_log);
    postgres_free(postgres);
    close(door);
}

Test(postgres_peers, an_answer_to_another_question_is_none)
{
    /* One column "x" of type text, one row with "1", its end, and ready again. */
    static const char answer[] = "T\0\0\0\x1a\0\1x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                                 "D\0\0\0\x0b\0\1\0\0\0\1"
                                 "1C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I";
    struct postgres *postgres = probe_peer();
    char bytes[4096];

    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    cr_assert(memmem(bytes, receive(postgres, bytes, sizeof bytes), "pg_is_in_recovery", 17));
    reply(answer, sizeof answer - 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    cr_assert(strstr(kit_log, "its answer is none to what was asked"), "%s", kit_log);
    cr_assert_eq(told_of(ADDRESS)->samples, 0);
    postgres_free(postgres);
    close(peer);
    close(door);
}

Test(postgres_peers, who_hangs_or_leaves_in_the_middle_of_an_answer_is_left)
{
    struct postgres *postgres = probe_peer();
    char bytes[4096];

    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    receive(postgres, bytes, sizeof bytes);
    REPLY("T\0\0\0\x1a\0");
    for (int i = 0; i < 5; i++)
        postgres_tick(postgres);
    kit_pushed_ms += 1100;
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    cr_assert(strstr(kit_log, "did not answer in time"), "%s", kit_log);
    cr_assert_eq(told_of(ADDRESS)->losses, 0, "who is late has not gone");
    close(peer);
    peer = -1;
    kit_pushed_ms += 2000;
    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    receive(postgres, bytes, sizeof bytes);
    close(peer);
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 2);
    cr_assert(strstr(kit_log, "closed the connection"), "%s", kit_log);
    cr_assert_eq(kit_lines, 2, "each reason once: %s", kit_log);
    cr_assert_eq(told_of(ADDRESS)->losses, 1);
    postgres_free(postgres);
    close(door);
}

Test(postgres_peers, an_error_is_no_loss_and_a_goodbye_is_one)
{
    struct postgres *postgres = probe_peer();
    char bytes[4096];

    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    receive(postgres, bytes, sizeof bytes);
    REPLY("E\0\0\0\x24SERROR\0VERROR\0C57014\0Mtoo late\0\0Z\0\0\0\5I");
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    cr_assert(strstr(kit_log, "too late"), "%s", kit_log);
    cr_assert_eq(told_of(ADDRESS)->losses, 0);
    close(peer);
    peer = -1;
    kit_pushed_ms += 2000;
    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    receive(postgres, bytes, sizeof bytes);
    REPLY("E\0\0\0\x23SFATAL\0VFATAL\0C57P01\0Mby hand\0\0");
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 2);
    cr_assert(strstr(kit_log, "by hand"), "%s", kit_log);
    cr_assert_eq(told_of(ADDRESS)->losses, 1);
    postgres_free(postgres);
    close(peer);
    close(door);
}

/* Five columns without a name, one row: the primary of timeline 1 at 16/10. */
static const char primary_says[] = "T\0\0\0\x65\0\5"
                                   "\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                                   "\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                                   "\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                                   "\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                                   "\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                                   "D\0\0\0\x31\0\5\0\0\0\1f\0\0\0\5"
                                   "16/10\0\0\0\x08"
                                   "00000001\0\0\0\x08"
                                   "00000001\0\0\0\1"
                                   "0C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I";

Test(postgres_peers, a_clock_set_back_between_question_and_answer_makes_it_no_sample)
{
    struct postgres *postgres = probe_peer();
    char bytes[4096];

    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    receive(postgres, bytes, sizeof bytes);
    kit_wall_pushed_ms -= 500;
    reply(primary_says, sizeof primary_says - 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->roles == 1);
    cr_assert_eq(told_of(ADDRESS)->samples, 0, "it was asked by another clock");
    receive(postgres, bytes, sizeof bytes);
    reply(primary_says, sizeof primary_says - 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->samples == 1);
    cr_assert_eq(told_of(ADDRESS)->at.value, UINT64_C(0x1600000010));
    postgres_free(postgres);
    close(peer);
    close(door);
}

/* It is connected to and has answered. */
static struct postgres *probe_primary(void)
{
    struct postgres *postgres = probe_peer();
    char bytes[4096];

    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    receive(postgres, bytes, sizeof bytes);
    reply(primary_says, sizeof primary_says - 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->samples == 1);
    return postgres;
}

static void hang_up(void)
{
    close(peer);
    peer = -1;
}

Test(postgres_peers, one_that_was_there_and_refuses_connections_is_gone_and_asked_often)
{
    struct postgres *postgres = probe_primary();
    int64_t ended_ms;
    unsigned silences;

    kit_pushed_ms += 1500; /* it was there for a while */
    ended_ms = kit_host.mono_ms();
    close(door);
    hang_up();
    TICK_UNTIL(postgres, told_of(ADDRESS)->gone_since_ms > 0); /* the clock is not pushed: tried at once */
    cr_assert_geq(told_of(ADDRESS)->gone_since_ms, ended_ms);
    for (unsigned i = 0; i < 20; i++) {
        silences = told_of(ADDRESS)->silences;
        kit_pushed_ms += 260;
        TICK_UNTIL(postgres, told_of(ADDRESS)->silences > silences);
    }
    cr_assert_leq(told_of(ADDRESS)->gone_since_ms, ended_ms + 1000, "since then, not since the last try");
    kit_pushed_ms += 30000;
    for (unsigned i = 0; i < 5; i++) {
        silences = told_of(ADDRESS)->silences;
        kit_pushed_ms += 2000;
        TICK_UNTIL(postgres, told_of(ADDRESS)->silences > silences);
    }
    silences = told_of(ADDRESS)->silences;
    kit_pushed_ms += 1500;
    postgres_tick(postgres);
    cr_assert_eq(told_of(ADDRESS)->silences, silences, "nobody waits for it any more");
    postgres_free(postgres);
}

Test(postgres_peers, one_whose_session_ended_and_that_takes_another_is_not_gone)
{
    struct postgres *postgres = probe_primary();
    char bytes[4096];

    hang_up();
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    cr_assert_eq(told_of(ADDRESS)->gone_since_ms, 0);
    kit_pushed_ms += 200;
    receive(postgres, bytes, sizeof bytes);
    REPLY(WELCOME);
    receive(postgres, bytes, sizeof bytes);
    reply(primary_says, sizeof primary_says - 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->samples == 2);
    cr_assert_eq(told_of(ADDRESS)->gone_since_ms, 0);
    postgres_free(postgres);
    close(peer);
    close(door);
}

Test(postgres_peers, what_it_says_while_it_is_connected_to_counts)
{
    static const char starts[] = "E\0\0\0\x5bSFATAL\0VFATAL\0C57P03\0Mthe database system is starting "
                                 "up\0Fpostmaster.c\0L2300\0RStartup\0\0";
    static const char is_full[] = "E\0\0\0\x2cSFATAL\0VFATAL\0C53300\0Mtoo many clients\0\0";
    struct postgres *postgres = probe_primary();
    char bytes[4096];

    hang_up();
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    kit_pushed_ms += 200;
    receive(postgres, bytes, sizeof bytes);
    reply(starts, sizeof starts - 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->gone_since_ms > 0);
    cr_assert(strstr(kit_log, "57P03: the database system is starting up\n"), "without its source: %s",
              kit_log);
    hang_up();
    kit_pushed_ms += 300;
    receive(postgres, bytes, sizeof bytes);
    reply(is_full, sizeof is_full - 1);
    TICK_UNTIL(postgres, told_of(ADDRESS)->gone_since_ms == 0);
    cr_assert(strstr(kit_log, "too many clients"), "%s", kit_log);
    postgres_free(postgres);
    close(peer);
    close(door);
}

Test(postgres_peers, one_that_hangs_is_gone_after_some_time)
{
    struct postgres *postgres = probe_primary();
    char bytes[4096];

    receive(postgres, bytes, sizeof bytes);
    kit_pushed_ms += 1100;
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences == 1);
    for (unsigned i = 2; i <= 3; i++) {
        cr_assert_eq(told_of(ADDRESS)->gone_since_ms, 0, "late, %u", i);
        hang_up();
        kit_pushed_ms += 400;
        receive(postgres, bytes, sizeof bytes);
        kit_pushed_ms += 2100;
        TICK_UNTIL(postgres, told_of(ADDRESS)->silences == i);
    }
    cr_assert_gt(told_of(ADDRESS)->gone_since_ms, 0);
    postgres_free(postgres);
    hang_up();
    close(door);
}

/* Bytes of every kind, wherever it is in the conversation: it may only fail. */
Test(postgres_peers, noise_only_fails)
{
    struct postgres *postgres = probe_peer();
    uint32_t state = 12345;
    char bytes[4096], noise[64];

    for (unsigned round = 0; round < 300; round++) {
        size_t len = 1 + round % sizeof noise;

        receive(postgres, bytes, sizeof bytes);
        if (round % 3 > 0) {
            REPLY(WELCOME);
            receive(postgres, bytes, sizeof bytes);
        }
        for (size_t i = 0; i < len; i++)
            noise[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
        noise[0] = "RESTDCZNAKIGvx1"[round % 15];
        if (len > 3)
            noise[1] = noise[2] = noise[3] = 0;
        send(peer, noise, len, MSG_NOSIGNAL);
        close(peer);
        peer = -1;
        TICK_UNTIL(postgres, told_of(ADDRESS)->silences == round + 1);
        kit_pushed_ms += 2000;
        kit_log[0] = '\0';
    }
    cr_assert_eq(told_of(ADDRESS)->samples, 0);
    postgres_free(postgres);
    close(door);
}

/* Whether the resolver says no at once or hangs, and whether or not it is still at it when the probe goes. */
Test(postgres_peers, a_name_without_an_address_delays_nobody)
{
    int port;
    char dsn[64];
    struct postgres *postgres;
    int64_t since_ms;

    close(kit_listen(&port));
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d", port);
    postgres =
        kit_probe((struct postgres_target[]){ { OTHER, "host=no-such-name.invalid" }, { ADDRESS, dsn } }, 2);
    since_ms = kit_real_ms();
    TICK_UNTIL(postgres, told_of(ADDRESS)->silences >= 1);
    cr_assert_lt(kit_real_ms() - since_ms, 1000);
    kit_pushed_ms += 2100;
    TICK_UNTIL(postgres, told_of(OTHER)->silences >= 1);
    cr_assert(strstr(kit_log, "no-such-name.invalid has no address") ||
                  strstr(kit_log, "was not looked up in time"),
              "%s", kit_log);
    kit_pushed_ms += 200;
    postgres_tick(postgres);
    since_ms = kit_real_ms();
    postgres_free(postgres);
    cr_assert_lt(kit_real_ms() - since_ms, 500, "nobody is waited for");
}
