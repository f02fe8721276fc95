#include "pipeline/world.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "pipeline/plugin.h"
#include "upstream/server.h"
#include "walk.h"

static struct place place;

#define ROUTE "routes: [{path: /**, upstream: next}]\n"
#define TWO                                                           \
    "upstreams:\n"                                                    \
    "  app: {primary: [\"@0\"], limit: {concurrency: 3, queue: 5}}\n" \
    "  next: {primary: [\"@1\"]}\n"

#define VERSIONS                                                                                            \
    "versions:\n"                                                                                           \
    "  from: [{header: API-Version}]\n"                                                                     \
    "  default: v2\n"                                                                                       \
    "  known:\n"                                                                                            \
    "    v1: {upstream: app, deprecated: 2026-06-30, sunset: 2027-06-30, link: \"https://e.example/v1\"}\n" \
    "    v2: {upstream: app, canary: {upstream: next, percent: 5, tenants: [acme]}}\n"

static const struct canary *canary_of(const char *version)
{
    for (unsigned i = 0; i < place.world->edition_count; i++) {
        if (str_eq(place.world->editions[i].name, str_of(version)))
            return atomic_load(&place.world->editions[i].canary);
    }
    return NULL;
}

static bool is_canary(const char *tenant)
{
    const struct edition *edition = &place.world->editions[1];
    return version_is_canary(edition->config, &canary_of("v2")->config, str_of(tenant));
}

Test(world, the_smallest_config_is_one_of_each)
{
    place_open(&place, "upstreams: {app: {primary: [\"@0\"]}}\n");
    const struct world *world = place.world;
    cr_expect_eq(world->supply_count, 1);
    cr_expect_null(world->supplies[0].line, "no limit, no line");
    cr_expect_eq(world->edition_count, 1);
    cr_expect_eq(world->editions[0].name.len, 0);
    cr_expect_eq(world->editions[0].supply, &world->supplies[0]);
    cr_expect_null(world->ways[0].config, "the way of requests that no route names");
    cr_expect_null(world->gates[0].tls);
    cr_expect_eq(world->generation, 1);
    place_close(&place);
}

Test(world, names_become_pointers)
{
    place_open(&place,
               TWO VERSIONS "routes: [{name: r, path: /r/**, upstream: next}, {name: q, path: /q}]\n");
    const struct world *world = place.world;
    struct supply *app = world_supply(world, STR("app"));
    struct supply *next = world_supply(world, STR("next"));
    cr_assert(app && next && app != next);
    cr_expect_null(world_supply(world, STR("nope")));
    cr_assert_not_null(app->line);
    cr_expect_eq(line_limit(app->line), 3);
    cr_expect_null(next->line);
    cr_expect_eq(world->editions[0].supply, app);
    cr_expect_null(canary_of("v1"));
    cr_expect_eq(canary_of("v2")->supply, next);
    cr_expect_not(canary_of("v2")->is_override);
    cr_expect_eq(world->ways[0].supply, next);
    cr_expect_null(world->ways[1].supply, "the version's");
    cr_expect_null(world->ways[2].config);
    place_close(&place);
}

Test(world, a_versions_fields_are_ready_to_be_written)
{
    place_open(&place, TWO VERSIONS);
    const char *want = "Deprecation: @1782777600\r\nSunset: Wed, 30 Jun 2027 00:00:00 GMT\r\n"
                       "Link: <https://e.example/v1>; rel=\"deprecation\"\r\n";
    struct str fields = place.world->editions[0].fields;
    cr_expect(str_eq(fields, str_of(want)), "%.*s", STR_FMT(fields));
    cr_expect_eq(place.world->editions[1].fields.len, 0);
    place_close(&place);
}

