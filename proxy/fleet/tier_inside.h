/* Between the files of tier*.c only. */
#ifndef FLEET_TIER_INSIDE_H
#define FLEET_TIER_INSIDE_H

#include <stdatomic.h>

#include "fleet/breaker.h"
#include "fleet/digest.h"
#include "fleet/tier.h"
#include "net/loop.h"

/* prefix ":1:{" tenant "/" hash "}:" hash ":" hash */
#define TIER_KEY_MAX (TIER_PREFIX_MAX + 4 + 63 + 1 + DIGEST_HEX_LEN + 2 + DIGEST_HEX_LEN + 1 + 16)

struct tier_key {
    size_t len;
    char bytes[TIER_KEY_MAX];
};

struct tier {
    struct loop *loop;
    struct redis *reader;
    struct redis *writer;
    struct breaker reading;
    struct breaker writing;
    int64_t budget_ns;
    size_t value_bytes_max;
    size_t prefix_len;
    char prefix[TIER_PREFIX_MAX];
    bool is_freed;
    void (*on_change)(void *arg, enum tier_state state, const char *why);
    void *arg;

    struct list tombs; /* oldest first */
    unsigned tomb_count;
    int64_t lost_wall_ms; /* when there were too many of them last; -1: never */
    struct timer retry;   /* of tombs */

    atomic_uint_fast64_t counts[TIER_COUNT_COUNT];
    atomic_int state;
};

void tier_add(struct tier *tier, enum tier_count count);
/* After anything that may have changed what tier_state() says. */
void tier_show_state(struct tier *tier);

/* Reports to a breaker and counts when that opened it. */
void tier_failed(struct tier *tier, struct breaker *breaker, bool is_lasting);

/* Where an answer or a signpost stands. */
void tier_key_make(const struct tier *tier, struct str primary, struct str selector, struct tier_key *out);
/* Makes a signpost's key that of a variant. */
void tier_key_vary(struct tier_key *key, struct str vary, struct str vary_key);
void tier_key_tomb(const struct tier *tier, struct str primary, struct tier_key *out);

/* When that primary key was invalidated last, as far as Redis may not know it yet; -1: it was not. */
int64_t tier_tomb_waiting(const struct tier *tier, const struct tier_key *key);
void tier_tombs_flush(void *arg);
void tier_tombs_drop(struct tier *tier);

#endif
