/* Counts that all workers add to with each request. One atomic would travel between their caches: each thread
 * has a line of its own instead, which it alone writes, and whoever reads adds them up. Threads that come
 * when all lines are taken share the last one. Any thread. */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#define TALLY_LINES 32
/* A cache line (two would be more careful against prefetching, and twice the memory). */
#define TALLY_APART 64

/* The calling thread's own line, from its first call on until it ends. */
unsigned tally_line(void);

/* count: the one of that line. */
static inline void tally_add(_Atomic uint64_t *count, unsigned line, uint64_t n)
{
    if (line < TALLY_LINES - 1)
        atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
                              memory_order_relaxed);
    else
        atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

#endif
