/* Replies that are stored: read as they grow, found again, renewed. */
#include "pipeline/answer.h"

#include "told.h"

Test(answer_stored, a_miss_then_a_hit)
{
    set_up(APP);
    meet("GET /x HTTP/1.1\nHost: a", KEEP);
    expect_cache("weir; fwd=uri-miss; stored; ttl=");
    expect_no_reply("Age");
    cr_expect_eq(guest.length, 10);
    meet("GET /x HTTP/1.1\nHost: a", NULL);
    expect_cache("weir; hit; ttl=");
    expect_reply("Age", "0");
    expect_reply("X-One", "1");
    cr_expect_eq(guest_fields(&guest, "Date"), 1);
    cr_expect_eq(guest.length, 10);
    cr_expect(guest_has_body(&guest, TEN));
    meet("HEAD /x HTTP/1.1\nHost: a", NULL);
    cr_expect_eq(guest.length, 10);
    cr_expect(guest_has_body(&guest, ""));
    cr_expect_eq(guest.lasts, 1);
    tear_down();
}

Test(answer_stored, an_age_it_came_with_goes_on)
{
    set_up(APP);
    meet("GET /x HTTP/1.1\nHost: a",
         "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nAge: 20\r\nContent-Length: 0\r\n\r\n");
    expect_reply("Age", "20");
    expect_cache("weir; fwd=uri-miss; stored; ttl=");
    meet("GET /x HTTP/1.1\nHost: a", NULL);
    expect_reply("Age", "20");
    cr_expect_eq(guest_fields(&guest, "Age"), 1);
    expect_cache("weir; hit; ttl=");
    cr_expect(ttl() == 40 || ttl() == 39, "%lld", (long long)ttl());
    tear_down();
}

Test(answer_stored, cache_status_says_why)
{
    static const char plain[] = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n";
    static const char vary[] =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n";
    static const struct {
        const char *lines;
        const char *reply;
        const char *want;
    } rows[] = {
        { "GET /a HTTP/1.1\nHost: a", plain, "weir; fwd=uri-miss" },
        { "GET /a HTTP/1.1\nHost: a", plain, "weir; fwd=uri-miss; detail=uncacheable" },
        { "POST /b HTTP/1.1\nHost: a", plain, "weir; fwd=method" },
        { "GET /c HTTP/1.1\nHost: a\nContent-Length: 0", plain, "weir; fwd=uri-miss" },
        { "GET /d HTTP/1.1\nHost: a\nAccept: x", vary, "weir; fwd=uri-miss; stored; ttl=" },
        { "GET /d HTTP/1.1\nHost: a\nAccept: y", vary, "weir; fwd=vary-miss; stored; ttl=" },
        { "GET /d HTTP/1.1\nHost: a\nAccept: x", NULL, "weir; hit; ttl=" },
        { "GET /d HTTP/1.1\nHost: a\nAccept: x\nCache-Control: no-cache", vary,
          "weir; fwd=request; stored; ttl=" },
        { "GET /e HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: x", plain, "weir; fwd=bypass" },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meet(rows[i].lines, rows[i].reply);
        cr_expect_str_eq(cache_status(), rows[i].want, "row %zu: %s", i, cache_status());
    }
    tear_down();

    set_up(APP "cache: {memory: 0}\n");
    meet("GET /a HTTP/1.1\nHost: a", KEEP);
    expect_no_reply("Cache-Status");
    tear_down();
}

Test(answer_stored, conditions_are_answered_from_what_is_stored)
{
    static const struct {
        const char *line;
        int status;
    } rows[] = {
        { "If-None-Match: \"e\"", 304 },
        { "If-None-Match: W/\"e\"", 304 },
        { "If-None-Match: \"x\", \"e\"", 304 },
        { "If-None-Match: *", 304 },
        { "If-None-Match: \"x\"", 200 },
        { "If-Modified-Since: " DATE, 304 },
        { "If-Modified-Since: Wed, 31 Dec 2025 23:59:59 GMT", 200 },
        { "If-None-Match: \"x\"\nIf-Modified-Since: " DATE, 200 },
    };
    set_up(APP);
    meet("GET /x HTTP/1.1\nHost: a", KEEP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[256];
        snprintf(lines, sizeof lines, "GET /x HTTP/1.1\nHost: a\n%s", rows[i].line);
        meet(lines, NULL);
        cr_expect_eq(guest_status(&guest), rows[i].status, "row %zu: %d", i, guest_status(&guest));
        expect_reply("ETag", "\"e\"");
        expect_reply("Cache-Control", "max-age=60");
        cr_expect_eq(guest_fields(&guest, "Date"), 1);
        cr_expect_eq(guest.lasts, 1);
        if (rows[i].status != 304)
            continue;
        cr_expect_eq(guest.length, -2, "row %zu", i);
        cr_expect_eq(buf_len(&guest.body), 0);
        expect_no_reply("Content-Type");
        expect_no_reply("X-One");
    }
    tear_down();
}

