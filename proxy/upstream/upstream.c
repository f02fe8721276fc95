#include "upstream/upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/server.h"

#define RETRY_COST          1000 /* thousandths */
#define RETRY_RESERVE_PER_S 10   /* retries, whatever the traffic */
#define RETRY_KEPT_NS       (10 * NS_PER_S)
#define RETRY_SETTLE_NS     (100 * NS_PER_MS) /* how often time is counted in */

/* Connections that were verified against one TLS set-up must not serve another: such a server starts afresh.
 */
static bool has_same_tls(const struct config_upstream *a, const struct config_upstream *b)
{
    return a->has_tls == b->has_tls && str_eq(a->tls_ca, b->tls_ca) &&
           str_eq(a->tls_server_name, b->tls_server_name);
}

static struct server *find_old(const struct upstream *upstream, const struct upstream *old,
                               const struct addr *addr, enum server_role role)
{
    if (!old || !has_same_tls(upstream->config, old->config))
        return NULL;
    for (unsigned i = 0; i < old->server_count; i++) {
        struct server *server = old->servers[i];
        if (server->role == role && str_eq(str_of(server->addr.text), str_of(addr->text)))
            return server;
    }
    return NULL;
}

static bool is_listed(const struct upstream *upstream, const struct server *server)
{
    for (unsigned i = 0; i < upstream->server_count; i++) {
        if (upstream->servers[i] == server)
            return true;
    }
    return false;
}

static bool add_servers(struct upstream *upstream, const struct upstream *old, const struct addr *addrs,
                        unsigned count, enum server_role role)
{
    for (unsigned i = 0; i < count; i++) {
        struct server *server = find_old(upstream, old, &addrs[i], role);
        /* An address that is listed twice is two servers; the old one is only one of them. */
        if (server && !is_listed(upstream, server))
            server = server_ref(server);
        else
            server = server_new(&addrs[i], role);
        if (!server)
            return false;
        upstream->servers[upstream->server_count++] = server;
    }
    return true;
}

static bool set_up_tls(struct upstream *upstream, char *error, size_t error_size)
{
    const struct config_upstream *config = upstream->config;
    if (!config->has_tls)
        return true;
    char *ca = config->tls_ca.data ? str_dup(config->tls_ca) : NULL;
    if (config->tls_server_name.data)
        upstream->tls_name = str_dup(config->tls_server_name);
    bool is_copied = (ca || !config->tls_ca.data) && (upstream->tls_name || !config->tls_server_name.data);
    if (is_copied)
        upstream->tls = tls_client_new(ca, error, error_size);
    free(ca);
    return upstream->tls != NULL;
}

struct upstream *upstream_new(const struct config_upstream *config, const struct upstream *old, char *error,
                              size_t error_size)
{
    unsigned count = config->primary_count + config->replica_count;
    if (count > SERVERS_MAX) {
        snprintf(error, error_size, "upstream %.*s has %u servers, at most %u are allowed",
                 STR_FMT(config->name), count, SERVERS_MAX);
        return NULL;
    }
    snprintf(error, error_size, "out of memory");
    struct upstream *upstream = calloc(1, sizeof *upstream);
    if (!upstream)
        return NULL;
    upstream->name = config->name;
    upstream->config = config;
    upstream->retry_credit =
        old ? old->retry_credit : RETRY_RESERVE_PER_S * RETRY_KEPT_NS / NS_PER_S * RETRY_COST;
    upstream->retry_at_ns = old ? old->retry_at_ns : 0;
    upstream->servers = calloc(count ? count : 1, sizeof *upstream->servers);
    if (!upstream->servers)
        goto fail;
    if (!set_up_tls(upstream, error, error_size))
        goto fail;
    if (!add_servers(upstream, old, config->primaries, config->primary_count, ROLE_PRIMARY))
        goto fail;
    upstream->primary_count = upstream->server_count;
    if (!add_servers(upstream, old, config->replicas, config->replica_count, ROLE_REPLICA))
        goto fail;
    return upstream;

fail:
    upstream_free(upstream);
    return NULL;
}

void upstream_free(struct upstream *upstream)
{
    if (!upstream)
        return;
    for (unsigned i = 0; i < upstream->server_count; i++)
        server_unref(upstream->servers[i]);
    free(upstream->servers);
    tls_client_unref(upstream->tls);
    free(upstream->tls_name);
    free(upstream);
}

struct server *upstream_own(const struct upstream *upstream, const struct server *server)
{
    for (unsigned i = 0; i < upstream->server_count; i++) {
        if (upstream->servers[i] == server && server_is_wanted(server))
            return upstream->servers[i];
    }
    return NULL;
}

unsigned upstream_index(const struct upstream *upstream, const struct server *server)
{
    for (unsigned i = 0; i < upstream->server_count; i++) {
        if (upstream->servers[i] == server)
            return i;
    }
    CHECK(!"the server is one of this upstream");
    return 0;
}

/* Counts the time since the last call in: the reserve grows, what was earned fades. Finagle's budget forgets
 * a deposit after 10 s; fading with that time constant has the same steady state (10 s of reserve and 10 s of
 * the requests' share) and needs no windows. One worker in 100 ms does it, the others pass by. */
static void settle_retries(struct upstream *upstream, int64_t now_ns)
{
    int64_t at_ns = atomic_load_explicit(&upstream->retry_at_ns, memory_order_relaxed);
    if (now_ns - at_ns < RETRY_SETTLE_NS)
        return;
    if (!atomic_compare_exchange_strong(&upstream->retry_at_ns, &at_ns, now_ns) || at_ns == 0)
        return;
    double gap_s = (double)(now_ns - at_ns) / NS_PER_S;
    int64_t credit = atomic_load_explicit(&upstream->retry_credit, memory_order_relaxed);
    double settled =
        ((double)credit + RETRY_RESERVE_PER_S * RETRY_COST * gap_s) / (1 + gap_s * NS_PER_S / RETRY_KEPT_NS);
    atomic_fetch_add_explicit(&upstream->retry_credit, (int64_t)settled - credit, memory_order_relaxed);
}

void upstream_earn_retry(struct upstream *upstream, int64_t now_ns)
{
    settle_retries(upstream, now_ns);
    int64_t share = (int64_t)(upstream->config->retry_budget * RETRY_COST);
    if (share > 0)
        atomic_fetch_add_explicit(&upstream->retry_credit, share, memory_order_relaxed);
}

bool upstream_spend_retry(struct upstream *upstream, int64_t now_ns)
{
    settle_retries(upstream, now_ns);
    int64_t credit = atomic_load_explicit(&upstream->retry_credit, memory_order_relaxed);
    while (credit >= RETRY_COST) {
        if (atomic_compare_exchange_weak(&upstream->retry_credit, &credit, credit - RETRY_COST))
            return true;
    }
    return false;
}
