/* What a plugin says, and what comes of it: plugins/scripted.c says what its keys tell it to. */
#include "pipeline/plugin.h"

#include "walk.h"

#define REPLICAS(keys) \
    "upstreams: {app: {primary: [\"@0\"], replicas: [\"@1\"], plugins: [{name: scripted, " keys "}]}}\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
#define KEEP \
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static struct place place;
static struct guest guest;

static void set_up(const char *yaml)
{
    place.plugin_dir = PLUGINS;
    place_open(&place, yaml);
    guest_init(&guest, &place);
}

static void tear_down(void)
{
    guest_fini(&guest);
    place_close(&place);
}

Test(plugin_hooks, choose_names_roles)
{
    static const char *const yamls[] = { REPLICAS("choose: primary"), REPLICAS("choose: replica") };
    for (unsigned i = 0; i < 2; i++) {
        set_up(yamls[i]);
        for (unsigned k = 0; k < 4; k++) {
            guest_meets(&guest, "POST / HTTP/1.1\nHost: a", &place.apps[i], OK);
            app_close(&place.apps[i]);
            cr_expect_eq(guest_status(&guest), 200);
        }
        atomic_store(&place.world->supplies[0].upstream->servers[i]->admin, SERVER_ADMIN_DOWN);
        guest_meets(&guest, "POST / HTTP/1.1\nHost: a", &place.apps[1 - i], OK);
        cr_expect_eq(guest_status(&guest), 200, "it falls back");
        tear_down();
    }
}

Test(plugin_hooks, choose_may_refuse_in_known_words)
{
    static const struct {
        const char *yaml;
        const char *reason;
    } rows[] = {
        { REPLICAS("choose: refuse, reason: position-behind"), "position-behind" },
        { REPLICAS("choose: refuse, reason: write-held"), "write-held" },
        { REPLICAS("choose: refuse, reason: nonsense"), "plugin-refused" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(rows[i].yaml);
        guest_meets(&guest, "GET / HTTP/1.1\nHost: a", NULL, NULL);
        cr_expect_eq(guest_status(&guest), 503, "row %zu", i);
        cr_expect_str_eq(guest_reason(&guest), rows[i].reason, "row %zu", i);
        cr_expect_str_eq(guest_field(&guest, "Retry-After"), "17", "row %zu", i);
        tear_down();
    }
}

Test(plugin_hooks, inspect_may_pass_the_cache_by)
{
    set_up(REPLICAS("choose: primary, bypass: true"));
    for (unsigned i = 0; i < 2; i++) {
        guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
        app_close(&place.apps[0]);
        cr_expect_str_eq(guest_field(&guest, "Cache-Status"), "weir; fwd=bypass");
    }
    tear_down();
}

Test(plugin_hooks, answered_may_forbid_storing)
{
    set_up(REPLICAS("choose: primary, forbid: true"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    cr_expect_str_eq(guest_field(&guest, "Cache-Status"), "weir; fwd=uri-miss");
    tear_down();
}

Test(plugin_hooks, a_stored_position_may_be_behind)
{
    set_up(REPLICAS("choose: primary, behind: true"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    app_close(&place.apps[0]);
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    cr_expect_eq(strncmp(guest_field(&guest, "Cache-Status"), "weir; fwd=request; stored", 25), 0, "%s",
                 guest_field(&guest, "Cache-Status"));
    cr_expect_not_null(strstr(guest_field(&guest, "Cache-Status"), "detail=read-your-writes"));
    tear_down();
}

Test(plugin_hooks, answered_may_have_it_sent_again_to_the_primary)
{
    set_up(REPLICAS("choose: replica, replay: true"));
    guest_ask(&guest, "POST / HTTP/1.1\nHost: a\nContent-Length: 4");
    guest_send(&guest, "body", true);
    app_head(&place.apps[1]);
    app_send(&place.apps[1], "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno");
    const char *again = app_head(&place.apps[0]);
    cr_expect_not_null(strstr(again, "\r\n\r\nbody"), "with its body: %s", again);
    app_send(&place.apps[0], OK);
    guest_until_done(&guest);
    cr_expect_eq(guest_status(&guest), 200);
    cr_expect(guest_has_body(&guest, "ok"));
    tear_down();
}

Test(plugin_hooks, calls_are_counted)
{
    struct plugin_stats stats;
    set_up(REPLICAS("choose: primary"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], OK);
    plugin_stats_read(place.world->supplies[0].plugins[0], &stats);
    cr_expect_eq(stats.calls, 3, "inspect, choose, answered");
    tear_down();
}
