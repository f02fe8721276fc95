/* The purge bus: a purge at one weir reaches every weir of the fleet, and a weir that was cut off notices.
 *
 * The bus knows purges, the order they were made in, and which weirs have applied them. It refuses to know
 * the cache (a callback purges it), the admin address and HTTP. It belongs to one loop, the control thread's;
 * workers read atomics. Where it says "any thread", any thread.
 *
 * The journal. Redis holds one stream, an entry a purge, numbered 1, 2, 3, ... without gaps: entry
 * <epoch>-<seq>. One script (bus_script.c) appends, numbers, renews the caller's lease and reads everybody's,
 * as one step, so also in a Cluster: every key has the hash tag {bus}. Messages on a channel only wake: the
 * stream is the truth.
 *
 * The epoch is the first half of the stream's ids, so it cannot be lost apart from what it names. The script
 * opens a new one when the stream is gone (flushed, evicted, restarted empty), when it is shorter than the
 * caller has seen, and when the server is not the process that opened it: a Redis that came back from its
 * disk or a replica that was promoted may have lost the newest purges, and a weir that had not read them yet
 * could not tell from the numbers. A new epoch makes every weir distrust what it fetched before. That costs
 * one round of validations for each restart of Redis, and is what makes the promise hold through one.
 *
 * The lease. Each weir renews one, four times in its length, saying how far it has applied; only a weir that
 * has caught up takes one. By its own judgement it is connected until three quarters of the length after it
 * *sent* its last renewal that worked; Redis keeps the lease for all of it. The quarter between is what
 * clocks may differ in rate. Whoever posts a purge waits until every lease says it was applied, or ran out. A
 * lease that ran out and was taken again has another term, so a weir knows that it may have missed something
 * even if the answer that would have said so was lost. In an epoch younger than one lease nothing is done:
 * Redis may have forgotten leases that their weirs still rely on.
 *
 * The promise: once a purge ended with BUS_DONE, no connected weir hands out what it purged. A weir that is
 * cut off goes on with what it has; when it is back it is not trusted until it has caught up.
 *
 * A Redis user for it needs: ~weir:{bus}:* &weir:{bus}:news +eval +time +info +xadd +xrange +xrevrange +hget
 * +hset +hdel +hgetall +del +publish +subscribe +ping. An eviction policy of volatile-* keeps the journal;
 * evicted, it is a new epoch.
 *
 * What does not hold: two Redis masters at once (a partition, before the old one is told), each with weirs of
 * its own, know nothing of each other's purges: set min-replicas-to-write. A Redis whose INFO may not be read
 * (an ACL) hides restarts that lose the newest entries. Redis' own clock set forward ends leases early.
 *
 * Limits: a purge's bytes, OUTBOX entries kept while Redis is away (over it they become one purge of
 * everything), NODES weirs in a fleet, 4096 invalidations on their way. Redis is not trusted: what cannot be
 * read is skipped, counted, and distrusts everything fetched before. */
#ifndef FLEET_BUS_H
#define FLEET_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct bus;
struct journal;
struct loop;
struct redis_url;

#define BUS_TENANT_MAX 63
#define BUS_WHAT_MAX   (64u << 10)
#define BUS_NODES_MAX  256

enum bus_kind {
    BUS_URL,    /* what: the primary key's bytes */
    BUS_PREFIX, /* what: as cache/ reads it */
    BUS_TAG,    /* what: the tag */
    BUS_TENANT,
    BUS_ALL,
};

struct bus_purge {
    enum bus_kind kind;
    struct str tenant; /* data NULL: every tenant */
    struct str what;
    bool is_soft;
    int64_t wall_ms; /* when it was posted, by that weir's clock */
    uint64_t node;   /* the weir it was posted at; bus_purge() fills it in */
    uint64_t seq;    /* its place in the journal; 0 while it is applied ahead of that, at its own weir */
};

struct bus_events {
    /* Purge the local cache, before returning. What is posted here comes twice: at once, and again in its
     * place in the journal, for in between the second tier may have brought back what another weir put there.
     * Views live for the call. */
    void (*apply)(void *arg, const struct bus_purge *purge);
    /* Another weir saw an unsafe request succeed: drop this primary key. May be NULL. */
    void (*invalidate)(void *arg, struct str primary);
};

struct bus_options {
    const struct redis_url *url; /* NULL: alone. Copied */
    struct str prefix;           /* of all keys; empty: "weir" */
    int64_t lease_ms;            /* the same in all weirs; 0: 2000 */
    int64_t patience_ms;         /* how long a purge waits for the others; 0: 3000 */
    uint64_t journal_max;        /* entries Redis keeps, about; 0: 100000 */
};

/* events stays the caller's. NULL when out of memory. */
struct bus *bus_new(struct loop *loop, const struct bus_options *options, const struct bus_events *events,
                    void *arg);
/* Purges that still wait end now, as BUS_PARTLY or BUS_UNREACHABLE. Not from its own callbacks, and after
 * the last bus_invalidate() of any thread; one that is still in the loop's mailbox is fine if the loop turns
 * once more. NULL is fine. */
void bus_free(struct bus *bus);

enum bus_end {
    BUS_DONE,        /* every connected weir has applied it */
    BUS_ALONE,       /* no Redis is configured: applied here, there is nobody else */
    BUS_UNREACHABLE, /* applied here; Redis is not there: kept, and appended when it is back */
    BUS_PARTLY,      /* applied here and in the journal; some connected weir has not said so in time */
};

/* nodes: how many weirs have applied it, this one included. */
typedef void bus_done_fn(void *arg, enum bus_end end, unsigned nodes);

/* Applies it here, during the call, and tells the others. fn (NULL is fine) is called once, never from within
 * this call. False when it is too long for an entry, malformed or memory is out: then nobody else hears of it
 * and fn is never called. On the loop's thread. */
bool bus_purge(struct bus *bus, const struct bus_purge *purge, bus_done_fn *fn, void *arg);

/* An unsafe request succeeded here (RFC 9111 4.4): the others drop that primary key when they hear of it.
 * Nobody waits, nothing is kept in the journal. Any thread. */
void bus_invalidate(struct bus *bus, struct str primary);

/* --- any thread --- */

/* False: something was missed and is being read: everything stored must be validated before it is used. */
bool bus_trust(const struct bus *bus);
/* Stored answers whose fetch *began* before that wall time must be validated before they are used. 0: none.
 */
int64_t bus_distrusted_before_ms(const struct bus *bus);
/* ... but for those that began before that one: after a start they come from the second tier alone, and
 * journal_covers() was asked about them. */
int64_t bus_distrusted_since_ms(const struct bus *bus);

/* What was purged when, for values of the second tier. Lives as long as the bus. */
const struct journal *bus_journal(const struct bus *bus);

struct bus_state {
    bool connected; /* holds a lease and has applied all that was in the journal when it took it */
    bool trusted;
    uint64_t seq; /* the newest that is known, applied or not */
    uint64_t epoch;
    unsigned nodes;     /* with a lease, this one included */
    unsigned pending;   /* purges not in the journal yet, or waiting for others */
    uint64_t applied;   /* the last applied one's number */
    uint64_t distrusts; /* how often everything was distrusted: an epoch's end, a trimmed journal, garbage */
    uint64_t garbage;   /* entries and messages that could not be read */
    uint64_t dropped;   /* invalidations that found no room */
    uint64_t errors;    /* Redis refused, or did not answer in time */
};

void bus_state_read(const struct bus *bus, struct bus_state *out);

#endif
