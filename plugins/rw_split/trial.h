/* Reads that are sent to a replica so that it can say how far it has come.
 *
 * Where nobody probes, a server is known by its replies alone. A replica that is believed to be behind gets
 * no read of anybody who has a token, so it never says that it has caught up; once all clients have tokens,
 * all read from the primary for ever. So a read that has its place at the primary anyway is sent to such a
 * replica first, one in a while, and then to the primary. Always: what the app says it says after its
 * queries, so that even a position past the token's does not mean that these rows were. It costs that one
 * client a round trip.
 *
 * Only what can be sent twice without harm: GET and HEAD without a body. Any thread; no lock. */
#ifndef RW_SPLIT_TRIAL_H
#define RW_SPLIT_TRIAL_H

#include <weir/plugin.h>

#include <stdatomic.h>

#include "servers.h"

/* Monotonic: not before that a server is tried again; and how long it was until then. */
struct trials {
    atomic_int_least64_t next_ms[SERVERS_MAX];
    atomic_int_least64_t gap_ms[SERVERS_MAX];
};

struct rw_split;
struct visit;
struct scan;

/* A read that falls back to the primary: shall it go by a replica? True: *out says which. */
bool trial_begin(struct rw_split *self, struct weir_request *request, struct visit *visit,
                 const struct scan *scan, struct weir_choice *out);
/* The reply to one, once what it says was learned. True: it is not for the client, *out says so. */
bool trial_ends(struct rw_split *self, struct visit *visit, const struct weir_answer *answer,
                struct weir_verdict *out);
/* Its health check has told: no need of a trial for a while. */
void trial_heard(struct rw_split *self, struct weir_str address);

#endif
