/* Finding the server: redirections of a Cluster, masters named by Sentinels, and servers that are none. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "servers.h"

static struct loop *loop;
static struct redis *redis;
static char down_why[128];

static void on_down(void *arg, const char *why)
{
    snprintf(down_why, sizeof down_why, "%s", why);
}

static unsigned refusals;

static void on_refused(void *arg, const char *why)
{
    refusals++;
}

static const struct redis_events events = { .on_down = on_down, .on_refused = on_refused };

struct asked {
    unsigned calls;
    enum redis_end end;
    enum redis_kind kind;
    char text[256];
};

static void on_asked(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct asked *asked = arg;
    asked->calls++;
    asked->end = end;
    if (!reply)
        return;
    asked->kind = reply->kind;
    str_copy(reply->str, asked->text, sizeof asked->text);
}

static const char *ask_for(struct asked *asked, const char *word, const char *key, const char *value)
{
    const char *argv[] = { word, key, value };
    *asked = (struct asked){ 0 };
    cr_assert(redis_ask(redis, 5000, on_asked, asked, value ? 3 : 2, argv, NULL));
    turn_until_count(loop, &asked->calls, 1);
    return asked->text;
}

static void open_url(const struct redis_url *url)
{
    redis = redis_new(loop, url, NULL, &events, NULL);
    cr_assert_not_null(redis);
}

static void turn_until_why(const char *why)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (!str_has_prefix(str_of(redis_why(redis)), str_of(why))) {
        cr_assert_lt(clock_mono_ns(), end_ns, "%s", redis_why(redis));
        loop_turn(loop, 20);
    }
}

static void end(void)
{
    redis_free(redis);
    loop_turn(loop, 0);
    loop_free(loop);
    check_leaks();
}

/* --- fakes --- */

static struct fake nodes[3];
static unsigned asking;

static const char *to_next(struct fake *fake, int argc, const struct str *argv)
{
    const char *word = fake->arg;
    snprintf(fake->text, sizeof fake->text, "-%s 12182 127.0.0.1:%d\r\n", word, fake[1].port);
    return fake->text;
}

static const char *to_itself(struct fake *fake, int argc, const struct str *argv)
{
    snprintf(fake->text, sizeof fake->text, "-MOVED 12182 :%d\r\n", fake->port);
    return fake->text;
}

static const char *serve(struct fake *fake, int argc, const struct str *argv)
{
    if (str_eq(argv[0], STR("ASKING"))) {
        asking++;
        return "+OK\r\n";
    }
    return "$4\r\nhere\r\n";
}

static void open_fakes(fake_fn *first, const char *word)
{
    loop = loop_new();
    fake_open(&nodes[0], loop, first);
    nodes[0].arg = (void *)(uintptr_t)word;
    fake_open(&nodes[1], loop, serve);
    struct redis_url url = fake_url(&nodes[0]);
    open_url(&url);
    turn_until_up(loop, redis);
}

static void close_fakes(void)
{
    fake_close(&nodes[0]);
    fake_close(&nodes[1]);
    end();
}

Test(redis_places, follows_moved_and_remembers_it)
{
    struct asked asked;
    open_fakes(to_next, "MOVED");
    cr_assert_str_eq(ask_for(&asked, "GET", "foo", NULL), "here");
    unsigned commands = nodes[0].commands;
    cr_assert_str_eq(ask_for(&asked, "GET", "foo", NULL), "here");
    cr_assert_str_eq(ask_for(&asked, "GET", "x{foo}y", NULL), "here", "the same slot by its hash tag");
    cr_assert_eq(nodes[0].commands, commands, "the first node is not asked again");
    close_fakes();
}

Test(redis_places, follows_ask_for_this_once)
{
    struct asked asked;
    open_fakes(to_next, "ASK");
    cr_assert_str_eq(ask_for(&asked, "GET", "foo", NULL), "here");
    cr_assert_eq(asking, 1);
    unsigned commands = nodes[0].commands;
    cr_assert_str_eq(ask_for(&asked, "GET", "foo", NULL), "here");
    cr_assert_eq(nodes[0].commands, commands + 1, "asked again");
    close_fakes();
}

Test(redis_places, does_not_run_in_circles)
{
    struct asked asked;
    open_fakes(to_itself, NULL);
    ask_for(&asked, "GET", "foo", NULL);
    cr_assert_eq(asked.kind, REDIS_ERROR);
    cr_assert(str_has_prefix(str_of(asked.text), STR("MOVED")));
    close_fakes();
}

Test(redis_places, forgets_a_node_that_went_away)
{
    struct asked asked;
    open_fakes(to_next, "MOVED");
    cr_assert_str_eq(ask_for(&asked, "GET", "foo", NULL), "here");
    unsigned accepted = nodes[1].accepted;
    fake_hang_up(&nodes[1]);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(loop, 5);
    cr_assert_str_eq(ask_for(&asked, "GET", "foo", NULL), "here", "learned anew");
    cr_assert_eq(nodes[1].accepted, accepted + 1);
    fake_close(&nodes[1]);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(loop, 5);
    ask_for(&asked, "GET", "foo", NULL);
    cr_assert_eq(asked.end, REDIS_DISCONNECTED);
    cr_assert(redis_is_up(redis), "the rest of the Cluster is there");
    fake_close(&nodes[0]);
    end();
}

