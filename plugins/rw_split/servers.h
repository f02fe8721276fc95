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

/* Addresses; the place of one that weir has not named for long is given to others. */
#define SERVERS_MAX 128

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
/* It claims to be a primary on that timeline, or does not and knows of that timeline. Who claims one that is
 * lower than anybody was ever found on is never the primary again, also when the newer one has gone. */
void servers_role(struct servers *servers, struct weir_str address, bool is_primary, uint32_t timeline);
/* What a replica itself says of its lag, -1: nothing. For when the primary's samples cannot tell. */
void servers_lag(struct servers *servers, struct weir_str address, int64_t lag_ms);
/* The probe failed: what it claimed counts until somebody else claims more. Another claim of that timeline is
 * a contradiction for some time yet. */
void servers_silent(struct servers *servers, struct weir_str address);
/* Beside that: its connection broke, the database may have ended. A replica comes back where it may, which
 * can be further back than it was: it covers nothing before somebody says where it is now. */
void servers_lost(struct servers *servers, struct weir_str address, int64_t now_ms);
/* The probe is sure that the database itself is not to be had, since that time of the monotonic clock: 0: it
 * is there after all, though it says neither role nor position. Once it says its role it is there anyway. */
void servers_gone(struct servers *servers, struct weir_str address, int64_t since_ms);
/* What the two clocks show, read within the same millisecond. Often: before samples, and from tick. Samples
 * from before the wall clock was set back are of use only if that is noticed. */
void servers_clock(struct servers *servers, int64_t wall_ms, int64_t mono_ms);
/* A probe will ask that server's database, and say what came of it by one of the above. In configure. */
void servers_expect(struct servers *servers, struct weir_str address);

/* What is known of these databases already, and will be of an instance that a reload puts in this one's
 * place: the newest timeline that anybody was found on, and who leads on it. He does for now, until he says
 * otherwise, and the roles are settled once he has said so again, whoever else has not answered yet.
 * database: where it is, the same text for the same one, whichever instance says it. In configure, after
 * servers_expect() and servers_pair(), once. False: out of memory. */
struct servers_database {
    struct weir_str address;
    const char *database;
};
bool servers_succeed(struct servers *servers, const struct servers_database *databases, unsigned count);

/* Addresses that are one database: two that claim to be primary are then no contradiction. In configure. */
void servers_pair(struct servers *servers, struct weir_str address, struct weir_str same_as);

/* --- what apps say --- */

/* A reply or a health check's reply said how far this server had come. Without an epoch of its own the text's
 * is the server's last one, or a later one. Where a probe works it says no more than that; else it is a
 * sample. */
void servers_told(struct servers *servers, struct weir_str address, int64_t before_ms, int64_t after_ms,
                  struct position at, bool has_epoch);
/* A write's reply said where it landed: the server is at least there. It may be further: no bound for what
 * others saw; and a probe may see less of it, if that is where the write was inserted: it has not gone back.
 * at: completed. */
void servers_landed(struct servers *servers, struct weir_str address, int64_t after_ms, struct position at);
/* What a client saw, or wrote, if a reply of that server said so: without an epoch of its own it is of the
 * server's last one, or a later one that nobody here knows of yet: open. */
struct position servers_complete(struct servers *servers, struct weir_str address, struct position at,
                                 bool has_epoch);

/* --- questions --- */

/* A server's tag: never SOURCE_PRIMARY. */
uint32_t servers_tag(struct weir_str address);
/* Has anybody ever said a position? */
bool servers_know(const struct servers *servers);

/* What stands for the place of one server in the tables; hint is where it was last time. -1: no room. */
int servers_find(struct servers *servers, struct weir_str address, unsigned hint);
/* Has somebody found no room, as all places are in use? Once true, always. Any thread. */
bool servers_are_full(const struct servers *servers);
/* weir says it has that role now. */
void servers_note_role(struct servers *servers, int slot, bool is_primary);
struct position servers_latest(const struct servers *servers, int slot);
/* How far behind the primary, at the last servers_measure(); -1: not known. */
int64_t servers_lag_ms(const struct servers *servers, int slot);
/* It claims to be primary and is not the one, or its timeline is over: it follows nobody. */
bool servers_is_pretender(const struct servers *servers, int slot);
/* What a probe made of it. */
enum servers_role {
    SERVERS_ROLE_UNKNOWN, /* nobody asked the databases: as in the config */
    SERVERS_ROLE_PRIMARY,
    SERVERS_ROLE_REPLICA
};
enum servers_role servers_role_of(const struct servers *servers, int slot);
/* Has every expected database answered or failed at least once, or the leader of before a reload answered
 * that he still is? Until then nobody is elected: the roles are
 * those of the config, which may be of before a failover. True where none is expected. Once true, always, and
 * told by on_progress after the roles. One load, no lock. */
bool servers_roles_are_settled(const struct servers *servers);
/* Is that server, which weir takes for the primary, of an epoch that what was seen is past? Then it is an old
 * one that somebody has taken over from. In the same epoch a primary is never stale: its samples are
 * naturally behind a fresh token. False where one of the two epochs is not known. No lock. */
bool servers_primary_is_stale(const struct servers *servers, int slot, const struct seen *seen);

/* Since when (monotonic) that server's database, which had answered before, is not to be had: it refuses
 * connections, says that it shuts down or starts up, or its session ended and no other came about. 0: it is
 * there, or nobody asks, or it never was there. One answer that is late is no loss. on_progress tells when it
 * is back, not when it went. One load, no lock. */
int64_t servers_lost_since_ms(const struct servers *servers, int slot);

/* Replaces a source by the position it had come to, as soon as a sample says so. */
void servers_resolve(struct servers *servers, struct seen *seen, int64_t now_ms);
/* Does the server show all of it? Call servers_resolve() before. */
bool servers_covers(const struct servers *servers, int slot, const struct seen *seen);
/* Is that seen position, if it is an open one, possibly of a newer epoch than what has reached that far? A
 * server that follows nobody any more goes on in its old one, beyond where the newer began. No lock. */
bool servers_may_be_past(const struct servers *servers, struct position at, struct position reached);
/* What it had reached for sure when it was asked at that time. */
struct position servers_lower(struct servers *servers, int slot, int64_t sent_ms);
/* Up to which time whoever has come to that position has all writes; 1: that is further back than anybody
 * remembers; 0: not known at all. */
int64_t servers_as_of(struct servers *servers, struct position at);
/* In how many seconds the nearest of them may have come that far, at least 1. */
int64_t servers_eta_s(struct servers *servers, const int *slots, unsigned count, struct position at);
/* Measures every lag anew. From tick, before weir's servers are named by servers_note_role(). */
void servers_measure(struct servers *servers);

#endif
