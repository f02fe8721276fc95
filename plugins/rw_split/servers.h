/* What is known of an upstream's servers: how far each had come at which time, who is primary, how far the
 * others are behind. Knows positions and times; refuses to know requests, tokens and databases. Owned by the
 * plugin's instance. Any thread: what a choice reads is atomic, the rest is behind one short lock a server.
 *
 * Each server has a ring of samples: the time before it was asked, the time after, and the position it said.
 * As positions only grow,
 *   - what anybody saw of a server until time t is no newer than its first sample begun after t;
 *   - a server asked at time t is no older than its newest sample that ended before t.
 * Times are the wall clock's, in milliseconds, and a millisecond's halves are not told apart: "after" and
 * "before" are strict. */
#ifndef RW_SPLIT_SERVERS_H
#define RW_SPLIT_SERVERS_H

#include <weir/plugin.h>

#include "position.h"

#define SERVERS_MAX 128 /* addresses, over an instance's life */

struct servers;

/* clock: a number for this process's clock, never 0. on_progress is called, from any thread, without a lock
 * held, whenever somebody has come further or a role has changed; may be NULL. */
typedef void servers_progress_fn(void *arg, bool has_new_roles);
struct servers *servers_new(uint32_t clock, servers_progress_fn *on_progress, void *arg);
void servers_free(struct servers *servers);

/* --- what the probe finds out; one thread for each server, role before sample --- */

/* A server was asked between these times and said it was there. */
void servers_sample(struct servers *servers, struct weir_str address, int64_t before_ms, int64_t after_ms,
                    struct position at);
/* It claims to be a primary on that timeline, or does not. */
void servers_role(struct servers *servers, struct weir_str address, bool is_primary, uint32_t timeline);
/* What a replica itself says of its lag: for when no primary's samples can tell. */
void servers_lag(struct servers *servers, struct weir_str address, int64_t lag_ms);
/* The probe failed: what it claimed counts only until somebody else claims it. */
void servers_silent(struct servers *servers, struct weir_str address);

/* Addresses that are one database: two that claim to be primary are then no contradiction. In configure. */
void servers_pair(struct servers *servers, struct weir_str address, struct weir_str same_as);

/* --- what apps say --- */

/* A reply or a health check's reply said how far this server had come. Without an epoch of its own the text's
 * is the server's. */
void servers_told(struct servers *servers, struct weir_str address, int64_t before_ms, int64_t after_ms,
                  struct position at, bool has_epoch);
/* A write's reply said where it landed: the server is at least there. It may be further: no bound for what
 * others saw. at: completed. */
void servers_landed(struct servers *servers, struct weir_str address, int64_t after_ms, struct position at);
/* What a client saw, or wrote, if a reply of that server said so: completed with its epoch. */
struct position servers_complete(struct servers *servers, struct weir_str address, struct position at,
                                 bool has_epoch);

/* --- questions --- */

/* A server's tag: never SOURCE_PRIMARY. */
uint32_t servers_tag(struct weir_str address);
/* Has anybody ever said a position? */
bool servers_know(const struct servers *servers);

/* What stands for the place of one server in the tables; hint is where it was last time. -1: no room. */
int servers_find(struct servers *servers, struct weir_str address, unsigned hint);
/* weir says it has that role now. */
void servers_note_role(struct servers *servers, int slot, bool is_primary);
struct position servers_latest(const struct servers *servers, int slot);
/* How far behind the primary, at the last servers_measure(); -1: not known. */
int64_t servers_lag_ms(const struct servers *servers, int slot);
/* It claims to be primary and is not the one. */
bool servers_is_pretender(const struct servers *servers, int slot);
/* What a probe made of it. */
enum servers_role {
    SERVERS_ROLE_UNKNOWN, /* nobody asked the databases: as in the config */
    SERVERS_ROLE_PRIMARY,
    SERVERS_ROLE_REPLICA
};
enum servers_role servers_role_of(const struct servers *servers, int slot);

/* Replaces a source by the position it had come to, as soon as a sample says so. */
void servers_resolve(struct servers *servers, struct seen *seen, int64_t now_ms);
/* Does the server show all of it? Call servers_resolve() before. */
bool servers_covers(const struct servers *servers, int slot, const struct seen *seen);
/* What it had reached for sure when it was asked at that time. */
struct position servers_lower(struct servers *servers, int slot, int64_t sent_ms);
/* Up to which time whoever has come to that position has all writes; 0: not known. */
int64_t servers_as_of(struct servers *servers, struct position at);
/* In how many seconds the nearest of them may have come that far, at least 1. */
int64_t servers_eta_s(struct servers *servers, const int *slots, unsigned count, struct position at);
/* Measures every lag anew. From tick. */
void servers_measure(struct servers *servers);

#endif
