#include "observe/tally.h"

#include <stdlib.h>

#include "base/check.h"

#define PAGES_A_SERIES 48
#define PAGES_MAX      (1u << 17) /* 64 MiB */

static const char *const stage_words[] = {
#define STAGE(id, word) word,
    STAGES(STAGE)
#undef STAGE
};

static const char *const outcome_words[] = {
#define OUTCOME(id, word) word,
    OUTCOMES(OUTCOME)
#undef OUTCOME
};

struct slot {
    uint64_t key;
    struct series *series; /* NULL: free */
};

struct tally {
    struct slot *slots; /* at most half full */
    unsigned shift;     /* of the hash, to the table's size */
    struct slot last;   /* the one asked for last */
    struct page_pool *pages;
    struct page_pool *spill_pages; /* enough for every octave of spilled */
    struct histogram spilled[WHICH_COUNT];
    struct series **all; /* in the order they were made */
    unsigned count;
    unsigned max;
};

const char *stage_word(enum stage_time stage)
{
    CHECK(stage < STAGE_COUNT);
    return stage_words[stage];
}

const char *outcome_word(enum outcome outcome)
{
    CHECK(outcome < OUTCOME_COUNT);
    return outcome_words[outcome];
}

/* Indexes are ours and dense: a multiplication spreads them well enough. */
static inline struct slot *find(const struct tally *tally, uint64_t key)
{
    size_t mask = SIZE_MAX >> tally->shift;
    size_t at = (key * 0x9e3779b97f4a7c15u) >> tally->shift;
    while (tally->slots[at].series && tally->slots[at].key != key)
        at = (at + 1) & mask;
    return &tally->slots[at];
}

static struct series *add(struct tally *tally, struct slot *slot, uint64_t key)
{
    struct series *series = tally->count < tally->max ? calloc(1, sizeof *series) : NULL;
    if (!series)
        return NULL;
    series->key = key;
    series->tally = tally;
    *slot = (struct slot){ key, series };
    tally->all[tally->count] = series;
    __atomic_store_n(&tally->count, tally->count + 1, __ATOMIC_RELEASE);
    return series;
}

/* The series of nobody in particular is there from the start. labels are not needed for counting; they say
 * whose indexes these are. */
struct tally *tally_new(struct labels *labels, unsigned series_max)
{
    struct tally *tally = calloc(1, sizeof *tally);
    if (!tally)
        return NULL;
    tally->max = series_max > 0 ? series_max : 1;
    unsigned bits = 4;
    while ((1u << bits) < tally->max * 2 && bits < 30)
        bits++;
    tally->shift = 64 - bits;
    tally->slots = calloc((size_t)1 << bits, sizeof *tally->slots);
    tally->all = calloc(tally->max, sizeof *tally->all);
    unsigned pages = tally->max < PAGES_MAX / PAGES_A_SERIES ? tally->max * PAGES_A_SERIES : PAGES_MAX;
    tally->pages = page_pool_new(pages);
    tally->spill_pages = page_pool_new(WHICH_COUNT * HISTOGRAM_OCTAVES);
    if (tally->slots && tally->all && tally->pages && tally->spill_pages && add(tally, find(tally, 0), 0))
        return tally;
    tally_free(tally);
    return NULL;
}

void tally_free(struct tally *tally)
{
    if (!tally)
        return;
    for (unsigned i = 0; i < tally->count; i++) {
        struct series *series = tally->all[i];
        for (unsigned stage = 0; stage < STAGE_COUNT; stage++)
            free(series->stages[stage]);
        free(series->shed);
        free(series->more);
        free(series);
    }
    page_pool_free(tally->pages);
    page_pool_free(tally->spill_pages);
    free(tally->all);
    free(tally->slots);
    free(tally);
}

struct series *const *tally_all(const struct tally *tally, unsigned *count)
{
    *count = __atomic_load_n(&tally->count, __ATOMIC_ACQUIRE);
    return tally->all;
}

