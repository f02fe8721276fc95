/* Chooses keys as crowds do: the n-th of them in proportion to 1 / n^skew. */
#ifndef BENCH_ZIPF_H
#define BENCH_ZIPF_H

#include <stdint.h>

struct zipf;

struct zipf *zipf_new(long keys, double skew);
void zipf_free(struct zipf *zipf);

/* A key from 0 to keys - 1. The same sequence in every run, so that runs compare. */
long zipf_next(struct zipf *zipf);

#endif
