#include <criterion/criterion.h>

#include "fixture.h"

static struct test_key room;
static const char zeros[200 * KIB];

static struct object *grow(struct cache *cache, int64_t length)
{
    struct object_meta meta = test_meta(length);
    return object_new(cache, test_key(&room, "acme", "/"), &meta);
}

static void append(struct object *object, size_t n)
{
    cr_assert(object_append(object, str_n(zeros, n)));
}

static void skip(struct object_reader *reader, uint64_t n)
{
    struct iovec iov[8];
    while (n > 0) {
        int count;
        cr_assert(object_peek(reader, iov, 8, &count) == OBJECT_BYTES);
        uint64_t here = iov[0].iov_len < n ? iov[0].iov_len : n;
        object_skip(reader, here);
        n -= here;
    }
}

static void count_call(void *arg)
{
    ++*(unsigned *)arg;
}

Test(growth, window_frees_behind_the_slowest_reader)
{
    struct cache *cache = test_cache(100 * MIB, 1);
    struct object *object = grow(cache, -1);
    struct object_reader slow = { 0 }, fast = { 0 };
    cr_assert(object_open(object, &slow));
    cr_assert(object_open(object, &fast));
    for (unsigned i = 0; i < 32; i++)
        append(object, 64 * KIB);
    object_become_window(object);
    cr_expect(object_is_window(object));
    uint64_t full = test_bytes(cache);
    skip(&fast, 32 * 64 * KIB);
    cr_expect_eq(object_held_bytes(object), 2 * MIB, "the slow one holds all");
    skip(&slow, 1 * MIB);
    cr_expect_leq(object_held_bytes(object), 1 * MIB + 64 * KIB);
    cr_expect_lt(test_bytes(cache), full - MIB + 128 * KIB, "and the budget got it back");
    object_close(&slow);
    cr_expect_leq(object_held_bytes(object), 64 * KIB);
    append(object, 100 * KIB);
    cr_expect_leq(object_held_bytes(object), 164 * KIB);
    skip(&fast, 100 * KIB);
    object_seal(object);
    struct iovec iov;
    int count;
    cr_expect(object_peek(&fast, &iov, 1, &count) == OBJECT_END);
    object_close(&fast);
    object_unref(object);
    cache_free(cache);
}

Test(growth, window_without_readers_holds_one_piece)
{
    struct object *object = grow(NULL, -1);
    object_become_window(object);
    for (unsigned i = 0; i < 100; i++) {
        append(object, 100 * KIB);
        cr_assert_leq(object_held_bytes(object), 100 * KIB);
    }
    cr_expect_eq(object_size(object), 100 * 100 * KIB);
    object_unref(object);
}

Test(growth, window_is_not_opened_any_more)
{
    struct object *object = grow(NULL, -1);
    struct object_reader reader = { 0 };
    object_become_window(object);
    cr_expect_not(object_open(object, &reader));
    object_close(&reader);
    object_unref(object);
}

Test(growth, who_came_before_the_first_byte_reads_a_window_from_the_start)
{
    struct object *object = grow(NULL, -1);
    struct object_reader early = { 0 }, gone = { 0 };
    cr_assert(object_open(object, &early));
    cr_assert(object_open(object, &gone));
    append(object, 200 * KIB);
    object_become_window(object);
    append(object, 200 * KIB);
    cr_expect_eq(object_held_bytes(object), 400 * KIB);
    object_close(&gone);
    cr_expect_eq(object_held_bytes(object), 400 * KIB);
    skip(&early, 400 * KIB);
    cr_expect_leq(object_held_bytes(object), 128 * KIB);
    object_close(&early);
    object_unref(object);
}

Test(growth, readers_who_leave_before_the_first_byte_hold_nothing)
{
    struct object *object = grow(NULL, -1);
    struct object_reader reader = { 0 };
    cr_assert(object_open(object, &reader));
    object_close(&reader);
    object_become_window(object);
    append(object, 200 * KIB);
    append(object, 200 * KIB);
    cr_expect_leq(object_held_bytes(object), 200 * KIB);
    object_unref(object);
}

