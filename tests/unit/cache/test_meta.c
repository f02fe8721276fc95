/* What is packed comes back as it was, or as object.h says. */
#include <criterion/criterion.h>

#include "fixture.h"

#define DAY_MS INT64_C(86400000)
#define NOW_MS INT64_C(1760000000123)

static const struct key *a_key(void)
{
    static struct test_key room;
    return test_key(&room, "acme", "/");
}

static void expect_str(struct str is, struct str want, const char *what)
{
    cr_expect(str_eq(is, want), "%s: %.*s", what, STR_FMT(is));
}

Test(meta, comes_back_as_it_was)
{
    const struct object_meta meta = {
        .status = 404,
        .must_revalidate = true,
        .is_guessed = true,
        .head = STR_INIT("HTTP/1.1 404 Not Found\r\nETag: \"e\"\r\nLast-Modified: yesterday\r\n"),
        .etag = STR_INIT("\"e\""),
        .last_modified = STR_INIT("today"),
        .vary = STR_INIT("accept"),
        .vary_key = STR_INIT("accept: a\n"),
        .stored_wall_ms = NOW_MS,
        .fetched_wall_ms = NOW_MS - 1234,
        .lifetime_ms = 10001,
        .initial_age_ms = 17,
        .stale_while_revalidate_ms = 30000,
        .stale_if_error_ms = -1,
        .length = 3,
        .domain = STR_INIT("main"),
        .position = STR_INIT("0/16B3748"),
        .tags = STR_INIT("items\0item-7\0"),
    };
    struct object *object = object_new(NULL, a_key(), &meta);
    const struct object_meta *read = object_meta(object);
    cr_expect_eq(read->status, 404);
    cr_expect(read->must_revalidate && read->is_guessed);
    cr_expect_not(read->always_revalidate || read->allows_authorization || read->is_by_ttl ||
                  read->is_partial);
    expect_str(read->head, meta.head, "head");
    expect_str(read->etag, meta.etag, "etag");
    cr_expect(read->etag.data > read->head.data && read->etag.data < read->head.data + read->head.len,
              "a part of the head costs nothing");
    expect_str(read->last_modified, meta.last_modified, "last_modified");
    expect_str(read->vary, meta.vary, "vary");
    expect_str(read->vary_key, meta.vary_key, "vary_key");
    expect_str(read->domain, meta.domain, "domain");
    expect_str(read->position, meta.position, "position");
    expect_str(read->tags, meta.tags, "tags");
    cr_expect_eq(read->stored_wall_ms, NOW_MS);
    cr_expect_eq(read->fetched_wall_ms, NOW_MS - 1234);
    cr_expect_eq(read->lifetime_ms, 10001);
    cr_expect_eq(read->initial_age_ms, 17);
    cr_expect_eq(read->stale_while_revalidate_ms, 30000);
    cr_expect_eq(read->stale_if_error_ms, -1);
    cr_expect_eq(read->length, 3);
    object_unref(object);
}

Test(meta, each_flag_is_its_own)
{
    for (unsigned i = 0; i < 6; i++) {
        struct object_meta meta = test_meta(0);
        meta.must_revalidate = i == 0;
        meta.always_revalidate = i == 1;
        meta.allows_authorization = i == 2;
        meta.is_by_ttl = i == 3;
        meta.is_guessed = i == 4;
        meta.is_partial = i == 5;
        struct object *object = object_new(NULL, a_key(), &meta);
        const struct object_meta *read = object_meta(object);
        cr_expect_eq(read->must_revalidate, i == 0);
        cr_expect_eq(read->always_revalidate, i == 1);
        cr_expect_eq(read->allows_authorization, i == 2);
        cr_expect_eq(read->is_by_ttl, i == 3);
        cr_expect_eq(read->is_guessed, i == 4);
        cr_expect_eq(read->is_partial, i == 5);
        object_unref(object);
    }
}

