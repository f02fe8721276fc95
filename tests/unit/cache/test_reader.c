#include <criterion/criterion.h>

#include "fixture.h"

static struct test_key room;

static struct object *grow(int64_t length)
{
    struct object_meta meta = test_meta(length);
    return object_new(NULL, test_key(&room, "acme", "/"), &meta);
}

struct client {
    struct object_reader reader;
    unsigned calls;
};

static void on_more(struct object_reader *reader)
{
    CONTAINER_OF(reader, struct client, reader)->calls++;
}

static void join(struct object *object, struct client *client)
{
    *client = (struct client){ .reader.on_more = on_more };
    cr_assert(object_open(object, &client->reader));
}

static enum object_more peek(struct client *client, uint64_t *out_bytes)
{
    struct iovec iov[64];
    int count;
    enum object_more more = object_peek(&client->reader, iov, 64, &count);
    *out_bytes = 0;
    for (int i = 0; i < count; i++)
        *out_bytes += iov[i].iov_len;
    return more;
}

/* Lengths that lie inline, in one piece, and in many. */
static const int64_t lengths[] = { 100, 50000, 200000, -1 };

Test(reader, sees_what_is_there_and_waits_for_the_rest)
{
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct object *object = grow(lengths[i]);
        struct client client;
        uint64_t bytes;
        join(object, &client);
        cr_expect(peek(&client, &bytes) == OBJECT_NONE, "row %zu", i);
        cr_assert(object_append(object, STR("hello ")));
        cr_assert(object_append(object, STR("world")));
        cr_expect(peek(&client, &bytes) == OBJECT_BYTES, "row %zu", i);
        cr_expect_eq(bytes, 11);
        object_skip(&client.reader, 11);
        cr_expect(peek(&client, &bytes) == OBJECT_NONE, "row %zu", i);
        cr_expect(object_wait(&client.reader));
        cr_expect_eq(client.calls, 0);
        cr_assert(object_append(object, STR("!")));
        cr_expect_eq(client.calls, 1, "row %zu", i);
        cr_assert(object_append(object, STR("!")));
        cr_expect_eq(client.calls, 1, "once per wait");
        object_close(&client.reader);
        object_unref(object);
    }
}

Test(reader, does_not_wait_for_what_is_there)
{
    struct object *object = grow(-1);
    struct client client;
    join(object, &client);
    cr_assert(object_append(object, STR("x")));
    cr_expect_not(object_wait(&client.reader));
    object_skip(&client.reader, 1);
    object_seal(object);
    cr_expect_not(object_wait(&client.reader), "the end is news, too");
    uint64_t bytes;
    cr_expect(peek(&client, &bytes) == OBJECT_END);
    object_close(&client.reader);
    object_unref(object);
}

Test(reader, is_woken_by_the_end_and_by_the_break)
{
    for (unsigned is_broken = 0; is_broken < 2; is_broken++) {
        struct object *object = grow(-1);
        struct client client;
        uint64_t bytes;
        join(object, &client);
        cr_assert(object_append(object, STR("some")));
        object_skip(&client.reader, 2);
        struct client waiting;
        join(object, &waiting);
        object_skip(&waiting.reader, 4);
        cr_assert(object_wait(&waiting.reader));
        if (is_broken)
            object_break(object, -1);
        else
            object_seal(object);
        cr_expect_eq(waiting.calls, 1);
        cr_expect(peek(&waiting, &bytes) == (is_broken ? OBJECT_CUT : OBJECT_END));
        cr_expect(peek(&client, &bytes) == OBJECT_BYTES, "what came is given first");
        object_skip(&client.reader, 2);
        cr_expect(peek(&client, &bytes) == (is_broken ? OBJECT_CUT : OBJECT_END));
        object_close(&client.reader);
        object_close(&waiting.reader);
        object_unref(object);
    }
}

Test(reader, cancel_in_time_means_no_call)
{
    struct object *object = grow(-1);
    struct client client;
    join(object, &client);
    cr_expect_not(object_wait_cancel(&client.reader), "it does not wait");
    cr_assert(object_wait(&client.reader));
    cr_expect(object_wait_cancel(&client.reader));
    cr_assert(object_append(object, STR("x")));
    cr_expect_eq(client.calls, 0);
    object_skip(&client.reader, 1);
    cr_assert(object_wait(&client.reader), "and it may wait again");
    object_seal(object);
    cr_expect_eq(client.calls, 1);
    cr_expect_not(object_wait_cancel(&client.reader), "too late");
    object_close(&client.reader);
    object_unref(object);
}

