/* A reply becomes a stored answer: whether, what of it, with which age and rights. */
#include "pipeline/keep.h"

#include "cache/witness.h"
#include "kept.h"

/* --- whether --- */

Test(keep, what_is_kept_and_whether_its_key_is_remembered_if_not)
{
    static const struct {
        const char *lines;
        const char *reply;
        bool is_kept;
        bool is_remembered; /* as not worth waiting for */
    } rows[] = {
        { GET_X, OK("Cache-Control: max-age=9\r\n"), true, false },
        { GET_X, OK("Cache-Control: no-store\r\n"), false, true },
        { GET_X, OK("Cache-Control: no-store, max-age=9\r\n"), false, true },
        { GET_X, OK("Cache-Control: no-store, must-understand, max-age=9\r\n"), true, false },
        { GET_X, OK("Cache-Control: no-store\r\nCDN-Cache-Control: max-age=9\r\n"), true, false },
        { GET_X, OK("Cache-Control: no-store\r\nWeir-Cache-Control: max-age=9\r\n"), true, false },
        { GET_X, OK("Cache-Control: max-age=9\r\nWeir-Cache-Control: no-store\r\n"), false, true },
        { GET_X, OK("Cache-Control: private, max-age=9\r\n"), false, true },
        { GET_X, OK("Cache-Control: max-age=9\r\nSet-Cookie: s=1\r\n"), false, true },
        { GET_X, OK("Cache-Control: max-age=9\r\nVary: *\r\n"), false, true },
        { GET_X, OK(""), false, true },
        { GET_X, OK("Cache-Control: max-age=0\r\n"), false, true },
        { GET_X, OK("Cache-Control: max-age=0\r\nETag: \"e\"\r\n"), true, false },
        { GET_X, OK("Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n"), true, false },
        /* A guess is not for who shows a cookie; that says nothing of the key. */
        { GET_X "\nCookie: a=1", OK("Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n"), false, false },
        { GET_X "\nCookie: a=1", OK(""), false, true },
        { GET_X "\nCookie: a=1", OK("Cache-Control: max-age=9\r\n"), true, false },
        { GET_X "\nAuthorization: a", OK("Cache-Control: max-age=9\r\n"), false, false },
        { GET_X "\nAuthorization: a", OK("Cache-Control: public, max-age=9\r\n"), true, false },
        { GET_X "\nCache-Control: no-store", OK("Cache-Control: max-age=9\r\n"), false, false },
        { GET_X "\nIf-Match: \"e\"", OK("Cache-Control: max-age=9\r\n"), false, false },
        { GET_X "\nRange: bytes=0-1", OK("Cache-Control: max-age=9\r\n"), true, false },
        { GET_X "\nRange: bytes=0-1", OK("Cache-Control: no-store\r\n"), false, false },
        { "GET /x HTTP/1.1\nHost: A", OK("Cache-Control: max-age=9\r\n"), true, false },
        { "GET /x HTTP/1.1\nHost: a:80", OK("Cache-Control: max-age=9\r\n"), false,
          false }, /* it may echo that */
        { "POST /x HTTP/1.1\nHost: a", OK("Cache-Control: max-age=9\r\n"), false, false },
        { GET_X "\nContent-Length: 0", OK("Cache-Control: max-age=9\r\n"), true, false },
        { GET_X, "HTTP/1.1 404 No\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\n\r\n", true, false },
        { GET_X, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false, true },
        { GET_X, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false, true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        meet(rows[i].lines, rows[i].reply);
        cr_expect_eq(finds(GET_X), rows[i].is_kept, "row %zu", i);
        cr_expect_eq(found.is_uncacheable, rows[i].is_remembered, "row %zu: %d", i, guest_status(&guest));
        let_go();
        tear_down();
    }
}

Test(keep, a_ttl_is_for_those_it_is_for)
{
    static const struct {
        const char *yaml;
        const char *fields;
        bool is_kept;
    } rows[] = {
        { ROUTES("ttl: 60s"), "", true },
        { ROUTES("ttl: 60s"), "\nCookie: a=1", false },
        { ROUTES("ttl: 60s, cookies: [sid]"), "\nCookie: a=1", true },
        { ROUTES("ttl: 60s, cookies: [sid]"), "\nCookie: a=1; sid=2", false },
        { ROUTES("ttl: 60s, share: credential"), "\nCookie: a=1", true },
        { ROUTES("ttl: 60s, share: tenant"), "\nCookie: a=1", false }, /* nothing verified it */
        { ROUTES("ttl: 60s"), "\nAuthorization: x", false },
        { ROUTES("ttl: 60s, share: credential"), "\nAuthorization: x", true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[200];
        set_up(rows[i].yaml);
        snprintf(lines, sizeof lines, GET_X "%s", rows[i].fields);
        meet(lines, OK(""));
        cr_expect_eq(is_kept(lines), rows[i].is_kept, "row %zu", i);
        cr_expect(!rows[i].fields[0] || strstr(rows[i].yaml, "cookies") || !is_kept(GET_X),
                  "row %zu: not for somebody else", i);
        tear_down();
    }
}

Test(keep, what_is_too_large_or_selected_by_too_much_is_not_kept)
{
    static char lines[5000], reply[9000];
    set_up(APP "cache: {object_max: 64KiB}\n");
    static char body[70000];
    guest_ask(&guest, GET_X);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 70000\r\n\r\n");
    memset(body, 'x', sizeof body);
    app_send_n(&place.apps[0], body, sizeof body);
    guest_until_done(&guest);
    cr_expect_eq(buf_len(&guest.body), sizeof body);
    cr_expect_not(is_kept(GET_X), "its length said so");
    tear_down();

    set_up(APP "cache: {object_max: 64KiB}\n");
    guest_ask(&guest, GET_X);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.0 200 OK\r\nCache-Control: max-age=9\r\n\r\n");
    app_send_n(&place.apps[0], body, sizeof body);
    place_turn(&place, 3);
    app_close(&place.apps[0]);
    guest_until_done(&guest);
    cr_expect_eq(buf_len(&guest.body), sizeof body);
    cr_expect_not(is_kept(GET_X), "it grew over it");
    tear_down();

    set_up(APP);
    size_t len =
        (size_t)sprintf(reply, "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\nVary: ");
    for (unsigned i = 0; i < 90; i++) /* 720 bytes of names */
        len += (size_t)sprintf(reply + len, "%sfield%02u", i ? "," : "", i);
    sprintf(reply + len, "\r\n\r\n");
    meet(GET_X, reply);
    cr_expect_not(is_kept(GET_X));
    len = (size_t)sprintf(lines, "GET /y HTTP/1.1\nHost: a\nAccept-X: ");
    memset(lines + len, 'v', sizeof lines - 1 - len); /* a long value selects it */
    meet(lines, OK("Cache-Control: max-age=9\r\nVary: Accept-X\r\n"));
    cr_expect_not(is_kept(lines));
    tear_down();
}

Test(keep, what_could_not_be_purged_is_not_kept)
{
    char reply[2000];
    for (unsigned count = 64; count <= 65; count++) {
        size_t len = (size_t)sprintf(
            reply, "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\nCache-Tag: ");
        for (unsigned i = 0; i < count; i++)
            len += (size_t)sprintf(reply + len, "%st%u", i ? "," : "", i);
        sprintf(reply + len, "\r\n\r\n");
        set_up(APP);
        meet(GET_X, reply);
        cr_expect_eq(guest_status(&guest), 200);
        cr_expect_eq(is_kept(GET_X), count == 64);
        tear_down();
    }
}

/* --- what of it --- */

Test(keep, what_is_left_out_of_the_stored_head)
{
    static const char reply[] =
        "HTTP/1.1 200 Fine\r\nDate: " DATE "\r\nCache-Control: max-age=99999999\r\n"
        "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
        "Proxy-Authenticate: x\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n"
        "Age: 7\r\nX-Request-Id: theirs\r\nCache-Tag: t\r\nSurrogate-Key: k\r\n"
        "Weir-Position: 5\r\nWeir-Purge: t\r\nWeir-Cache-Control: max-age=99999998\r\n"
        "X-Stays: 1\r\nx-stays: 2\r\n\r\n0\r\n\r\n";
    set_up(APP);
    meet(GET_X, reply);
    cr_assert(finds(GET_X));
    cr_expect(
        str_eq(meta.head, STR("HTTP/1.1 200 Fine\r\nDate: " DATE "\r\nCache-Control: max-age=99999999\r\n"
                              "X-Stays: 1\r\nx-stays: 2\r\n")),
        "%.*s", STR_FMT(meta.head));
    let_go();
    tear_down();
}

Test(keep, fields_named_for_one_go_to_him_alone)
{
    static const struct {
        const char *control;
        bool is_x_kept, is_cookie_kept;
    } rows[] = {
        { "private=\"X-Own, set-cookie\", max-age=60", false, false },
        { "no-cache=\"set-cookie\", private=\"x-own\", max-age=60", false, false },
        { "no-cache=\"Set-Cookie\", max-age=60", true, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char reply[400];
        snprintf(reply, sizeof reply,
                 "HTTP/1.1 200 OK\r\nCache-Control: %s\r\nX-Own: 1\r\nSet-Cookie: s=1\r\nX: "
                 "y\r\nContent-Length: 0\r\n\r\n",
                 rows[i].control);
        set_up(APP);
        meet(GET_X, reply);
        expect_reply("X-Own", "1");
        expect_reply("Set-Cookie", "s=1");
        cr_expect_eq(guest_fields(&guest, "X"), 1);
        meet(GET_X, NULL);
        cr_expect_eq(guest_fields(&guest, "X-Own"), rows[i].is_x_kept, "row %zu", i);
        cr_expect_eq(guest_fields(&guest, "Set-Cookie"), rows[i].is_cookie_kept, "row %zu", i);
        expect_reply("X", "y");
        tear_down();
    }
}

Test(keep, what_is_known_of_it)
{
    static const struct {
        const char *yaml;
        const char *reply;
        int lifetime_s, age_s, swr_s, sie_s;
        int64_t length;
        bool must, always, authorized, by_ttl, guessed;
    } rows[] = {
        { APP, OK("Cache-Control: max-age=60\r\n"), 60, 0, 0, 3600, 0, 0, 0, 0, 0, 0 },
        { APP, OK("Cache-Control: max-age=60\r\nAge: 9\r\n"), 60, 9, 0, 3600, 0, 0, 0, 0, 0, 0 },
        { APP, OK("Cache-Control: max-age=60, s-maxage=5\r\n"), 5, 0, 0, 3600, 0, 1, 0, 1, 0, 0 },
        { APP, OK("Cache-Control: public, max-age=60, must-revalidate\r\n"), 60, 0, 0, 3600, 0, 1, 0, 1, 0,
          0 },
        { APP, OK("Cache-Control: no-cache\r\nETag: \"e\"\r\n"), 0, 0, 0, 3600, 0, 1, 1, 0, 0, 0 },
        { APP, OK("Cache-Control: max-age=60, stale-while-revalidate=7, stale-if-error=8\r\n"), 60, 0, 7, 8,
          0, 0, 0, 0, 0, 0 },
        { ROUTES("stale_while_revalidate: 3s, stale_if_error: 4s"), OK("Cache-Control: max-age=60\r\n"), 60,
          0, 3, 4, 0, 0, 0, 0, 0, 0 },
        { ROUTES("stale_while_revalidate: 3s, stale_if_error: 4s"),
          OK("Cache-Control: max-age=60, stale-while-revalidate=0, stale-if-error=0\r\n"), 60, 0, 0, 0, 0, 0,
          0, 0, 0, 0 },
        { APP "cache: {stale_if_error: 5s}\n", OK("Cache-Control: max-age=60\r\n"), 60, 0, 0, 5, 0, 0, 0, 0,
          0, 0 },
        { ROUTES("ttl: 60s"), OK(""), 60, 0, 0, 3600, 0, 0, 0, 0, 1, 0 },
        { ROUTES("ttl: 60s"), OK("Age: 9\r\n"), 69, 9, 0, 3600, 0, 0, 0, 0, 1,
          0 }, /* counted from its arrival */
        { ROUTES("ttl: 60s"), OK("Cache-Control: max-age=5\r\n"), 5, 0, 0, 3600, 0, 0, 0, 0, 0, 0 },
        { APP, OK("Date: Thu, 01 Jan 2026 00:00:10 GMT\r\nLast-Modified: " DATE "\r\nAge: 0\r\n"), 1, -1, 0,
          3600, 0, 0, 0, 0, 0, 1 },
        { APP, "HTTP/1.1 204 No\r\nCache-Control: max-age=60\r\n\r\n", 60, 0, 0, 3600, 0, 0, 0, 0, 0, 0 },
        { APP, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n" TEN, 60, 0, 0,
          3600, 10, 0, 0, 0, 0, 0 },
        { APP,
          "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: "
          "chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
          60, 0, 0, 3600, -1, 0, 0, 0, 0, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(rows[i].yaml);
        meet(GET_X, rows[i].reply);
        cr_assert(finds(GET_X), "row %zu", i);
        cr_expect_eq(meta.lifetime_ms / 1000, rows[i].lifetime_s, "row %zu: %lld", i,
                     (long long)meta.lifetime_ms);
        if (rows[i].age_s >= 0)
            cr_expect_eq(meta.initial_age_ms / 1000, rows[i].age_s, "row %zu: %lld", i,
                         (long long)meta.initial_age_ms);
        cr_expect_eq(meta.stale_while_revalidate_ms, rows[i].swr_s * 1000, "row %zu", i);
        cr_expect_eq(meta.stale_if_error_ms, rows[i].sie_s * 1000, "row %zu", i);
        cr_expect_eq(meta.must_revalidate, rows[i].must, "row %zu", i);
        cr_expect_eq(meta.always_revalidate, rows[i].always, "row %zu", i);
        cr_expect_eq(meta.allows_authorization, rows[i].authorized, "row %zu", i);
        cr_expect_eq(meta.is_by_ttl, rows[i].by_ttl, "row %zu", i);
        cr_expect_eq(meta.is_guessed, rows[i].guessed, "row %zu", i);
        cr_expect_eq(meta.length, rows[i].length, "row %zu: %lld", i, (long long)meta.length);
        cr_expect(meta.fetched_wall_ms <= meta.stored_wall_ms, "row %zu", i);
        let_go();
        tear_down();
    }
}

/* --- the witness --- */

Test(keep, a_witness_only_where_somebody_may_be_wrong_about_sharing)
{
#define SAMPLE(cache) APP "cache: {leak_sample: 5}\nroutes:\n  - {path: /**, cache: {" cache "}}\n"
    static const char *const plain = OK("");
    static const char *const guessed = OK("Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n");
    static const struct {
        const char *yaml;
        const char *fields;
        bool is_guessed;
        bool want;
    } rows[] = {
        { SAMPLE("ttl: 60s"), "", false, true },
        { SAMPLE("ttl: 60s, share: tenant"), "", false, true },
        { SAMPLE("ttl: 60s, share: credential"), "Cookie: a=1", false, false },
        { SAMPLE("stale_if_error: 1s"), "", true, true },
        { APP "cache: {leak_sample: off}\nroutes:\n  - {path: /**, cache: {ttl: 60s}}\n", "", false, false },
        { APP "cache: {leak_sample: off}\n", "", true, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[200];
        snprintf(lines, sizeof lines, GET_X "%s%s", rows[i].fields[0] ? "\n" : "", rows[i].fields);
        set_up(rows[i].yaml);
        meet(lines, rows[i].is_guessed ? guessed : plain);
        cr_assert(finds(lines), "row %zu", i);
        cr_expect_eq(object_witness(found.object) != NULL, rows[i].want, "row %zu", i);
        let_go();
        meet("GET /own HTTP/1.1\nHost: a", KEEP);
        cr_assert(finds("GET /own HTTP/1.1\nHost: a"));
        cr_expect_null(object_witness(found.object), "row %zu: the app's own word", i);
        let_go();
        tear_down();
    }
}

Test(keep, a_witness_is_all_of_his_head_but_the_target)
{
    set_up(SAMPLE("ttl: 60s"));
    meet(GET_X "\nX-User: w", OK(""));
    cr_assert(finds(GET_X));
    struct str head = witness_head(object_witness(found.object));
    struct str want = STR("Host: a\r\nX-User: w\r\n\r\n");
    cr_expect(head.len >= want.len && memmem(head.data, head.len, want.data, want.len), "%.*s",
              STR_FMT(head));
    cr_expect_null(memmem(head.data, head.len, "GET ", 4));
    let_go();
    tear_down();
}
