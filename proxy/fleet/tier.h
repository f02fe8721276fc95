/* The second tier of the cache, as one worker sees it: answers that other weirs stored, or this one before it
 * was started anew.
 *
 * It promises its callers one thing: an answer or a miss within the budget, counted from the first ask, also
 * when a second one follows (a reply that varies). Whatever Redis does costs a miss and a counter. It refuses
 * to know when an answer may be used: age, credentials and purges are the caller's questions.
 *
 * One loop and its thread, but for what is said to be for any. Two connections: a large value on its way
 * out does not stand before a question. Writing has its own breaker: a Redis that is full or read-only
 * still answers. Limits: REDIS_ASKS_MAX and REDIS_ASKS_BYTES_MAX a connection, TIER_TOMBS_MAX. */
#ifndef FLEET_TIER_H
#define FLEET_TIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fleet/redis.h"
#include "fleet/value.h"

struct tier;

#define TIER_PREFIX_MAX    63
#define TIER_TOMBS_MAX     256 /* invalidations that Redis has not got yet */
/* How long anything is kept there. Equal for answers and tombstones: one that ended before what it
 * invalidates would bring that back. */
#define TIER_TTL_MS_MAX    3600000
#define TIER_CLOCK_SKEW_MS 2000 /* between two weirs' wall clocks */

enum tier_state {
    TIER_CONNECTING, /* one of the two connections is not there */
    TIER_UP,
    TIER_PAUSED,    /* not asked: its breaker is open */
    TIER_READ_ONLY, /* asked, but writing is paused */
};

struct tier_options {
    const struct redis_url *url; /* copied */
    int64_t budget_ms;           /* 0: 5 */
    size_t value_bytes_max;      /* larger ones are not stored; who meets one connects anew, so
                                  * it is the same in a fleet. 0: 1 MiB */
    struct str prefix;           /* of all keys, copied; "" is "weir" */
    /* For the log, on the loop's thread: the state changed, or the reason why it is not up. May be NULL. Do
     * not free the tier from it. */
    void (*on_change)(void *arg, enum tier_state state, const char *why);
    void *arg;
};

/* NULL when out of memory, or for a prefix over TIER_PREFIX_MAX or with a brace. */
struct tier *tier_new(struct loop *loop, const struct tier_options *options);
/* What is being asked ends as a miss during the call. NULL is fine. */
void tier_free(struct tier *tier);

/* --- getting --- */

enum tier_miss {
    TIER_FOUND,       /* no miss */
    TIER_ABSENT,      /* nothing stored, or no variant for this request */
    TIER_INVALIDATED, /* an unsafe request succeeded since it was fetched */
    TIER_UNUSABLE,    /* the caller's may_use() said no */
    TIER_REFUSED,     /* what stood there is not consistent, or somebody else's */
    TIER_LATE,        /* the budget is spent */
    TIER_FAILED,      /* an error, or the connection ended */
    TIER_CLOSED,      /* not asked: not connected, the breaker is open, or too much in flight */
};

const char *tier_miss_word(enum tier_miss miss); /* "late": for logs and Cache-Status */

/* One question. Embedded in who asks; must stay until on_done() or tier_get_cancel(). */
struct tier_get {
    struct str primary; /* as in cache/key.h: the tenant, then a NUL. The bytes must stay as well */
    struct str selector;
    /* This request's values of the fields in vary (a canonical list), as bytes that stay until the end of the
     * question; data NULL: cannot be said. */
    struct str (*vary_key)(struct tier_get *get, struct str vary);
    /* May be NULL. Is it young enough, fetched after what was purged? */
    bool (*may_use)(struct tier_get *get, const struct value *value);
    /* value is NULL on a miss; its bytes live until this returns. */
    void (*on_done)(struct tier_get *get, const struct value *value, enum tier_miss miss);
    void *arg;
    struct tier_trip *trip; /* the tier's; NULL: not asked */
};

/* TIER_FOUND: it was asked; on_done() will be called once, not from within this call. Else it is a miss for
 * that reason already, and on_done() is not called. */
enum tier_miss tier_get(struct tier *tier, struct tier_get *get);
/* on_done() will not be called. Fine when nothing is asked (trip is NULL). */
void tier_get_cancel(struct tier_get *get);

/* --- storing --- */

/* Copies and sends, or skips it: too large, not connected, too much in flight, writing has its breaker open,
 * ttl_ms < 1. At most for TIER_TTL_MS_MAX. A varying one is stored by its vary and vary_key. A later one of
 * the same key replaces it. */
void tier_put(struct tier *tier, const struct value *value, int64_t ttl_ms);

/* An unsafe request succeeded: whatever was fetched for this primary key until now, of any selector, is a
 * miss, in this tier at once and for others when Redis has got it; that is tried until it has. */
void tier_forget(struct tier *tier, struct str primary);

/* --- counting: any thread --- */

#define TIER_COUNTS(X) \
    X(hits) X(misses) X(timeouts) X(errors) X(refused) X(closed) X(stored) X(skipped) X(breaker_open)

enum tier_count {
#define TIER_COUNT_AT(name) TIER_COUNT_##name,
    TIER_COUNTS(TIER_COUNT_AT) TIER_COUNT_COUNT
#undef TIER_COUNT_AT
};

/* Gets end as hits, misses, timeouts, errors, refused or closed, if they are not called off; puts as stored
 * (acknowledged), skipped or errors. breaker_open: how often one of the breakers opened. */
uint64_t tier_count(const struct tier *tier, enum tier_count count);
const char *tier_count_word(enum tier_count count);

enum tier_state tier_state(const struct tier *tier);
const char *tier_state_word(enum tier_state state); /* "up" */

#endif
