/* Blocks, and what lies in front of each cell: for store.c and block.c only. Under the store's lock. */
#ifndef CACHE_STORE_INSIDE_H
#define CACHE_STORE_INSIDE_H

#include "base/check.h"
#include "cache/store.h"

#ifdef IS_ADDRESS_SANITIZED
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len)   ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define __lsan_register_root_region(at, len)
#define __lsan_unregister_root_region(at, len)
#endif

#define PAGE_BYTES 4096u
#define RANK_BYTES (BLOCK_BYTES / (BLOCK_RANKS - 1))

enum block_state {
    BLOCK_OPEN,
    BLOCK_CLOSED, /* in a rank */
    BLOCK_WALKED, /* somebody empties it */
    BLOCK_HUGE,   /* one cell, a mapping of its own */
};

struct block {
    struct list link;
    uint64_t size; /* BLOCK_BYTES, but for a huge one */
    uint32_t fill; /* where the next cell goes */
    uint32_t live; /* bytes in cells */
    uint32_t gone; /* bytes in holes that were given back to the system */
    uint8_t state;
    uint8_t rank;
    uint8_t side;
    uint8_t pad[25];
};

_Static_assert(sizeof(struct block) == 64, "CELL_MAX says so");

/* In front of each cell, and of each hole. */
struct cell {
    uint32_t size; /* with this; a multiple of 8. The lowest bit: it is a hole */
    uint32_t hash;
};

#define IS_HOLE 1u

/* Under AddressSanitizer they are what lies around each cell: only these two may look. */
struct cell cell_read(const struct cell *at);
void cell_write(struct cell *at, uint32_t size, uint32_t hash);

static inline struct block *block_of(const void *cell)
{
    return (struct block *)((uintptr_t)cell & ~(uintptr_t)(BLOCK_BYTES - 1));
}

static inline struct cell *cell_at(struct block *block, uint32_t at)
{
    return (struct cell *)(void *)((char *)block + at);
}

static inline uint32_t holes_of(const struct block *block)
{
    return block->fill - (uint32_t)sizeof *block - block->live - block->gone;
}

static inline void add_used(struct store *store, int64_t bytes)
{
    atomic_fetch_add_explicit(store->used, (uint64_t)bytes, memory_order_relaxed);
}

static inline void add_holes(struct store *store, int64_t bytes)
{
    atomic_fetch_add_explicit(&store->holes, (uint64_t)bytes, memory_order_relaxed);
}

/* An empty one, or NULL when out of memory. */
struct block *block_open(struct store *store, enum store_side side);
/* From here on all of it counts, its unused end too: it may be resident from an earlier life. */
void block_close(struct store *store, struct block *block);
/* To those of its holes. */
void block_rank(struct store *store, struct block *block);
/* Without cells. Returns the bytes that are no longer counted. */
uint64_t block_release(struct store *store, struct block *block);
/* One of that size, a mapping of its own. */
struct block *block_map(struct store *store, size_t size);
void blocks_unmap(struct store *store); /* all regions */

#endif
