#include "fleet/journal.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "fleet/bus.h"

#define URL_SLOTS    65536
#define TAG_SLOTS    65536
#define TENANT_SLOTS 4096
#define SEQ_BITS     40

struct journal {
    /* Odd while everything is being forgotten: a reader that saw the old epoch and an emptied table would
     * take an old value for a good one. */
    _Atomic uint64_t generation;
    _Atomic bool is_ready;
    _Atomic uint64_t stamp; /* of now */
    _Atomic uint64_t floor; /* values from before it are good no more */
    _Atomic uint64_t everything;
    _Atomic uint64_t urls[URL_SLOTS];
    _Atomic uint64_t tags[TAG_SLOTS];
    _Atomic uint64_t tenants[TENANT_SLOTS];
};

/* Stores release and loads acquire: a reader that sees one of them sees what was written before it. */
static uint64_t look(const _Atomic uint64_t *at)
{
    return atomic_load_explicit((_Atomic uint64_t *)at, memory_order_acquire);
}

static void set(_Atomic uint64_t *at, uint64_t value)
{
    atomic_store_explicit(at, value, memory_order_release);
}

static void raise_to(_Atomic uint64_t *at, uint64_t seq)
{
    if (look(at) < seq)
        set(at, seq);
}

/* Every weir of the fleet must come to the same bits, so no secret. Fibonacci hashing: epochs are wall clock
 * milliseconds with a few random bits, and neighbours must differ. */
static uint64_t stamp_of(uint64_t epoch, uint64_t seq)
{
    return (epoch * 0x9e3779b97f4a7c15u) >> SEQ_BITS << SEQ_BITS | seq;
}

static uint64_t hash_str(struct str s)
{
    return hash_bytes(s.len > 0 ? s.data : "", s.len);
}

/* A tag's slot, with its tenant; tenant NULL: the tag of every tenant, which has a slot of its own. */
static size_t tag_slot(const struct str *tenant, struct str tag)
{
    uint64_t hash = hash_str(tag) * 0x9e3779b97f4a7c15u;
    hash ^= tenant ? hash_str(*tenant) : 0x5bf03635f0935ad1u;
    return (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u >> 32 & (TAG_SLOTS - 1);
}

static size_t tenant_slot(struct str tenant)
{
    return hash_str(tenant) & (TENANT_SLOTS - 1);
}

static size_t url_slot(struct str primary)
{
    return hash_str(primary) & (URL_SLOTS - 1);
}

struct journal *journal_new(void)
{
    struct journal *journal = calloc(1, sizeof *journal);
    return journal;
}

void journal_free(struct journal *journal)
{
    free(journal);
}

uint64_t journal_stamp(const struct journal *journal)
{
    if (!atomic_load_explicit((_Atomic bool *)&journal->is_ready, memory_order_acquire))
        return 0;
    return look(&journal->stamp);
}

static bool is_covered(const struct journal *journal, uint64_t seq, struct str primary, struct str tags)
{
    ptrdiff_t end = str_find(primary, '\0');
    struct str tenant = str_n(primary.data, end < 0 ? primary.len : (size_t)end);
    struct str tag;

    if (seq < look(&journal->floor) || seq < look(&journal->everything) ||
        seq < look(&journal->tenants[tenant_slot(tenant)]) || seq < look(&journal->urls[url_slot(primary)]))
        return false;
    while (str_split(&tags, '\0', &tag)) {
        if (tag.len > 0 && (seq < look(&journal->tags[tag_slot(&tenant, tag)]) ||
                            seq < look(&journal->tags[tag_slot(NULL, tag)])))
            return false;
    }
    return true;
}

bool journal_covers(const struct journal *journal, uint64_t stamp, struct str primary, struct str tags)
{
    uint64_t generation = look(&journal->generation);
    if (generation & 1 || !atomic_load_explicit((_Atomic bool *)&journal->is_ready, memory_order_acquire))
        return false;
    if (stamp >> SEQ_BITS != look(&journal->stamp) >> SEQ_BITS || (stamp & JOURNAL_SEQ_MAX) == 0)
        return false;
    if (!is_covered(journal, stamp & JOURNAL_SEQ_MAX, primary, tags))
        return false;
    return look(&journal->generation) == generation;
}

void journal_begin(struct journal *journal, uint64_t epoch)
{
    set(&journal->generation, look(&journal->generation) + 1);
    atomic_store_explicit(&journal->is_ready, false, memory_order_release);
    set(&journal->stamp, stamp_of(epoch, 0));
    set(&journal->floor, 0);
    set(&journal->everything, 0);
    for (size_t i = 0; i < URL_SLOTS; i++)
        set(&journal->urls[i], 0);
    for (size_t i = 0; i < TAG_SLOTS; i++)
        set(&journal->tags[i], 0);
    for (size_t i = 0; i < TENANT_SLOTS; i++)
        set(&journal->tenants[i], 0);
    set(&journal->generation, look(&journal->generation) + 1);
}

void journal_note(struct journal *journal, uint64_t seq, const struct bus_purge *purge)
{
    CHECK(seq <= JOURNAL_SEQ_MAX);
    switch (purge->kind) {
    case BUS_URL:
        raise_to(&journal->urls[url_slot(purge->what)], seq);
        break;
    case BUS_TAG:
        raise_to(&journal->tags[tag_slot(purge->tenant.data ? &purge->tenant : NULL, purge->what)], seq);
        break;
    case BUS_PREFIX: /* the whole tenant: which paths were meant would be a list */
    case BUS_TENANT:
    case BUS_ALL:
        if (purge->tenant.data)
            raise_to(&journal->tenants[tenant_slot(purge->tenant)], seq);
        else
            raise_to(&journal->everything, seq);
        break;
    }
}

void journal_lose(struct journal *journal, uint64_t seq)
{
    raise_to(&journal->floor, seq);
}

void journal_reach(struct journal *journal, uint64_t seq)
{
    CHECK(seq <= JOURNAL_SEQ_MAX);
    uint64_t stamp = look(&journal->stamp);
    set(&journal->stamp, stamp >> SEQ_BITS << SEQ_BITS | seq);
}

void journal_ready(struct journal *journal)
{
    atomic_store_explicit(&journal->is_ready, true, memory_order_release);
}
