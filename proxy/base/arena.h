/* A request's own memory: many small allocations that all go at once, with a hard limit.
 *
 * Embedded in its owner. The first block is the owner's (usually inside the same allocation), so that
 * a small request never calls malloc; further blocks come from malloc, doubling up to 64 KiB. Under
 * AddressSanitizer what was not handed out is poisoned. One thread at a time; never shared. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct arena_block;

struct arena {
    char *at;
    char *end;
    struct arena_block *blocks; /* the malloc'd ones, newest first */
    char *first;
    size_t first_size;
    size_t taken_bytes; /* of malloc'd blocks */
    size_t limit_bytes;
};

/* first may be NULL with first_size 0; it stays the caller's. */
void arena_init(struct arena *arena, void *first, size_t first_size, size_t limit_bytes);

/* Gives every malloc'd block back; the arena is as after arena_init(). */
void arena_reset(struct arena *arena);

/* arena_reset() and unpoisons the first block. NULL is fine. */
void arena_fini(struct arena *arena);

/* Aligned to 16 bytes, not zeroed. NULL past the limit or out of memory. */
void *arena_alloc(struct arena *arena, size_t size);

/* Zeroed. */
void *arena_zalloc(struct arena *arena, size_t size);

/* A copy of s that lives as long as the arena; data is NULL when out of memory (also for empty s: never). */
struct str arena_str(struct arena *arena, struct str s);

/* printf into the arena. data is NULL when out of memory. */
struct str arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
