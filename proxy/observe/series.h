/* What is counted per tenant, version and route: requests by outcome and status, refusals by reason, and a
 * histogram per stage. One `struct tally` per worker, written by it alone; reading merges all of them.
 *
 * Bounded labels: versions and routes come from the config; of tenants those in the config and the busiest
 * others up to tenants_max have a series of their own, the rest share "_other". Names outlive reloads: a
 * series is found by its words. */
#ifndef OBSERVE_SERIES_H
#define OBSERVE_SERIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define STAGES(X)                                                                   \
    X(HEAD, "head")               /* first byte of the request to its whole head */ \
    X(ADMIT, "admit")             /* identify, route, admit: no waits in them */    \
    X(LOOKUP, "lookup")           /* the cache in memory */                         \
    X(SECOND_TIER, "second_tier") /* Redis */                                       \
    X(COALESCED, "coalesced")     /* waiting for somebody else's fetch */           \
    X(POSITION, "position")       /* waiting for a replica to catch up */           \
    X(PERMIT, "permit")           /* the waiting line */                            \
    X(CONNECT, "connect")         /* until a connection was there */                \
    X(FIRST_BYTE, "first_byte")   /* request sent to reply head */                  \
    X(BODY, "body")               /* reply head to its last byte from the app */    \
    X(WRITE, "write")             /* answer ready to last byte written to the client */

enum stage_time {
#define STAGE(id, word) STAGE_##id,
    STAGES(STAGE)
#undef STAGE
    STAGE_COUNT
};

const char *stage_word(enum stage_time stage);

#define OUTCOMES(X)                                                        \
    X(HIT, "hit")     /* answered from memory */                           \
    X(STALE, "stale") /* answered from memory, beyond its freshness */     \
    X(REVALIDATED, "revalidated")                                          \
    X(COLLAPSED, "collapsed") /* shared somebody else's fetch */           \
    X(MISS, "miss")           /* fetched, and stored or could have been */ \
    X(PASS, "pass")           /* fetched past the cache */                 \
    X(TUNNEL, "tunnel")                                                    \
    X(REFUSED, "refused") /* 4xx by weir */                                \
    X(SHED, "shed")       /* 429 and 503 by a limit */                     \
    X(FAILED, "failed")   /* 5xx by weir, broken replies */                \
    X(ABORTED, "aborted") /* the client left first */

enum outcome {
#define OUTCOME(id, word) OUTCOME_##id,
    OUTCOMES(OUTCOME)
#undef OUTCOME
    OUTCOME_COUNT
};

const char *outcome_word(enum outcome outcome);

struct labels; /* the bounded set of tenant names, shared by all workers, its own mutex */

struct labels *labels_new(unsigned tenants_max);
void labels_free(struct labels *labels);
/* The label of a tenant, an index that stays the same while weir runs; 0 is "_other". is_listed tenants
 * always get one of their own. Slow (mutex): asked once per tenant and worker, then again now and then, as a
 * tenant may have become one of the busiest. requests ranks the unlisted: the first half of tenants_max get
 * one at once, the second half after some traffic, later ones by taking it from the least busy, if they have
 * twice its requests. Its counts are _other's from then on. */
unsigned labels_tenant(struct labels *labels, struct str name, bool is_listed, uint64_t requests);
/* Index of a version's or route's word; "" is a word too ("none" in output). Bounded at 4096 each; over:
 * "_other". */
unsigned labels_version(struct labels *labels, struct str name);
unsigned labels_route(struct labels *labels, struct str name);

struct tally; /* one per worker */
struct series;

struct tally *tally_new(struct labels *labels, unsigned series_max);
void tally_free(struct tally *tally);

/* The worker's series of those labels; made on first use; when series_max is reached, the one of _other.
 * Never NULL. About 5 ns when it is there. The worker's own thread. */
struct series *tally_series(struct tally *tally, unsigned tenant, unsigned version, unsigned route);

/* The worker's own thread, no locks. */
void series_request(struct series *series, enum outcome outcome, int status, int64_t total_ns,
                    int64_t overhead_ns);
void series_stage(struct series *series, enum stage_time stage, int64_t took_ns);
void series_shed(struct series *series, int err);

/* --- reading, any thread; tallies is every worker's --- */

/* weir_requests_total, weir_request_seconds, weir_stage_seconds, weir_overhead_seconds, weir_shed_total in
 * Prometheus's text format, with HELP and TYPE even when empty. */
bool series_prometheus(struct labels *labels, struct tally *const *tallies, unsigned count, struct buf *out);

struct latency_query { /* absent, empty or "*": any; else only this one. Rows are never added up over names */
    struct str tenant;
    struct str version;
    struct str route;
    struct str stage; /* absent, empty: "total"; "*": the total and every stage; else only this one */
};

/* {"rows": [{"tenant":..,"version":..,"route":..,"stage":..,"count":..,"p50":..,"p90":..,"p99":..,"p999":..,
 * "max":..}]}, in seconds: one row for each tenant, version, route (and stage) that has counts and matches.
 * False when out of memory. */
bool series_latency_json(struct labels *labels, struct tally *const *tallies, unsigned count,
                         const struct latency_query *query, struct buf *out);

#endif
