/* Parts of representations: where one lies, which may be kept, what fits together.
 */
#include "pipeline/parts.h"

#include "partly.h"

/* --- where it lies --- */

Test(parts, where_a_stored_part_lies)
{
    static const struct {
        const char *lines;
        bool is_one;
        uint64_t first, last;
        int64_t total;
    } rows[] = {
        { "Content-Range: bytes 0-4/10\r\n", true, 0, 4, 10 },
        { "X: y\r\ncontent-range:  bytes 3-9/10 \r\nY: z\r\n", true, 3, 9, 10 },
        { "Content-Range: bytes 0-18446744073709551614/18446744073709551615\r\n", false, 0, 0, 0 },
        { "Content-Range: bytes 0-4/*\r\n", false, 0, 0, 0 },
        { "Content-Range: bytes */10\r\n", false, 0, 0, 0 },
        { "Content-Range: bytes 4-3/10\r\n", false, 0, 0, 0 },
        { "Content-Range: bytes 0-10/10\r\n", false, 0, 0, 0 },
        { "Content-Range: lines 0-4/10\r\n", false, 0, 0, 0 },
        { "Content-Range:\r\n", false, 0, 0, 0 },
        { "X-Content-Range: bytes 0-4/10\r\n", false, 0, 0, 0 },
        { "", false, 0, 0, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char head[200];
        struct content_range place_of_it = { 0 };
        int len = snprintf(head, sizeof head, "HTTP/1.1 206 Part\r\n%s", rows[i].lines);
        struct object_meta meta = { .is_partial = true, .head = str_n(head, (size_t)len) };
        cr_expect_eq(part_place(&meta, &place_of_it), rows[i].is_one, "row %zu", i);
        if (rows[i].is_one) {
            cr_expect_eq(place_of_it.first, rows[i].first, "row %zu", i);
            cr_expect_eq(place_of_it.last, rows[i].last, "row %zu", i);
            cr_expect_eq(place_of_it.total, rows[i].total, "row %zu", i);
        }
        meta.is_partial = false;
        cr_expect_not(part_place(&meta, &place_of_it), "row %zu: a whole lies nowhere", i);
    }
}

Test(parts, which_replies_are_one_usable_part)
{
    static const struct {
        const char *reply;
        bool want;
    } rows[] = {
        { "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n", true },
        { "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/10\r\nTransfer-Encoding: chunked\r\n\r\n", true },
        { "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 4\r\n\r\n", false },
        { "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 0\r\n\r\n", false },
        { "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/*\r\nContent-Length: 3\r\n\r\n", false },
        { "HTTP/1.1 206 P\r\nContent-Length: 3\r\n\r\n", false },
        { "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/10\r\nContent-Range: bytes 2-4/10\r\nContent-Length: "
          "3\r\n\r\n",
          false },
        { "HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 3\r\n\r\n",
          false },
        { "HTTP/1.1 200 OK\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n", false },
        { "HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n", false },
    };
    static const struct head_limits limits = { 65536, 65536, FIELDS_MAX };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct message reply;
        struct content_range range;
        cr_assert_eq(message_read_reply(&reply, str_of(rows[i].reply), METHOD_GET, &limits), 0);
        cr_expect_eq(part_is_usable(&reply, &range), rows[i].want, "row %zu", i);
    }
}

/* --- what is known of them --- */

Test(parts, a_range_inside_of_a_stored_part_is_answered_from_it)
{
    static const struct {
        const char *range;
        const char *want; /* NULL: not known */
    } rows[] = {
        { "2-5", "2345" }, { "2-2", "2" },      { "5-5", "5" },  { "3-4", "34" },
        { "1-5", NULL },   { "2-6", NULL },     { "2-", NULL },  { "-4", NULL },
        { "0-0", NULL },   { "2-3,5-5", NULL }, { "10-", NULL },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        fetch_part(STRONG, 2, 5, 10, 0);
        expect_known(rows[i].range, rows[i].want, i);
        if (rows[i].want) {
            char range[40];
            snprintf(range, sizeof range, "bytes %.3s/10", rows[i].range);
            cr_expect_eq(guest_status(&guest), 206);
            expect_reply("Content-Range", range);
        }
        tear_down();
    }
    set_up(APP); /* its end is known by counting from the whole's */
    fetch_part(STRONG, 6, 9, 10, 0);
    expect_known("-3", "789", 0);
    expect_known("7-", "789", 0);
    expect_known("-5", NULL, 0);
    tear_down();
}

