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

Test(status, latency_refuses_what_it_does_not_know)
{
    static const struct {
        const char *lines;
        const char *detail;
    } rows[] = {
        { GET("/api/latency?tenannt=acme"),
          "unknown parameter \"tenannt\"; allowed: tenant version route stage" },
        { GET("/api/latency?tenant=acme&x"), "unknown parameter \"x\"" },
        { GET("/api/latency?stage=nope"),
          "there is no stage \"nope\"; allowed: total, * for all, or one of head" },
        { GET("/api/latency?stage=%6eope"), "there is no stage \"nope\"" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int status;
        json_t *json = room_json(&room, rows[i].lines, "", &status);
        const char *detail = json_string_value(json_object_get(json, "detail"));
        cr_expect_eq(status, 400, "row %zu", i);
        cr_expect(detail && strstr(detail, rows[i].detail), "row %zu: %s", i, detail);
        json_decref(json);
    }
    cr_expect_eq(room_status(&room, GET("/api/latency?stage=*&&tenant="), ""), 200);
}

static bool state_of_fleet(void *arg, struct fleet_state *out)
{
    (void)arg;
    *out = (struct fleet_state){ .is_connected = true, .is_trusted = true, .nodes = 2, .sequence = 7 };
    return true;
}

Test(status, says_what_the_cache_holds_and_did)
{
    lane_count(room.lane, LANE_CACHE_STALE, 4);
    lane_count(room.lane, LANE_CACHE_STOOD_IN, 3);
    lane_count(room.lane, LANE_CACHE_REFRESHED, 2);
    lane_count(room.lane, LANE_CACHE_REVALIDATED, 1);
    json_t *json = get_json(GET("/api/status"));
    json_t *cache = json_object_get(json, "cache");
    json_int_t memory, objects, stale, stood_in, refreshed, revalidated;
    cr_assert_eq(json_unpack(cache, "{s:I, s:I, s:I, s:I, s:I, s:I}", "memory", &memory, "objects", &objects,
                             "stale", &stale, "stood_in", &stood_in, "refreshed", &refreshed, "revalidated",
                             &revalidated),
                 0);
    cr_expect_eq(memory, room.world->config->cache.memory_bytes);
    cr_expect_eq(objects, 0);
    cr_expect_eq(stale * 1000 + stood_in * 100 + refreshed * 10 + revalidated, 4321);
    cr_expect(json_is_null(json_object_get(cache, "redis")));
    cr_expect_eq(json_array_size(json_object_get(cache, "quarantined")), 0);
    json_decref(json);
}

Test(status, says_how_the_fleet_gets_along)
{
    room.admin.hooks.fleet = state_of_fleet;
    lane_count(room.lane, LANE_TIER_TIMEOUT, 9);
    json_t *json = get_json(GET("/api/status"));
    json_t *redis = json_object_get(json_object_get(json, "cache"), "redis");
    const char *state;
    int connected, trusted, nodes, timeouts;
    cr_assert_eq(json_unpack(redis, "{s:s, s:b, s:b, s:i, s:{s:i}}", "state", &state, "connected", &connected,
                             "trusted", &trusted, "nodes", &nodes, "asked", "timeout", &timeouts),
                 0);
    cr_expect_str_eq(state, "down");
    cr_expect(connected && trusted);
    cr_expect_eq(nodes, 2);
    cr_expect_eq(timeouts, 9);
    json_decref(json);
}

Test(status, names_the_routes_in_quarantine)
{
    struct watch *watch = room.world->ways[0].watch;
    atomic_store(&watch->since_wall_ms, 1700000000123);
    atomic_store(&watch->stored_digest, 0xabc);
    atomic_store(&watch->fetched_digest, UINT64_MAX);
    atomic_store(&watch->is_quarantined, true);
    json_t *json = get_json(GET("/api/status"));
    json_t *rows = json_object_get(json_object_get(json, "cache"), "quarantined");
    const char *route, *since, *stored, *fetched;
    cr_assert_eq(json_array_size(rows), 1);
    cr_assert_eq(json_unpack(json_array_get(rows, 0), "{s:s, s:s, s:s, s:s}", "route", &route, "since",
                             &since, "stored", &stored, "fetched", &fetched),
                 0);
    cr_expect_str_eq(route, "GET /items/**");
    cr_expect_str_eq(since, "2023-11-14T22:13:20.123Z");
    cr_expect_str_eq(stored, "0000000000000abc");
    cr_expect_str_eq(fetched, "ffffffffffffffff");
    json_decref(json);
}
