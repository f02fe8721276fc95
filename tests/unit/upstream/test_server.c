/* Health by traffic. Time is a parameter. */
#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/server.h"

static struct addr addrs[3];
static struct config_upstream config;
static struct upstream *upstream;
static struct server *server;
static int64_t now_ns;

static void set_up(void)
{
    addr_parse(STR("127.0.0.1:1"), &addrs[0]);
    addr_parse(STR("127.0.0.1:2"), &addrs[1]);
    addr_parse(STR("127.0.0.1:3"), &addrs[2]);
    config = (struct config_upstream){
        .name = STR("app"),
        .primaries = addrs,
        .primary_count = 2,
        .replicas = addrs + 2,
        .replica_count = 1,
        .health = { .fall = 3 },
    };
    char error[256];
    upstream = upstream_new(&config, NULL, error, sizeof error);
    server = upstream->servers[0];
    now_ns = 100 * NS_PER_S;
}

static void tear_down(void)
{
    upstream_free(upstream);
}

TestSuite(server, .init = set_up, .fini = tear_down);

static void request(struct server *to, bool is_failure)
{
    server_began(to);
    server_ended(upstream, to, is_failure ? -1 : NS_PER_MS, is_failure, now_ns);
}

static void fail(struct server *to, unsigned times)
{
    while (times-- > 0)
        request(to, true);
}

Test(server, is_out_after_so_many_failures_in_a_row)
{
    fail(server, 2);
    request(server, false);
    fail(server, 2);
    cr_assert(server_is_usable(server, now_ns), "a success between them");
    fail(server, 1);
    cr_assert_not(server_is_usable(server, now_ns));
    cr_assert_not(server_is_usable(server, now_ns + 800 * NS_PER_MS));
    cr_assert(server_is_usable(server, now_ns + 1000 * NS_PER_MS), "for a second, some jitter less");
    cr_assert_eq(server->errors, 5);
    cr_assert_eq(server->requests, 6);
    cr_assert_eq(server->inflight, 0);
}

Test(server, breaks_double_up_to_a_minute)
{
    static const int expected_s[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
    fail(server, 2);
    for (size_t i = 0; i < COUNT_OF(expected_s); i++) {
        fail(server, 1); /* one is enough after a break */
        int64_t out_ns = server->out_until_ns - now_ns;
        cr_expect(out_ns <= expected_s[i] * NS_PER_S, "break %zu", i);
        cr_expect(out_ns > expected_s[i] * NS_PER_S * 9 / 10, "break %zu", i);
        now_ns = server->out_until_ns;
    }
}

Test(server, that_is_out_is_not_put_out_further)
{
    fail(server, 3);
    int64_t out_until_ns = server->out_until_ns;
    now_ns += 10 * NS_PER_MS;
    fail(server, 10); /* requests that were on their way */
    cr_assert_eq(server->out_until_ns, out_until_ns);
    cr_assert_eq(server->ejections, 1);
}

Test(server, is_forgiven_once_it_was_in_for_as_long_as_it_was_out)
{
    fail(server, 3);
    now_ns = server->out_until_ns;
    request(server, false);
    cr_assert_eq(server->ejections, 1);
    now_ns += NS_PER_S;
    request(server, false);
    cr_assert_eq(server->ejections, 0);
    fail(server, 2);
    cr_assert(server_is_usable(server, now_ns));
}

Test(server, last_of_its_role_stays_in)
{
    struct server *replica = upstream->servers[2];
    fail(replica, 100);
    cr_assert(server_is_usable(replica, now_ns), "the only replica");
    fail(server, 3);
    fail(upstream->servers[1], 100);
    cr_assert(server_is_usable(upstream->servers[1], now_ns), "the other primary is out already");
    upstream->servers[0]->out_until_ns = 0;
    upstream->servers[0]->admin = SERVER_ADMIN_DRAIN;
    fail(upstream->servers[1], 100);
    cr_assert(server_is_usable(upstream->servers[1], now_ns), "a drained one does not count");
}

static const struct {
    int admin;
    bool is_healthy;
    bool is_usable;
} states[] = {
    { SERVER_ADMIN_UP, true, true },
    { SERVER_ADMIN_UP, false, false },
    { SERVER_ADMIN_DRAIN, true, false },
    { SERVER_ADMIN_DOWN, true, false },
};

Test(server, is_used_if_the_admin_and_the_checks_agree)
{
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        server->admin = states[i].admin;
        server->is_healthy = states[i].is_healthy;
        cr_expect_eq(server_is_usable(server, now_ns), states[i].is_usable, "row %zu", i);
    }
}

static void measure(int64_t took_ns, int64_t after_ns)
{
    now_ns += after_ns;
    server_began(server);
    server_ended(upstream, server, took_ns, false, now_ns);
}

Test(server, mean_follows_time_not_requests)
{
    measure(1000, 0);
    cr_assert_eq(server->mean_ns, 1000, "the first one is the mean");
    for (unsigned i = 0; i < 1000; i++)
        measure(9000, 0);
    cr_assert_eq(server->mean_ns, 1000, "a thousand in one moment do not move it");
    measure(9000, 10 * NS_PER_S);
    cr_assert_eq(server->mean_ns, 5000, "half way after its time constant");
}

Test(server, mean_fades_when_nothing_is_measured)
{
    measure(8000, 0);
    cr_assert_float_eq(server_mean_ns(server, now_ns), 8000, 1);
    cr_assert_float_eq(server_mean_ns(server, now_ns + 10 * NS_PER_S), 4000, 1);
    cr_assert_float_eq(server_mean_ns(server, now_ns - NS_PER_S), 8000, 1, "another worker's clock may lag");
}