Test(parts, a_part_is_for_who_selects_it)
{
    static const struct {
        const char *lines;
        bool is_known;
    } rows[] = {
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3", true },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3\nIf-Range: \"e\"", true },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3\nIf-Range: \"other\"", false },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3\nIf-Range: W/\"e\"", false },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3\nCache-Control: no-cache", false },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3\nCache-Control: no-store", false },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3\nAuthorization: x", false },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-3\nIf-Match: \"e\"", false },
        { "GET /x HTTP/1.1\nHost: b\nRange: bytes=2-3", false },
        { "GET /x?y HTTP/1.1\nHost: a\nRange: bytes=2-3", false },
        { "GET /x HTTP/1.1\nHost: a\nX-Tenant: other\nRange: bytes=2-3", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default}\n");
        fetch_part(STRONG, 2, 5, 10, 0);
        guest_ask(&guest, rows[i].lines);
        const char *got = known();
        cr_expect_eq(got != NULL, rows[i].is_known, "row %zu", i);
        tear_down();
    }
}

Test(parts, what_may_be_kept_as_a_part)
{
    static const struct {
        const char *fields;
        bool is_kept;
    } rows[] = {
        { STRONG, true },
        { "Last-Modified: " DATE "\r\n", true },
        { "ETag: W/\"e\"\r\nLast-Modified: " DATE "\r\n", true },
        { "ETag: W/\"e\"\r\n", false }, /* nothing to tell it apart by (RFC 9111 3.4) */
        { "", false },
        { STRONG "Cache-Control: no-store\r\n", false },
        { STRONG "Cache-Control: private\r\n", false },
        { STRONG "Set-Cookie: s=1\r\n", false },
        { STRONG "Vary: *\r\n", false },
        { STRONG "Content-Type: multipart/byteranges; boundary=x\r\n", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        fetch_part(rows[i].fields, 2, 5, 10, 0);
        expect_known("2-5", rows[i].is_kept ? "2345" : NULL, i);
        tear_down();
    }
}

/* --- putting together --- */

Test(parts, what_fits_together)
{
    static const char modified[] = "Last-Modified: " DATE "\r\n";
    static const char young[] =
        "Date: Thu, 01 Jan 2026 00:00:30 GMT\r\nLast-Modified: Thu, 01 Jan 2026 00:00:30 GMT\r\n";
    static const struct {
        const char *a_fields;
        unsigned a_first, a_last, a_total;
        const char *b_fields;
        unsigned b_first, b_last, b_total;
        bool want;
    } rows[] = {
        { STRONG, 0, 3, 10, STRONG, 4, 6, 10, true },
        { STRONG, 0, 3, 10, STRONG, 2, 6, 10, true },
        { STRONG, 4, 6, 10, STRONG, 0, 3, 10, true },
        { STRONG, 4, 6, 10, STRONG, 3, 8, 10, true },
        { STRONG, 0, 3, 10, STRONG, 5, 6, 10, false }, /* a hole */
        { STRONG, 5, 6, 10, STRONG, 0, 3, 10, false },
        { STRONG, 0, 3, 10, STRONG, 4, 6, 11, false },
        { STRONG, 0, 3, 10, "ETag: \"f\"\r\n", 4, 6, 10, false },
        { STRONG, 0, 3, 10, "ETag: W/\"e\"\r\nLast-Modified: " DATE "\r\n", 4, 6, 10, false },
        { "ETag: W/\"e\"\r\nLast-Modified: " DATE "\r\n", 0, 3, 10, STRONG, 4, 6, 10, false },
        { modified, 0, 3, 10, modified, 4, 6, 10, true },
        { modified, 0, 3, 10, "Last-Modified: Thu, 01 Jan 2026 00:00:01 GMT\r\n", 4, 6, 10, false },
        { STRONG, 0, 3, 10, modified, 4, 6, 10, false },
        { modified, 0, 3, 10, STRONG, 4, 6, 10, false },
        { young, 0, 3, 10, young, 4, 6, 10,
          false }, /* RFC 9110 8.8.2.2: too young to be trusted to the byte */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char all[40], one[40];
        unsigned low = rows[i].a_first < rows[i].b_first ? rows[i].a_first : rows[i].b_first;
        unsigned high = rows[i].a_last > rows[i].b_last ? rows[i].a_last : rows[i].b_last;
        snprintf(all, sizeof all, "%u-%u", low, high);
        snprintf(one, sizeof one, "%u-%u", rows[i].b_first, rows[i].b_last);
        bool is_young = rows[i].a_fields == young;
        set_up(APP);
        fetch_part(rows[i].a_fields, rows[i].a_first, rows[i].a_last, rows[i].a_total, 0);
        fetch_part(rows[i].b_fields, rows[i].b_first, rows[i].b_last, rows[i].b_total, 0);
        const char *got = known_part(all);
        cr_expect_eq(got != NULL, rows[i].want, "row %zu", i);
        if (got)
            cr_expect(strlen(got) == high - low + 1 && got[0] == (char)('0' + low), "row %zu: %s", i, got);
        if (!rows[i].want && !is_young)
            cr_expect(known_part(one) != NULL, "row %zu: the newer one alone is kept", i);
        tear_down();
    }
}

Test(parts, where_both_have_bytes_the_newer_ones_count)
{
    static const struct {
        unsigned first, last;
        const char *want;
    } rows[] = { { 4, 7, "aabbbb" }, { 1, 3, "bbbaa" }, { 3, 4, "abba" } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char range[40];
        unsigned low = rows[i].first < 2 ? rows[i].first : 2, high = rows[i].last > 5 ? rows[i].last : 5;
        set_up(APP);
        fetch_part(STRONG, 2, 5, 20, 'a');
        ask_range("0-19"); /* the app may send another part than it was asked for */
        app_head(&place.apps[0]);
        send_part(STRONG, rows[i].first, rows[i].last, 20, 'b');
        guest_until_done(&guest);
        snprintf(range, sizeof range, "%u-%u", low, high);
        expect_known(range, rows[i].want, i);
        tear_down();
    }
}

Test(parts, copying_stays_in_proportion_to_what_comes)
{
    static const struct {
        unsigned new_bytes;
        bool want;
    } rows[] = { { 1, false }, { 11, false }, { 12, true }, { 100, true } }; /* beside 96: an eighth of it */
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        fetch_part(STRONG, 0, 95, 1000, 0);
        fetch_part(STRONG, 96, 95 + rows[i].new_bytes, 1000, 0);
        const char *got = known_part("90-96");
        cr_expect_eq(got != NULL, rows[i].want, "row %zu", i);
        tear_down();
    }
}