Test(world, servers_and_lines_live_on)
{
    place_open(&place, TWO ROUTE);
    struct supply *before = world_supply(place.world, STR("app"));
    struct server *server = server_ref(before->upstream->servers[0]);
    struct line *line = before->line;
    atomic_store(&server->admin, SERVER_ADMIN_DRAIN);

    /* Another order, another limit, one more server. */
    cr_assert(place_reload(&place, "upstreams:\n"
                                   "  next: {primary: [\"@1\"]}\n"
                                   "  app: {primary: [\"@2\", \"@0\"], limit: {concurrency: 9}}\n" ROUTE));
    struct supply *after = world_supply(place.world, STR("app"));
    cr_expect_eq(after->index, 1);
    cr_expect_eq(after->upstream->servers[1], server);
    cr_expect_eq(after->upstream->servers[1]->admin, SERVER_ADMIN_DRAIN, "what the operator said stays");
    cr_expect_eq(after->line, line);
    cr_expect_eq(line_limit(line), 9);
    cr_expect_eq(place.world->generation, 2);
    server_unref(server);
    place_close(&place);
}

Test(world, who_is_inside_counts_in_the_next_world_too)
{
    place_open(&place, TWO ROUTE);
    struct line *line = world_supply(place.world, STR("app"))->line;
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(line_enter(line, STR("t"), 1, NULL), LINE_ENTERED);
    cr_assert(place_reload(&place, TWO ROUTE));
    struct line *after = world_supply(place.world, STR("app"))->line;
    cr_expect_eq(line_enter(after, STR("t"), 1, NULL), LINE_FULL);
    /* No limit in the file: nobody is kept out, and one that comes back finds who is inside. */
    cr_assert(place_reload(&place, "upstreams: {app: {primary: [\"@0\"]}}\n"));
    after = world_supply(place.world, STR("app"))->line;
    cr_expect_eq(line_enter(after, STR("t"), 1, NULL), LINE_ENTERED);
    cr_assert(place_reload(&place, TWO ROUTE));
    after = world_supply(place.world, STR("app"))->line;
    cr_expect_eq(line_inside(after), 4);
    for (unsigned i = 0; i < 4; i++)
        line_leave(after);
    place_close(&place);
}

Test(world, an_upstream_that_went_takes_its_line_along)
{
    place_open(&place, TWO ROUTE);
    struct world *old = world_ref(place.world);
    cr_assert(place_reload(&place, "upstreams: {next: {primary: [\"@1\"]}}\n"));
    cr_expect_null(world_supply(place.world, STR("app")));
    cr_expect_eq(line_limit(world_supply(old, STR("app"))->line), 3,
                 "requests that began there still use it");
    world_unref(old);
    place_close(&place);
}

Test(world, a_broken_config_leaves_the_old_one_alone)
{
    static const char *const broken[] = {
        ("upstreams:\n  app: {primary: [\"@0\"], limit: {concurrency: 1}}\n"
         "  next: {primary: [\"@1\"], plugins: [{name: nowhere}]}\n" ROUTE),
        ("upstreams: {app: {primary: [\"@0\"], limit: {concurrency: 1}}}\n"
         "listen: [{address: 127.0.0.1:0, tls: [{certificate: /nowhere.pem, key: /nowhere.key}]}]\n"),
        "upstreams:\n  app: {primary: [\"@0\"], limit: {concurrency: 1}, tls: {ca: /nowhere.pem}}\n",
        "nonsense: 1\n",
    };
    place_open(&place, TWO ROUTE);
    struct world *old = place.world;
    struct supply *app = world_supply(old, STR("app"));
    int servers = app->upstream->servers[0]->references;
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        cr_assert_not(place_reload(&place, broken[i]), "row %zu", i);
        cr_expect_not_null(strstr(place_why(), "test.yaml:"), "row %zu says where: %s", i, place_why());
        cr_expect_eq(place.world, old);
        cr_expect_eq(line_limit(app->line), 3, "row %zu", i);
        cr_expect_eq(old->references, 2, "row %zu", i);
        cr_expect_eq(app->shared->references, 1, "row %zu", i);
        cr_expect_eq(app->upstream->servers[0]->references, servers, "row %zu", i);
        cr_expect_eq(place.city.generation, 1, "row %zu", i);
    }
    cr_expect_null(world_supply(old, STR("next"))->line);
    cr_expect_eq(world_supply(old, STR("next"))->plugin_count, 0);
    place_close(&place);
}

