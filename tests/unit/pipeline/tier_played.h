/* Plays the tier, the bus and the journal: what they are asked is written down, what they answer is the
 * test's. For one file, linked with --wrap. */
#ifndef TEST_PIPELINE_TIER_PLAYED_H
#define TEST_PIPELINE_TIER_PLAYED_H

#include "fleet/bus.h"
#include "fleet/journal.h"
#include "fleet/tier.h"
#include "standing.h"

#define GET_X "GET /x HTTP/1.1\nHost: a"
#define HEAD  "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"

static struct {
    struct tier_get *get; /* being asked */
    enum tier_miss says;
    unsigned gets, cancels, puts, forgets;
    struct value put; /* its views are gone; numbers stay */
    uint64_t put_bytes;
    int64_t put_ttl_ms;
    uint64_t stamp;
    bool covers;
} tier;

enum tier_miss __wrap_tier_get(struct tier *self, struct tier_get *get);
void __wrap_tier_get_cancel(struct tier_get *get);
void __wrap_tier_put(struct tier *self, const struct value *value, int64_t ttl_ms);
void __wrap_tier_forget(struct tier *self, struct str primary);
const struct journal *__wrap_bus_journal(const struct bus *bus);
uint64_t __wrap_journal_stamp(const struct journal *journal);
bool __wrap_journal_covers(const struct journal *journal, uint64_t stamp, struct str primary,
                           struct str tags);
bool __wrap_bus_trust(const struct bus *bus);
int64_t __wrap_bus_distrusted_before_ms(const struct bus *bus);

enum tier_miss __wrap_tier_get(struct tier *self, struct tier_get *get)
{
    (void)self;
    tier.gets++;
    tier.get = tier.says == TIER_FOUND ? get : NULL;
    return tier.says;
}

void __wrap_tier_get_cancel(struct tier_get *get)
{
    cr_assert_eq(get, tier.get);
    tier.get = NULL;
    tier.cancels++;
}

void __wrap_tier_put(struct tier *self, const struct value *value, int64_t ttl_ms)
{
    (void)self;
    tier.puts++;
    tier.put = *value;
    tier.put_ttl_ms = ttl_ms;
    tier.put_bytes = 0;
    for (unsigned i = 0; i < value->piece_count; i++)
        tier.put_bytes += value->pieces[i].iov_len;
}

void __wrap_tier_forget(struct tier *self, struct str primary)
{
    (void)self;
    cr_expect_gt(primary.len, 0u);
    tier.forgets++;
}

const struct journal *__wrap_bus_journal(const struct bus *bus)
{
    return (const struct journal *)bus;
}

uint64_t __wrap_journal_stamp(const struct journal *journal)
{
    (void)journal;
    return tier.stamp;
}

bool __wrap_journal_covers(const struct journal *journal, uint64_t stamp, struct str primary, struct str tags)
{
    (void)journal;
    (void)primary;
    (void)tags;
    return stamp != 0 && tier.covers;
}

bool __wrap_bus_trust(const struct bus *bus)
{
    (void)bus;
    return true;
}

int64_t __wrap_bus_distrusted_before_ms(const struct bus *bus)
{
    (void)bus;
    return 0;
}

static int nobody; /* what the lane takes for its tier */

static inline void open_with(const char *yaml, enum tier_miss says)
{
    memset(&tier, 0, sizeof tier);
    tier.says = says;
    tier.covers = true;
    tier.stamp = 7;
    set_up(yaml);
    place.lane->tier = (struct tier *)&nobody;
}

static inline void close_all(void)
{
    place.lane->tier = NULL;
    tear_down();
}

static inline struct value value_aged(int64_t age_ms)
{
    return (struct value){
        .primary = tier.get ? tier.get->primary : STR("p"),
        .status = 200,
        .seq = 7,
        .stored_wall_ms = now_ms() - age_ms,
        .fetched_wall_ms = now_ms() - age_ms,
        .lifetime_ms = 60000,
        .stale_while_revalidate_ms = -1,
        .stale_if_error_ms = -1,
        .head = STR(HEAD),
        .body = STR("theirs"),
    };
}

/* The tier answers with that, if the asker takes it. */
static inline void tells(const struct value *value)
{
    struct tier_get *get = tier.get;
    bool is_used = get->may_use(get, value);
    tier.get = NULL;
    get->on_done(get, is_used ? value : NULL, is_used ? TIER_FOUND : TIER_UNUSABLE);
}

static inline uint64_t counted(enum lane_stat stat)
{
    return atomic_load(&place.lane->stats[stat]);
}

#endif