static const char *const welcomes[][2] = {
    { "-DENIED Redis is running in protected mode\r\n", "it does not serve: the server says DENIED" },
    { "-ERR max number of clients reached\r\n", "it does not serve: the server says ERR" },
    { "+hello\r\n", "a reply came that nobody asked for" },
    { "SSH-2.0-OpenSSH_9.2\r\n", "a reply is over the limit or not valid" },
    { "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n", "a reply came that nobody asked for" },
};

Test(redis_places, gives_up_on_who_is_no_redis)
{
    for (size_t i = 0; i < COUNT_OF(welcomes); i++) {
        struct fake fake;
        loop = loop_new();
        fake_open(&fake, loop, serve);
        fake.welcome = welcomes[i][0];
        fake.is_plain = true;
        struct redis_url url = fake_url(&fake);
        open_url(&url);
        turn_until_why(welcomes[i][1]);
        fake_close(&fake);
        end();
    }
}

static const char *keep_silent(struct fake *fake, int argc, const struct str *argv)
{
    return NULL;
}

Test(redis_places, gives_up_on_who_says_nothing)
{
    struct fake fake;
    loop = loop_new();
    fake_open(&fake, loop, keep_silent);
    fake.is_plain = true;
    struct redis_url url = fake_url(&fake);
    open_url(&url);
    turn_until_why("the server does not answer");
    cr_assert_eq(refusals, 1, "told once, however often it tries");
    fake_close(&fake);
    end();
}

static const char *load(struct fake *fake, int argc, const struct str *argv)
{
    return fake->commands < 3 ? "-LOADING Redis is loading the dataset in memory\r\n" : "+PONG\r\n";
}

Test(redis_places, waits_until_it_has_loaded)
{
    struct fake fake;
    loop = loop_new();
    fake_open(&fake, loop, load);
    fake.is_plain = true;
    struct redis_url url = fake_url(&fake);
    open_url(&url);
    turn_until_why("it does not serve: the server says LOADING");
    turn_until_up(loop, redis);
    fake_close(&fake);
    end();
}

static const char *echo(struct fake *fake, int argc, const struct str *argv)
{
    snprintf(fake->text, sizeof fake->text,
             "-ERR unknown command `AUTH`, with args beginning with: `%.*s`\r\n", STR_FMT(argv[1]));
    return fake->text;
}

Test(redis_places, does_not_repeat_a_password_that_is_echoed)
{
    struct fake fake;
    char text[64];
    loop = loop_new();
    fake_open(&fake, loop, echo);
    fake.is_plain = true;
    snprintf(text, sizeof text, "redis://:hunter2@127.0.0.1:%d", fake.port);
    struct redis_url url = url_of(text);
    open_url(&url);
    turn_until_why("it refuses the password: the server says ERR");
    cr_assert_null(strstr(redis_why(redis), "hunter2"));
    fake_close(&fake);
    end();
}

Test(redis_places, tries_again_for_ever_and_not_too_often)
{
    struct server server;
    loop = loop_new();
    server_init(&server);
    struct redis_url url = server_url(&server);
    open_url(&url);
    turn_until_why("the connection was refused");
    int64_t end_ns = clock_mono_ns() + 300 * NS_PER_MS;
    unsigned turns = 0;
    while (clock_mono_ns() < end_ns) {
        loop_turn(loop, 300);
        turns++;
    }
    cr_assert_lt(turns, 60, "it waits between two tries");
    cr_assert_eq(refusals, 1, "and tells once");
    server_start(&server, NULL);
    turn_until_up(loop, redis);
    end();
    server_fini(&server);
}

/* --- a real Cluster --- */

static struct server servers[5];

Test(redis_places, walks_a_real_cluster, .timeout = 90)
{
    struct asked asked;
    char command[512];
    loop = loop_new();
    for (unsigned i = 0; i < 3; i++) {
        server_init(&servers[i]);
        server_start(&servers[i], (const char *const[]){ "--cluster-enabled", "yes", "--cluster-node-timeout",
                                                         "2000", NULL });
        static const char *const ranges[] = { "0 5460", "5461 10922", "10923 16383" };
        snprintf(command, sizeof command, "CLUSTER ADDSLOTSRANGE %s", ranges[i]);
        cr_assert_str_eq(server_do(&servers[i], command), "+OK\r\n");
        snprintf(command, sizeof command, "CLUSTER SET-CONFIG-EPOCH %u", i + 1);
        cr_assert_str_eq(server_do(&servers[i], command), "+OK\r\n");
    }
    for (unsigned i = 1; i < 3; i++) {
        snprintf(command, sizeof command, "CLUSTER MEET 127.0.0.1 %d", servers[i].port);
        cr_assert_str_eq(server_do(&servers[0], command), "+OK\r\n");
    }
    for (unsigned i = 0; i < 3; i++)
        server_wait_output(&servers[i], "Cluster state changed: ok");
    struct redis_url url = server_url(&servers[0]);
    open_url(&url);
    turn_until_up(loop, redis);
    for (unsigned i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof key, "weir:1:{%u}:x", i);
        cr_assert_str_eq(ask_for(&asked, "SET", key, key), "OK");
    }
    for (unsigned i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof key, "weir:1:{%u}:x", i);
        cr_assert_str_eq(ask_for(&asked, "GET", key, NULL), key);
    }
    end();
    for (unsigned i = 0; i < 3; i++)
        server_fini(&servers[i]);
}

