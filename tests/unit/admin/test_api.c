#include <criterion/criterion.h>

#include "fixture.h"

static struct room room;

static void setup(void)
{
    room_init(&room);
}

static void teardown(void)
{
    room_fini(&room);
}

TestSuite(api, .init = setup, .fini = teardown);

Test(api, every_path_answers_its_own_methods_only)
{
    static const struct {
        const char *lines;
        const char *body;
        int status;
    } rows[] = {
        { GET("/"), "", 200 },
        { GET("/livez"), "", 200 },
        { GET("/readyz"), "", 200 },
        { GET("/metrics"), "", 200 },
        { GET("/api/status"), "", 200 },
        { GET("/api/latency?tenant=acme"), "", 200 },
        { GET("/api/hot?by=key"), "", 501 },
        { GET("/api/tenants/acme"), "", 200 },
        { "HEAD /api/status" ROOM_GET, "", 200 },
        { POST("/api/purge"), "{\"all\": true}", 200 },
        { POST("/api/reload"), "", 200 },
        { POST("/api/drain"), "{}", 202 },
        { POST("/api/versions/v2"), "{\"canary\": {\"percent\": 0}}", 200 },
        { POST("/api/upstreams/app/servers/127.0.0.1:3000"), "{\"state\": \"up\"}", 200 },
        { GET("/nothing"), "", 404 },
        { GET("/api"), "", 404 },
        { GET("/api/status/"), "", 404 },
        { GET("/api/tenants/"), "", 404 },
        { GET("/api/tenants/a/b"), "", 404 },
        { POST("/livez"), "", 405 },
        { GET("/api/purge"), "", 405 },
        { GET("/api/drain"), "", 405 },
        { "DELETE /api/status" ROOM_GET, "", 405 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(room_status(&room, rows[i].lines, rows[i].body), rows[i].status, "row %zu: %.30s", i,
                     rows[i].lines);
}

Test(api, a_wrong_method_is_told_the_right_one)
{
    struct reply reply = room_send(&room, GET("/api/purge"), "", false);
    cr_expect_eq(reply.status, 405);
    cr_expect(room_has_field(&reply, "Allow: POST\r\n"));
    cr_expect_str_eq(reply.type, "application/problem+json");
    reply_fini(&reply);
}

Test(api, only_the_probes_need_no_token)
{
    static const struct {
        const char *lines;
        int status;
    } rows[] = {
        { "GET /livez HTTP/1.1\nHost: localhost", 200 },
        { "GET /readyz HTTP/1.1\nHost: localhost", 200 },
        { "GET / HTTP/1.1\nHost: localhost", 401 },
        { "GET /metrics HTTP/1.1\nHost: localhost", 401 },
        { "GET /api/status HTTP/1.1\nHost: localhost", 401 },
        { "GET /nothing HTTP/1.1\nHost: localhost", 401 },
        { "POST /api/drain HTTP/1.1\nHost: localhost\nContent-Type: application/json", 401 },
        { "GET /metrics HTTP/1.1\nHost: localhost\nAuthorization: Bearer wrong", 401 },
        { "GET /metrics HTTP/1.1\nHost: localhost\nAuthorization: Bearer s3cret\nAuthorization: Bearer "
          "s3cret",
          401 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(room_status(&room, rows[i].lines, ""), rows[i].status, "row %zu: %s", i, rows[i].lines);
    cr_expect_eq(room.drains, 0);
}

Test(api, a_foreign_host_gets_nothing_but_over_a_socket_file)
{
    const char *foreign = "GET /livez HTTP/1.1\nHost: evil.example";
    cr_expect_eq(room_status(&room, foreign, ""), 403);
    struct reply reply = room_send(&room, foreign, "", true);
    cr_expect_eq(reply.status, 200);
    reply_fini(&reply);
}

Test(api, changes_are_json_and_from_no_foreign_page)
{
#define DRAIN "POST /api/drain HTTP/1.1\nHost: localhost:9900\nAuthorization: Bearer s3cret"
#define JSON  "\nContent-Type: application/json"
    static const struct {
        const char *lines;
        int status;
    } rows[] = {
        { DRAIN, 415 },
        { DRAIN "\nContent-Type: text/plain", 415 },
        { DRAIN JSON "\nContent-Type: text/plain", 415 },
        { DRAIN JSON "\nOrigin: http://evil.example", 403 },
        { DRAIN JSON "\nOrigin: null", 403 },
        { DRAIN JSON "\nOrigin: http://localhost:9900\nOrigin: http://evil.example", 403 },
        { DRAIN JSON "\nOrigin: http://localhost:9900", 202 },
        { DRAIN JSON, 202 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(room_status(&room, rows[i].lines, ""), rows[i].status, "row %zu: %s", i, rows[i].lines);
    cr_expect_eq(room.drains, 2);
}

Test(api, an_unknown_key_is_named)
{
    static const struct {
        const char *lines;
        const char *body;
        const char *key;
    } rows[] = {
        { POST("/api/purge"), "{\"all\": true, \"tenent\": \"acme\"}", "tenent" },
        { POST("/api/reload"), "{\"force\": true}", "force" },
        { POST("/api/drain"), "{\"\": true}", "\"\"" },
        { POST("/api/versions/v2"), "{\"canary\": {\"percent\": 0, \"tenants\": []}}", "tenants" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int status;
        json_t *json = room_json(&room, rows[i].lines, rows[i].body, &status);
        const char *detail = json_string_value(json_object_get(json, "detail"));
        cr_expect_eq(status, 400, "row %zu", i);
        cr_expect(detail && strstr(detail, rows[i].key), "row %zu: %s", i, detail);
        json_decref(json);
    }
    cr_expect_eq(room.reloads + room.drains, 0);
}

Test(api, a_body_must_be_one_json_object)
{
    static const char *const bodies[] = {
        "[]", "1", "{", "{} {}", "{\"all\": true, \"all\": false}", "\xff"
    };
    for (size_t i = 0; i < COUNT_OF(bodies); i++)
        cr_expect_eq(room_status(&room, POST("/api/purge"), bodies[i]), 400, "row %zu", i);
}

Test(api, a_session_stands_for_the_token)
{
    const char *sign_in = "POST /api/session HTTP/1.1\nHost: localhost\nContent-Type: application/json";
    char lines[256];
    cr_expect_eq(room_status(&room, sign_in, "{\"token\": \"wrong\"}"), 401);
    struct reply reply = room_send(&room, sign_in, "{\"token\": \"s3cret\"}", false);
    cr_assert_eq(reply.status, 200);
    cr_expect(room_has_field(&reply, "HttpOnly; SameSite=Strict"));
    struct str fields = buf_str(&reply.fields);
    const char *cookie = memmem(fields.data, fields.len, "weir_admin_9900=", 16);
    cr_assert_not_null(cookie);
    snprintf(lines, sizeof lines, "GET /metrics HTTP/1.1\nHost: localhost\nCookie: a=b; %.*s",
             16 + SESSION_CHARS, cookie);
    reply_fini(&reply);
    cr_expect_eq(room_status(&room, lines, ""), 200);
    lines[strlen(lines) - 1] ^= 1;
    cr_expect_eq(room_status(&room, lines, ""), 401);
}

Test(api, the_dashboard_asks_for_the_token_when_it_is_missing)
{
    struct reply reply = room_send(&room, "GET / HTTP/1.1\nHost: localhost", "", false);
    cr_expect_eq(reply.status, 401);
    cr_expect_str_eq(reply.type, "text/html; charset=utf-8");
    cr_expect(room_has_field(&reply, "Content-Security-Policy: default-src 'none'; script-src 'sha256-"));
    cr_expect(room_has_field(&reply, "WWW-Authenticate: Bearer"));
    reply_fini(&reply);
}

Test(api, a_reload_that_takes_the_token_away_opens_nothing_beyond_loopback)
{
    room.world->config->admin.token = (struct str){ NULL, 0 };
    CHECK(addr_parse(STR("0.0.0.0:9900"), &room.admin.bound));
    cr_expect_eq(room_status(&room, "GET /metrics HTTP/1.1\nHost: 10.0.0.1", ""), 401);
    CHECK(addr_parse(STR("127.0.0.1:9900"), &room.admin.bound));
    cr_expect_eq(room_status(&room, "GET /metrics HTTP/1.1\nHost: localhost", ""), 200);
}
