/* One conversation with Redis, against a real one. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "servers.h"

static struct loop *loop;
static struct server server;
static struct redis *redis;
static unsigned ups;
static unsigned downs;
static char down_why[128];

static void on_up(void *arg)
{
    ups++;
}

static void on_down(void *arg, const char *why)
{
    downs++;
    snprintf(down_why, sizeof down_why, "%s", why);
}

static const struct redis_events events = { on_up, on_down };

/* An ask and what became of it. */
struct asked {
    unsigned calls;
    enum redis_end end;
    enum redis_kind kind;
    int64_t integer;
    size_t count;
    char text[256];
    int64_t at_ns;
};

static void on_asked(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct asked *asked = arg;
    asked->calls++;
    asked->end = end;
    asked->at_ns = clock_mono_ns();
    cr_assert_eq(reply != NULL, end == REDIS_ANSWERED);
    if (!reply)
        return;
    asked->kind = reply->kind;
    asked->integer = reply->integer;
    asked->count = reply->count;
    str_copy(reply->str, asked->text, sizeof asked->text);
}

static bool try_ask(struct asked *asked, int64_t timeout_ms, const char *command)
{
    const char *argv[16];
    size_t lens[16];
    struct str rest = str_of(command);
    struct str word;
    int argc = 0;
    while (argc < 16 && str_split(&rest, ' ', &word)) {
        argv[argc] = word.data;
        lens[argc++] = word.len;
    }
    *asked = (struct asked){ 0 };
    return redis_ask(redis, timeout_ms, on_asked, asked, argc, argv, lens);
}

static void ask(struct asked *asked, const char *command)
{
    cr_assert(try_ask(asked, 5000, command));
    turn_until_count(loop, &asked->calls, 1);
}

static void open_url(const char *text)
{
    struct redis_url url = url_of(text);
    redis = redis_new(loop, &url, NULL, &events, NULL);
    cr_assert_not_null(redis);
}

static void start(const char *const *options)
{
    loop = loop_new();
    server_init(&server);
    server_start(&server, options);
}

static void end(void)
{
    redis_free(redis);
    loop_turn(loop, 0);
    loop_free(loop);
    server_fini(&server);
    check_leaks();
}

static void open_port(const char *form)
{
    char text[128];
    snprintf(text, sizeof text, form, server.port);
    open_url(text);
}

Test(redis, asks_and_gets_each_kind_of_reply)
{
    struct asked asked;
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    cr_assert_not(try_ask(&asked, 1000, "PING"), "not while it is connecting");
    turn_until_up(loop, redis);
    cr_assert_eq(ups, 1);
    ask(&asked, "SET a b");
    cr_assert_eq(asked.kind, REDIS_STATUS);
    cr_assert_str_eq(asked.text, "OK");
    ask(&asked, "GET a");
    cr_assert_eq(asked.kind, REDIS_STRING);
    cr_assert_str_eq(asked.text, "b");
    ask(&asked, "GET none");
    cr_assert_eq(asked.kind, REDIS_NIL);
    ask(&asked, "INCR n");
    cr_assert_eq(asked.kind, REDIS_INTEGER);
    cr_assert_eq(asked.integer, 1);
    ask(&asked, "MGET a none n");
    cr_assert_eq(asked.kind, REDIS_ARRAY);
    cr_assert_eq(asked.count, 3);
    ask(&asked, "INCR a");
    cr_assert_eq(asked.kind, REDIS_ERROR);
    cr_assert(str_has_prefix(str_of(asked.text), STR("ERR")));
    end();
}

Test(redis, keeps_the_order_of_many_at_once)
{
    static struct asked many[REDIS_ASKS_MAX];
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    turn_until_up(loop, redis);
    for (unsigned i = 0; i < REDIS_ASKS_MAX; i++)
        cr_assert(try_ask(&many[i], 5000, "INCR n"));
    struct asked one_more;
    cr_assert_not(try_ask(&one_more, 5000, "INCR n"), "the number in flight is bounded");
    turn_until_count(loop, &many[REDIS_ASKS_MAX - 1].calls, 1);
    for (unsigned i = 0; i < REDIS_ASKS_MAX; i++) {
        cr_assert_eq(many[i].calls, 1);
        cr_assert_eq(many[i].integer, (int64_t)i + 1);
    }
    end();
}

