#include "upstream/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define MEAN_TAU_NS         (10.0 * NS_PER_S) /* how long a measurement counts */
#define BREAK_FIRST_NS      (1 * NS_PER_S)
#define BREAK_MAX_NS        (60 * NS_PER_S)
#define POSITION_TRIES      8 /* its writer may have been put aside in the middle */
#define FALL_DEFAULT        3 /* when the config says nothing */

/* Counters and judgements are hints that no other data hangs on: relaxed order is enough. */
#define LOAD(field)         atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define ADD(field, value)   atomic_fetch_add_explicit(&(field), (value), memory_order_relaxed)

/* The same for every process and run, so that several weirs hash the same keys to the same server. */
static uint64_t point_of(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return mix64(hash);
}

struct server *server_new(const struct addr *addr, enum server_role role)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->addr = *addr;
    server->role = role;
    server->role_now = role;
    server->point = point_of(addr->text);
    server->references = 1;
    server->admin = SERVER_ADMIN_UP;
    server->is_healthy = true;
    server->lag_ns = -1;
    server->endpoint = endpoint_new(addr);
    if (!server->endpoint)
        return server_unref(server);
    return server;
}

void server_set_position(struct server *server, struct str text)
{
    CHECK(text.len <= POSITION_MAX);
    uint32_t turn = LOAD(server->position_turn);
    STORE(server->position_turn, turn + 1);
    for (size_t at = 0; at < text.len; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, text.data + at, text.len - at < sizeof word ? text.len - at : sizeof word);
        /* Release: whoever sees a new word sees the odd turn before it, too. */
        atomic_store_explicit(&server->position[at / sizeof word], word, memory_order_release);
    }
    atomic_store_explicit(&server->position_len, (uint32_t)text.len, memory_order_release);
    atomic_store_explicit(&server->position_turn, turn + 2, memory_order_release);
}

size_t server_position(const struct server *server, char *out)
{
    for (unsigned i = 0; i < POSITION_TRIES; i++) {
        uint32_t turn = atomic_load_explicit(&server->position_turn, memory_order_acquire);
        uint32_t len = atomic_load_explicit(&server->position_len, memory_order_acquire);
        for (uint32_t at = 0; at < len; at += sizeof(uint64_t)) {
            uint64_t word = atomic_load_explicit(&server->position[at / sizeof word], memory_order_acquire);
            memcpy(out + at, &word, sizeof word);
        }
        if (turn % 2 == 0 && LOAD(server->position_turn) == turn)
            return len;
    }
    return 0;
}

struct server *server_ref(struct server *server)
{
    ADD(server->references, 1);
    return server;
}

struct server *server_unref(struct server *server)
{
    if (!server)
        return NULL;
    int before = atomic_fetch_sub_explicit(&server->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1)
        return NULL;
    endpoint_unref(server->endpoint);
    free(server);
    return NULL;
}

bool server_is_wanted(const struct server *server)
{
    return LOAD(server->admin) == SERVER_ADMIN_UP && LOAD(server->is_healthy);
}

bool server_is_usable(const struct server *server, int64_t now_ns)
{
    return server_is_wanted(server) && LOAD(server->out_until_ns) <= now_ns;
}

void server_began(struct server *server)
{
    ADD(server->inflight, 1);
    ADD(server->requests, 1);
}

/* 1 / (1 + t / tau) instead of exp(-t / tau): it fades as well, is exact enough for a comparison, and costs
 * no call of libm on every pick. */
double server_mean_ns(const struct server *server, int64_t now_ns)
{
    double age_ns = (double)max_i64(0, now_ns - LOAD(server->mean_at_ns));
    return (double)LOAD(server->mean_ns) * MEAN_TAU_NS / (MEAN_TAU_NS + age_ns);
}

/* A sample weighs as much as the time since the one before: so the mean is one over time, not over requests,
 * and a burst of replies counts once. Two workers may overwrite each other; one sample more or less is
 * nothing. */
static void measure(struct server *server, int64_t took_ns, int64_t now_ns)
{
    int64_t mean_ns = took_ns;
    if (LOAD(server->mean_ns) > 0) {
        double gap_ns = (double)max_i64(0, now_ns - LOAD(server->mean_at_ns));
        mean_ns = (int64_t)(((double)LOAD(server->mean_ns) * MEAN_TAU_NS + (double)took_ns * gap_ns) /
                            (MEAN_TAU_NS + gap_ns));
    }
    STORE(server->mean_ns, max_i64(1, mean_ns));
    STORE(server->mean_at_ns, now_ns);
}

/* How long the n-th break in a row is (n from 1), without jitter. */
static int64_t break_ns(int ejections)
{
    int doublings = ejections - 1;
    return doublings >= 6 ? BREAK_MAX_NS : min_i64(BREAK_MAX_NS, BREAK_FIRST_NS << max_i64(0, doublings));
}

static bool has_other_usable(const struct upstream *upstream, const struct server *server, int64_t now_ns)
{
    for (unsigned i = 0; i < upstream->server_count; i++) {
        const struct server *other = upstream->servers[i];
        if (other != server && server_role(other) == server_role(server) && server_is_usable(other, now_ns))
            return true;
    }
    return false;
}

/* Takes the server out for a while. Failures of requests that were on their way before count once: a server
 * that is out is not put out again, and of two workers only one succeeds. */
static void eject(struct server *server, int64_t now_ns)
{
    int64_t out_until_ns = LOAD(server->out_until_ns);
    if (out_until_ns > now_ns)
        return;
    int ejections = LOAD(server->ejections) + 1;
    int64_t pause_ns = break_ns(ejections);
    /* Up to a tenth less, so that the weirs of a fleet do not all come back in the same moment. */
    uint64_t random = mix64(server->point ^ (uint64_t)now_ns);
    pause_ns -= (int64_t)(random % (uint64_t)(pause_ns / 10));
    if (atomic_compare_exchange_strong(&server->out_until_ns, &out_until_ns, now_ns + pause_ns))
        STORE(server->ejections, ejections);
}

int server_fall(const struct upstream *upstream)
{
    return upstream->config->health.fall > 0 ? (int)upstream->config->health.fall : FALL_DEFAULT;
}

static void failed(struct upstream *upstream, struct server *server, int64_t now_ns)
{
    ADD(server->errors, 1);
    int failures = ADD(server->failures, 1) + 1;
    /* The count goes on over a break, so that one failure after it is enough for the next, longer one. */
    if (failures >= server_fall(upstream) && has_other_usable(upstream, server, now_ns))
        eject(server, now_ns);
}

static void succeeded(struct server *server, int64_t now_ns)
{
    if (LOAD(server->failures) != 0)
        STORE(server->failures, 0);
    int ejections = LOAD(server->ejections);
    /* Forgiven only once it was in for as long as it had been out: a server that answers now and then keeps
     * its growing breaks. */
    if (ejections > 0 && now_ns - LOAD(server->out_until_ns) >= break_ns(ejections))
        STORE(server->ejections, 0);
}

void server_ended(struct upstream *upstream, struct server *server, int64_t took_ns, bool is_failure,
                  int64_t now_ns)
{
    int64_t before = ADD(server->inflight, -1);
    CHECK(before > 0);
    if (took_ns >= 0)
        measure(server, took_ns, now_ns);
    if (is_failure)
        failed(upstream, server, now_ns);
    else if (took_ns >= 0)
        succeeded(server, now_ns);
}