Test(reader, close_ends_a_wait)
{
    struct object *object = grow(-1);
    struct client client;
    join(object, &client);
    cr_assert(object_wait(&client.reader));
    object_close(&client.reader);
    object_close(&client.reader);
    cr_assert(object_append(object, STR("x")));
    cr_expect_eq(client.calls, 0);
    object_unref(object);
}

/* A reader that is woken first closes the one behind it: its call is on its way already. */
struct pair {
    struct client first;
    struct client second;
    bool was_in_time;
};

static void on_more_close_other(struct object_reader *reader)
{
    struct pair *pair = CONTAINER_OF(reader, struct pair, first.reader);
    pair->first.calls++;
    pair->was_in_time = object_wait_cancel(&pair->second.reader);
    object_close(&pair->second.reader);
}

Test(reader, close_while_its_call_is_on_the_way_gets_exactly_one)
{
    struct object *object = grow(-1);
    struct pair pair;
    join(object, &pair.first);
    join(object, &pair.second);
    pair.first.reader.on_more = on_more_close_other;
    cr_assert(object_wait(&pair.first.reader));
    cr_assert(object_wait(&pair.second.reader));
    cr_assert(object_append(object, STR("x")));
    cr_expect_not(pair.was_in_time);
    cr_expect_eq(pair.second.calls, 1);
    cr_expect_null(pair.second.reader.object);
    object_close(&pair.first.reader);
    object_unref(object);
}

Test(reader, many_at_different_places_all_see_all_bytes_in_order)
{
    enum {
        READERS = 5
    };
    for (size_t row = 0; row < COUNT_OF(lengths); row++) {
        size_t total = lengths[row] < 0 ? 300000 : (size_t)lengths[row];
        struct object *object = grow(lengths[row]);
        struct client clients[READERS];
        uint64_t random = 99 + row;
        size_t at = 0;
        static char bytes[20000];
        for (unsigned i = 0; i < READERS; i++)
            join(object, &clients[i]);
        unsigned open = READERS;
        while (open > 0) {
            if (at < total) {
                size_t n = test_random(&random) % sizeof bytes;
                n = n < total - at ? n : total - at;
                for (size_t k = 0; k < n; k++)
                    bytes[k] = (char)((at + k) * 31 >> 3);
                cr_assert(object_append(object, str_n(bytes, n)));
                at += n;
                if (at == total)
                    object_seal(object);
            }
            struct client *client = &clients[test_random(&random) % READERS];
            struct iovec iov[3];
            int count;
            if (!client->reader.object || object_peek(&client->reader, iov, 3, &count) == OBJECT_NONE)
                continue;
            if (count == 0) {
                cr_expect_eq(client->reader.at, total);
                object_close(&client->reader);
                open--;
                continue;
            }
            size_t n = 0;
            for (int i = 0; i < count; i++) {
                const char *got = iov[i].iov_base;
                for (size_t k = 0; k < iov[i].iov_len; k++, n++)
                    cr_assert_eq(got[k], (char)((client->reader.at + n) * 31 >> 3), "row %zu", row);
            }
            object_skip(&client->reader, test_random(&random) % (n + 1));
        }
        object_unref(object);
    }
}

Test(reader, on_a_sealed_object_costs_it_nothing)
{
    struct object *object = test_object(NULL, test_key(&room, "acme", "/"), 200000);
    struct client client;
    uint64_t bytes;
    join(object, &client);
    cr_expect_eq(object_readers(object), 0);
    cr_expect_not(object_wait(&client.reader));
    cr_expect(peek(&client, &bytes) == OBJECT_BYTES);
    cr_expect_eq(bytes, 200000);
    object_skip(&client.reader, 200000);
    cr_expect(peek(&client, &bytes) == OBJECT_END);
    object_close(&client.reader);
    object_unref(object);
}

Test(reader, survives_its_object_leaving_the_cache)
{
    struct object *object = grow(-1);
    struct client client;
    uint64_t bytes;
    join(object, &client);
    cr_assert(object_append(object, STR("kept")));
    object_unref(object);
    cr_expect(peek(&client, &bytes) == OBJECT_BYTES);
    object_close(&client.reader);
}
