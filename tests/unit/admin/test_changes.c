#include <criterion/criterion.h>

#include "cache/key.h"
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

TestSuite(changes, .init = setup, .fini = teardown);

/* Something stored for a tenant's http://api.example.com/items?page=2. */
static void store(const char *tenant)
{
    const struct key_parts parts = {
        .tenant = str_of(tenant),
        .authority = STR("api.example.com"),
        .target = STR("/items?page=2"),
        .version = STR("v2"),
        .upstream = STR("app"),
        .method_class = STR("GET"),
    };
    const struct object_meta meta = {
        .status = 200, .head = STR("HTTP/1.1 200 OK\r\n"), .lifetime_ms = 1000000, .length = -1
    };
    struct arena arena;
    struct key key;
    arena_init(&arena, NULL, 0, 4096);
    CHECK(key_make(&key, &parts, &arena));
    struct object *object = object_new(room.city.cache, &key, &meta);
    CHECK(object != NULL);
    object_seal(object);
    CHECK(cache_insert(room.city.cache, &key, object, INT64_MAX));
    object_unref(object);
    arena_fini(&arena);
}

/* How many went; a refusal's status, negative. */
static long long purge(const char *body)
{
    int status;
    json_t *json = room_json(&room, POST("/api/purge"), body, &status);
    long long purged =
        status == 200 ? (long long)json_integer_value(json_object_get(json, "purged")) : -status;
    json_decref(json);
    return purged;
}

Test(changes, purge_by_url_takes_one_tenants_answer_and_what_is_shared)
{
    store("acme");
    store("tiny");
    store(""); /* scope: all_tenants */
    cr_expect_eq(purge("{\"tenant\": \"acme\", \"url\": \"http://api.example.com/other\"}"), 0);
    cr_expect_eq(purge("{\"tenant\": \"acme\", \"url\": \"https://api.example.com/items?page=2\"}"), 0);
    cr_expect_eq(purge("{\"tenant\": \"ACME\", \"url\": \"http://API.example.com:80/items?page=2\"}"), 2);
    cr_expect_eq(purge("{\"tenant\": \"tiny\", \"url\": \"http://api.example.com/items?page=2\"}"), 1);
    cr_expect_eq(room.admin.purged_by_url, 3);
}

Test(changes, purge_all_is_one_tenants_or_everybodys)
{
    store("acme");
    store("tiny");
    store("other");
    cr_expect_eq(purge("{\"tenant\": \"acme\", \"all\": true}"), 1);
    cr_expect_eq(purge("{\"all\": true, \"soft\": false}"), 2);
}

