/* The tier's life, its keys and its counters. */
#include "fleet/tier.h"

#include <stdlib.h>

#include "base/check.h"
#include "fleet/tier_inside.h"

#define BUDGET_MS       5
#define VALUE_BYTES_MAX (1u << 20)
#define REPLY_SLACK     4096 /* the tombstone, and the frame of both */

/* --- counters --- */

void tier_add(struct tier *tier, enum tier_count count)
{
    atomic_fetch_add_explicit(&tier->counts[count], 1, memory_order_relaxed);
}

uint64_t tier_count(const struct tier *tier, enum tier_count count)
{
    return atomic_load_explicit(&tier->counts[count], memory_order_relaxed);
}

const char *tier_count_word(enum tier_count count)
{
    static const char *const words[] = {
#define WORD(name) #name,
        TIER_COUNTS(WORD)
#undef WORD
    };
    return words[count];
}

const char *tier_miss_word(enum tier_miss miss)
{
    static const char *const words[] = { "found",   "absent", "invalidated", "unusable",
                                         "refused", "late",   "failed",      "closed" };
    return words[miss];
}

const char *tier_state_word(enum tier_state state)
{
    static const char *const words[] = { "connecting", "up", "paused", "read-only" };
    return words[state];
}

enum tier_state tier_state(const struct tier *tier)
{
    return (enum tier_state)atomic_load_explicit(&tier->state, memory_order_relaxed);
}

void tier_show_state(struct tier *tier)
{
    enum tier_state state = TIER_UP;
    const char *why = "";
    if (!redis_is_up(tier->reader) || !redis_is_up(tier->writer)) {
        state = TIER_CONNECTING;
        why = redis_is_up(tier->reader) ? redis_why(tier->writer) : redis_why(tier->reader);
    } else if (tier->reading.state != BREAKER_CLOSED) {
        state = TIER_PAUSED;
        why = "it failed too often";
    } else if (tier->writing.state != BREAKER_CLOSED) {
        state = TIER_READ_ONLY;
        why = "writing failed";
    }
    int before = atomic_exchange_explicit(&tier->state, (int)state, memory_order_relaxed);
    if (before != (int)state && tier->on_change && !tier->is_freed)
        tier->on_change(tier->arg, state, why);
}

void tier_failed(struct tier *tier, struct breaker *breaker, bool is_lasting)
{
    bool was_open = breaker->state == BREAKER_OPEN;
    if (is_lasting)
        breaker_trip(breaker, loop_now_ns(tier->loop));
    else
        breaker_failed(breaker, loop_now_ns(tier->loop));
    if (!was_open && breaker->state == BREAKER_OPEN)
        tier_add(tier, TIER_COUNT_breaker_open);
    tier_show_state(tier);
}

/* --- keys --- */

static void add(struct tier_key *key, struct str s)
{
    CHECK(s.len <= sizeof key->bytes - key->len);
    if (s.len > 0)
        memcpy(key->bytes + key->len, s.data, s.len);
    key->len += s.len;
}

static void add_hash(struct tier_key *key, struct str s)
{
    char hex[DIGEST_HEX_LEN];
    digest128_hex(s, hex);
    add(key, str_n(hex, sizeof hex));
}

/* The tenant in clear is for people who look into Redis; the hash is of all of the primary key. A name that
 * could close the braces is none, whatever made it. */
static struct str tenant_of(struct str primary)
{
    ptrdiff_t end = str_find(primary, '\0');
    struct str tenant = str_n(primary.data, end > 0 && end <= 63 ? (size_t)end : 0);
    for (size_t i = 0; i < tenant.len; i++) {
        char c = tenant.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return str_n("", 0);
    }
    return tenant;
}

static void begin_key(const struct tier *tier, struct str primary, struct tier_key *out)
{
    out->len = 0;
    add(out, str_n(tier->prefix, tier->prefix_len));
    add(out, STR(":1:{"));
    add(out, tenant_of(primary));
    add(out, STR("/"));
    add_hash(out, primary);
    add(out, STR("}:"));
}

void tier_key_make(const struct tier *tier, struct str primary, struct str selector, struct tier_key *out)
{
    begin_key(tier, primary, out);
    add_hash(out, selector);
}

void tier_key_vary(struct tier_key *key, struct str vary, struct str vary_key)
{
    static const char digits[] = "0123456789abcdef";
    struct str parts[] = { vary, vary_key };
    uint64_t hash = digest64_of(parts, 2);
    char hex[16];
    for (unsigned i = 0; i < sizeof hex; i++)
        hex[i] = digits[hash >> (60 - 4 * i) & 15];
    add(key, STR(":"));
    add(key, str_n(hex, sizeof hex));
}

void tier_key_tomb(const struct tier *tier, struct str primary, struct tier_key *out)
{
    begin_key(tier, primary, out);
    add(out, STR("t"));
}

/* --- its life --- */

static void on_up(void *arg)
{
    tier_show_state(arg);
    tier_tombs_flush(arg);
}

static void on_down(void *arg, const char *why)
{
    tier_show_state(arg);
}

static void on_refused(void *arg, const char *why)
{
    struct tier *tier = arg;
    if (tier->on_change)
        tier->on_change(tier->arg, tier_state(tier), why);
}

/* Both connections have the same reasons: one of them is enough to tell. */
static const struct redis_events reader_events = { on_up, on_down, on_refused };
static const struct redis_events writer_events = { on_up, on_down, NULL };

static bool read_options(struct tier *tier, const struct tier_options *options)
{
    struct str prefix = options->prefix.len > 0 ? options->prefix : STR("weir");
    if (prefix.len > sizeof tier->prefix || str_find(prefix, '{') >= 0 || str_find(prefix, '}') >= 0)
        return false;
    memcpy(tier->prefix, prefix.data, prefix.len);
    tier->prefix_len = prefix.len;
    tier->budget_ns = (options->budget_ms > 0 ? options->budget_ms : BUDGET_MS) * 1000000;
    tier->value_bytes_max = options->value_bytes_max > 0 ? options->value_bytes_max : VALUE_BYTES_MAX;
    return true;
}

struct tier *tier_new(struct loop *loop, const struct tier_options *options)
{
    struct tier *tier = calloc(1, sizeof *tier);
    if (!tier)
        return NULL;
    tier->loop = loop;
    tier->on_change = options->on_change;
    tier->arg = options->arg;
    tier->lost_wall_ms = -1;
    list_init(&tier->tombs);
    timer_init(&tier->retry, tier_tombs_flush, tier);
    breaker_init(&tier->reading);
    breaker_init(&tier->writing);
    if (!read_options(tier, options))
        goto fail;
    struct redis_options limits = { .reply_bytes_max = tier->value_bytes_max + REPLY_SLACK };
    tier->reader = redis_new(loop, options->url, &limits, &reader_events, tier);
    limits.reply_bytes_max = REPLY_SLACK;
    tier->writer = redis_new(loop, options->url, &limits, &writer_events, tier);
    if (!tier->reader || !tier->writer)
        goto fail;
    return tier;

fail:
    tier_free(tier);
    return NULL;
}

void tier_free(struct tier *tier)
{
    if (!tier || tier->is_freed)
        return;
    tier->is_freed = true;
    timer_cancel(&tier->retry);
    redis_free(tier->reader);
    redis_free(tier->writer);
    tier_tombs_drop(tier);
    loop_free_later(tier->loop, tier);
}