Test(meta, durations)
{
    static const struct {
        int64_t ms, read_ms;
    } rows[] = {
        { 0, 0 },
        { 1, 1 },
        { -1, -1 },
        { -5000, -1 },
        { INT64_C(0x7fffffff), INT64_C(0x7fffffff) },
        { INT64_C(0x80000000), INT64_C(0x80000000) / 1000 * 1000 },
        { 365 * DAY_MS + 999, 365 * DAY_MS },
        { INT64_MAX, INT64_C(0x7ffffffe) * 1000 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct object_meta meta = test_meta(0);
        meta.lifetime_ms = meta.initial_age_ms = rows[i].ms;
        meta.stale_while_revalidate_ms = meta.stale_if_error_ms = rows[i].ms;
        struct object *object = object_new(NULL, a_key(), &meta);
        const struct object_meta *read = object_meta(object);
        cr_expect_eq(read->lifetime_ms, rows[i].read_ms, "row %zu", i);
        cr_expect_eq(object_lifetime_ms(object), rows[i].read_ms, "row %zu", i);
        cr_expect_eq(read->initial_age_ms, rows[i].read_ms, "row %zu", i);
        cr_expect_eq(read->stale_while_revalidate_ms, rows[i].read_ms, "row %zu", i);
        cr_expect_eq(read->stale_if_error_ms, rows[i].read_ms, "row %zu", i);
        object_unref(object);
    }
}

/* What a server may have known about writes is never made more than it was. */
Test(meta, fetched_never_later_than_said)
{
    static const int64_t before_ms[] = { 0, 1, 100000, 30 * DAY_MS + 1, NOW_MS, -5 };
    for (size_t i = 0; i < COUNT_OF(before_ms); i++) {
        struct object_meta meta = test_meta(0);
        meta.stored_wall_ms = NOW_MS;
        meta.fetched_wall_ms = NOW_MS - before_ms[i];
        struct object *object = object_new(NULL, a_key(), &meta);
        int64_t fetched = object_meta(object)->fetched_wall_ms;
        cr_expect_leq(fetched, meta.fetched_wall_ms, "row %zu", i);
        cr_expect_gt(fetched, meta.fetched_wall_ms - 1000, "row %zu", i);
        object_unref(object);
    }
}

Test(meta, lengths)
{
    static const int64_t lengths[] = { -1, 0, 1, 4096, 4097, INT64_C(5) << 30 };
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct object_meta meta = test_meta(lengths[i]);
        meta.etag = STR("not in the head");
        struct object *object = object_new(NULL, a_key(), &meta);
        cr_expect_eq(object_meta(object)->length, lengths[i]);
        cr_expect(str_eq(object_meta(object)->etag, meta.etag));
        object_unref(object);
    }
}

Test(meta, too_long_a_part_is_refused)
{
    static char text[70000];
    memset(text, 'x', sizeof text);
    struct object_meta meta = test_meta(0);
    meta.head = str_n(text, sizeof text);
    struct object *object = object_new(NULL, a_key(), &meta);
    cr_expect_eq(object_meta(object)->head.len, sizeof text);
    object_unref(object);
    struct str *parts[] = { &meta.etag,   &meta.last_modified, &meta.vary, &meta.vary_key,
                            &meta.domain, &meta.position,      &meta.tags };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct str before = *parts[i];
        *parts[i] = str_n(text, UINT16_MAX);
        object = object_new(NULL, a_key(), &meta);
        cr_expect_not_null(object);
        object_unref(object);
        *parts[i] = str_n(text, UINT16_MAX + 1);
        cr_expect_null(object_new(NULL, a_key(), &meta));
        *parts[i] = before;
    }
}

/* Found in the head, but further than can be said where. */
Test(meta, validator_far_out_in_a_head)
{
    static char head[70000];
    memset(head, 'x', sizeof head);
    memcpy(head + 69000, "\"far\"", 5);
    struct object_meta meta = test_meta(10);
    meta.head = str_n(head, sizeof head);
    meta.etag = meta.last_modified = STR("\"far\"");
    struct object *object = object_new(NULL, a_key(), &meta);
    cr_expect(object_append(object, STR("0123456789")));
    cr_expect(str_eq(object_meta(object)->etag, meta.etag));
    cr_expect(str_eq(object_meta(object)->last_modified, meta.last_modified));
    object_unref(object);
}

Test(meta, expires_at_once_and_never_later)
{
    struct object_meta meta = test_meta(0);
    meta.stored_wall_ms = NOW_MS;
    meta.initial_age_ms = 1000;
    meta.lifetime_ms = 10000;
    struct object *object = object_new(NULL, a_key(), &meta);
    object_expire(object, NOW_MS + 20000);
    cr_expect_eq(object_lifetime_ms(object), 10000, "it was stale before");
    object_expire(object, NOW_MS + 2000);
    cr_expect_eq(object_lifetime_ms(object), 3000);
    object_expire(object, NOW_MS + 5000);
    cr_expect_eq(object_meta(object)->lifetime_ms, 3000);
    object_expire(object, NOW_MS - 5000);
    cr_expect_eq(object_lifetime_ms(object), 1000, "a clock set back");
    object_unref(object);
}

Test(meta, failed_at_is_kept)
{
    struct object_meta meta = test_meta(0);
    struct object *object = object_new(NULL, a_key(), &meta);
    cr_expect_eq(object_failed_at(object), 0);
    object_set_failed_at(object, 77);
    cr_expect_eq(object_failed_at(object), 77);
    object_unref(object);
}
