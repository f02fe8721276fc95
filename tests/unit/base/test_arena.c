#include "base/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

Test(arena, allocations_are_aligned_and_apart)
{
    struct arena arena;
    char first[256];
    unsigned char *at[40];
    arena_init(&arena, first + 1, sizeof first - 1, 1 << 20);
    for (size_t size = 1; size < 40; size++) {
        at[size] = arena_alloc(&arena, size);
        cr_assert_not_null(at[size]);
        cr_expect_eq((uintptr_t)at[size] % 16, 0);
        memset(at[size], (int)size, size);
    }
    for (size_t size = 1; size < 40; size++) {
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(at[size][i], size, "someone else wrote there");
    }
    arena_fini(&arena);
}

Test(arena, a_small_request_stays_in_the_first_block)
{
    struct arena arena;
    static char first[512];
    arena_init(&arena, first, sizeof first, 0);
    for (int i = 0; i < 10; i++) {
        char *at = arena_alloc(&arena, 32);
        cr_assert_not_null(at, "no malloc is allowed");
        cr_expect(at >= first && at + 32 <= first + sizeof first);
    }
    cr_expect_null(arena_alloc(&arena, 512), "the limit is 0 bytes beyond it");
    arena_fini(&arena);
}

Test(arena, the_limit_is_hard_and_reset_gives_everything_back)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 100000);
    for (int round = 0; round < 3; round++) {
        size_t got = 0;
        while (arena_alloc(&arena, 1000))
            got += 1000;
        cr_expect_leq(got, 100000);
        cr_expect_gt(got, 50000, "most of the limit can be used");
        cr_expect_leq(arena.taken_bytes, 100000);
        arena_reset(&arena);
        cr_expect_eq(arena.taken_bytes, 0);
    }
    cr_expect_null(arena_alloc(&arena, SIZE_MAX));
    cr_expect_null(arena_alloc(&arena, SIZE_MAX / 2 + 1));
    arena_fini(&arena);
}

Test(arena, one_allocation_may_be_larger_than_a_block)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    char *at = arena_alloc(&arena, 300000);
    cr_assert_not_null(at);
    memset(at, 1, 300000);
    cr_expect_not_null(arena_alloc(&arena, 16));
    arena_fini(&arena);
    arena_fini(NULL);
}

Test(arena, strings_are_copied_and_printed)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 16);
    struct str s = arena_str(&arena, STR("abc"));
    cr_expect(str_eq(s, STR("abc")));
    cr_expect_eq(s.data[3], '\0');
    cr_expect_not_null(arena_str(&arena, (struct str){ NULL, 0 }).data, "an empty one is no failure");
    cr_expect(str_eq(arena_printf(&arena, "%d-%s", 7, "x"), STR("7-x")));
    char *zeros = arena_zalloc(&arena, 100);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(zeros[i], 0);
    arena_fini(&arena);

    arena_init(&arena, NULL, 0, 0);
    cr_expect_null(arena_str(&arena, STR("abc")).data);
    cr_expect_null(arena_printf(&arena, "%d", 1).data);
    cr_expect_null(arena_zalloc(&arena, 1));
    arena_fini(&arena);
}