Test(answer_stored, conditions_hold_for_what_was_just_fetched)
{
    set_up(APP);
    meet("GET /1 HTTP/1.1\nHost: a\nIf-None-Match: \"e\"", KEEP);
    cr_expect_eq(guest_status(&guest), 304);
    meet("GET /1 HTTP/1.1\nHost: a", NULL);
    cr_expect_eq(guest_status(&guest), 200, "it was stored all the same");
    cr_expect(guest_has_body(&guest, TEN));
    tear_down();
}

Test(answer_stored, ranges_of_what_is_stored)
{
    static const struct {
        const char *lines;
        int status;
        const char *body;
        const char *range; /* NULL: none */
    } rows[] = {
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=2-4", 206, "234", "bytes 2-4/10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=0-0", 206, "0", "bytes 0-0/10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=7-", 206, "789", "bytes 7-9/10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=-2", 206, "89", "bytes 8-9/10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=8-99", 206, "89", "bytes 8-9/10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=10-", 416, "", "bytes */10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=0-1,4-5", 200, TEN, NULL },
        { "GET /x HTTP/1.1\nHost: a\nRange: lines=0-1", 200, TEN, NULL },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=1-2\nIf-Range: \"e\"", 206, "12", "bytes 1-2/10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=1-2\nIf-Range: \"x\"", 200, TEN, NULL },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=1-2\nIf-Range: " DATE, 206, "12", "bytes 1-2/10" },
        { "GET /x HTTP/1.1\nHost: a\nRange: bytes=1-2\nIf-None-Match: \"e\"", 304, "", NULL },
        { "HEAD /x HTTP/1.1\nHost: a\nRange: bytes=1-2", 200, "", NULL },
    };
    set_up(APP);
    meet("GET /x HTTP/1.1\nHost: a", KEEP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meet(rows[i].lines, NULL);
        cr_expect_eq(guest_status(&guest), rows[i].status, "row %zu: %d", i, guest_status(&guest));
        cr_expect(guest_has_body(&guest, rows[i].body), "row %zu: %.*s", i, STR_FMT(buf_str(&guest.body)));
        const char *range = guest_field(&guest, "Content-Range");
        cr_expect(rows[i].range ? range && strcmp(range, rows[i].range) == 0 : !range, "row %zu: %s", i,
                  range);
        if (rows[i].status == 206 || rows[i].status == 416)
            cr_expect_eq(guest.length, (int64_t)strlen(rows[i].body), "row %zu", i);
        cr_expect_eq(guest.lasts, 1, "row %zu", i);
    }
    tear_down();
}

/* Byte i of the large bodies. */
static char byte_at(size_t i)
{
    return (char)('a' + (i * 7 + i / 251) % 26);
}

Test(answer_stored, large_bodies_come_whole_and_in_order_however_slowly_they_are_read)
{
    static const size_t steps[] = { 1, 1000, 65536, 70000, SIZE_MAX };
    const size_t size = 300000;
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++)
        text[i] = byte_at(i);
    set_up(APP);
    guest_ask(&guest, "GET /x HTTP/1.1\nHost: a");
    app_head(&place.apps[0]);
    app_send(&place.apps[0],
             "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 300000\r\n\r\n");
    app_send_n(&place.apps[0], text, size);
    guest_until_done(&guest);
    cr_assert(str_eq(buf_str(&guest.body), str_n(text, size)));

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        size_t first = i == 0 ? size - 50 : 65000;
        char lines[128];
        snprintf(lines, sizeof lines, "GET /x HTTP/1.1\nHost: a\nRange: bytes=%zu-", first);
        guest.room = 0;
        guest_ask(&guest, lines);
        while (guest.req)
            guest_read(&guest, steps[i]);
        guest.room = SIZE_MAX;
        cr_assert_eq(guest_status(&guest), 206);
        cr_expect(str_eq(buf_str(&guest.body), str_n(text + first, size - first)), "step %zu", steps[i]);
        cr_expect_eq(guest.lasts, 1);
    }
    free(text);
    tear_down();
}

