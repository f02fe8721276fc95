/* Parts that become the whole: its beginning is stored, and the app is asked for the rest. */
#include "pipeline/parts.h"

#include "partly.h"

#define REST "HTTP/1.1 206 P\r\nCache-Control: max-age=60\r\n" STRONG

/* The whole is asked for, of which 0 to 3 are stored. Returns the head the app got. */
static const char *ask_whole(void)
{
    fetch_part(STRONG, 0, 3, 10, 0);
    guest_ask(&guest, "GET /x HTTP/1.1\nHost: a");
    return app_head(&place.apps[0]);
}

Test(parts_whole, a_stored_beginning_is_completed)
{
    set_up(APP);
    const char *head = ask_whole();
    cr_expect_str_eq(head_field(head, "Range:"), "bytes=4-");
    cr_expect_str_eq(head_field(head, "If-Range:"), "\"e\"");
    send_part(STRONG, 4, 9, 10, 0);
    guest_until_done(&guest);
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_eq(guest_status(&guest), 200);
        cr_expect_eq(guest.length, 10);
        cr_expect(guest_has_body(&guest, TEN));
        expect_no_reply("Content-Range");
        expect_reply("ETag", "\"e\"");
        if (i == 0)
            cr_expect_not_null(strstr(cache_status(), "fwd=partial"));
        else
            expect_cache("weir; hit; ttl=");
        if (i == 0)
            meet("GET /x HTTP/1.1\nHost: a", NULL);
    }
    tear_down();
}

Test(parts_whole, an_app_that_sends_the_whole_instead_is_believed)
{
    set_up(APP);
    ask_whole();
    app_send(&place.apps[0],
             "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"f\"\r\nContent-Length: 3\r\n\r\nnew");
    guest_until_done(&guest);
    cr_expect(guest_has_body(&guest, "new"));
    meet("GET /x HTTP/1.1\nHost: a", NULL);
    cr_expect(guest_has_body(&guest, "new"));
    tear_down();
}

Test(parts_whole, what_does_not_complete_it_is_not_used_and_the_whole_is_asked_for)
{
    static const char *const replies[] = {
        REST "Content-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789",
        REST "Content-Range: bytes 3-9/10\r\nContent-Length: 7\r\n\r\n3456789",
        REST "Content-Range: bytes 4-8/10\r\nContent-Length: 5\r\n\r\n45678",
        REST "Content-Range: bytes 4-9/11\r\nContent-Length: 6\r\n\r\n456789",
        REST "Content-Range: bytes 4-9/*\r\nContent-Length: 6\r\n\r\n456789",
        REST "Content-Length: 6\r\n\r\n456789",
        "HTTP/1.1 206 P\r\nCache-Control: max-age=60\r\nETag: \"f\"\r\nContent-Range: bytes 4-9/10\r\n"
        "Content-Length: 6\r\n\r\n456789",
        "HTTP/1.1 206 P\r\nCache-Control: max-age=60\r\nETag: W/\"e\"\r\nContent-Range: bytes 4-9/10\r\n"
        "Content-Length: 6\r\n\r\n456789",
        "HTTP/1.1 206 P\r\nCache-Control: max-age=60\r\nContent-Range: bytes 4-9/10\r\nContent-Length: "
        "6\r\n\r\n456789",
        "HTTP/1.1 206 P\r\nCache-Control: no-store\r\n" STRONG "Content-Range: bytes 4-9/10\r\n"
        "Content-Length: 6\r\n\r\n456789",
        "HTTP/1.1 416 No\r\nContent-Range: bytes */4\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not\r\n" STRONG "\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        set_up(APP);
        ask_whole();
        app_send(&place.apps[0], replies[i]);
        const char *head = app_head(&place.apps[0]);
        cr_expect_null(head_field(head, "Range:"), "reply %zu", i);
        cr_expect_null(head_field(head, "If-Range:"), "reply %zu", i);
        app_send(&place.apps[0], KEEP);
        guest_until_done(&guest);
        cr_expect_eq(guest_status(&guest), 200, "reply %zu", i);
        cr_expect(guest_has_body(&guest, TEN), "reply %zu", i);
        tear_down();
    }
}

Test(parts_whole, a_rest_that_breaks_off_makes_no_whole)
{
    set_up(APP);
    ask_whole();
    app_send(&place.apps[0], REST "Content-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n45");
    UNTIL(&place, guest.begins == 1);
    app_close(&place.apps[0]);
    guest_until_done(&guest);
    cr_expect_neq(guest.cut, 0);
    cr_expect_eq(guest.lasts, 0);
    const char *head = guest_meets(&guest, "GET /x HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    cr_expect_str_eq(head_field(head, "Range:"), "bytes=4-", "the beginning is still good");
    cr_expect(guest_has_body(&guest, TEN));
    tear_down();
}

Test(parts_whole, only_a_fresh_beginning_with_a_strong_etag_is_completed)
{
    static const struct {
        const char *fields;
        unsigned first;
    } rows[] = {
        { STRONG, 1 },
        { "ETag: W/\"e\"\r\nLast-Modified: " DATE "\r\n", 0 },
        { "Last-Modified: " DATE "\r\n", 0 },
        { STRONG "Age: 60\r\n", 0 },
        { STRONG "Cache-Control: no-cache\r\n", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        fetch_part(rows[i].fields, rows[i].first, 3, 10, 0);
        const char *head = guest_meets(&guest, "GET /x HTTP/1.1\nHost: a", &place.apps[0], KEEP);
        cr_expect_null(head_field(head, "Range:"), "row %zu", i);
        cr_expect_eq(guest_status(&guest), 200);
        tear_down();
    }
}

Test(parts_whole, the_heads_of_the_whole)
{
    static const struct str head =
        STR_INIT("HTTP/1.1 206 Part\r\nX: y\r\ncontent-range: bytes 4-9/10\r\nETag: \"e\"\r\n");
    char text[200];
    struct writer w;
    writer_init(&w, text, sizeof text);
    cr_assert(part_whole_head(&w, head));
    cr_expect(str_eq(writer_str(&w), STR("HTTP/1.1 200 OK\r\nX: y\r\nETag: \"e\"\r\n")), "%.*s",
              STR_FMT(writer_str(&w)));
    for (size_t n = 0; n < w.len; n++) {
        struct writer narrow;
        writer_init(&narrow, text, n);
        cr_expect_not(part_whole_head(&narrow, head), "%zu bytes", n);
    }
}
