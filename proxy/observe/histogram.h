/* Where the time went: this is the door of observe/.
 *
 * The room knows numbers that requests leave behind: histograms, counters by bounded labels, the access
 * log. It refuses to know what a request is. Writers are workers, each into memory of its own without
 * locks; readers (the admin thread) merge copies. Nothing here can grow with what clients send: labels
 * are bounded, the rest is "_other".
 *
 * histogram.h: log-linear, 64 steps an octave (at most 1/128 relative error when the middle of a step
 * stands for it), from 1 us to 1 h; what is outside counts in the first or last step. An octave's page comes
 * from a preallocated pool when it is first needed, so that a series that never saw a stage costs a few
 * pointers. */
#ifndef OBSERVE_HISTOGRAM_H
#define OBSERVE_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#define HISTOGRAM_OCTAVES 32
#define HISTOGRAM_STEPS   64

struct histogram_page {
    uint64_t counts[HISTOGRAM_STEPS];
};

struct histogram {
    struct histogram_page *pages[HISTOGRAM_OCTAVES]; /* published with release order */
    uint64_t sum_ns;
    uint64_t max_ns;
};

struct page_pool; /* one per worker, bounded */

struct page_pool *page_pool_new(unsigned pages_max);
void page_pool_free(struct page_pool *pool);
/* Values that found no page since the start; any thread. */
uint64_t page_pool_overflowed(const struct page_pool *pool);

void histogram_init(struct histogram *histogram);
/* One writer; about 3 ns. Negative values count as 0. False when the pool had no page left for a new octave:
 * then the value is not in this histogram. */
bool histogram_add(struct histogram *histogram, struct page_pool *pool, int64_t value_ns);

/* A merged copy, for reading. */
struct histogram_sum {
    uint64_t counts[HISTOGRAM_OCTAVES * HISTOGRAM_STEPS];
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
};

void histogram_sum_add(struct histogram_sum *sum, const struct histogram *histogram); /* any thread */
/* share 0..1. 0 for an empty one; never above max_ns. */
int64_t histogram_quantile_ns(const struct histogram_sum *sum, double share);
/* How many values were at most limit_ns (to within a step). */
uint64_t histogram_count_until(const struct histogram_sum *sum, int64_t limit_ns);

#endif