Test(answer_stored, a_growing_reply_is_read_by_all_who_asked_for_it)
{
    struct guest second;
    set_up(APP);
    guest_init(&second, &place);
    guest_ask(&guest, "GET /x HTTP/1.1\nHost: a");
    app_head(&place.apps[0]);
    guest_ask(&second, "GET /x HTTP/1.1\nHost: a");
    second.room = 0;
    app_send(
        &place.apps[0],
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    UNTIL(&place, buf_len(&guest.body) == 3 && second.begins == 1);
    cr_expect_eq(guest.length, -1);
    cr_expect_eq(guest.lasts, 0);
    app_send(&place.apps[0], "3\r\ndef\r\n");
    UNTIL(&place, buf_len(&guest.body) == 6);
    guest_read(&second, 4);
    cr_expect(guest_has_body(&second, "abcd"));
    app_send(&place.apps[0], "0\r\n\r\n");
    guest_until_done(&guest);
    guest_read(&second, 10);
    guest_until_done(&second);
    cr_expect(guest_has_body(&guest, "abcdef"));
    cr_expect(guest_has_body(&second, "abcdef"));
    cr_expect_eq(second.lasts, 1);
    cr_expect_not_null(strstr(guest_field(&second, "Cache-Status"), "; collapsed"));
    guest_fini(&second);
    tear_down();
}

Test(answer_stored, a_reply_that_breaks_off_is_cut_for_all_and_not_kept)
{
    struct guest second;
    set_up(APP);
    guest_init(&second, &place);
    guest_ask(&guest, "GET /x HTTP/1.1\nHost: a");
    app_head(&place.apps[0]);
    guest_ask(&second, "GET /x HTTP/1.1\nHost: a");
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nabc");
    UNTIL(&place, buf_len(&guest.body) == 3 && buf_len(&second.body) == 3);
    app_close(&place.apps[0]);
    guest_until_done(&guest);
    guest_until_done(&second);
    cr_expect_eq(guest.cut, ERR_UPSTREAM_CUT);
    cr_expect_eq(second.cut, ERR_UPSTREAM_CUT);
    cr_expect_eq(guest.lasts + second.lasts, 0, "never told as whole");
    meet("GET /x HTTP/1.1\nHost: a", KEEP);
    expect_cache("weir; fwd=uri-miss; stored; ttl=");
    guest_fini(&second);
    tear_down();
}

/* --- after a 304 --- */

Test(answer_stored, a_304_renews_the_fields_but_not_the_body)
{
    set_up(APP);
    meet("GET /x HTTP/1.1\nHost: a",
         "HTTP/1.1 200 OK\r\nDate: " DATE
         "\r\nCache-Control: max-age=1\r\nETag: \"e\"\r\nContent-Type: text/plain\r\n"
         "X-A: 1\r\nX-A: 2\r\nX-B: 1\r\nContent-Length: 10\r\n\r\n" TEN);
    const char *head = guest_meets(
        &guest, "GET /x HTTP/1.1\nHost: a", &place.apps[0],
        "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nX-A: 3\r\nX-C: 4\r\nContent-Type: x/y\r\n"
        "Content-Length: 99\r\nSet-Cookie: s=1\r\nWeir-Position: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n");
    cr_assert_not_null(strstr(head, "If-None-Match: \"e\""));
    for (unsigned i = 0; i < 2; i++) { /* the renewed reply, then a hit on it */
        cr_expect_eq(guest_status(&guest), 200);
        cr_expect_eq(guest_fields(&guest, "X-A"), 1);
        expect_reply("X-A", "3");
        expect_reply("X-B", "1");
        expect_reply("X-C", "4");
        expect_reply("Content-Type", "text/plain");
        expect_reply("Cache-Control", "max-age=60");
        expect_no_reply("Set-Cookie");
        expect_no_reply("X-Hop");
        cr_expect_eq(guest_fields(&guest, "Date"), 1);
        cr_expect_eq(guest.length, 10);
        cr_expect(guest_has_body(&guest, TEN));
        expect_cache(i == 0 ? "weir; fwd=stale; fwd-status=304; stored; ttl=" : "weir; hit; ttl=");
        meet("GET /x HTTP/1.1\nHost: a", NULL);
    }
    tear_down();
}

Test(answer_stored, a_304_that_may_not_be_stored_is_used_once)
{
    set_up(APP);
    meet("GET /x HTTP/1.1\nHost: a",
         "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"e\"\r\nContent-Length: 10\r\n\r\n" TEN);
    meet("GET /x HTTP/1.1\nHost: a", "HTTP/1.1 304 Not Modified\r\nCache-Control: no-store\r\n\r\n");
    cr_expect_eq(guest_status(&guest), 200);
    cr_expect(guest_has_body(&guest, TEN));
    const char *head = guest_meets(&guest, "GET /x HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    cr_expect_null(strstr(head, "If-None-Match"), "it is gone");
    tear_down();
}
