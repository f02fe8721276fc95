#include "cache/store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cache/store_inside.h"

#define RANK_TO_CLEAN 2 /* a sixteenth: below that, copying is a lot for a little */

/* --- life --- */

void store_init(struct store *store, _Atomic uint64_t *used)
{
    *store = (struct store){ .used = used };
    pthread_mutex_init(&store->lock, NULL);
    list_init(&store->regions);
    for (unsigned i = 0; i < BLOCK_RANKS; i++)
        list_init(&store->ranks[i]);
}

void store_fini(struct store *store)
{
    for (unsigned i = 0; i < BLOCK_RANKS; i++)
        CHECK(list_is_empty(&store->ranks[i]));
    blocks_unmap(store);
    free(store->idle);
    pthread_mutex_destroy(&store->lock);
}

void store_set_warm(struct store *store, uint64_t bytes)
{
    pthread_mutex_lock(&store->lock);
    store->warm_max = (uint32_t)(bytes / BLOCK_BYTES);
    for (; store->warm > store->warm_max; store->warm--)
        madvise(store->idle[store->idle_count - store->warm], BLOCK_BYTES, MADV_DONTNEED);
    pthread_mutex_unlock(&store->lock);
}

/* --- cells --- */

static uint32_t cell_size(size_t bytes)
{
    return (uint32_t)((bytes + CELL_OVERHEAD + 7) & ~(size_t)7);
}

static void *cut(struct store *store, struct block *block, uint32_t size, uint32_t hash)
{
    struct cell *cell = cell_at(block, block->fill);
    cell_write(cell, size, hash);
    block->fill += size;
    block->live += size;
    if (block->state == BLOCK_OPEN)
        add_used(store, size);
    ASAN_UNPOISON_MEMORY_REGION(cell + 1, size - CELL_OVERHEAD);
    return cell + 1;
}

