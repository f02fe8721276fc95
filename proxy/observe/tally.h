/* How a series lies in memory: written by its worker, read by whoever merges. Only for this room.
 *
 * All counters are plain fields that only the worker changes, by relaxed loads and stores; what is added
 * later (cells, histograms, pages) is published with release order after it was filled in. Nothing is freed
 * before the tally is. */
#ifndef OBSERVE_TALLY_H
#define OBSERVE_TALLY_H

#include "base/err.h"
#include "observe/histogram.h"
#include "observe/series.h"

#define CELLS_FEW  6
#define CELLS_MORE 58

/* Requests with one outcome and status. */
struct cell {
    uint32_t word; /* outcome << 16 | status */
    uint64_t count;
};

struct series {
    uint64_t key; /* tenant << 32 | version << 16 | route */
    struct tally *tally;
    uint32_t cell_count;
    struct cell few[CELLS_FEW];
    struct cell *more;              /* CELLS_MORE of them, made when few are full */
    uint64_t others[OUTCOME_COUNT]; /* with a status that found no cell */
    uint64_t *shed;                 /* ERR_COUNT of them, made on first use */
    struct histogram total;
    struct histogram overhead;
    struct histogram *stages[STAGE_COUNT]; /* made on first use */
};

/* The histograms a series has: its stages, and these. */
enum {
    WHICH_TOTAL = STAGE_COUNT,
    WHICH_OVERHEAD,
    WHICH_COUNT
};

/* What found no page in its series, so that the sums over all series are whole. */
const struct histogram *tally_spilled(const struct tally *tally, unsigned which);

/* Every series of a tally so far, for reading. */
struct series *const *tally_all(const struct tally *tally, unsigned *count);

static inline uint64_t series_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
