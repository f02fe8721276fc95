#include "observe/histogram.h"

#include <stdlib.h>

#include "base/check.h"

/* Values are scaled by 9/8 before their octave is looked for: 1 us then lies in the first octave and 1 h in
 * the last one of 32, whose borders are powers of two from 2^10 on. In nanoseconds: 911 to 3.9e12 (65
 * minutes). */
#define SCALE_BITS 3
#define FIRST_BITS 10
#define STEP_BITS  6
#define STEPS_ALL  (HISTOGRAM_OCTAVES * HISTOGRAM_STEPS)
#define SLAB_PAGES 64

_Static_assert(1 << STEP_BITS == HISTOGRAM_STEPS, "steps are the bits behind the leading one");

struct slab {
    struct slab *next;
    struct histogram_page pages[SLAB_PAGES];
};

struct page_pool {
    struct slab *slabs;
    unsigned taken; /* of the newest slab */
    unsigned left;  /* pages that may still be taken */
    uint64_t overflowed;
};

/* The only writer of a counter is its worker: a load and a store, no lock prefix. */
static inline void bump(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

static inline uint64_t peek(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static bool add_slab(struct page_pool *pool)
{
    struct slab *slab = calloc(1, sizeof *slab);
    if (!slab)
        return false;
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->taken = 0;
    return true;
}

struct page_pool *page_pool_new(unsigned pages_max)
{
    struct page_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->left = pages_max;
    if (!add_slab(pool)) {
        free(pool);
        return NULL;
    }
    return pool;
}

void page_pool_free(struct page_pool *pool)
{
    if (!pool)
        return;
    while (pool->slabs) {
        struct slab *slab = pool->slabs;
        pool->slabs = slab->next;
        free(slab);
    }
    free(pool);
}

uint64_t page_pool_overflowed(const struct page_pool *pool)
{
    return peek(&pool->overflowed);
}

/* A zeroed page, or NULL. Once in a series' life and octave: rarely enough for a slab from malloc. */
static struct histogram_page *take_page(struct page_pool *pool)
{
    if (pool->left == 0 || (pool->taken == SLAB_PAGES && !add_slab(pool)))
        return NULL;
    pool->left--;
    return &pool->slabs->pages[pool->taken++];
}

void histogram_init(struct histogram *histogram)
{
    *histogram = (struct histogram){ 0 };
}

/* The step of all 2048 that a value belongs to. */
static inline unsigned step_of(uint64_t value_ns)
{
    uint64_t scaled = value_ns + (value_ns >> SCALE_BITS);
    if (UNLIKELY(scaled < 1u << FIRST_BITS))
        return 0;
    unsigned bits = 63 - (unsigned)__builtin_clzll(scaled);
    if (UNLIKELY(bits >= FIRST_BITS + HISTOGRAM_OCTAVES))
        return STEPS_ALL - 1;
    return ((bits - FIRST_BITS) << STEP_BITS) +
           ((unsigned)(scaled >> (bits - STEP_BITS)) & (HISTOGRAM_STEPS - 1));
}

/* The middle of a step, scaled back. */
static uint64_t step_middle_ns(unsigned step)
{
    unsigned shift = step / HISTOGRAM_STEPS + FIRST_BITS - STEP_BITS;
    uint64_t low = (uint64_t)(HISTOGRAM_STEPS + step % HISTOGRAM_STEPS) << shift;
    uint64_t middle = low + ((uint64_t)1 << shift) / 2;
    return (middle * 8 + 4) / 9;
}

static struct histogram_page *new_page(struct histogram *histogram, struct page_pool *pool, unsigned octave)
{
    struct histogram_page *page = take_page(pool);
    if (page)
        __atomic_store_n(&histogram->pages[octave], page, __ATOMIC_RELEASE);
    else
        bump(&pool->overflowed, 1);
    return page;
}

bool histogram_add(struct histogram *histogram, struct page_pool *pool, int64_t value_ns)
{
    uint64_t value = value_ns > 0 ? (uint64_t)value_ns : 0;
    unsigned step = step_of(value);
    struct histogram_page *page = histogram->pages[step / HISTOGRAM_STEPS];
    if (UNLIKELY(!page)) {
        page = new_page(histogram, pool, step / HISTOGRAM_STEPS);
        if (!page)
            return false;
    }
    if (value > peek(&histogram->max_ns))
        __atomic_store_n(&histogram->max_ns, value, __ATOMIC_RELAXED);
    bump(&histogram->sum_ns, value);
    bump(&page->counts[step % HISTOGRAM_STEPS], 1);
    return true;
}

void histogram_sum_add(struct histogram_sum *sum, const struct histogram *histogram)
{
    for (unsigned octave = 0; octave < HISTOGRAM_OCTAVES; octave++) {
        const struct histogram_page *page = __atomic_load_n(&histogram->pages[octave], __ATOMIC_ACQUIRE);
        if (!page)
            continue;
        for (unsigned i = 0; i < HISTOGRAM_STEPS; i++) {
            uint64_t count = peek(&page->counts[i]);
            sum->counts[octave * HISTOGRAM_STEPS + i] += count;
            sum->count += count;
        }
    }
    uint64_t max_ns = peek(&histogram->max_ns);
    sum->sum_ns += peek(&histogram->sum_ns);
    if (max_ns > sum->max_ns)
        sum->max_ns = max_ns;
}

int64_t histogram_quantile_ns(const struct histogram_sum *sum, double share)
{
    if (sum->count == 0)
        return 0;
    double wanted = share * (double)sum->count;
    uint64_t rank = wanted < 1 ? 1 : (uint64_t)wanted;
    if ((double)rank < wanted)
        rank++;
    if (rank > sum->count)
        rank = sum->count;
    uint64_t seen = 0;
    unsigned step = 0;
    while (step < STEPS_ALL - 1 && (seen += sum->counts[step]) < rank)
        step++;
    /* The last step has no end: its values are as long as the longest. */
    uint64_t value = step == STEPS_ALL - 1 ? sum->max_ns : step_middle_ns(step);
    return (int64_t)(value < sum->max_ns ? value : sum->max_ns);
}

uint64_t histogram_count_until(const struct histogram_sum *sum, int64_t limit_ns)
{
    if (limit_ns < 0)
        return 0;
    unsigned last = step_of((uint64_t)limit_ns);
    uint64_t count = 0;
    for (unsigned step = 0; step <= last; step++)
        count += sum->counts[step];
    return count;
}
