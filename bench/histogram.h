/* Counts durations in steps of at most 0.8 %: 128 steps to the octave, from 1 ns to an hour. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 128,
    HISTOGRAM_SIZE = HISTOGRAM_STEPS * 37
};

struct histogram {
    uint64_t count;
    int64_t largest;
    uint64_t slots[HISTOGRAM_SIZE];
};

void histogram_add(struct histogram *histogram, int64_t value);

/* The value that this share (0 to 1) of all values do not exceed; 0 when there are none. */
double histogram_at(const struct histogram *histogram, double share);

#endif