Test(world, a_mistake_of_a_plugin_has_its_line)
{
    place_open(&place, TWO ROUTE);
    cr_assert_not(
        place_reload(&place, "upstreams:\n  app:\n    primary: [\"@0\"]\n    plugins: [{name: nowhere}]\n"));
    cr_expect_not_null(strstr(place_why(), "test.yaml:4:"), "%s", place_why());
    cr_expect_not_null(strstr(place_why(), "nowhere"), "%s", place_why());
    place_close(&place);
}

Test(world, plugins_with_the_same_keys_are_kept)
{
    place.plugin_dir = PLUGINS;
    place_open(&place, "upstreams: {app: {primary: [\"@0\"], plugins: [{name: scripted, choose: pass}, "
                       "{name: template}]}}\n");
    const struct plugin *scripted = place.world->supplies[0].plugins[0];
    const struct plugin *template = place.world->supplies[0].plugins[1];
    cr_assert_eq(place.world->supplies[0].plugin_count, 2);

    cr_assert(place_reload(&place, "upstreams: {app: {primary: [\"@0\"], plugins: [{name: scripted, choose: "
                                   "refuse}, {name: template}]}}\n"));
    cr_expect_neq(place.world->supplies[0].plugins[0], scripted, "another key, another instance");
    cr_expect_eq(place.world->supplies[0].plugins[1], template);

    cr_assert(place_reload(&place, "upstreams: {app: {primary: [\"@0\"], plugins: [{name: template}]}}\n"));
    cr_expect_eq(place.world->supplies[0].plugins[0], template, "wherever in the list it stands");

    cr_assert(place_reload(&place, "upstreams: {other: {primary: [\"@0\"], plugins: [{name: template}]}}\n"));
    cr_expect_neq(place.world->supplies[0].plugins[0], template, "an instance belongs to one upstream");
    place_close(&place);
}

Test(world, a_canary_is_replaced_as_a_whole)
{
    place_open(&place, TWO VERSIONS);
    cr_assert(is_canary("acme"));
    cr_assert(world_set_canary(place.world, STR("v2"), 0, (struct str){ NULL, 0 }));
    cr_expect(canary_of("v2")->is_override);
    cr_expect_not(is_canary("acme"), "a rollback is one for everybody");
    cr_expect_eq(canary_of("v2")->supply, world_supply(place.world, STR("next")),
                 "the upstream stays for the next step");

    cr_assert(world_set_canary(place.world, STR("v1"), 100, STR("next")));
    cr_expect_not_null(canary_of("v1"));
    cr_expect_not(world_set_canary(place.world, STR("v9"), 0, STR("next")));
    cr_expect_not(world_set_canary(place.world, STR("v1"), 5, STR("nope")));
    cr_expect_eq(canary_of("v1")->config.percent, 100);
    place_close(&place);
}

Test(world, a_canary_without_an_upstream_can_only_be_none)
{
    place_open(&place, TWO VERSIONS);
    cr_expect_not(world_set_canary(place.world, STR("v1"), 5, (struct str){ NULL, 0 }));
    cr_expect(world_set_canary(place.world, STR("v1"), 0, (struct str){ NULL, 0 }));
    place_close(&place);
}

Test(world, what_the_operator_set_stays_until_the_file_says_something_else)
{
    place_open(&place, TWO VERSIONS);
    cr_assert(world_set_canary(place.world, STR("v2"), 50, STR("app")));
    cr_assert(place_reload(&place, TWO VERSIONS "log: {level: warn}\n"));
    cr_expect(canary_of("v2")->is_override);
    cr_expect_eq(canary_of("v2")->config.percent, 50);
    cr_expect_eq(canary_of("v2")->supply, world_supply(place.world, STR("app")), "the new world's");

    cr_assert(place_reload(
        &place, TWO "versions: {from: [{header: API-Version}], default: v2, known: {v1: {upstream: app},\n"
                    "  v2: {upstream: app, canary: {upstream: next, percent: 6, tenants: [acme]}}}}\n"));
    cr_expect_not(canary_of("v2")->is_override);
    cr_expect_eq(canary_of("v2")->config.percent, 6);
    place_close(&place);
}

