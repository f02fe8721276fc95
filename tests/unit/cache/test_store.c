#include <criterion/criterion.h>

#include "cache/store.h"
#include "fixture.h"
#include "resident.h"

static _Atomic uint64_t used;
static struct store store;

static void begin(void)
{
    used = 0;
    store_init(&store, &used);
}

static void *alloc(size_t bytes, uint32_t hash)
{
    size_t got;
    void *cell = store_alloc(&store, STORE_FRESH, bytes, bytes, hash, &got);
    CHECK(cell != NULL);
    CHECK(got == bytes);
    CHECK((uintptr_t)cell % 8 == 0);
    memset(cell, (int)hash, bytes);
    return cell;
}

Test(store, counts_what_it_holds_and_gives_all_of_it_back)
{
    static const size_t sizes[] = { 0, 1, 8, 1000, 4097, CELL_MAX - 1, CELL_MAX, CELL_MAX + 1, 300000 };
    void *cells[COUNT_OF(sizes)];
    begin();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        uint64_t before = used;
        cells[i] = alloc(sizes[i], 7);
        cr_expect_geq(used, before + sizes[i] + CELL_OVERHEAD);
        cr_expect_geq(store_cost(cells[i]), sizes[i] + CELL_OVERHEAD);
        cr_expect_lt(store_cost(cells[i]), sizes[i] + 2 * CELL_OVERHEAD);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        store_free(&store, cells[i]);
    cr_expect_eq(used, 0);
    cr_expect_eq(store.holes, 0);
    store_fini(&store);
}

Test(store, fills_up_a_block_with_part_of_what_was_asked_for)
{
    size_t got;
    begin();
    void *first = alloc(60000, 1);
    void *part = store_alloc(&store, STORE_FRESH, 20000, 2048, 1, &got);
    cr_expect_lt(got, 6000);
    cr_expect_geq(got, 2048);
    memset(part, 1, got);
    void *rest = store_alloc(&store, STORE_FRESH, 20000, 2048, 1, &got);
    cr_expect_eq(got, 20000, "nothing was left");
    store_free(&store, part);
    store_free(&store, first);
    store_free(&store, rest);
    cr_expect_eq(used, 0);
    store_fini(&store);
}

Test(store, whole_block_leaves_the_open_one_open)
{
    begin();
    char *first = alloc(1000, 1);
    void *whole = alloc(CELL_MAX, 1);
    char *second = alloc(1000, 1);
    cr_expect_eq(second - first, 1000 + CELL_OVERHEAD);
    store_free(&store, whole);
    store_free(&store, first);
    store_free(&store, second);
    store_fini(&store);
}

Test(store, shrinks)
{
    begin();
    void *last = alloc(8000, 1);
    uint64_t before = used;
    cr_expect_eq(store_shrink(&store, last, 1000), 7000);
    cr_expect_eq(used, before - 7000, "the last one gives it back at once");
    void *next = alloc(8, 1);
    cr_expect_eq(store_shrink(&store, last, 500), 496);
    cr_expect_eq(store.holes, 496, "another one leaves a hole");
    cr_expect_eq(store_shrink(&store, last, 490), 0, "too little");
    store_free(&store, last);
    store_free(&store, next);
    void *huge = alloc(100000, 1);
    cr_expect_eq(store_shrink(&store, huge, 10), 0);
    store_free(&store, huge);
    cr_expect_eq(used, 0);
    store_fini(&store);
}

/* Empties a block as clean.c would; keeps those whose hash is odd. */
static unsigned empty(void **cells, unsigned count)
{
    struct store_walk walk;
    void *cell;
    uint32_t hash;
    size_t got;
    unsigned moved = 0;
    if (!store_clean_begin(&store, &walk, false))
        return 0;
    while (store_clean_next(&store, &walk, &cell, &hash)) {
        size_t bytes = store_cost(cell) - CELL_OVERHEAD;
        for (unsigned i = 0; i < count && hash % 2 == 0; i++) {
            if (cells[i] != cell)
                continue;
            cells[i] = store_alloc(&store, STORE_MOVED, bytes, bytes, hash, &got);
            memcpy(cells[i], cell, bytes);
            store_free(&store, cell);
            moved++;
        }
    }
    cr_expect_gt(store_clean_end(&store, &walk), 0);
    return moved;
}

enum {
    CELLS = 4000,
    BYTES = 1000
};

