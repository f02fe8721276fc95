/* One question, of one or two asks within one budget. */
#include <stdlib.h>

#include "fleet/tier_inside.h"

/* Outlives the question that was called off, until its reply is here. */
struct tier_trip {
    struct tier *tier;
    struct tier_get *get; /* NULL: called off */
    int64_t deadline_ns;
    int64_t tomb_ms; /* known here, maybe not to Redis yet; -1: none */
    struct tier_key key;
    struct tier_key tomb_key;
    struct str vary;     /* of the signpost; data NULL: none was met yet. Its bytes lie behind the trip's */
    struct str vary_key; /* the caller's */
    char *vary_bytes;
};

static void trip_free(struct tier_trip *trip)
{
    free(trip->vary_bytes);
    free(trip);
}

static void finish(struct tier_trip *trip, const struct value *value, enum tier_miss miss)
{
    static const enum tier_count counts[] = {
        [TIER_FOUND] = TIER_COUNT_hits,         [TIER_ABSENT] = TIER_COUNT_misses,
        [TIER_INVALIDATED] = TIER_COUNT_misses, [TIER_UNUSABLE] = TIER_COUNT_misses,
        [TIER_REFUSED] = TIER_COUNT_refused,    [TIER_LATE] = TIER_COUNT_timeouts,
        [TIER_FAILED] = TIER_COUNT_errors,      [TIER_CLOSED] = TIER_COUNT_closed,
    };
    struct tier_get *get = trip->get;

    tier_add(trip->tier, counts[miss]);
    get->trip = NULL;
    get->on_done(get, value, miss);
    trip_free(trip);
}

/* --- what came back --- */

/* Two elements: the value and the tombstone, each a string or nothing. */
static bool is_pair(const struct redis_reply *reply)
{
    if (reply->kind != REDIS_ARRAY || reply->count != 2)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        if (reply->elements[i].kind != REDIS_STRING && reply->elements[i].kind != REDIS_NIL)
            return false;
    }
    return true;
}

/* False: what stands there is no time. */
static bool read_tomb(const struct redis_reply *reply, int64_t *tomb_ms)
{
    uint64_t number;
    if (reply->kind == REDIS_NIL)
        return true;
    if (!str_to_u64(reply->str, &number) || number > INT64_MAX / 2)
        return false;
    *tomb_ms = (int64_t)number > *tomb_ms ? (int64_t)number : *tomb_ms;
    return true;
}

/* Is it the one that was asked for? Hashes may collide, and Redis may lie. */
static bool is_asked_for(const struct tier_trip *trip, const struct value *value)
{
    const struct tier_get *get = trip->get;
    if (!str_eq(value->primary, get->primary) || !str_eq(value->selector, get->selector))
        return false;
    if (trip->vary.data)
        return value->status != 0 && str_eq(value->vary, trip->vary) &&
               str_eq(value->vary_key, trip->vary_key);
    return value->status == 0 || value->vary.len == 0;
}

static enum tier_miss judge(struct tier_trip *trip, const struct redis_reply *pair, struct value *value)
{
    if (pair[0].kind == REDIS_NIL)
        return TIER_ABSENT;
    if (!read_tomb(&pair[1], &trip->tomb_ms) || pair[0].str.len > trip->tier->value_bytes_max ||
        !value_read(pair[0].str, value) || !is_asked_for(trip, value))
        return TIER_REFUSED;
    if (value->status == 0)
        return TIER_FOUND;
    /* Fetched by a weir whose clock may be ahead of the one that wrote the tombstone. */
    if (trip->tomb_ms >= 0 && value->fetched_wall_ms <= trip->tomb_ms + TIER_CLOCK_SKEW_MS)
        return TIER_INVALIDATED;
    if (trip->get->may_use && !trip->get->may_use(trip->get, value))
        return TIER_UNUSABLE;
    return TIER_FOUND;
}

static bool ask(struct tier_trip *trip);

/* The signpost names the fields; which variant this request is, its owner says. */
static enum tier_miss follow(struct tier_trip *trip, const struct value *signpost)
{
    struct tier_get *get = trip->get;

    trip->vary_bytes = str_dup(signpost->vary);
    if (!trip->vary_bytes)
        return TIER_CLOSED;
    trip->vary = str_n(trip->vary_bytes, signpost->vary.len);
    trip->vary_key = get->vary_key ? get->vary_key(get, trip->vary) : (struct str){ NULL, 0 };
    if (!trip->vary_key.data)
        return TIER_ABSENT;
    tier_key_vary(&trip->key, trip->vary, trip->vary_key);
    return ask(trip) ? TIER_FOUND : TIER_CLOSED;
}

/* How it went, for the breaker, also when nobody waits any more. */
static enum tier_miss report(struct tier *tier, enum redis_end end, const struct redis_reply *reply)
{
    enum tier_miss miss = TIER_FOUND;
    if (end == REDIS_TIMEOUT)
        miss = TIER_LATE;
    else if (end == REDIS_DISCONNECTED || !is_pair(reply))
        miss = TIER_FAILED;
    if (miss != TIER_FOUND) {
        tier_failed(tier, &tier->reading, false);
        return miss;
    }
    if (tier->reading.state != BREAKER_CLOSED || tier->reading.failures > 0) {
        breaker_worked(&tier->reading);
        tier_show_state(tier);
    }
    return TIER_FOUND;
}

static void on_reply(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct tier_trip *trip = arg;
    enum tier_miss miss = report(trip->tier, end, reply);
    struct value value;

    if (!trip->get) {
        trip_free(trip);
        return;
    }
    if (miss == TIER_FOUND)
        miss = judge(trip, reply->elements, &value);
    if (miss == TIER_FOUND && value.status == 0) {
        miss = follow(trip, &value);
        if (miss == TIER_FOUND)
            return;
    }
    finish(trip, miss == TIER_FOUND ? &value : NULL, miss);
}

/* --- asking --- */

static bool ask(struct tier_trip *trip)
{
    const char *argv[] = { "MGET", trip->key.bytes, trip->tomb_key.bytes };
    const size_t lens[] = { 4, trip->key.len, trip->tomb_key.len };
    return redis_ask_until(trip->tier->reader, trip->deadline_ns, on_reply, trip, 3, argv, lens);
}

static enum tier_miss refuse(struct tier *tier)
{
    tier_add(tier, TIER_COUNT_closed);
    return TIER_CLOSED;
}

enum tier_miss tier_get(struct tier *tier, struct tier_get *get)
{
    int64_t now_ns = loop_now_ns(tier->loop);

    get->trip = NULL;
    if (!redis_is_up(tier->reader) || !breaker_may(&tier->reading, now_ns))
        return refuse(tier);
    struct tier_trip *trip = calloc(1, sizeof *trip);
    if (!trip) {
        breaker_forget(&tier->reading, now_ns);
        return refuse(tier);
    }
    trip->tier = tier;
    trip->get = get;
    trip->deadline_ns = now_ns + tier->budget_ns;
    tier_key_make(tier, get->primary, get->selector, &trip->key);
    tier_key_tomb(tier, get->primary, &trip->tomb_key);
    trip->tomb_ms = tier_tomb_waiting(tier, &trip->tomb_key);
    if (!ask(trip)) {
        breaker_forget(&tier->reading, now_ns);
        trip_free(trip);
        return refuse(tier);
    }
    get->trip = trip;
    return TIER_FOUND;
}

void tier_get_cancel(struct tier_get *get)
{
    if (get->trip)
        get->trip->get = NULL;
    get->trip = NULL;
}
