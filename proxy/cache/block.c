/* Where the store's blocks come from and go to: regions that are mapped once, and given back page by page. */
#include <stdlib.h>
#include <sys/mman.h>

#include "cache/store_inside.h"

#define REGION_BYTES (64 * BLOCK_BYTES)

__attribute__((no_sanitize_address)) struct cell cell_read(const struct cell *at)
{
    return *at;
}

__attribute__((no_sanitize_address)) void cell_write(struct cell *at, uint32_t size, uint32_t hash)
{
    *at = (struct cell){ size, hash };
}

/* Mapped at a multiple of BLOCK_BYTES. */
static void *map_aligned(size_t bytes)
{
    size_t more = bytes + BLOCK_BYTES - PAGE_BYTES;
    char *base = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    char *start = (char *)(((uintptr_t)base + BLOCK_BYTES - 1) & ~(uintptr_t)(BLOCK_BYTES - 1));
    if (start > base)
        munmap(base, (size_t)(start - base));
    if (base + more > start + bytes)
        munmap(start + bytes, (size_t)(base + more - start - bytes));
    /* A huge page would be resident as a whole where one block of it is used. */
    madvise(start, bytes, MADV_NOHUGEPAGE);
    __lsan_register_root_region(start, bytes);
    return start;
}

static void unmap(void *start, size_t bytes)
{
    __lsan_unregister_root_region(start, bytes);
    ASAN_UNPOISON_MEMORY_REGION(start, bytes);
    munmap(start, bytes);
}

struct region {
    struct list link;
    char *base;
};

static bool add_region(struct store *store)
{
    uint32_t blocks = REGION_BYTES / BLOCK_BYTES;
    if (store->idle_room < UINT32_MAX - blocks) {
        /* Room for every block there is, so that letting go of one never needs memory. */
        void **idle = realloc(store->idle, (store->idle_room + blocks) * sizeof *idle);
        struct region *region = malloc(sizeof *region);
        if (idle)
            store->idle = idle;
        if (idle && region && (region->base = map_aligned(REGION_BYTES))) {
            store->idle_room += blocks;
            list_push_back(&store->regions, &region->link);
            for (uint32_t i = blocks; i-- > 0;)
                store->idle[store->idle_count++] = region->base + (size_t)i * BLOCK_BYTES;
            return true;
        }
        free(region);
    }
    return false;
}

struct block *block_open(struct store *store, enum store_side side)
{
    if (store->idle_count == 0 && !add_region(store))
        return NULL;
    struct block *block = store->idle[--store->idle_count];
    if (store->warm > 0)
        store->warm--;
    ASAN_UNPOISON_MEMORY_REGION(block, sizeof *block);
    *block = (struct block){ .size = BLOCK_BYTES, .fill = sizeof *block, .state = BLOCK_OPEN };
    block->side = (uint8_t)side;
    ASAN_POISON_MEMORY_REGION(block + 1, BLOCK_BYTES - sizeof *block);
    list_init(&block->link);
    add_used(store, sizeof *block);
    store->open[side] = block;
    return block;
}

void block_rank(struct store *store, struct block *block)
{
    block->state = BLOCK_CLOSED;
    block->rank = (uint8_t)(holes_of(block) / RANK_BYTES);
    list_remove(&block->link);
    list_push_back(&store->ranks[block->rank], &block->link);
}

void block_close(struct store *store, struct block *block)
{
    store->open[block->side] = NULL;
    add_used(store, BLOCK_BYTES - (int64_t)block->fill);
    block_rank(store, block);
}

uint64_t block_release(struct store *store, struct block *block)
{
    bool is_open = block->state == BLOCK_OPEN;
    uint64_t counted = (is_open ? block->fill : block->size) - block->gone;
    add_used(store, -(int64_t)counted);
    add_holes(store, -(int64_t)holes_of(block));
    list_remove(&block->link);
    if (is_open)
        store->open[block->side] = NULL;
    if (block->state == BLOCK_HUGE) {
        unmap(block, block->size);
        return counted;
    }
    /* Warm ones lie on top, to be taken first. */
    uint32_t at = store->idle_count++;
    if (store->warm < store->warm_max) {
        store->warm++;
    } else {
        madvise(block, BLOCK_BYTES, MADV_DONTNEED);
        uint32_t bottom = at - store->warm;
        store->idle[at] = store->idle[bottom];
        at = bottom;
    }
    store->idle[at] = block;
    ASAN_POISON_MEMORY_REGION(block, BLOCK_BYTES);
    return counted;
}

struct block *block_map(struct store *store, size_t size)
{
    struct block *block = map_aligned(size);
    if (!block)
        return NULL;
    *block = (struct block){ .size = size, .fill = sizeof *block, .state = BLOCK_HUGE };
    list_init(&block->link);
    add_used(store, (int64_t)size);
    return block;
}

void blocks_unmap(struct store *store)
{
    while (!list_is_empty(&store->regions)) {
        struct region *region = LIST_ENTRY(store->regions.next, struct region, link);
        list_remove(&region->link);
        unmap(region->base, REGION_BYTES);
        free(region);
    }
}
