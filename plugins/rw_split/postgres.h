/* The PostgreSQL probe: how far each server's database has come, whether it is a primary, and on which
 * timeline.
 *
 * It knows libpq, asks every database the same question each interval and tells servers.h what it heard. It
 * refuses to know what follows from it: who is the primary, who may be read from. Each database has its own
 * connection, deadlines and backoff: one that hangs, refuses, still starts up or is no PostgreSQL delays
 * nothing but its own figures.
 *
 * One thread at a time: the plugin's tick, and configure and destroy when there is none. Nothing is connected
 * before the first tick, so that `weir check` talks to nobody.
 *
 * The role needs no right but to connect. With pg_monitor it also sees which timeline a replica receives:
 * without, a replica is believed to have followed a failover only from its next restart point on.
 *
 * A connection that breaks or is refused is told of as such: the database may have ended, and come back
 * further back than it was. One that is only late has not gone anywhere. When the database itself is taken to
 * be gone is in postgres_loss.h; one that was there until a moment ago is tried again soon.
 *
 * A commit that was acknowledged is below pg_current_wal_lsn(), which is what the probe asks a primary for:
 * unless synchronous_commit is off. Where the probe's own role has it off, it asks for the insert position
 * instead; an application that turns it off for itself must say Weir-Position. */
#ifndef RW_SPLIT_POSTGRES_H
#define RW_SPLIT_POSTGRES_H

#include <weir/plugin.h>

#include "servers.h"

struct postgres;

/* Borrowed until postgres_new() returns. */
struct postgres_target {
    const char *address; /* the server in front of that database, as in the upstream's config */
    const char *dsn;     /* postgresql://... or "host=... port=... dbname=..." */
};

/* Servers are told to expect its targets. Host and servers must outlive it. NULL, and one sentence in error
 * that never quotes a DSN: one of them is malformed, names no server or several, or there is no memory; or
 * this weir was built without libpq. */
struct postgres *postgres_new(const struct weir_host *host, struct servers *servers,
                              const struct postgres_target *targets, unsigned count, int64_t interval_ms,
                              char *error, size_t error_size);
void postgres_free(struct postgres *postgres);

/* Where the database of a DSN is, without how it is asked: "host address port name". False: it is malformed,
 * or there is no room or no memory. */
bool postgres_place(const char *dsn, char *out, size_t size);

/* Asks whoever is due and hears who answers. Returns once nothing is under way, at the latest after one
 * interval: call it again soon, each database keeps its own time. */
void postgres_tick(struct postgres *postgres);

#endif
