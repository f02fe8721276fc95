/* Which server is picked. Time, randomness and hashes are parameters. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/server.h"

#define NOW (1000 * NS_PER_S)

static struct addr addrs[8];
static struct config_upstream config;
static struct upstream *upstream;

static void make(unsigned primaries, unsigned replicas, enum config_balance balance)
{
    for (unsigned i = 0; i < COUNT_OF(addrs); i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%u:80", i + 1);
        addr_parse(str_of(text), &addrs[i]);
    }
    config = (struct config_upstream){
        .name = STR("app"),
        .primaries = addrs,
        .primary_count = primaries,
        .replicas = addrs + primaries,
        .replica_count = replicas,
        .balance = balance,
        .health = { .fall = 3 },
    };
    char error[256];
    upstream = upstream_new(&config, NULL, error, sizeof error);
    cr_assert_not_null(upstream);
}

static void tear_down(void)
{
    upstream_free(upstream);
}

TestSuite(balance, .fini = tear_down);

static int pick(unsigned roles, uint64_t avoid, uint64_t random)
{
    struct server *server = upstream_pick(upstream, roles, avoid, random, random, NOW);
    return server ? (int)upstream_index(upstream, server) : -1;
}

/* Servers 0, 1: primaries; 2, 3: replicas. out: by traffic; down: by the admin. */
static const struct {
    unsigned roles;
    uint64_t avoid, out, down;
    uint64_t expected; /* bits of those that may be picked; all of them must be, in some draw */
} rows[] = {
    { ROLES_PRIMARY, 0, 0, 0, 0x3 },
    { ROLES_REPLICA, 0, 0, 0, 0xc },
    { ROLES_PRIMARY | ROLES_REPLICA, 0, 0, 0, 0xf },
    { ROLES_PRIMARY, 0x1, 0, 0, 0x2 },
    { ROLES_PRIMARY, 0x3, 0, 0, 0x3 },
    { ROLES_REPLICA, 0, 0x4, 0, 0x8 },
    { ROLES_REPLICA, 0, 0xc, 0, 0xc }, /* traffic never leaves a role without a server */
    { ROLES_REPLICA, 0, 0xc, 0x4, 0x8 },
    { ROLES_REPLICA, 0x8, 0x4, 0, 0x8 }, /* tried already, but the only usable one */
    { ROLES_REPLICA, 0, 0, 0xc, 0x0 },
    { ROLES_PRIMARY | ROLES_REPLICA, 0, 0, 0xc, 0x3 },
    { 0, 0, 0, 0, 0x0 },
};

static const enum config_balance balances[] = { BALANCE_LEAST_TIME, BALANCE_LEAST_REQUESTS,
                                                BALANCE_ROUND_ROBIN, BALANCE_HASH };

Test(balance, picks_among_the_usable_of_the_roles)
{
    for (size_t b = 0; b < COUNT_OF(balances); b++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            make(2, 2, balances[b]);
            for (unsigned s = 0; s < 4; s++) {
                upstream->servers[s]->out_until_ns = rows[i].out >> s & 1 ? NOW + 1 : 0;
                upstream->servers[s]->admin = rows[i].down >> s & 1 ? SERVER_ADMIN_DOWN : SERVER_ADMIN_UP;
            }
            uint64_t seen = 0;
            for (uint64_t random = 0; random < 200; random++) {
                int at = pick(rows[i].roles, rows[i].avoid, random);
                seen |= at < 0 ? 0 : UINT64_C(1) << at;
            }
            cr_expect_eq(seen, rows[i].expected, "balance %zu row %zu: %llx", b, i, (unsigned long long)seen);
            upstream_free(upstream);
            upstream = NULL;
        }
    }
}

static void measured(unsigned index, int64_t mean_ns, int64_t inflight)
{
    upstream->servers[index]->mean_ns = mean_ns;
    upstream->servers[index]->mean_at_ns = NOW;
    upstream->servers[index]->inflight = inflight;
}