/* --- Sentinels --- */

static const char *name_master(struct fake *fake, int argc, const struct str *argv)
{
    const struct server *master = fake->arg;
    if (argc != 3 || !str_eq(argv[0], STR("SENTINEL")) || !str_eq(argv[2], STR("main")))
        return "*-1\r\n";
    char port[16];
    int len = snprintf(port, sizeof port, "%d", master->port);
    snprintf(fake->text, sizeof fake->text, "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", len, port);
    return fake->text;
}

static struct redis_url sentinel_url(int first, int second, const char *name)
{
    char text[128];
    snprintf(text, sizeof text, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/%s", first, second, name);
    return url_of(text);
}

Test(redis_places, asks_the_sentinels_again_after_a_failover)
{
    struct fake sentinel;
    struct asked asked;
    char port[16];
    loop = loop_new();
    server_init(&servers[0]);
    server_start(&servers[0], NULL);
    server_init(&servers[1]);
    snprintf(port, sizeof port, "%d", servers[0].port);
    server_start(&servers[1], (const char *const[]){ "--replicaof", "127.0.0.1", port, NULL });
    server_wait_output(&servers[1], "Finished with success");
    fake_open(&sentinel, loop, name_master);
    sentinel.arg = &servers[1];
    struct redis_url url = sentinel_url(1, sentinel.port, "main");
    open_url(&url);
    turn_until_why("what the Sentinel named is no master");
    sentinel.arg = &servers[0];
    turn_until_up(loop, redis);
    cr_assert_str_eq(ask_for(&asked, "SET", "a", "1"), "OK");

    /* They change places while both are there: the old master says READONLY. */
    server_do(&servers[1], "REPLICAOF NO ONE");
    snprintf(port, sizeof port, "%d", servers[1].port);
    char command[64];
    snprintf(command, sizeof command, "REPLICAOF 127.0.0.1 %s", port);
    server_do(&servers[0], command);
    sentinel.arg = &servers[1];
    turn_until_up(loop, redis);
    ask_for(&asked, "SET", "a", "2");
    cr_assert(asked.end == REDIS_DISCONNECTED || str_has_prefix(str_of(asked.text), STR("READONLY")), "%s",
              asked.text);
    turn_until_up(loop, redis);
    cr_assert_str_eq(ask_for(&asked, "SET", "a", "2"), "OK");

    server_stop(&servers[1], SIGKILL);
    turn_until_down(loop, redis);
    server_do(&servers[0], "REPLICAOF NO ONE");
    sentinel.arg = &servers[0];
    turn_until_up(loop, redis);
    cr_assert_str_eq(ask_for(&asked, "SET", "a", "3"), "OK");
    fake_close(&sentinel);
    end();
    for (unsigned i = 0; i < 2; i++)
        server_fini(&servers[i]);
}

Test(redis_places, follows_real_sentinels, .timeout = 90)
{
    struct asked asked;
    char text[256];
    char port[16];
    loop = loop_new();
    for (unsigned i = 0; i < 2; i++) {
        server_init(&servers[i]);
        snprintf(port, sizeof port, "%d", servers[0].port);
        server_start(&servers[i],
                     i == 0 ? NULL : (const char *const[]){ "--replicaof", "127.0.0.1", port, NULL });
    }
    server_wait_output(&servers[1], "Finished with success");
    snprintf(text, sizeof text,
             "sentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 300\n"
             "sentinel failover-timeout main 5000",
             servers[0].port);
    server_init(&servers[2]);
    server_start_sentinel(&servers[2], text);
    server_wait_output(&servers[2], "+slave");
    struct redis_url url = sentinel_url(servers[2].port, servers[2].port, "nobody");
    open_url(&url);
    turn_until_why("the Sentinel does not know that master");
    redis_free(redis);
    url = sentinel_url(servers[2].port, servers[2].port, "main");
    open_url(&url);
    turn_until_up(loop, redis);
    cr_assert_str_eq(ask_for(&asked, "SET", "a", "1"), "OK");
    server_stop(&servers[0], SIGKILL);
    turn_until_down(loop, redis);
    turn_until_up(loop, redis);
    cr_assert_str_eq(ask_for(&asked, "SET", "a", "2"), "OK");
    end();
    for (unsigned i = 0; i < 3; i++)
        server_fini(&servers[i]);
}
