/* Numbers from a seed, for the tests of observe/. */
#ifndef TEST_SEED_H
#define TEST_SEED_H

#include <stdint.h>

/* xorshift64*: the same numbers on every machine. */
static inline uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}

static inline unsigned random_below(uint64_t *seed, unsigned limit)
{
    return (unsigned)((random_next(seed) >> 32) % limit);
}

#endif
