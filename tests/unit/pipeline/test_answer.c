/* What the client is told: a guest (see walk.h) writes down what its carrier is given. */
#include "pipeline/answer.h"

#include "told.h"

static const struct cache_control no_control;

/* --- weir's own errors --- */

Test(answer, problems_say_what_is_wrong)
{
    static const struct {
        const char *lines;
        int status;
        const char *reason;
    } rows[] = {
        { "GET / HTTP/1.1\nHost: a", 503, "no-server" },
        { "GET / HTTP/1.1\nHost: a\nCache-Control: only-if-cached", 504, "only-if-cached" },
        { "GET / HTTP/1.1", 400, "bad-host" },
        { "GET / HTTP/1.1\nHost: a\nBad Field: x", 400, "bad-field" },
    };
    char want[128];
    set_up(APP);
    down();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meet(rows[i].lines, NULL);
        cr_expect_eq(guest_status(&guest), rows[i].status, "row %zu", i);
        cr_expect_str_eq(guest_reason(&guest), rows[i].reason, "row %zu", i);
        expect_reply("Content-Type", "application/problem+json");
        expect_reply("Cache-Control", "no-store");
        expect_reply("Via", "1.1 weir");
        cr_expect_eq(guest_fields(&guest, "Date"), 1);
        cr_expect_eq(guest.length, (int64_t)buf_len(&guest.body));
        snprintf(want, sizeof want, "\"request_id\":\"%s\"", guest_field(&guest, "X-Request-Id"));
        cr_expect_not_null(memmem(buf_str(&guest.body).data, buf_len(&guest.body), want, strlen(want)),
                           "row %zu", i);
        cr_expect_eq(guest.begins, 1);
        cr_expect_eq(guest.lasts, 1);
    }
    tear_down();
}

Test(answer, a_problem_to_head_has_no_body)
{
    set_up(APP);
    down();
    meet("HEAD / HTTP/1.1\nHost: a", NULL);
    cr_expect_eq(guest_status(&guest), 503);
    cr_expect_gt(guest.length, 0);
    cr_expect_eq(buf_len(&guest.body), 0);
    meet("HEAD / HTTP/1.0", NULL); /* without any field */
    cr_expect_eq(guest_status(&guest), 503);
    cr_expect_eq(buf_len(&guest.body), 0);
    tear_down();
}

Test(answer, who_comes_too_often_is_told_when_to_come_again)
{
    set_up(APP "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default, named: {tiny: {rate: "
               "1/s, burst: 2}}}\n");
    meet("GET / HTTP/1.1\nHost: a\nX-Tenant: tiny", KEEP);
    cr_assert_eq(guest_status(&guest), 200);
    expect_reply("RateLimit-Policy", "\"tenant\";q=2;w=2");
    cr_expect_eq(strncmp(guest_field(&guest, "RateLimit"), "\"tenant\";r=1", 12), 0, "%s",
                 guest_field(&guest, "RateLimit"));
    expect_no_reply("Retry-After");
    meet("GET / HTTP/1.1\nHost: a\nX-Tenant: tiny", NULL);
    cr_expect_eq(guest_status(&guest), 200, "a hit is one of them");
    meet("GET / HTTP/1.1\nHost: a\nX-Tenant: tiny", NULL);
    cr_expect_eq(guest_status(&guest), 429);
    cr_expect_str_eq(guest_reason(&guest), "tenant-rate");
    expect_reply("Retry-After", "1");
    cr_expect_eq(guest_fields(&guest, "RateLimit"), 1);
    meet("GET / HTTP/1.1\nHost: a", KEEP);
    expect_no_reply("RateLimit");
    expect_no_reply("RateLimit-Policy");
    tear_down();
}

Test(answer, a_versions_fields_stand_on_errors_too)
{
    set_up(APP "versions: {from: [{path: \"/{version}/\"}], default: v2, known: {v1: {deprecated: "
               "2026-06-30}, v2: {}}}\n");
    meet("GET /v1/a HTTP/1.1\nHost: a", KEEP);
    expect_reply("Deprecation", "@1782777600");
    meet("GET /v1/a HTTP/1.1\nHost: a", NULL);
    expect_reply("Deprecation", "@1782777600");
    down();
    meet("GET /v1/b HTTP/1.1\nHost: a", NULL);
    cr_expect_eq(guest_status(&guest), 503);
    expect_reply("Deprecation", "@1782777600");
    meet("GET /v2/b HTTP/1.1\nHost: a", NULL);
    expect_no_reply("Deprecation");
    tear_down();
}

/* --- replies as they come --- */

