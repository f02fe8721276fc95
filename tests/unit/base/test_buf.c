#include "base/buf.h"

#include <criterion/criterion.h>
#include <stdint.h>

Test(buf, what_goes_in_comes_out_in_order)
{
    struct buf buf;
    unsigned char in = 0;
    unsigned char out = 0;
    buf_init(&buf);
    /* Growing and shrinking in steps that are no multiples of each other visits every state. */
    for (int turn = 0; turn < 2000; turn++) {
        unsigned char bytes[97];
        size_t n = (size_t)(turn * 7 % 97) + 1;
        for (size_t i = 0; i < n; i++)
            bytes[i] = in++;
        cr_assert(buf_append(&buf, bytes, n));
        size_t take = (size_t)(turn * 13 % 101);
        if (take > buf_len(&buf))
            take = buf_len(&buf);
        struct str now = buf_str(&buf);
        for (size_t i = 0; i < take; i++)
            cr_assert_eq((unsigned char)now.data[i], out++, "turn %d", turn);
        buf_consume(&buf, take);
    }
    buf_fini(&buf);
    buf_fini(NULL);
}

Test(buf, memory_does_not_grow_with_the_bytes_that_passed)
{
    struct buf buf;
    char bytes[300] = { 0 };
    buf_init(&buf);
    for (int i = 0; i < 100000; i++) {
        cr_assert(buf_append(&buf, bytes, sizeof bytes));
        buf_consume(&buf, i == 0 ? 0 : sizeof bytes);
    }
    cr_expect_leq(buf.size, 4096);
    buf_fini(&buf);
}

Test(buf, an_empty_one_gives_its_memory_back_when_asked)
{
    struct buf buf;
    buf_init(&buf);
    buf_append_str(&buf, STR("abc"));
    buf_shrink(&buf);
    cr_expect_not_null(buf.data, "not while something is in it");
    buf_consume(&buf, 3);
    buf_shrink(&buf);
    cr_expect_null(buf.data);
    cr_expect(buf_append_str(&buf, STR("again")));
    cr_expect(str_eq(buf_str(&buf), STR("again")));
    buf_fini(&buf);
}

Test(buf, reserve_and_printf)
{
    struct buf buf;
    buf_init(&buf);
    char *at = buf_reserve(&buf, 5);
    cr_assert_not_null(at);
    memcpy(at, "hello", 5);
    buf_added(&buf, 5);
    cr_expect(buf_printf(&buf, " %s %d", "world", 42));
    cr_expect(str_eq(buf_str(&buf), STR("hello world 42")));
    cr_expect(buf_append(&buf, NULL, 0));
    cr_expect_null(buf_reserve(&buf, SIZE_MAX));
    cr_expect_null(buf_reserve(&buf, SIZE_MAX / 2));
    cr_expect_eq(buf_len(&buf), 14, "a failure changes nothing");
    buf_fini(&buf);
}
