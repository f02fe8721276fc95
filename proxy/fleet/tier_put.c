/* Storing, which nobody waits for, and invalidating, which must not be lost. */
#include <stdio.h>
#include <stdlib.h>

#include "fleet/tier_inside.h"

#define PUT_MS        1000
#define TOMB_RETRY_MS 500

static bool set(struct tier *tier, const struct tier_key *key, struct str bytes, int64_t ttl_ms,
                redis_reply_fn *fn, void *arg)
{
    char ttl[24];
    size_t ttl_len = (size_t)snprintf(ttl, sizeof ttl, "%lld", (long long)ttl_ms);
    const char *argv[] = { "SET", key->bytes, bytes.data, "PX", ttl };
    const size_t lens[] = { 3, key->len, bytes.len, 2, ttl_len };
    return redis_ask(tier->writer, PUT_MS, fn, arg, 5, argv, lens);
}

/* Full, read-only, cannot save: the next write would fail as well. */
static bool is_lasting(const struct redis_reply *reply)
{
    return redis_is_error(reply, "OOM") || redis_is_error(reply, "READONLY") ||
           redis_is_error(reply, "MISCONF") || redis_is_error(reply, "NOPERM");
}

static bool report(struct tier *tier, enum redis_end end, const struct redis_reply *reply)
{
    if (end != REDIS_ANSWERED || reply->kind != REDIS_STATUS) {
        tier_failed(tier, &tier->writing, end == REDIS_ANSWERED && is_lasting(reply));
        return false;
    }
    breaker_worked(&tier->writing);
    tier_show_state(tier);
    return true;
}

/* --- storing --- */

static void on_stored(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct tier *tier = arg;
    if (report(tier, end, reply))
        tier_add(tier, TIER_COUNT_stored);
    else
        tier_add(tier, TIER_COUNT_errors);
}

static void on_signpost(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    report(arg, end, reply);
}

static bool write_out(struct tier *tier, const struct tier_key *key, const struct value *value,
                      int64_t ttl_ms, redis_reply_fn *fn)
{
    size_t size = value_bytes(value);
    if (size == 0 || size > tier->value_bytes_max)
        return false;
    char *bytes = malloc(size);
    if (!bytes)
        return false;
    value_write(value, bytes);
    bool is_sent = set(tier, key, str_n(bytes, size), ttl_ms, fn, tier);
    free(bytes);
    return is_sent;
}

static bool put(struct tier *tier, const struct value *value, int64_t ttl_ms)
{
    struct tier_key key;
    tier_key_make(tier, value->primary, value->selector, &key);
    if (value->vary.len == 0)
        return write_out(tier, &key, value, ttl_ms, on_stored);

    /* First what the signpost points to: on one connection, so in this order for everybody. */
    struct value signpost = { .primary = value->primary, .selector = value->selector, .vary = value->vary };
    struct tier_key variant = key;
    tier_key_vary(&variant, value->vary, value->vary_key);
    return write_out(tier, &variant, value, ttl_ms, on_stored) &&
           write_out(tier, &key, &signpost, ttl_ms, on_signpost);
}

void tier_put(struct tier *tier, const struct value *value, int64_t ttl_ms)
{
    int64_t now_ns = loop_now_ns(tier->loop);

    if (ttl_ms < 1 || !redis_is_up(tier->writer) || !breaker_may(&tier->writing, now_ns)) {
        tier_add(tier, TIER_COUNT_skipped);
        return;
    }
    if (!put(tier, value, min_i64(ttl_ms, TIER_TTL_MS_MAX))) {
        breaker_forget(&tier->writing, now_ns);
        tier_add(tier, TIER_COUNT_skipped);
    }
}

/* --- invalidating --- */

/* A tombstone that Redis has not acknowledged. */
struct tomb {
    struct list link;
    struct tier *tier;
    int64_t wall_ms;
    bool is_asked;
    bool is_again; /* invalidated once more while it was on its way */
    struct tier_key key;
};

static void tomb_free(struct tomb *tomb)
{
    list_remove(&tomb->link);
    tomb->tier->tomb_count--;
    free(tomb);
}

static struct tomb *find_tomb(const struct tier *tier, const struct tier_key *key)
{
    list_for_each (at, &tier->tombs) {
        struct tomb *tomb = LIST_ENTRY(at, struct tomb, link);
        if (str_eq(str_n(tomb->key.bytes, tomb->key.len), str_n(key->bytes, key->len)))
            return tomb;
    }
    return NULL;
}

int64_t tier_tomb_waiting(const struct tier *tier, const struct tier_key *key)
{
    const struct tomb *tomb = tier->tomb_count > 0 ? find_tomb(tier, key) : NULL;
    return tomb ? tomb->wall_ms : tier->lost_wall_ms;
}

static void on_tomb(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct tomb *tomb = arg;
    struct tier *tier = tomb->tier;

    tomb->is_asked = false;
    if (report(tier, end, reply) && !tomb->is_again)
        tomb_free(tomb);
    else if (!tier->is_freed && !timer_is_set(&tier->retry))
        timer_set(tier->loop, &tier->retry, tomb->is_again ? 0 : TOMB_RETRY_MS);
}

static void send_tomb(struct tomb *tomb)
{
    char text[24];
    int64_t age_ms = loop_wall_ms(tomb->tier->loop) - tomb->wall_ms;
    if (tomb->is_asked)
        return;
    if (age_ms >= TIER_TTL_MS_MAX) {
        tomb_free(tomb);
        return;
    }
    size_t len = (size_t)snprintf(text, sizeof text, "%lld", (long long)tomb->wall_ms);
    tomb->is_again = false;
    tomb->is_asked = set(tomb->tier, &tomb->key, str_n(text, len), TIER_TTL_MS_MAX, on_tomb, tomb);
}

void tier_tombs_flush(void *arg)
{
    struct tier *tier = arg;

    timer_cancel(&tier->retry);
    list_for_each_safe (at, &tier->tombs)
        send_tomb(LIST_ENTRY(at, struct tomb, link));
    if (tier->tomb_count > 0)
        timer_set(tier->loop, &tier->retry, TOMB_RETRY_MS);
}

void tier_tombs_drop(struct tier *tier)
{
    list_for_each_safe (at, &tier->tombs)
        tomb_free(LIST_ENTRY(at, struct tomb, link));
}

void tier_forget(struct tier *tier, struct str primary)
{
    struct tier_key key;
    tier_key_tomb(tier, primary, &key);
    struct tomb *tomb = find_tomb(tier, &key);
    if (!tomb) {
        tomb = tier->tomb_count < TIER_TOMBS_MAX ? calloc(1, sizeof *tomb) : NULL;
        if (!tomb) {
            /* Not to be remembered one by one: all that was fetched until now is a miss here. */
            tier->lost_wall_ms = loop_wall_ms(tier->loop);
            return;
        }
        tomb->tier = tier;
        tomb->key = key;
        list_push_back(&tier->tombs, &tomb->link);
        tier->tomb_count++;
    }
    tomb->wall_ms = loop_wall_ms(tier->loop);
    tomb->is_again = tomb->is_asked;
    send_tomb(tomb);
    if (!timer_is_set(&tier->retry))
        timer_set(tier->loop, &tier->retry, TOMB_RETRY_MS);
}