Test(world, a_rollback_stays_one_over_a_reload)
{
    place_open(&place, TWO VERSIONS);
    cr_assert(world_set_canary(place.world, STR("v2"), 0, (struct str){ NULL, 0 }));
    cr_assert_not(is_canary("acme"));
    cr_assert(place_reload(&place, TWO VERSIONS));
    cr_expect(canary_of("v2")->is_override);
    cr_expect_not(is_canary("acme"), "tenants that the file names are in it again");
    place_close(&place);
}

Test(world, an_override_to_an_upstream_that_went_leads_nowhere_wrong)
{
    place_open(&place, TWO "  third: {primary: [\"@2\"]}\n" VERSIONS);
    cr_assert(world_set_canary(place.world, STR("v2"), 100, STR("third")));
    cr_assert(place_reload(&place, TWO VERSIONS));
    const struct canary *canary = canary_of("v2");
    cr_expect(canary->supply == NULL || canary->supply == world_supply(place.world, STR("next")));
    place_close(&place);
}

Test(world, is_ready_while_a_server_is_usable_and_nobody_drains)
{
    place_open(&place, TWO ROUTE);
    int64_t now = loop_now_ns(place.lane->loop);
    cr_expect(world_is_ready(place.world, now));
    for (unsigned i = 0; i < 2; i++)
        atomic_store(&place.world->supplies[i].upstream->servers[0]->admin, SERVER_ADMIN_DOWN);
    cr_expect_not(world_is_ready(place.world, now));
    for (unsigned i = 0; i < 2; i++)
        atomic_store(&place.world->supplies[i].upstream->servers[0]->admin, SERVER_ADMIN_UP);
    cr_expect(world_is_ready(place.world, now));
    atomic_store(&place.city.is_draining, true);
    cr_expect_not(world_is_ready(place.world, now));
    place_close(&place);
}

static bool trusts(const char *text)
{
    struct addr addr;
    cr_assert(addr_parse(str_of(text), &addr));
    return world_trusts(place.world, (const struct sockaddr *)&addr.sa);
}

Test(world, trusts_whom_the_file_names_and_nobody_else)
{
    struct sockaddr unix_peer = { .sa_family = AF_UNIX };
    place_open(&place, TWO ROUTE "trusted_peers: [10.0.0.0/8, \"::1/128\"]\n");
    cr_expect(trusts("10.1.2.3:1"));
    cr_expect(trusts("[::1]:1"));
    cr_expect(trusts("[::ffff:10.0.0.1]:1"));
    cr_expect_not(trusts("11.0.0.1:1"));
    cr_expect_not(trusts("[::2]:1"));
    cr_expect_not(world_trusts(place.world, &unix_peer));
    place_close(&place);

    place_open(&place, TWO ROUTE);
    cr_expect_not(trusts("127.0.0.1:1"));
    place_close(&place);
}

Test(world, health_is_checked_where_it_is_asked_for)
{
    place_open(&place, "upstreams:\n  app: {primary: [\"@0\"], health: {path: /h, interval: 100ms}}\n  next: "
                       "{primary: [\"@1\"]}\n" ROUTE);
    struct server *unasked = place.world->supplies[1].upstream->servers[0];
    atomic_store(&unasked->is_healthy, false); /* by checks of a config before, which are no more */
    world_start_health(place.world, place.lane->loop);
    cr_expect_not_null(place.world->supplies[0].health);
    cr_expect(atomic_load(&unasked->is_healthy), "nobody would ever say that it is well again");
    const char *head = app_head(&place.apps[0]);
    cr_expect(strncmp(head, "GET /h ", 7) == 0, "%s", head);
    world_stop_health(place.world);
    cr_expect_null(place.world->supplies[0].health);
    place_close(&place);
}