static void *alloc_huge(struct store *store, size_t bytes)
{
    size_t size = (sizeof(struct block) + bytes + CELL_OVERHEAD + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    struct block *block = size < UINT32_MAX ? block_map(store, size) : NULL;
    if (!block)
        return NULL;
    return cut(store, block, cell_size(bytes), 0);
}

/* A block with one cell: the open one stays open. */
static void *alloc_whole(struct store *store, enum store_side side, uint32_t size, uint32_t hash)
{
    struct block *open = store->open[side];
    struct block *block = block_open(store, side);
    void *cell = block ? cut(store, block, size, hash) : NULL;
    if (block)
        block_close(store, block);
    store->open[side] = open;
    return cell;
}

static void *alloc_some(struct store *store, enum store_side side, uint32_t size, uint32_t least,
                        uint32_t hash, uint32_t *out_size)
{
    struct block *block = store->open[side];
    uint32_t room = block ? BLOCK_BYTES - block->fill : 0;
    *out_size = size;
    if (size == BLOCK_BYTES - sizeof *block)
        return alloc_whole(store, side, size, hash);
    if (room < size && room >= least) {
        *out_size = size = room;
    } else if (room < size) {
        if (block)
            block_close(store, block);
        block = block_open(store, side);
    }
    return block ? cut(store, block, size, hash) : NULL;
}

void *store_alloc(struct store *store, enum store_side side, size_t bytes, size_t least, uint32_t hash,
                  size_t *out_bytes)
{
    *out_bytes = bytes;
    if (bytes > CELL_MAX)
        return alloc_huge(store, bytes);
    uint32_t size;
    pthread_mutex_lock(&store->lock);
    void *cell = alloc_some(store, side, cell_size(bytes), cell_size(least), hash, &size);
    pthread_mutex_unlock(&store->lock);
    if (size < cell_size(bytes))
        *out_bytes = size - CELL_OVERHEAD;
    return cell;
}

size_t store_cost(const void *cell)
{
    return cell_read((const struct cell *)cell - 1).size;
}

void store_free(struct store *store, void *bytes)
{
    struct block *block = block_of(bytes);
    struct cell *cell = (struct cell *)bytes - 1;
    pthread_mutex_lock(&store->lock);
    uint32_t size = cell_read(cell).size;
    CHECK(!(size & IS_HOLE));
    cell_write(cell, size | IS_HOLE, 0);
    ASAN_POISON_MEMORY_REGION(bytes, size - CELL_OVERHEAD);
    block->live -= size;
    add_holes(store, size);
    if (block->live == 0 && block->state != BLOCK_WALKED)
        block_release(store, block);
    else if (block->state == BLOCK_CLOSED)
        block_rank(store, block);
    pthread_mutex_unlock(&store->lock);
}

size_t store_shrink(struct store *store, void *bytes, size_t to)
{
    struct block *block = block_of(bytes);
    struct cell *cell = (struct cell *)bytes - 1;
    uint32_t after = cell_size(to);
    pthread_mutex_lock(&store->lock);
    struct cell before = cell_read(cell);
    uint32_t less = before.size - after;
    if (block->state == BLOCK_HUGE || less < 2 * CELL_OVERHEAD) {
        pthread_mutex_unlock(&store->lock);
        return 0;
    }
    struct cell *rest = (struct cell *)(void *)((char *)cell + after);
    bool is_last = (char *)cell + before.size == (char *)block + block->fill;
    cell_write(cell, after, before.hash);
    ASAN_POISON_MEMORY_REGION(rest, less);
    block->live -= less;
    if (is_last && block->state == BLOCK_OPEN) {
        block->fill -= less;
        add_used(store, -(int64_t)less);
    } else {
        cell_write(rest, less | IS_HOLE, 0);
        add_holes(store, less);
        if (block->state == BLOCK_CLOSED)
            block_rank(store, block);
    }
    pthread_mutex_unlock(&store->lock);
    return less;
}

/* --- emptying --- */

static struct block *worst_of(struct store *store, bool any)
{
    for (unsigned rank = BLOCK_RANKS; rank-- > (any ? 1 : RANK_TO_CLEAN);) {
        if (!list_is_empty(&store->ranks[rank]))
            return LIST_ENTRY(store->ranks[rank].next, struct block, link);
    }
    for (unsigned side = 0; any && side < STORE_SIDES; side++) {
        struct block *block = store->open[side];
        if (block && holes_of(block) >= RANK_BYTES) {
            block_close(store, block);
            return block;
        }
    }
    return NULL;
}

bool store_clean_begin(struct store *store, struct store_walk *walk, bool any)
{
    pthread_mutex_lock(&store->lock);
    struct block *block = worst_of(store, any);
    if (block) {
        list_remove(&block->link);
        block->state = BLOCK_WALKED;
    }
    *walk = (struct store_walk){ block, sizeof *block };
    pthread_mutex_unlock(&store->lock);
    return block != NULL;
}

bool store_clean_next(struct store *store, struct store_walk *walk, void **out_cell, uint32_t *out_hash)
{
    struct block *block = walk->block;
    bool is_found = false;
    pthread_mutex_lock(&store->lock);
    while (!is_found && walk->at < block->fill) {
        struct cell *cell = cell_at(block, walk->at);
        struct cell read = cell_read(cell);
        is_found = !(read.size & IS_HOLE) && read.hash != 0;
        *out_cell = cell + 1;
        *out_hash = read.hash;
        walk->at += read.size & ~IS_HOLE;
    }
    pthread_mutex_unlock(&store->lock);
    return is_found;
}

/* Makes one of holes side by side, and gives back the pages that are nothing else: a slow reader holds his
 * object, not its block. */
static uint64_t punch(struct store *store, struct block *block)
{
    uint32_t before = block->gone;
    block->gone = 0;
    for (uint32_t at = sizeof *block, end; at < block->fill; at = end) {
        struct cell read = cell_read(cell_at(block, at));
        bool is_hole = read.size & IS_HOLE;
        end = at + (read.size & ~IS_HOLE);
        while (is_hole && end < block->fill && ((read = cell_read(cell_at(block, end))).size & IS_HOLE))
            end += read.size & ~IS_HOLE;
        if (!is_hole)
            continue;
        cell_write(cell_at(block, at), (end - at) | IS_HOLE, 0);
        uint32_t from = (at + CELL_OVERHEAD + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
        uint32_t to = end & ~(PAGE_BYTES - 1);
        if (from < to) {
            madvise((char *)block + from, to - from, MADV_DONTNEED);
            block->gone += to - from;
        }
    }
    uint64_t less = block->gone - before;
    add_used(store, -(int64_t)less);
    add_holes(store, -(int64_t)less);
    return less;
}

uint64_t store_clean_end(struct store *store, struct store_walk *walk)
{
    struct block *block = walk->block;
    uint64_t less;
    pthread_mutex_lock(&store->lock);
    if (block->live == 0) {
        less = block_release(store, block);
    } else {
        less = punch(store, block);
        /* What is left cannot be moved now: not again, until something else in it is freed. */
        block->state = BLOCK_CLOSED;
        block->rank = 0;
        list_push_back(&store->ranks[0], &block->link);
    }
    pthread_mutex_unlock(&store->lock);
    return less;
}
