/* Servers over a reload, and the retry budget. Time is a parameter. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/server.h"

static struct addr a, b, c;
static char error[256];

static void set_up(void)
{
    addr_parse(STR("127.0.0.1:1"), &a);
    addr_parse(STR("127.0.0.1:2"), &b);
    addr_parse(STR("127.0.0.1:3"), &c);
}

TestSuite(upstream, .init = set_up);

static struct upstream *make(const struct config_upstream *config, const struct upstream *old)
{
    struct upstream *upstream = upstream_new(config, old, error, sizeof error);
    cr_assert_not_null(upstream, "%s", error);
    return upstream;
}

Test(upstream, adopts_servers_of_the_same_address_and_role)
{
    struct addr before_primaries[] = { a, b };
    struct addr after_primaries[] = { b, c };
    struct addr after_replicas[] = { a };
    const struct config_upstream before = { .primaries = before_primaries, .primary_count = 2 };
    const struct config_upstream after = {
        .primaries = after_primaries, .primary_count = 2, .replicas = after_replicas, .replica_count = 1
    };
    struct upstream *old = make(&before, NULL);
    struct server *old_b = old->servers[1];
    server_began(old_b);
    old_b->admin = SERVER_ADMIN_DRAIN;
    old->retry_credit = 7000;

    struct upstream *fresh = make(&after, old);
    cr_assert_eq(fresh->servers[0], old_b);
    cr_assert_neq(fresh->servers[2], old->servers[0], "a is a replica now: another life");
    cr_assert_eq(fresh->servers[2]->role, ROLE_REPLICA);
    cr_assert_eq(fresh->primary_count, 2);
    cr_assert_eq(fresh->retry_credit, 7000);
    upstream_free(old);
    cr_assert_eq(old_b->references, 1);
    cr_assert_eq(old_b->inflight, 1, "what it is doing is known");
    cr_assert_eq(old_b->admin, SERVER_ADMIN_DRAIN, "what the admin said survives");
    upstream_free(fresh);
}

Test(upstream, adopts_nothing_over_a_change_of_tls)
{
    const struct config_upstream before = { .primaries = &a, .primary_count = 1 };
    const struct config_upstream after = {
        .primaries = &a, .primary_count = 1, .has_tls = true, .tls_server_name = STR("app.internal")
    };
    struct upstream *old = make(&before, NULL);
    struct upstream *fresh = make(&after, old);
    cr_assert_neq(fresh->servers[0], old->servers[0]);
    cr_assert_not_null(fresh->tls);
    cr_assert_str_eq(fresh->tls_name, "app.internal");
    upstream_free(old);
    upstream_free(fresh);
}

Test(upstream, adopts_an_address_that_is_listed_twice_once)
{
    struct addr twice[] = { a, a };
    const struct config_upstream config = { .primaries = twice, .primary_count = 2 };
    struct upstream *old = make(&config, NULL);
    struct upstream *fresh = make(&config, old);
    cr_assert_eq(fresh->servers[0], old->servers[0]);
    cr_assert_neq(fresh->servers[1], fresh->servers[0]);
    upstream_free(old);
    upstream_free(fresh);
}

Test(upstream, says_what_is_wrong)
{
    static struct addr many[SERVERS_MAX + 1];
    for (unsigned i = 0; i < COUNT_OF(many); i++)
        many[i] = a;
    const struct config_upstream too_many = { .name = STR("app"),
                                              .primaries = many,
                                              .primary_count = COUNT_OF(many) };
    cr_assert_null(upstream_new(&too_many, NULL, error, sizeof error));
    cr_assert_str_eq(error, "upstream app has 65 servers, at most 64 are allowed");

    const struct config_upstream no_ca = {
        .primaries = &a, .primary_count = 1, .has_tls = true, .tls_ca = STR("/nowhere/ca.pem")
    };
    cr_assert_null(upstream_new(&no_ca, NULL, error, sizeof error));
    cr_assert_not_null(strstr(error, "/nowhere/ca.pem"), "%s", error);
}

/* --- the retry budget --- */

static unsigned spend_all(struct upstream *upstream, int64_t now_ns)
{
    unsigned count = 0;
    while (upstream_spend_retry(upstream, now_ns))
        count++;
    return count;
}

Test(upstream, starts_with_the_reserve_of_ten_seconds)
{
    const struct config_upstream config = { .primaries = &a, .primary_count = 1, .retry_budget = 0.2 };
    struct upstream *upstream = make(&config, NULL);
    cr_assert_eq(spend_all(upstream, NS_PER_S), 100);
    cr_assert_eq(spend_all(upstream, NS_PER_S), 0);
    upstream_free(upstream);
}

static const struct {
    double budget;
    unsigned requests_per_s;
    unsigned low, high; /* retries a second, spent as they come, over 20 s */
} rates[] = {
    { 0.2, 0, 9, 10 },    { 0.2, 100, 29, 30 },   { 0.2, 1000, 205, 210 },
    { 0.0, 1000, 9, 10 }, { 1.0, 100, 108, 110 },
};

Test(upstream, allows_a_share_of_requests_and_ten_a_second)
{
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        const struct config_upstream config = { .primaries = &a,
                                                .primary_count = 1,
                                                .retry_budget = rates[i].budget };
        struct upstream *upstream = make(&config, NULL);
        int64_t now_ns = NS_PER_S;
        spend_all(upstream, now_ns);
        unsigned spent = 0;
        for (unsigned tenth = 0; tenth < 200; tenth++) {
            now_ns += NS_PER_S / 10;
            for (unsigned n = 0; n < rates[i].requests_per_s / 10; n++)
                upstream_earn_retry(upstream, now_ns);
            spent += spend_all(upstream, now_ns);
        }
        cr_expect(spent / 20 >= rates[i].low && spent / 20 <= rates[i].high, "row %zu: %u a second", i,
                  spent / 20);
        upstream_free(upstream);
    }
}

Test(upstream, forgets_what_was_earned_long_ago)
{
    const struct config_upstream config = { .primaries = &a, .primary_count = 1, .retry_budget = 0.2 };
    struct upstream *upstream = make(&config, NULL);
    int64_t now_ns = NS_PER_S;
    for (unsigned i = 0; i < 10000; i++)
        upstream_earn_retry(upstream, now_ns);
    for (unsigned i = 0; i < 600; i++) {
        now_ns += NS_PER_S / 5;
        upstream_earn_retry(upstream, now_ns);
    }
    unsigned left = spend_all(upstream, now_ns);
    cr_assert(left >= 100 && left <= 125, "two minutes later it is the reserve and a little: %u", left);
    upstream_free(upstream);
}
