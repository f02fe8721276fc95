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

TestSuite(changes, .init = setup, .fini = teardown);

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

Test(changes, a_reload_that_worked_says_its_warnings)
{
    int status;
    json_t *json = room_json(&room, POST("/api/reload"), "", &status);
    cr_expect_eq(json_array_size(json_object_get(json, "warnings")), 0);
    cr_expect(json_is_array(json_object_get(json, "warnings")));
    json_decref(json);

    room.warnings = "f.yaml: admin: another address takes a restart\n";
    json = room_json(&room, POST("/api/reload"), "", &status);
    cr_expect_eq(status, 200);
    cr_assert_eq(json_array_size(json_object_get(json, "warnings")), 1);
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(json, "warnings"), 0)),
                     "f.yaml: admin: another address takes a restart");
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

Test(changes, a_quarantine_is_lifted_by_the_routes_name)
{
    _Atomic(bool) *named = &room.world->ways[0].watch->is_quarantined;
    _Atomic(bool) *nameless = &room.world->ways[1].watch->is_quarantined;
    static const struct {
        const char *lines;
        const char *body;
        int status;
    } refusals[] = {
        { POST("/api/routes/nope"), "{\"quarantine\": false}", 404 },
        { POST("/api/routes/GET%20/items/**"), "{\"quarantine\": true}", 400 },
        { POST("/api/routes/GET%20/items/**"), "{\"quarantine\": 0}", 400 },
        { POST("/api/routes/GET%20/items/**"), "{}", 400 },
        { POST("/api/routes/GET%20/items/**"), "{\"quarantined\": false}", 400 },
    };
    atomic_store(named, true);
    atomic_store(nameless, true);
    for (size_t i = 0; i < COUNT_OF(refusals); i++)
        cr_expect_eq(room_status(&room, refusals[i].lines, refusals[i].body), refusals[i].status, "row %zu",
                     i);
    cr_expect(atomic_load(named));
    cr_expect_eq(room_status(&room, POST("/api/routes/GET%20/items/**"), "{\"quarantine\": false}"), 200);
    cr_expect(!atomic_load(named) && atomic_load(nameless));
    cr_expect_eq(room_status(&room, POST("/api/routes/"), "{\"quarantine\": false}"), 200,
                 "without a name: what no route names");
    cr_expect_not(atomic_load(nameless));
}