Test(redis, bounds_the_bytes_that_wait)
{
    static char big[9 << 20];
    struct asked asked[4] = { 0 };
    const char *argv[] = { "SET", "big", big };
    size_t lens[] = { 3, 3, sizeof big };
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    turn_until_up(loop, redis);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(redis_ask(redis, 10000, on_asked, &asked[i], 3, argv, lens));
    cr_assert_not(redis_ask(redis, 10000, on_asked, &asked[3], 3, argv, lens));
    turn_until_count(loop, &asked[2].calls, 1);
    cr_assert_str_eq(asked[2].text, "OK");
    cr_assert(redis_ask(redis, 10000, on_asked, &asked[3], 3, argv, lens), "there is room again");
    turn_until_count(loop, &asked[3].calls, 1);
    end();
}

Test(redis, authenticates_by_password)
{
    struct asked asked;
    start((const char *const[]){ "--requirepass", "p@ss", NULL });
    open_port("redis://:p%%40ss@127.0.0.1:%d/3");
    turn_until_up(loop, redis);
    ask(&asked, "SET a 3");
    server_do(&server, "PING");
    redis_free(redis);
    open_port("redis://:p%%40ss@127.0.0.1:%d/4");
    turn_until_up(loop, redis);
    ask(&asked, "GET a");
    cr_assert_eq(asked.kind, REDIS_NIL, "another database");
    end();
}

Test(redis, authenticates_as_a_user_with_few_rights)
{
    struct asked asked;
    start(NULL);
    server_do(&server, "ACL SETUSER weir on >secret ~weir:* +get +set");
    open_port("redis://weir:secret@127.0.0.1:%d");
    turn_until_up(loop, redis);
    ask(&asked, "SET weir:1 x");
    cr_assert_str_eq(asked.text, "OK");
    ask(&asked, "SET other x");
    cr_assert(str_has_prefix(str_of(asked.text), STR("NOPERM")));
    end();
}

/* Turns until the reason why it is not up begins so. */
static void turn_until_why(const char *why)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (!str_has_prefix(str_of(redis_why(redis)), str_of(why))) {
        cr_assert_lt(clock_mono_ns(), end_ns, "%s", redis_why(redis));
        loop_turn(loop, 20);
    }
}

Test(redis, says_why_it_is_refused_and_never_the_password)
{
    start((const char *const[]){ "--requirepass", "right", NULL });
    open_port("redis://:wrong@127.0.0.1:%d");
    turn_until_why("it refuses the password: the server says WRONGPASS");
    redis_free(redis);
    open_port("redis://127.0.0.1:%d");
    turn_until_why("it does not serve: the server says NOAUTH");
    redis_free(redis);
    open_port("redis://:right@127.0.0.1:%d/99");
    turn_until_why("it refuses the database: the server says ERR");
    cr_assert_not(redis_is_up(redis));
    cr_assert_eq(ups, 0);
    end();
}

Test(redis, speaks_over_a_unix_socket)
{
    struct asked asked;
    char text[256];
    start(NULL);
    snprintf(text, sizeof text, "unix://%s?db=2", server.socket);
    open_url(text);
    turn_until_up(loop, redis);
    ask(&asked, "SET a b");
    cr_assert_str_eq(asked.text, "OK");
    end();
}

Test(redis, looks_a_name_up)
{
    start(NULL);
    open_port("redis://localhost:%d");
    turn_until_up(loop, redis);
    end();
}

Test(redis, comes_back_after_a_restart)
{
    struct asked asked;
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    turn_until_up(loop, redis);
    server_pause(&server);
    cr_assert(try_ask(&asked, 60000, "GET a"));
    loop_turn(loop, 1);
    server_stop(&server, SIGKILL);
    turn_until_down(loop, redis);
    cr_assert_eq(asked.calls, 1);
    cr_assert_eq(asked.end, REDIS_DISCONNECTED);
    cr_assert_eq(downs, 1);
    cr_assert_not(try_ask(&asked, 1000, "GET a"));
    server_start(&server, NULL);
    turn_until_up(loop, redis);
    ask(&asked, "SET a b");
    cr_assert_str_eq(asked.text, "OK");
    cr_assert_eq(ups, 2);
    end();
}