Test(parts, many_small_parts_become_the_whole)
{
    static const unsigned ends[] = { 2, 5, 9 };
    set_up(APP);
    for (unsigned i = 0, first = 0; i < COUNT_OF(ends); first = ends[i++] + 1)
        fetch_part(STRONG, first, ends[i], 10, 0);
    meet("GET /x HTTP/1.1\nHost: a", NULL);
    cr_expect_eq(guest_status(&guest), 200);
    cr_expect(guest_has_body(&guest, TEN));
    expect_no_reply("Content-Range");
    expect_reply("ETag", "\"e\"");
    expect_cache("weir; hit; ttl=");
    expect_known("3-4,7-7", TEN, 0); /* several ranges are answered with the whole */
    expect_known("3-4", "34", 0);
    tear_down();
}

Test(parts, a_part_that_is_all_of_it_is_the_whole)
{
    set_up(APP);
    ask_range("0-99");
    app_head(&place.apps[0]);
    send_part(STRONG, 0, 9, 10, 0);
    guest_until_done(&guest);
    meet("GET /x HTTP/1.1\nHost: a", NULL);
    cr_expect_eq(guest_status(&guest), 200);
    cr_expect(guest_has_body(&guest, TEN));
    tear_down();
}

Test(parts, a_part_that_breaks_off_is_not_kept)
{
    set_up(APP);
    ask_range("2-5");
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 206 P\r\nCache-Control: max-age=60\r\nContent-Range: bytes 2-5/10\r\n"
                             "Content-Length: 4\r\n" STRONG "\r\n23");
    UNTIL(&place, guest.begins == 1);
    app_close(&place.apps[0]);
    guest_until_done(&guest);
    cr_expect_neq(guest.cut, 0);
    expect_known("2-3", NULL, 0);
    tear_down();
}

Test(parts, what_was_purged_meanwhile_is_not_brought_back)
{
    set_up(APP);
    fetch_part(STRONG, 0, 4, 10, 0);
    ask_range("5-9");
    app_head(&place.apps[0]);
    const struct cache_purge all = { .kind = PURGE_ALL };
    cache_purge(place.city.cache, &all, loop_tick_ns(place.lane->loop), now_ms());
    send_part(STRONG, 5, 9, 10, 0);
    guest_until_done(&guest);
    guest_ask(&guest, "GET /x HTTP/1.1\nHost: a");
    cr_expect_null(known());
    expect_known("0-1", NULL, 0);
    tear_down();
}