Test(answer, what_is_between_app_and_weir_stays_there)
{
    static const char *const gone[] = { "Connection",        "Keep-Alive",     "X-Hop",
                                        "Weir-Purge",        "Weir-Replay",    "Weir-Position",
                                        "Surrogate-Key",     "Cache-Tag",      "Weir-Cache-Control",
                                        "Transfer-Encoding", "Content-Length", "Upgrade" };
    set_up(APP);
    meet(
        "POST / HTTP/1.1\nHost: a",
        "HTTP/1.1 201 Made It\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: x\r\nX-Hop: 1\r\nWeir-Purge: "
        "a\r\n"
        "Weir-Replay: no\r\nWeir-Position: 1\r\nSurrogate-Key: k\r\nCache-Tag: t\r\nWeir-Cache-Control: x\r\n"
        "Upgrade: h2c\r\nX-Request-Id: theirs\r\nVia: 1.1 app\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        "Content-Length: 2\r\nX-End: 1\r\n\r\nok");
    for (size_t i = 0; i < COUNT_OF(gone); i++)
        expect_no_reply(gone[i]);
    cr_expect_eq(guest_status(&guest), 201);
    cr_expect_not_null(
        memmem(buf_str(&guest.head).data, buf_len(&guest.head), "HTTP/1.1 201 Made It\r\n", 22));
    expect_reply("X-End", "1");
    cr_expect_eq(guest_fields(&guest, "Set-Cookie"), 2);
    cr_expect_eq(guest_fields(&guest, "Date"), 1, "a reply has a date");
    cr_expect_eq(guest_fields(&guest, "X-Request-Id"), 1);
    cr_expect_eq(strlen(guest_field(&guest, "X-Request-Id")), 32);
    cr_expect_eq(guest_fields(&guest, "Via"), 2);
    cr_expect_eq(guest.length, 2);
    cr_expect(guest_has_body(&guest, "ok"));
    tear_down();
}

Test(answer, the_length_is_told_where_it_is_known)
{
    static const struct {
        const char *lines;
        const char *reply;
        int64_t length;
        const char *body;
    } rows[] = {
        { "POST / HTTP/1.1\nHost: a", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 3, "abc" },
        { "POST / HTTP/1.1\nHost: a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, "" },
        { "POST / HTTP/1.1\nHost: a",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", -1, "abc" },
        { "POST / HTTP/1.1\nHost: a", "HTTP/1.1 204 No Content\r\n\r\n", -2, "" },
        { "HEAD / HTTP/1.1\nHost: a", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 3, "" },
        { "HEAD / HTTP/1.1\nHost: a", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -2, "" },
        { "GET / HTTP/1.1\nHost: a\nCache-Control: no-store\nIf-None-Match: \"x\"",
          "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", -2, "" },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meet(rows[i].lines, rows[i].reply);
        cr_expect_eq(guest.length, rows[i].length, "row %zu: %lld", i, (long long)guest.length);
        cr_expect(guest_has_body(&guest, rows[i].body), "row %zu: %.*s", i, STR_FMT(buf_str(&guest.body)));
        cr_expect_eq(guest.lasts, 1, "row %zu", i);
    }
    tear_down();
}

Test(answer, interim_replies_are_passed_on)
{
    set_up(APP);
    guest_ask(&guest, "POST / HTTP/1.1\nHost: a");
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 103 Early Hints\r\nLink: </s>; rel=preload\r\nConnection: "
                             "x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    guest_until_done(&guest);
    cr_expect(
        str_eq(buf_str(&guest.interims), STR("HTTP/1.1 103 Early Hints\r\nLink: </s>; rel=preload\r\n")),
        "%.*s", STR_FMT(buf_str(&guest.interims)));
    tear_down();
}

Test(answer, which_fields_pass_are_stored_and_renew)
{
    static const struct {
        const char *name;
        bool passes;
        bool renews;
    } rows[] = {
        { "X-Any", true, true },
        { "Connection", false, false },
        { "X-Hop", false, false },
        { "Date", true, true },
        { "Content-Type", true, false },
        { "Content-Range", true, false },
        { "Set-Cookie", true, false },
        { "Content-Encoding", true, false },
        { "Content-Length", false, false },
        { "Age", true, false },
        { "X-Request-Id", false, false },
        { "Weir-Purge", false, false },
        { "Via", true, true },
        { "ETag", true, true },
        { "Proxy-Authenticate", true, false },
    };
    static struct message reply;
    char text[2048];
    struct writer w;
    reply.status = 200;
    reply.reason = STR("OK");
    cr_assert(message_add(&reply, STR("Connection"), STR("X-Hop")));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_assert(message_add(&reply, str_of(rows[i].name), STR("v")));
    writer_init(&w, text, sizeof text);
    cr_assert(answer_stored_head(&w, &reply, &no_control, 0));
    text[w.len] = '\0';
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct field *field = message_find(&reply, str_of(rows[i].name));
        char colon[64];
        snprintf(colon, sizeof colon, "%s:", rows[i].name);
        cr_expect_eq(answer_passes_field(&reply, field), rows[i].passes, "%s", rows[i].name);
        cr_expect_eq(answer_renews_field(&reply, field), rows[i].renews, "%s", rows[i].name);
        bool is_kept = rows[i].passes && !(field_traits(field->id) & FIELD_NOT_STORED);
        cr_expect_eq(head_field(text, colon) != NULL, is_kept, "%s", rows[i].name);
    }
    cr_expect_eq(strncmp(text, "HTTP/1.1 200 OK\r\n", 17), 0);

    struct writer small;
    writer_init(&small, text, 40);
    cr_expect_not(answer_stored_head(&small, &reply, &no_control, 0), "it says when it does not fit");
}

/* --- the token --- */

Test(answer, a_token_is_told_twice_and_never_stored)
{
    place.plugin_dir = PLUGINS;
    set_up("upstreams: {app: {primary: [\"@0\"], plugins: [{name: scripted, token: tok}]}}\n");
    meet("GET /x HTTP/1.1\nHost: a", KEEP);
    expect_reply("Weir-Position", "tok");
    expect_reply("Set-Cookie", "weir_position=tok; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
    meet("GET /x HTTP/1.1\nHost: a", NULL);
    expect_no_reply("Weir-Position");
    expect_no_reply("Set-Cookie");

    guest.client.is_tls = true;
    meet("GET /x HTTP/1.1\nHost: a", KEEP);
    expect_reply("Set-Cookie", "weir_position=tok; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    tear_down();
}
