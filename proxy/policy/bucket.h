/* A token bucket that many threads may take from without a lock: the generic cell rate algorithm (ITU-T
 * I.371), which keeps one number, the theoretical arrival time of the next conforming request. Refills
 * with time, not with calls. */
#ifndef POLICY_BUCKET_H
#define POLICY_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct bucket {
    _Atomic int64_t arrival_ns; /* theoretical arrival time */
};

struct bucket_answer {
    bool is_taken;
    int64_t left;    /* whole tokens left after this */
    int64_t wait_ns; /* not taken: until one token is there; else 0 */
    int64_t full_ns; /* until the bucket would be full again */
};

void bucket_init(struct bucket *bucket, int64_t now_ns);

/* Takes one token at rate_per_s (> 0) with room for burst (>= 1) tokens. */
struct bucket_answer bucket_take(struct bucket *bucket, double rate_per_s, double burst, int64_t now_ns);

#endif
