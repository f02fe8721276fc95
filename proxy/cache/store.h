/* Where objects and their pieces lie: for the files of this room only.
 *
 * A log in blocks of 64 KiB. Cells are cut off the open block one after the other, at their exact size; a
 * freed cell stays as a hole until its whole block is empty, or until somebody moves what lives in it
 * elsewhere. That is why a mixture of sizes cannot eat memory that no counter knows: what is counted is
 * blocks, not cells, and a block that is let go of goes back to the system. (A general allocator keeps its
 * pages: filled with 1 KiB and then with 3 KiB, it holds twice the budget.)
 *
 * It knows cells and how to find the emptiest block; it refuses to know what is in a cell: who moves them is
 * clean.c. Any thread; its lock is the innermost, held for no longer than a walk over a few headers. */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define BLOCK_BYTES   65536u
#define CELL_OVERHEAD 8u
#define CELL_MAX      (BLOCK_BYTES - 64u - CELL_OVERHEAD) /* a larger one has a mapping of its own */
#define BLOCK_RANKS   33                                  /* of blocks, by how much of them is holes */

struct block;

/* Who lives long is kept apart from who just came: else every block would hold some of both, and cleaning
 * would copy the same survivors over and over. */
enum store_side {
    STORE_FRESH,
    STORE_MOVED,
    STORE_SIDES
};

struct store {
    pthread_mutex_t lock;
    _Atomic uint64_t *used; /* somebody else's counter of resident bytes */
    _Atomic uint64_t holes; /* of these, bytes that are in no cell */
    struct block *open[STORE_SIDES];
    struct list ranks[BLOCK_RANKS]; /* closed blocks */
    void **idle;                    /* blocks without cells; the last `warm` of them are resident */
    uint32_t idle_count;
    uint32_t idle_room;
    uint32_t warm;
    uint32_t warm_max;
    struct list regions;
};

void store_init(struct store *store, _Atomic uint64_t *used);
void store_fini(struct store *store); /* no cells left */
/* How many empty blocks may stay resident, uncounted: for blocks that come and go. */
void store_set_warm(struct store *store, uint64_t bytes);

/* A cell for that many bytes, or for as many as the open block has left if these are at least `least`
 * (*out_bytes says). Aligned to 8. hash is for who moves cells: whose it is, 0 if it may not be moved. NULL
 * when out of memory. */
void *store_alloc(struct store *store, enum store_side side, size_t bytes, size_t least, uint32_t hash,
                  size_t *out_bytes);
void store_free(struct store *store, void *cell);
/* Its end becomes a hole. Nobody reads there. Returns the bytes that it costs less. */
size_t store_shrink(struct store *store, void *cell, size_t bytes);
/* What a cell costs, its overhead included. */
size_t store_cost(const void *cell);

/* --- emptying a block: begin, next until false, end --- */

struct store_walk {
    struct block *block;
    uint32_t at;
};

/* Takes the block with the most holes: at least one part in sixteen, or with `any` whatever it is, an open
 * one too. False: there is none. */
bool store_clean_begin(struct store *store, struct store_walk *walk, bool any);
/* The next cell in it that may be moved. It may be freed at any time, but its bytes are not used anew before
 * the end. */
bool store_clean_next(struct store *store, struct store_walk *walk, void **out_cell, uint32_t *out_hash);
/* Lets go of the block; of one that could not be emptied, of the pages that are holes. Returns the bytes that
 * are no longer resident. */
uint64_t store_clean_end(struct store *store, struct store_walk *walk);

#endif