Test(changes, a_purge_says_exactly_what_to_purge)
{
    static const struct {
        const char *body;
        int status;
    } rows[] = {
        { "", 400 },
        { "{}", 400 },
        { "{\"tenant\": \"acme\"}", 400 },
        { "{\"all\": false}", 400 },
        { "{\"all\": \"yes\"}", 400 },
        { "{\"all\": true, \"url\": \"http://a/\"}", 400 },
        { "{\"url\": \"http://api.example.com/items\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"/items\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"ftp://a/\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"http://a/#x\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"http:///x\"}", 400 },
        { "{\"tenant\": \"a b\", \"all\": true}", 400 },
        { "{\"tenant\": 1, \"all\": true}", 400 },
        { "{\"tag\": \"items\"}", 501 },
        { "{\"prefix\": \"/items\"}", 501 },
        { "{\"all\": true, \"soft\": true}", 501 },
    };
    store("acme");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(purge(rows[i].body), -rows[i].status, "row %zu: %s", i, rows[i].body);
    cr_expect_eq(purge("{\"all\": true}"), 1, "and nothing went meanwhile");
}

Test(changes, a_refused_reload_lists_the_mistakes)
{
    int status;
    json_t *json = room_json(&room, POST("/api/reload"), "", &status);
    cr_expect_eq(status, 200);
    cr_expect_eq(json_integer_value(json_object_get(json, "generation")), 1);
    json_decref(json);

    room.mistakes = "f.yaml:1:2: one\nf.yaml:3:4: two\n";
    json = room_json(&room, POST("/api/reload"), "", &status);
    json_t *mistakes = json_object_get(json, "mistakes");
    cr_expect_eq(status, 422);
    cr_assert_eq(json_array_size(mistakes), 2);
    cr_expect_str_eq(json_string_value(json_array_get(mistakes, 1)), "f.yaml:3:4: two");
    cr_expect_eq(room.reloads, 2);
    json_decref(json);
}

Test(changes, a_server_is_drained_by_its_address)
{
    struct server *const *servers = room.world->supplies[0].upstream->servers;
    cr_expect_eq(
        room_status(&room, POST("/api/upstreams/app/servers/127.0.0.1:3000"), "{\"state\": \"drain\"}"), 200);
    cr_expect_eq(atomic_load(&servers[0]->admin), SERVER_ADMIN_DRAIN);
    cr_expect_eq(
        room_status(&room, POST("/api/upstreams/app/servers/127.0.0.1%3A3000"), "{\"state\": \"up\"}"), 200);
    cr_expect_eq(atomic_load(&servers[0]->admin), SERVER_ADMIN_UP);
    cr_expect_eq(
        room_status(&room, POST("/api/upstreams/app/servers/unix:/run/app.sock"), "{\"state\": \"down\"}"),
        200, "slashes may come as they are");
    cr_expect_eq(atomic_load(&servers[1]->admin), SERVER_ADMIN_DOWN);

    cr_expect_eq(room_status(&room, POST("/api/upstreams/nope/servers/127.0.0.1:3000"), "{}"), 404);
    cr_expect_eq(room_status(&room, POST("/api/upstreams/app/servers/127.0.0.1:1"), "{}"), 404);
    cr_expect_eq(room_status(&room, POST("/api/upstreams/app/servers/127.0.0.1:3000"), "{}"), 400);
    cr_expect_eq(
        room_status(&room, POST("/api/upstreams/app/servers/127.0.0.1:3000"), "{\"state\": \"off\"}"), 400);
}

Test(changes, a_canary_is_replaced_at_once)
{
    const struct edition *edition = &room.world->editions[1];
    cr_expect_eq(room_status(&room, POST("/api/versions/v2"), "{\"canary\": {\"percent\": 0}}"), 200);
    const struct canary *canary = atomic_load(&edition->canary);
    cr_expect_eq(canary->config.percent, 0);
    cr_expect_eq(canary->config.tenant_count, 0, "as a whole: a rollback takes the named tenants back too");
    cr_expect(canary->is_override);
}

Test(changes, a_canary_that_makes_no_sense_is_refused)
{
    static const struct {
        const char *lines;
        const char *body;
        int status;
    } rows[] = {
        { POST("/api/versions/v9"), "{\"canary\": {\"percent\": 0}}", 404 },
        { POST("/api/versions/v2"), "{}", 400 },
        { POST("/api/versions/v2"), "{\"canary\": 5}", 400 },
        { POST("/api/versions/v2"), "{\"canary\": {}}", 400 },
        { POST("/api/versions/v2"), "{\"canary\": {\"percent\": \"5\"}}", 400 },
        { POST("/api/versions/v2"), "{\"canary\": {\"percent\": -1}}", 400 },
        { POST("/api/versions/v2"), "{\"canary\": {\"percent\": 100.5}}", 400 },
        { POST("/api/versions/v2"), "{\"canary\": {\"percent\": 5, \"upstream\": \"nope\"}}", 400 },
        { POST("/api/versions/v1"), "{\"canary\": {\"percent\": 5}}", 400 },
        { POST("/api/versions/v1"), "{\"canary\": {\"percent\": 5, \"upstream\": \"next\"}}", 200 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(room_status(&room, rows[i].lines, rows[i].body), rows[i].status, "row %zu", i);
}