Test(store, blocks_are_emptied_and_given_back)
{
    static void *cells[CELLS];
    begin();
    for (unsigned i = 0; i < CELLS; i++)
        cells[i] = alloc(BYTES, 2 + 2 * (i % 100));
    uint64_t full = used;
    for (unsigned i = 0; i < CELLS; i++) {
        if (i % 4 == 0)
            continue;
        store_free(&store, cells[i]);
        cells[i] = NULL;
    }
    cr_expect_eq(used, full, "every block holds something");
    unsigned moved = 0;
    for (unsigned n; (n = empty(cells, CELLS)) > 0;)
        moved += n;
    cr_expect_gt(moved, CELLS / 4 * 9 / 10);
    cr_expect_lt(used, full * 28 / 100);
    for (unsigned i = 0; i < CELLS; i += 4) {
        cr_assert_eq(((char *)cells[i])[BYTES - 1], (char)(2 + 2 * (i % 100)));
        store_free(&store, cells[i]);
    }
    cr_expect_eq(used, 0);
    store_fini(&store);
}

Test(store, what_cannot_be_moved_holds_its_pages_only)
{
    static void *cells[CELLS];
    begin();
    uint64_t resident = resident_bytes();
    for (unsigned i = 0; i < CELLS; i++)
        cells[i] = alloc(BYTES, i % 64 == 0 ? 1 : 2);
    uint64_t full = used;
    for (unsigned i = 0; i < CELLS; i++) {
        if (i % 64 > 0)
            store_free(&store, cells[i]);
    }
    unsigned rounds = 0;
    struct store_walk walk;
    for (; store_clean_begin(&store, &walk, false); rounds++)
        store_clean_end(&store, &walk);
    cr_expect_lt(rounds, 100, "none is tried again for nothing: %u", rounds);
    cr_expect_lt(used, full / 5);
    if (IS_MEASURED)
        cr_expect_lt(resident_bytes(), resident + full / 5 + MIB);
    for (unsigned i = 0; i < CELLS; i += 64) {
        cr_assert_eq(((char *)cells[i])[BYTES - 1], 1);
        store_free(&store, cells[i]);
    }
    cr_expect_eq(used, 0);
    cr_expect_eq(store.holes, 0);
    store_fini(&store);
}

Test(store, keeps_a_few_blocks_warm)
{
    begin();
    store_set_warm(&store, 3 * BLOCK_BYTES);
    void *cells[8];
    for (unsigned i = 0; i < COUNT_OF(cells); i++)
        cells[i] = alloc(CELL_MAX, 1);
    for (unsigned i = 0; i < COUNT_OF(cells); i++)
        store_free(&store, cells[i]);
    cr_expect_eq(store.warm, 3);
    void *again = alloc(CELL_MAX, 1);
    cr_expect(again == cells[0] || again == cells[1] || again == cells[2], "a warm one is taken first");
    cr_expect_eq(store.warm, 2);
    store_set_warm(&store, 0);
    cr_expect_eq(store.warm, 0);
    store_free(&store, again);
    cr_expect_eq(used, 0);
    store_fini(&store);
}

/* Allocates, frees, shrinks and empties at random; what is alive keeps its bytes, and counters add up. */
Test(store, random_use)
{
    enum {
        SLOTS = 500,
        STEPS = 60000
    };
    static void *cells[SLOTS];
    static size_t sizes[SLOTS];
    static unsigned char marks[SLOTS];
    uint64_t random = 17;
    begin();
    store_set_warm(&store, 4 * BLOCK_BYTES);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = test_random(&random) % SLOTS;
        if (cells[i]) {
            for (size_t at = 0; at < sizes[i]; at += 97)
                cr_assert_eq(((unsigned char *)cells[i])[at], marks[i]);
            if (test_random(&random) % 8 == 0) {
                sizes[i] -= test_random(&random) % (sizes[i] + 1);
                store_shrink(&store, cells[i], sizes[i]);
                continue;
            }
            store_free(&store, cells[i]);
            cells[i] = NULL;
            continue;
        }
        sizes[i] = test_random(&random) % (test_random(&random) % 50 == 0 ? 200000 : 8000);
        marks[i] = (unsigned char)(2 * (1 + test_random(&random) % 100));
        cells[i] = alloc(sizes[i], marks[i]);
        if (step % 64 == 0)
            while (store.holes > used / 8 && empty(cells, SLOTS) > 0) {
            }
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (cells[i])
            store_free(&store, cells[i]);
    }
    cr_expect_eq(used, 0);
    cr_expect_eq(store.holes, 0);
    store_fini(&store);
}
