/* The servers behind us: this is the door of upstream/.
 *
 * The room knows servers and their health, connections that are kept for the next request, and how
 * one request is exchanged with one server. It refuses to know tenants, caches, plugins, and why a server
 * was chosen. struct upstream and struct server are shared by all workers (atomics only); pools and
 * exchanges belong to one worker and its thread.
 *
 * Judgement: a server is up until health checks or traffic say otherwise. Active checks count rise and
 * fall. With them or without, `fall` failures in a row by traffic take a server out for a while, longer each
 * time, but never the last one of its role.
 *
 * Limits: SERVERS_MAX servers an upstream (sets of servers are 64 bits). */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "config/config.h"
#include "http/message.h"
#include "net/dial.h"
#include "net/tls.h"

enum server_role {
    ROLE_PRIMARY,
    ROLE_REPLICA
};
#define SERVERS_MAX   64
#define POSITION_MAX  255 /* bytes of what is told of how far a server has come */
#define ROLES_PRIMARY (1u << ROLE_PRIMARY)
#define ROLES_REPLICA (1u << ROLE_REPLICA)

enum server_admin {
    SERVER_ADMIN_UP,
    SERVER_ADMIN_DRAIN,
    SERVER_ADMIN_DOWN
};

/* What was told of a server (news.h): so that a change is told once. */
struct server_told {
    bool is_out;
    bool is_nameless;
    bool was_out;           /* when it was looked at last */
    int64_t since_ns;       /* out */
    int64_t quiet_until_ns; /* a server that flaps is told of less and less often */
    unsigned lines;         /* in a row, without a calm time between them */
    unsigned untold;        /* changes that fell into a quiet time */
};

/* One server. Shared; found by address and adopted on reload, so that health and counters live on. */
struct server {
    struct addr addr;
    struct endpoint *endpoint;
    enum server_role role; /* as configured: by which it is adopted */
    _Atomic int role_now;  /* enum server_role: a failover may have changed it */
    uint64_t point;        /* of the address, for balance: hash */
    _Atomic int references;
    _Atomic int admin;            /* enum server_admin */
    _Atomic bool is_healthy;      /* by active checks */
    _Atomic int64_t out_until_ns; /* by traffic: not used before; 0: in */
    _Atomic int failures;         /* in a row, by traffic */
    _Atomic int ejections;        /* in a row, for growing breaks */
    _Atomic int64_t inflight;
    _Atomic int64_t mean_ns;    /* decaying mean of time to the reply's head */
    _Atomic int64_t mean_at_ns; /* when it was updated */
    _Atomic uint64_t requests;
    _Atomic uint64_t errors;
    _Atomic int why_unhealthy; /* of the last check that failed: an error, or an HTTP status */
    _Atomic int why_failed;    /* of the last exchange that failed: an error */
    struct server_told told;   /* the control thread's */
    /* By whoever knows (plugins). */
    _Atomic int64_t lag_ns;         /* -1: not known */
    _Atomic uint32_t position_turn; /* odd: being written */
    _Atomic uint32_t position_len;  /* 0: not known */
    _Atomic uint64_t position[(POSITION_MAX + 7) / 8];
};

static inline enum server_role server_role(const struct server *server)
{
    return (enum server_role)atomic_load_explicit(&server->role_now, memory_order_relaxed);
}

/* How far it has come, in the words of whoever reports it. Written by one thread at a time (the caller's
 * lock); read on any thread, without one, for each choice among servers. text: at most POSITION_MAX bytes. */
void server_set_position(struct server *server, struct str text);
/* Copied to out, which has room for POSITION_MAX + 1 bytes. Its length; 0: not known, or just being written.
 */
size_t server_position(const struct server *server, char *out);

struct upstream {
    struct str name;
    const struct config_upstream *config; /* lives as long as the config it came from */
    struct server **servers;              /* primaries first, in the config's order */
    unsigned server_count;
    unsigned primary_count;
    struct tls_client *tls;       /* NULL: plain */
    char *tls_name;               /* NULL: the host of each address */
    _Atomic unsigned turn;        /* round robin */
    _Atomic int64_t retry_credit; /* in thousandths of a retry */
    _Atomic int64_t retry_at_ns;
};

/* old: the one of the same name in the world before, or NULL: servers with the same address, role and TLS
 * settings are adopted, and the retry budget. NULL and a sentence in error (at least 256 bytes) on failure.
 * config must outlive it. */
struct upstream *upstream_new(const struct config_upstream *config, const struct upstream *old, char *error,
                              size_t error_size);
void upstream_free(struct upstream *upstream); /* NULL is fine */

/* May this server get requests now? */
bool server_is_usable(const struct server *server, int64_t now_ns);

/* Picks among usable servers of the roles (bits) by the upstream's balance. avoid: bits by index, servers
 * tried already (used again only if there is no other). random: any number, for power of two choices; hash:
 * for balance: hash (bounded load). NULL if none is usable; the last one of a role is usable whatever traffic
 * said. */
struct server *upstream_pick(struct upstream *upstream, unsigned roles, uint64_t avoid, uint64_t random,
                             uint64_t hash, int64_t now_ns);
/* The same server as one of the upstream's that is usable by all but traffic; NULL: it is none. */
struct server *upstream_own(const struct upstream *upstream, const struct server *server);
unsigned upstream_index(const struct upstream *upstream, const struct server *server);

/* A request goes there / is over. took_ns: to the reply's head, -1 if there was none. is_failure: what counts
 * against the server (connect and TLS failures, time-outs, broken replies; not 5xx). */
void server_began(struct server *server);
void server_ended(struct upstream *upstream, struct server *server, int64_t took_ns, bool is_failure,
                  int64_t now_ns);

/* The retry budget: a share of requests plus 10 a second, kept for 10 s (Finagle's). Each first attempt
 * earns, each retry spends. */
void upstream_earn_retry(struct upstream *upstream, int64_t now_ns);
bool upstream_spend_retry(struct upstream *upstream, int64_t now_ns);

/* Active checks of all servers of an upstream, on the loop's thread (the control thread's). Without health in
 * the config all servers are healthy from here on. On reload free the old one first: its servers may be the
 * new one's. NULL when out of memory. */
struct health;
struct loop;
/* A check's reply came whole: its head, and its body if it is small. sent_wall_ms: before its request was
 * sent. On the loop's thread. */
typedef void health_checked_fn(void *arg, const struct server *server, const struct message *reply,
                               struct str body, int64_t sent_wall_ms);
/* on_checked may be NULL. */
struct health *health_new(struct loop *loop, struct upstream *upstream, health_checked_fn *on_checked,
                          void *arg);
void health_free(struct health *health); /* NULL is fine; the upstream must still be there */

#endif
