#include <criterion/criterion.h>

#include "fixture.h"

static struct test_key room;

static void read_all(struct object *object, char *out, uint64_t *out_size)
{
    struct object_reader reader = { 0 };
    struct iovec iov[3];
    int count;
    cr_assert(object_open(object, &reader));
    while (object_peek(&reader, iov, 3, &count) == OBJECT_BYTES) {
        uint64_t n = 0;
        for (int i = 0; i < count; i++) {
            memcpy(out + reader.at + n, iov[i].iov_base, iov[i].iov_len);
            n += iov[i].iov_len;
        }
        object_skip(&reader, n);
    }
    *out_size = reader.at;
    object_close(&reader);
}

Test(object, keeps_copies_of_all_it_is_told)
{
    char head[] = "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\n";
    char etag[] = "\"abc\"";
    char modified[] = "Thu, 01 Jan 1970 00:00:00 GMT";
    char vary[] = "accept", vary_key[] = "accept\ntext/html", domain[] = "main", position[] = "0/16B3748";
    struct object_meta meta = { .status = 200,
                                .must_revalidate = true,
                                .head = str_of(head),
                                .etag = str_of(etag),
                                .last_modified = str_of(modified),
                                .vary = str_of(vary),
                                .vary_key = str_of(vary_key),
                                .domain = str_of(domain),
                                .position = str_of(position),
                                .stored_wall_ms = 1,
                                .lifetime_ms = 2,
                                .length = 0 };
    struct object *object = object_new(NULL, test_key(&room, "acme", "/"), &meta);
    struct str *given[] = { &meta.head,     &meta.etag,   &meta.last_modified, &meta.vary,
                            &meta.vary_key, &meta.domain, &meta.position };
    const struct object_meta *kept = object_meta(object);
    const struct str *got[] = { &kept->head,     &kept->etag,   &kept->last_modified, &kept->vary,
                                &kept->vary_key, &kept->domain, &kept->position };
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        cr_expect(str_eq(*got[i], *given[i]), "row %zu", i);
        cr_expect_neq(got[i]->data, given[i]->data, "row %zu", i);
    }
    cr_expect(kept->etag.data > kept->head.data && kept->etag.data < kept->head.data + kept->head.len,
              "a validator is a view of the head");
    cr_expect(kept->must_revalidate);
    cr_expect_eq(kept->lifetime_ms, 2);
    object_unref(object);
}

Test(object, absent_validators_stay_absent)
{
    struct object_meta meta = test_meta(0);
    struct object *object = object_new(NULL, test_key(&room, "acme", "/"), &meta);
    cr_expect_null(object_meta(object)->etag.data);
    cr_expect_null(object_meta(object)->last_modified.data);
    object_unref(object);
}

Test(object, gives_back_what_was_appended)
{
    static const struct {
        int64_t length;
        size_t size;
        size_t step;
    } rows[] = {
        { 0, 0, 1 },
        { -1, 0, 1 },
        { 10, 10, 3 },
        { 4096, 4096, 1000 },
        { 4097, 4097, 4097 },
        { -1, 1, 1 },
        { -1, 1024, 1024 },
        { -1, 5000, 7 },
        { 65536, 65536, 16384 },
        { 65537, 65537, 16384 },
        { 300000, 300000, 100000 },
        { -1, 300000, 16384 },
        { -1, 300000, 300000 },
    };
    static char in[300000], out[300000];
    uint64_t random = 7;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)test_random(&random);
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct object_meta meta = test_meta(rows[row].length);
        struct object *object = object_new(NULL, test_key(&room, "acme", "/"), &meta);
        for (size_t at = 0; at < rows[row].size; at += rows[row].step) {
            size_t left = rows[row].size - at;
            cr_assert(object_append(object, str_n(in + at, left < rows[row].step ? left : rows[row].step)));
        }
        object_seal(object);
        uint64_t size;
        memset(out, 0, sizeof out);
        read_all(object, out, &size);
        cr_expect_eq(size, rows[row].size, "row %zu", row);
        cr_expect_eq(object_size(object), rows[row].size, "row %zu", row);
        cr_expect_arr_eq(out, in, rows[row].size, "row %zu", row);
        object_unref(object);
    }
}

Test(object, renewed_has_a_new_head_and_the_same_body)
{
    static const int64_t sizes[] = { 0, 100, 100000 };
    static char out[100000];
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct cache *cache = test_cache(10 * MIB, 1);
        uint64_t before = test_bytes(cache);
        struct object *old = test_object(cache, test_key(&room, "acme", "/"), (uint64_t)sizes[i]);
        uint64_t one = test_bytes(cache) - before;
        struct object_meta meta = test_meta(sizes[i]);
        meta.head = STR("HTTP/1.1 200 OK\r\nAge: 0\r\n");
        struct object *fresh = object_renew(old, &meta);
        cr_expect(str_eq(object_meta(fresh)->head, meta.head));
        cr_expect(object_state(fresh) == OBJECT_SEALED);
        if (sizes[i] > 4096)
            cr_expect_lt(test_bytes(cache) - before, one + 1000, "the body is shared");
        object_unref(old);
        uint64_t size;
        read_all(fresh, out, &size);
        cr_expect_eq(size, (uint64_t)sizes[i]);
        object_unref(fresh);
        cr_expect_eq(test_bytes(cache), before, "row %zu: all is paid back", i);
        cache_free(cache);
    }
}

Test(object, costs_are_paid_back_at_the_end)
{
    struct cache *cache = test_cache(10 * MIB, 1);
    uint64_t before = test_bytes(cache);
    static const int64_t lengths[] = { 0, 1000, 200000, -1 };
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct object_meta meta = test_meta(lengths[i]);
        struct object *object = object_new(cache, test_key(&room, "acme", "/"), &meta);
        cr_assert(object_append(object, lengths[i] ? STR("some") : STR("")));
        cr_expect_gt(test_bytes(cache), before);
        object_unref(object); /* left unsealed */
        cr_expect_eq(test_bytes(cache), before, "row %zu", i);
    }
    cache_free(cache);
}

Test(object, outlives_its_cache)
{
    struct cache *cache = test_cache(10 * MIB, 1);
    struct object *object = test_object(cache, test_key(&room, "acme", "/"), 100000);
    cr_assert(cache_insert(cache, &room.key, object, 0));
    cache_free(cache);
    cr_expect_eq(object_size(object), 100000);
    object_unref(object);
}

Test(object, of_small_unknown_length_keeps_no_room)
{
    struct cache *cache = test_cache(10 * MIB, 1);
    uint64_t before = test_bytes(cache);
    struct object_meta meta = test_meta(-1);
    struct object *object = object_new(cache, test_key(&room, "acme", "/"), &meta);
    for (unsigned i = 0; i < 70; i++)
        cr_assert(object_append(object, STR("0123456789abcdef")));
    object_seal(object);
    cr_expect_lt(test_bytes(cache) - before, 70 * 16 + 900);
    object_unref(object);
    cache_free(cache);
}

Test(object, unref_of_nothing_is_fine)
{
    cr_expect_null(object_unref(NULL));
}