Test(redis, keeps_deadlines_while_the_server_stands_still)
{
    struct asked asked[3];
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    turn_until_up(loop, redis);
    server_pause(&server);
    loop_turn(loop, 0);
    int64_t begun_ns = clock_mono_ns();
    cr_assert(try_ask(&asked[0], 50, "SET a 0"));
    cr_assert(try_ask(&asked[1], 5, "SET a 1"));
    cr_assert(try_ask(&asked[2], 10000, "GET a"));
    turn_until_count(loop, &asked[0].calls, 1);
    for (unsigned i = 0; i < 2; i++) {
        int64_t budget_ns = (i == 0 ? 50 : 5) * NS_PER_MS;
        cr_assert_eq(asked[i].end, REDIS_TIMEOUT);
        cr_assert_geq(asked[i].at_ns - begun_ns, budget_ns - NS_PER_MS);
        cr_assert_leq(asked[i].at_ns - begun_ns, budget_ns + 20 * NS_PER_MS, "%u: %ld us", i,
                      (long)(asked[i].at_ns - begun_ns) / 1000);
    }
    server_go_on(&server);
    turn_until_count(loop, &asked[2].calls, 1);
    cr_assert_str_eq(asked[2].text, "1", "late answers do not become somebody else's");
    cr_assert_eq(asked[0].calls, 1);
    end();
}

Test(redis, gives_a_silent_connection_up)
{
    struct asked asked;
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    turn_until_up(loop, redis);
    server_pause(&server);
    cr_assert(try_ask(&asked, 5, "GET a"));
    turn_until_down(loop, redis);
    cr_assert_str_eq(down_why, "the server does not answer");
    server_go_on(&server);
    turn_until_up(loop, redis);
    end();
}

static unsigned messages;
static char last_message[64];

static void on_message(void *arg, struct str payload)
{
    messages++;
    str_copy(payload, last_message, sizeof last_message);
}

Test(redis, listens_to_a_channel_and_again_after_a_restart)
{
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    cr_assert(redis_subscribe(redis, STR("news"), on_message, NULL));
    for (unsigned i = 1; i <= 2; i++) {
        struct asked asked;
        turn_until_up(loop, redis);
        cr_assert_not(try_ask(&asked, 1000, "GET a"), "a subscriber only listens");
        cr_assert_str_eq(server_do(&server, "PUBLISH news hello"), ":1\r\n", "up means heard");
        server_do(&server, "PUBLISH other x");
        turn_until_count(loop, &messages, i);
        cr_assert_str_eq(last_message, "hello");
        server_stop(&server, SIGKILL);
        turn_until_down(loop, redis);
        server_start(&server, NULL);
    }
    end();
}

Test(redis, notices_a_silent_publisher)
{
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    cr_assert(redis_subscribe(redis, STR("news"), on_message, NULL));
    turn_until_up(loop, redis);
    server_pause(&server);
    turn_until_down(loop, redis);
    server_go_on(&server);
    turn_until_up(loop, redis);
    cr_assert_str_eq(server_do(&server, "PUBLISH news again"), ":1\r\n");
    turn_until_count(loop, &messages, 1);
    end();
}

static void free_it(void *arg, enum redis_end how, const struct redis_reply *reply)
{
    on_asked(arg, how, reply);
    redis_free(redis);
    redis = NULL;
}

Test(redis, may_be_freed_from_its_own_callbacks)
{
    struct asked first = { 0 };
    struct asked second = { 0 };
    struct asked third = { 0 };
    start(NULL);
    open_port("redis://127.0.0.1:%d");
    turn_until_up(loop, redis);
    cr_assert(redis_ask(redis, 5000, free_it, &first, 1, (const char *[]){ "PING" }, NULL));
    cr_assert(redis_ask(redis, 5000, on_asked, &second, 1, (const char *[]){ "PING" }, NULL));
    turn_until_count(loop, &first.calls, 1);
    cr_assert_eq(second.calls, 1);
    cr_assert_eq(second.end, REDIS_DISCONNECTED);
    cr_assert_eq(downs, 0);

    open_port("redis://127.0.0.1:%d");
    turn_until_up(loop, redis);
    server_pause(&server);
    cr_assert(redis_ask(redis, 1, free_it, &first, 1, (const char *[]){ "PING" }, NULL));
    cr_assert(redis_ask(redis, 1, on_asked, &third, 1, (const char *[]){ "PING" }, NULL));
    turn_until_count(loop, &third.calls, 1);
    cr_assert_eq(third.end, REDIS_DISCONNECTED);
    end();
}
