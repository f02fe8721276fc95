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

TestSuite(status, .init = setup, .fini = teardown);

static json_t *get_json(const char *lines)
{
    int status;
    json_t *json = room_json(&room, lines, "", &status);
    cr_assert_eq(status, 200);
    return json;
}

Test(status, livez_is_ok_whatever_happens_readyz_while_weir_can_serve)
{
    const char *livez = "GET /livez HTTP/1.1\nHost: localhost";
    const char *readyz = "GET /readyz HTTP/1.1\nHost: localhost";
    cr_expect_eq(room_status(&room, readyz, ""), 200);

    atomic_store(&room.city.is_draining, true);
    int status;
    json_t *problem = room_json(&room, readyz, "", &status);
    cr_expect_eq(status, 503);
    cr_expect_str_eq(json_string_value(json_object_get(problem, "reason")), "draining");
    cr_expect_eq(room_status(&room, livez, ""), 200);
    json_decref(problem);

    atomic_store(&room.city.is_draining, false);
    for (unsigned i = 0; i < room.world->supply_count; i++) {
        const struct upstream *upstream = room.world->supplies[i].upstream;
        for (unsigned k = 0; k < upstream->server_count; k++)
            atomic_store(&upstream->servers[k]->admin, SERVER_ADMIN_DOWN);
    }
    problem = room_json(&room, readyz, "", &status);
    cr_expect_eq(status, 503);
    cr_expect_str_eq(json_string_value(json_object_get(problem, "reason")), "no-server");
    cr_expect_eq(room_status(&room, livez, ""), 200);
    json_decref(problem);
}

Test(status, says_what_the_world_is)
{
    room.world->loaded_wall_ms = 1700000000123;
    json_t *json = get_json(GET("/api/status"));
    const char *file, *loaded_at, *version;
    int workers, generation, draining, ready;
    json_t *upstreams, *versions;
    cr_assert_eq(json_unpack(json, "{s:s, s:i, s:b, s:b, s:{s:i, s:s, s:s}, s:o, s:o}", "version", &version,
                             "workers", &workers, "draining", &draining, "ready", &ready, "config",
                             "generation", &generation, "loaded_at", &loaded_at, "file", &file, "upstreams",
                             &upstreams, "versions", &versions),
                 0);
    cr_expect_str_eq(version, WEIR_VERSION);
    cr_expect_eq(workers, 1);
    cr_expect_eq(generation, 1);
    cr_expect(!draining && ready);
    cr_expect_str_eq(file, "room.yaml");
    cr_expect_str_eq(loaded_at, "2023-11-14T22:13:20.123Z");
    cr_expect_eq(json_array_size(upstreams), 2);
    cr_expect_eq(json_array_size(versions), 2);
    cr_expect_eq(json_array_size(json_object_get(json, "overrides")), 0);
    json_decref(json);
}

Test(status, shows_each_server_and_the_line_before_them)
{
    struct server *server = room.world->supplies[0].upstream->servers[0];
    atomic_store(&server->requests, 5);
    atomic_store(&server->errors, 2);
    atomic_store(&server->mean_ns, 1500000);
    atomic_store(&server->admin, SERVER_ADMIN_DRAIN);
    json_t *json = get_json(GET("/api/status"));
    json_t *app = json_array_get(json_object_get(json, "upstreams"), 0);
    json_t *next = json_array_get(json_object_get(json, "upstreams"), 1);
    const char *address, *role, *state;
    int limit, requests, errors, usable;
    double mean;
    cr_assert_eq(json_unpack(app, "{s:i, s:[{s:s, s:s, s:s, s:b, s:i, s:i, s:f, s:n}]}", "limit", &limit,
                             "servers", "address", &address, "role", &role, "admin", &state, "usable",
                             &usable, "requests", &requests, "errors", &errors, "mean", &mean, "lag"),
                 0);
    cr_expect_eq(limit, 50);
    cr_expect_str_eq(address, "127.0.0.1:3000");
    cr_expect_str_eq(role, "primary");
    cr_expect_str_eq(state, "drain");
    cr_expect(!usable);
    cr_expect_eq(requests, 5);
    cr_expect_eq(errors, 2);
    cr_expect_float_eq(mean, 0.0015, 1e-9);
    cr_expect(json_is_null(json_object_get(next, "limit")), "unlimited");
    cr_expect_eq(json_array_size(json_object_get(json, "overrides")), 1, "the file did not say drain");
    json_decref(json);
}

Test(status, shows_a_canary_as_it_is_now_and_who_set_it)
{
    json_t *json = get_json(GET("/api/status"));
    json_t *canary = json_object_get(json_array_get(json_object_get(json, "versions"), 1), "canary");
    cr_expect_eq(json_number_value(json_object_get(canary, "percent")), 5);
    cr_expect(json_is_false(json_object_get(canary, "override")));
    json_decref(json);

    cr_assert(world_set_canary(room.world, STR("v2"), 0, str_n(NULL, 0)));
    json = get_json(GET("/api/status"));
    canary = json_object_get(json_array_get(json_object_get(json, "versions"), 1), "canary");
    cr_expect_eq(json_number_value(json_object_get(canary, "percent")), 0);
    cr_expect(json_is_true(json_object_get(canary, "override")));
    cr_expect_eq(json_array_size(json_object_get(json, "overrides")), 1);
    json_decref(json);
}

Test(status, latency_takes_its_query_from_the_url)
{
    unsigned acme = labels_tenant(room.city.labels, STR("acme"), true, 0);
    series_request(tally_series(room.tally, acme, 0, 0), OUTCOME_HIT, 200, 1000000, 1000);
    series_request(tally_series(room.tally, 0, 0, 0), OUTCOME_HIT, 200, 1000000, 1000);
    static const struct {
        const char *lines;
        size_t rows;
    } rows[] = {
        { GET("/api/latency"), 2 },
        { GET("/api/latency?tenant=acme"), 1 },
        { GET("/api/latency?tenant=%61cme&stage=total"), 1 },
        { GET("/api/latency?tenant=nobody"), 0 },
        { GET("/api/latency?stage=permit"), 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        json_t *json = get_json(rows[i].lines);
        cr_expect_eq(json_array_size(json_object_get(json, "rows")), rows[i].rows, "row %zu", i);
        json_decref(json);
    }
}
