/* What is said of servers that go out and come back. Time is a parameter. */
#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/loop.h"
#include "upstream/news.h"
#include "upstream/server.h"

static struct addr addrs[2];
static struct config_upstream config;
static struct upstream *upstream;
static struct server *server;
static int64_t now_ns;
static char line[NEWS_SIZE];

static void set_up(void)
{
    addr_parse(STR("127.0.0.1:1"), &addrs[0]);
    addr_parse(STR("127.0.0.1:2"), &addrs[1]);
    config = (struct config_upstream){
        .name = STR("app"), .replicas = addrs, .replica_count = 2, .health = { .fall = 3 }
    };
    char error[256];
    upstream = upstream_new(&config, NULL, error, sizeof error);
    server = upstream->servers[0];
    now_ns = 1000 * NS_PER_S;
}

static void tear_down(void)
{
    upstream_free(upstream);
}

TestSuite(news, .init = set_up, .fini = tear_down);

static enum news ask(void)
{
    return server_news(upstream, server, now_ns, line);
}

static void check_says(bool is_healthy, int why)
{
    server->is_healthy = is_healthy;
    server->why_unhealthy = why;
}

static void request(struct server *to, int err)
{
    server_began(to);
    to->why_failed = err;
    server_ended(upstream, to, err ? -1 : NS_PER_MS, err != 0, now_ns);
}

Test(news, there_are_none_of_a_server_that_is_well)
{
    cr_assert_eq(ask(), NEWS_NONE);
    request(server, ERR_CONNECT_REFUSED);
    cr_assert_eq(ask(), NEWS_NONE, "one failure is not yet news");
}

Test(news, a_check_that_fails_and_one_that_is_good_again_are_told_once)
{
    check_says(false, ERR_CONNECT_REFUSED);
    cr_assert_eq(ask(), NEWS_BAD);
    cr_assert_str_eq(line,
                     "upstream app: replica 127.0.0.1:1 is out: its health check fails: connect-refused");
    cr_assert_eq(ask(), NEWS_NONE);
    now_ns += 5500 * NS_PER_MS;
    cr_assert_eq(ask(), NEWS_NONE);
    check_says(true, 0);
    cr_assert_eq(ask(), NEWS_GOOD);
    cr_assert_str_eq(line, "upstream app: replica 127.0.0.1:1 is back after 5.5 s");
    cr_assert_eq(ask(), NEWS_NONE);
}

Test(news, a_check_that_says_a_status_is_told_with_it)
{
    check_says(false, 503);
    cr_assert_eq(ask(), NEWS_BAD);
    cr_assert_str_eq(line, "upstream app: replica 127.0.0.1:1 is out: its health check says 503");
}

Test(news, a_role_that_changed_is_told_as_it_is)
{
    server->role_now = ROLE_PRIMARY;
    check_says(false, 500);
    cr_assert_eq(ask(), NEWS_BAD);
    cr_assert_not_null(strstr(line, "app: primary 127.0.0.1:1 is out"));
}

Test(news, traffic_that_fails_is_told_until_a_request_succeeds)
{
    for (unsigned i = 0; i < 3; i++)
        request(server, ERR_UPSTREAM_CLOSED);
    cr_assert_eq(ask(), NEWS_BAD);
    cr_assert_str_eq(line,
                     "upstream app: replica 127.0.0.1:1 is out: 3 requests in a row failed, the last one "
                     "with upstream-closed");
    now_ns = server->out_until_ns + 1;
    cr_assert_eq(ask(), NEWS_NONE, "the break is over, but nobody knows yet whether it is well");
    request(server, ERR_UPSTREAM_CLOSED); /* a second break */
    cr_assert_eq(ask(), NEWS_NONE);
    now_ns = server->out_until_ns + 1;
    request(server, 0);
    cr_assert_eq(ask(), NEWS_GOOD);
}

Test(news, the_last_of_its_role_fails_and_stays_in)
{
    upstream->servers[1]->admin = SERVER_ADMIN_DOWN;
    for (unsigned i = 0; i < 3; i++)
        request(server, ERR_CONNECT_FAILED);
    cr_assert_eq(ask(), NEWS_BAD);
    cr_assert_str_eq(
        line, "upstream app: replica 127.0.0.1:1 fails, and stays in for want of another: 3 requests in "
              "a row failed, the last one with connect-failed");
    request(server, 0);
    now_ns += NS_PER_S;
    cr_assert_eq(ask(), NEWS_GOOD);
}

Test(news, what_the_admin_did_is_told_by_the_admin)
{
    server->admin = SERVER_ADMIN_DOWN;
    cr_assert_eq(ask(), NEWS_NONE);
}

Test(news, a_server_that_flaps_is_told_of_less_and_less)
{
    unsigned lines = 0;
    /* Ten minutes of four changes a second. */
    for (unsigned i = 0; i < 2400; i++) {
        check_says(i % 2 == 1, 500);
        lines += ask() != NEWS_NONE;
        now_ns += 250 * NS_PER_MS;
    }
    cr_assert_leq(lines, 17, "%u lines", lines);
    cr_assert_geq(lines, 10, "%u lines", lines);
    cr_assert_not_null(strstr(line, "; unsaid since the last line: "), "%s", line);
}

Test(news, after_a_calm_time_a_change_is_told_at_once_again)
{
    for (unsigned i = 0; i < 400; i++) {
        check_says(i % 2 == 1, 500);
        ask();
        now_ns += 250 * NS_PER_MS;
    }
    now_ns += 200 * NS_PER_S;
    ask(); /* what was still to be told */
    now_ns += 200 * NS_PER_S;
    check_says(!server->is_healthy, 500);
    cr_assert_neq(ask(), NEWS_NONE);
    now_ns += NS_PER_S;
    check_says(!server->is_healthy, 500);
    cr_assert_neq(ask(), NEWS_NONE);
    cr_assert_null(strstr(line, "unsaid"), "%s", line);
}

Test(news, what_was_told_is_known_after_a_reload)
{
    char error[256];
    check_says(false, 500);
    cr_assert_eq(ask(), NEWS_BAD);
    struct upstream *fresh = upstream_new(&config, upstream, error, sizeof error);
    cr_assert_eq(server_news(fresh, fresh->servers[0], now_ns, line), NEWS_NONE);
    upstream_free(fresh);
}

static void on_dialed(void *arg, struct stream *stream, int err)
{
    *(int *)arg = err;
}

Test(news, a_name_that_cannot_be_resolved_is_told_once)
{
    char error[256];
    int err = 0;
    struct loop *loop = loop_new();
    /* A label that is too long: nobody has to be asked. */
    addr_parse(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid:80"),
               &addrs[0]);
    struct upstream *nameless = upstream_new(&config, NULL, error, sizeof error);
    dial_start(loop, nameless->servers[0]->endpoint, NULL, NULL, -1, on_dialed, &err);
    while (!err)
        loop_turn(loop, -1); /* it waits for the look-up */
    cr_assert_eq(server_news(nameless, nameless->servers[0], now_ns, line), NEWS_BAD);
    cr_assert_not_null(strstr(line, ".invalid:80: this name cannot be resolved; it is looked up again"), "%s",
                       line);
    cr_assert_eq(server_news(nameless, nameless->servers[0], now_ns + 10 * NS_PER_S, line), NEWS_NONE);
    upstream_free(nameless);
    loop_free(loop);
}
