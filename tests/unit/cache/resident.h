/* What this process holds in memory, for the tests that measure it. */
#ifndef TEST_CACHE_RESIDENT_H
#define TEST_CACHE_RESIDENT_H

#include <stdio.h>
#include <unistd.h>

#include "base/check.h"

/* Under a sanitizer its shadow is resident, too. */
#if defined(IS_ADDRESS_SANITIZED) || defined(__SANITIZE_THREAD__)
#define IS_MEASURED 0
#else
#define IS_MEASURED 1
#endif

static inline uint64_t resident_bytes(void)
{
    unsigned long all, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL);
    CHECK(fscanf(file, "%lu %lu", &all, &resident) == 2);
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

#endif