Test(growth, tells_once_when_held_bytes_fell)
{
    struct object *object = grow(NULL, -1);
    struct object_reader reader = { 0 };
    unsigned calls = 0;
    cr_assert(object_open(object, &reader));
    for (unsigned i = 0; i < 10; i++)
        append(object, 64 * KIB);
    object_become_window(object);
    object_on_held(object, 192 * KIB, count_call, &calls);
    skip(&reader, 6 * 64 * KIB);
    cr_expect_eq(calls, 0);
    skip(&reader, 2 * 64 * KIB); /* what is left, and the rest of one piece, fit into that */
    cr_expect_eq(calls, 1);
    skip(&reader, 2 * 64 * KIB);
    cr_expect_eq(calls, 1);
    object_close(&reader);
    object_unref(object);
}

Test(growth, tells_at_once_when_nothing_is_to_wait_for)
{
    struct object *object = grow(NULL, -1);
    unsigned calls = 0;
    append(object, 200 * KIB);
    cr_expect(object_on_held(object, 0, count_call, &calls), "nobody reads");
    cr_expect_eq(calls, 1);
    struct object_reader reader = { 0 };
    cr_assert(object_open(object, &reader));
    object_become_window(object);
    skip(&reader, 200 * KIB);
    object_on_held(object, 0, count_call, &calls);
    cr_expect_eq(calls, 2, "less than a piece counts as one, or it would wait for ever");
    object_close(&reader);
    object_unref(object);
}

Test(growth, tells_when_the_last_reader_left)
{
    struct object *object = grow(NULL, -1);
    struct object_reader reader[2] = { { 0 }, { 0 } };
    unsigned calls = 0;
    for (unsigned i = 0; i < 2; i++)
        cr_assert(object_open(object, &reader[i]));
    cr_expect_eq(object_readers(object), 2);
    append(object, 200 * KIB);
    object_on_held(object, 1000, count_call, &calls);
    object_close(&reader[0]);
    cr_expect_eq(calls, 0);
    object_close(&reader[1]);
    cr_expect_eq(calls, 1);
    object_unref(object);
}

Test(growth, whoever_asked_is_told_at_the_latest_when_it_is_sealed)
{
    struct object *object = grow(NULL, -1);
    struct object_reader reader = { 0 };
    unsigned calls = 0;
    cr_assert(object_open(object, &reader));
    append(object, 200 * KIB);
    object_on_held(object, 0, count_call, &calls);
    cr_expect_eq(calls, 0);
    object_seal(object);
    cr_expect_eq(calls, 1);
    object_close(&reader);
    object_unref(object);
}

Test(growth, asking_can_be_taken_back)
{
    struct object *object = grow(NULL, -1);
    struct object_reader reader = { 0 };
    unsigned calls = 0;
    cr_assert(object_open(object, &reader));
    append(object, 200 * KIB);
    object_on_held(object, 1000, count_call, &calls);
    cr_expect(object_on_held(object, 0, NULL, NULL));
    cr_expect_not(object_on_held(object, 0, NULL, NULL));
    object_close(&reader);
    cr_expect_eq(calls, 0);
    object_unref(object);
}

Test(growth, broken_says_why_and_counts_its_readers_still)
{
    struct object *object = grow(NULL, 100);
    struct object_reader reader = { 0 };
    cr_assert(object_open(object, &reader));
    object_break(object, -7);
    cr_expect(object_state(object) == OBJECT_BROKEN);
    cr_expect_eq(object_err(object), -7);
    cr_expect_eq(object_readers(object), 1);
    object_close(&reader);
    cr_expect_eq(object_readers(object), 0);
    object_unref(object);
}

Test(growth, a_long_chain_ends_without_recursion)
{
    struct object *object = grow(NULL, -1);
    for (unsigned i = 0; i < 3000; i++)
        append(object, 200 * KIB / 4);
    object_seal(object);
    object_unref(object);
}