static const struct {
    int64_t mean_ns[2], inflight[2];
    int expected;
} costs[] = {
    { { 1000, 2000 }, { 0, 0 }, 0 }, { { 2000, 1000 }, { 0, 0 }, 1 },
    { { 1000, 2000 }, { 3, 0 }, 1 }, { { 1000, 0 }, { 0, 0 }, 1 }, /* never measured: one request shows */
    { { 1000, 0 }, { 5, 1 }, 0 },                                  /* and until it has, no second one */
    { { 0, 0 }, { 2, 1 }, 1 },
};

Test(balance, least_time_is_the_mean_times_the_requests_in_flight)
{
    make(2, 0, BALANCE_LEAST_TIME);
    for (size_t i = 0; i < COUNT_OF(costs); i++) {
        measured(0, costs[i].mean_ns[0], costs[i].inflight[0]);
        measured(1, costs[i].mean_ns[1], costs[i].inflight[1]);
        for (uint64_t random = 0; random < 20; random++)
            cr_expect_eq(pick(ROLES_PRIMARY, 0, random), costs[i].expected, "row %zu", i);
    }
}

Test(balance, least_time_draws_two_so_the_worst_is_never_picked)
{
    unsigned seen[4] = { 0 };
    make(4, 0, BALANCE_LEAST_TIME);
    for (unsigned i = 0; i < 4; i++)
        measured(i, 1000 * (i + 1), 0);
    for (uint64_t random = 0; random < 6000; random++)
        seen[pick(ROLES_PRIMARY, 0, random)]++;
    cr_assert_eq(seen[3], 0);
    cr_assert(seen[0] > seen[1] && seen[1] > seen[2] && seen[2] > 0);
    cr_assert(seen[0] > 2700 && seen[0] < 3300, "in half of the draws the best one is there: %u", seen[0]);
}

Test(balance, least_requests_looks_at_all)
{
    make(3, 0, BALANCE_LEAST_REQUESTS);
    measured(0, 1, 5);
    measured(1, 1, 2);
    measured(2, 1, 3);
    cr_assert_eq(pick(ROLES_PRIMARY, 0, 0), 1);
    cr_assert_eq(pick(ROLES_PRIMARY, 0x2, 0), 2);
}

Test(balance, round_robin_takes_turns)
{
    make(3, 0, BALANCE_ROUND_ROBIN);
    int first = pick(ROLES_PRIMARY, 0, 0);
    for (int i = 1; i < 7; i++)
        cr_assert_eq(pick(ROLES_PRIMARY, 0, 0), (first + i) % 3);
}

Test(balance, hash_moves_only_the_keys_of_the_server_that_left)
{
    unsigned seen[4] = { 0 };
    make(4, 0, BALANCE_HASH);
    for (uint64_t key = 0; key < 4000; key++) {
        int before = pick(ROLES_PRIMARY, 0, key);
        seen[before]++;
        upstream->servers[2]->admin = SERVER_ADMIN_DOWN;
        int after = pick(ROLES_PRIMARY, 0, key);
        upstream->servers[2]->admin = SERVER_ADMIN_UP;
        cr_expect(before == 2 ? after != 2 : after == before, "key %llu", (unsigned long long)key);
    }
    for (unsigned i = 0; i < 4; i++)
        cr_expect(seen[i] > 850 && seen[i] < 1150, "server %u has its share: %u", i, seen[i]);
}

Test(balance, hash_never_loads_a_server_a_quarter_over_the_average)
{
    make(4, 0, BALANCE_HASH);
    for (unsigned i = 0; i < 400; i++) { /* one hot key */
        struct server *server = upstream_pick(upstream, ROLES_PRIMARY, 0, 0, 42, NOW);
        server_began(server);
    }
    int64_t most = 0;
    for (unsigned i = 0; i < 4; i++)
        most = max_i64(most, upstream->servers[i]->inflight);
    cr_assert_eq(most, 125);
}
