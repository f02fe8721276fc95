/* Which server gets the next request. Sets of servers are 64 bits, one per index (SERVERS_MAX): what is
 * usable is looked at once, all balances pick from the set. Reads atomics only; any thread. */
#include "base/check.h"
#include "upstream/server.h"

/* What a server that was never measured counts as while a first request is on its way: enough that the others
 * are preferred until it has shown what it can do. */
#define UNMEASURED_NS 1e9

static unsigned count_of(uint64_t set)
{
    return (unsigned)__builtin_popcountll(set);
}

static unsigned lowest(uint64_t set)
{
    return (unsigned)__builtin_ctzll(set);
}

/* The index of the n-th member. */
static unsigned member(uint64_t set, unsigned n)
{
    while (n-- > 0)
        set &= set - 1;
    return lowest(set);
}

static int64_t inflight_of(const struct server *server)
{
    return atomic_load_explicit(&server->inflight, memory_order_relaxed);
}

/* The usable servers of one role. If traffic spoke against all of them it is not listened to: one failing
 * server is better than none, and it may be us. */
static uint64_t usable_of_role(const struct upstream *upstream, enum server_role role, int64_t now_ns)
{
    uint64_t wanted = 0;
    uint64_t usable = 0;
    for (unsigned i = 0; i < upstream->server_count; i++) {
        if (server_role(upstream->servers[i]) != role || !server_is_wanted(upstream->servers[i]))
            continue;
        wanted |= UINT64_C(1) << i;
        if (server_is_usable(upstream->servers[i], now_ns))
            usable |= UINT64_C(1) << i;
    }
    return usable ? usable : wanted;
}

static double cost_of(const struct server *server, int64_t now_ns)
{
    int64_t inflight = inflight_of(server);
    double mean_ns = server_mean_ns(server, now_ns);
    if (mean_ns <= 0)
        mean_ns = inflight > 0 ? UNMEASURED_NS : 0;
    return mean_ns * (double)(inflight + 1);
}

/* Power of two choices: the better one of two drawn at random. Nearly as even as looking at all, and workers
 * that see the same numbers do not all run to the same server (Mitzenmacher). */
static unsigned pick_least_time(const struct upstream *upstream, uint64_t set, uint64_t random,
                                int64_t now_ns)
{
    unsigned count = count_of(set);
    random = mix64(random);
    unsigned one = (unsigned)((random & UINT32_MAX) % count);
    unsigned other = (unsigned)((random >> 32) % (count - 1));
    if (other >= one)
        other++;
    one = member(set, one);
    other = member(set, other);
    return cost_of(upstream->servers[other], now_ns) < cost_of(upstream->servers[one], now_ns) ? other : one;
}

/* The fewest in flight, over all workers; of equals the next in turn, so that an idle service is used evenly.
 */
static unsigned pick_least_requests(const struct upstream *upstream, uint64_t set, unsigned turn)
{
    unsigned count = count_of(set);
    unsigned best = member(set, turn % count);
    for (unsigned n = 1; n < count; n++) {
        unsigned at = member(set, (turn + n) % count);
        if (inflight_of(upstream->servers[at]) < inflight_of(upstream->servers[best]))
            best = at;
    }
    return best;
}

/* Rendezvous hashing (the highest of one number per server and key): when a server leaves only its keys move.
 * The load is bounded by the average plus a quarter, rounded up, so that some server is always below it; who
 * is at the bound passes keys on to their next one (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with
 * Bounded Loads"). */
static unsigned pick_hash(const struct upstream *upstream, uint64_t set, uint64_t hash)
{
    int64_t total = 0;
    for (uint64_t rest = set; rest; rest &= rest - 1)
        total += inflight_of(upstream->servers[lowest(rest)]);
    int64_t count = count_of(set);
    int64_t bound = (5 * (total + 1) + 4 * count - 1) / (4 * count);

    unsigned best = lowest(set);
    uint64_t best_point = 0;
    for (uint64_t rest = set; rest; rest &= rest - 1) {
        const struct server *server = upstream->servers[lowest(rest)];
        uint64_t point = mix64(server->point ^ mix64(hash)) | 1;
        if (point > best_point && inflight_of(server) < bound) {
            best = lowest(rest);
            best_point = point;
        }
    }
    return best;
}

struct server *upstream_pick(struct upstream *upstream, unsigned roles, uint64_t avoid, uint64_t random,
                             uint64_t hash, int64_t now_ns)
{
    uint64_t set = 0;
    if (roles & ROLES_PRIMARY)
        set |= usable_of_role(upstream, ROLE_PRIMARY, now_ns);
    if (roles & ROLES_REPLICA)
        set |= usable_of_role(upstream, ROLE_REPLICA, now_ns);
    if (set & ~avoid)
        set &= ~avoid;
    if (!set)
        return NULL;
    if (count_of(set) == 1)
        return upstream->servers[lowest(set)];

    switch (upstream->config->balance) {
    case BALANCE_LEAST_TIME:
        return upstream->servers[pick_least_time(upstream, set, random, now_ns)];
    case BALANCE_LEAST_REQUESTS:
    case BALANCE_ROUND_ROBIN: {
        unsigned turn = atomic_fetch_add_explicit(&upstream->turn, 1, memory_order_relaxed);
        if (upstream->config->balance == BALANCE_ROUND_ROBIN)
            return upstream->servers[member(set, turn % count_of(set))];
        return upstream->servers[pick_least_requests(upstream, set, turn)];
    }
    case BALANCE_HASH:
        return upstream->servers[pick_hash(upstream, set, hash)];
    }
    CHECK(!"a balance of the table");
    return NULL;
}