const struct histogram *tally_spilled(const struct tally *tally, unsigned which)
{
    return &tally->spilled[which];
}

/* Not there yet. When there is no room for it: _other's with the same version and route, else nobody's. */
static struct series *make(struct tally *tally, struct slot *slot, uint64_t key)
{
    struct series *series = add(tally, slot, key);
    if (!series)
        series = find(tally, key & UINT32_MAX)->series;
    return series ? series : tally->all[0];
}

struct series *tally_series(struct tally *tally, unsigned tenant, unsigned version, unsigned route)
{
    uint64_t key = (uint64_t)tenant << 32 | (uint64_t)version << 16 | route;
    if (tally->last.series && tally->last.key == key)
        return tally->last.series;
    struct slot *slot = find(tally, key);
    struct series *series = LIKELY(slot->series != NULL) ? slot->series : make(tally, slot, key);
    tally->last = (struct slot){ key, series };
    return series;
}

static inline void bump(uint64_t *counter)
{
    __atomic_store_n(counter, series_read(counter) + 1, __ATOMIC_RELAXED);
}

static uint64_t *add_cell(struct series *series, uint32_t word)
{
    uint32_t count = series->cell_count;
    struct cell *cell;
    if (count < CELLS_FEW) {
        cell = &series->few[count];
    } else {
        if (!series->more)
            series->more = calloc(CELLS_MORE, sizeof *series->more);
        if (!series->more || count == CELLS_FEW + CELLS_MORE)
            return &series->others[word >> 16];
        cell = &series->more[count - CELLS_FEW];
    }
    cell->word = word;
    __atomic_store_n(&series->cell_count, count + 1, __ATOMIC_RELEASE);
    return &cell->count;
}

static inline uint64_t *find_cell(struct series *series, uint32_t word)
{
    uint32_t few = series->cell_count < CELLS_FEW ? series->cell_count : CELLS_FEW;
    for (uint32_t i = 0; i < few; i++) {
        if (series->few[i].word == word)
            return &series->few[i].count;
    }
    for (uint32_t i = CELLS_FEW; i < series->cell_count; i++) {
        if (series->more[i - CELLS_FEW].word == word)
            return &series->more[i - CELLS_FEW].count;
    }
    return add_cell(series, word);
}

static inline void add_time(struct series *series, struct histogram *histogram, unsigned which, int64_t ns)
{
    struct tally *tally = series->tally;
    if (UNLIKELY(!histogram || !histogram_add(histogram, tally->pages, ns)))
        histogram_add(&tally->spilled[which], tally->spill_pages, ns);
}

void series_request(struct series *series, enum outcome outcome, int status, int64_t total_ns,
                    int64_t overhead_ns)
{
    CHECK(outcome < OUTCOME_COUNT);
    if (LIKELY(status >= 0 && status <= 999))
        bump(find_cell(series, (uint32_t)outcome << 16 | (uint32_t)status));
    else
        bump(&series->others[outcome]);
    add_time(series, &series->total, WHICH_TOTAL, total_ns);
    add_time(series, &series->overhead, WHICH_OVERHEAD, overhead_ns);
}

void series_stage(struct series *series, enum stage_time stage, int64_t took_ns)
{
    CHECK(stage < STAGE_COUNT);
    struct histogram *histogram = series->stages[stage];
    if (UNLIKELY(!histogram)) {
        histogram = calloc(1, sizeof *histogram);
        __atomic_store_n(&series->stages[stage], histogram, __ATOMIC_RELEASE);
    }
    add_time(series, histogram, stage, took_ns);
}

void series_shed(struct series *series, int err)
{
    unsigned row = err_row(err);
    if (UNLIKELY(!series->shed)) {
        uint64_t *shed = calloc(ERR_COUNT, sizeof *shed);
        if (!shed)
            return;
        __atomic_store_n(&series->shed, shed, __ATOMIC_RELEASE);
    }
    bump(&series->shed[row]);
}
