/* What a plugin says, and what comes of it: plugins/scripted.c says what its keys tell it to. */
#include "pipeline/plugin.h"

#include <sys/socket.h>

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

/* --- what 1.1 added --- */

static bool head_has(const char *text)
{
    struct str head = buf_str(&guest.head);
    return memmem(head.data, head.len, text, strlen(text)) != NULL;
}

static const char *reply_to(const char *yaml, const char *head, const char *field)
{
    static char value[256];
    set_up(yaml);
    guest_meets(&guest, head, &place.apps[0], KEEP);
    const char *found = guest_field(&guest, field);
    snprintf(value, sizeof value, "%s", found ? found : "");
    tear_down();
    return value;
}

Test(plugin_hooks, a_reply_gets_the_fields_that_are_a_plugins_to_say)
{
    static const struct {
        const char *yaml;
        const char *added;
        const char *name;
        const char *value;
    } rows[] = {
        { REPLICAS("choose: primary, field: 'X-Served-For: a  '"), "yes", "X-Served-For", "a" },
        { REPLICAS("choose: primary, field: 'Set-Cookie: sticky=1; Path=/'"), "yes", "Set-Cookie",
          "sticky=1; Path=/" },
        { REPLICAS("choose: primary, field: 'Link: </a>; rel=x'"), "yes", "Link", "</a>; rel=x" },
        { REPLICAS("choose: primary, field: 'Content-Length: 7'"), "no", "Content-Length",
          "" }, /* the carrier writes that */
        { REPLICAS("choose: primary, field: 'Transfer-Encoding: chunked'"), "no", "Transfer-Encoding", "" },
        { REPLICAS("choose: primary, field: 'Connection: x-a'"), "no", "X-A", "" },
        { REPLICAS("choose: primary, field: 'Cache-Control: no-store'"), "no", "Cache-Control",
          "max-age=60" },
        { REPLICAS("choose: primary, field: 'Weir-Anything: 1'"), "no", "Weir-Anything", "" },
        { REPLICAS("choose: primary, field: 'Content_Length: 1'"), "no", "Content_Length", "" },
        { REPLICAS("choose: primary, field: 'X A: 1'"), "no", "X A", "" },
        { REPLICAS("choose: primary, field: ': 1'"), "no", "X-A", "" },
        { REPLICAS("choose: primary, field: \"X-A: 1\\r\\nX-B: 2\""), "no", "X-B", "" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_str_eq(reply_to(rows[i].yaml, "GET / HTTP/1.1\nHost: a", "X-Added"), rows[i].added,
                         "row %zu", i);
        cr_expect_str_eq(reply_to(rows[i].yaml, "GET / HTTP/1.1\nHost: a", rows[i].name), rows[i].value,
                         "row %zu", i);
    }
}

Test(plugin_hooks, added_fields_are_one_clients_and_never_stored)
{
    set_up(REPLICAS("choose: primary, field: 'X-Served-For: a'"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    app_close(&place.apps[0]);
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", NULL, NULL);
    cr_expect_eq(strncmp(guest_field(&guest, "Cache-Status"), "weir; hit", 9), 0, "%s",
                 guest_field(&guest, "Cache-Status"));
    cr_expect_eq(guest_fields(&guest, "X-Served-For"), 1, "said anew for this reply, not stored with it");
    tear_down();
}

Test(plugin_hooks, choose_is_told_the_kind_and_the_lines_of_a_field)
{
    static const char *const yaml = REPLICAS("choose: primary, tells: true");
    static const char head[] = "POST / HTTP/1.1\nHost: a\nX-Asked: one\nX-Other: no\nx-asked: two";
    cr_expect_str_eq(reply_to(yaml, head, "X-Kind"), "write");
    cr_expect_str_eq(reply_to(yaml, head, "X-Line"), "two");
    cr_expect_str_eq(reply_to(yaml, "GET / HTTP/1.1\nHost: a\nX-Asked: one", "X-Kind"), "read");
}

Test(plugin_hooks, a_writes_token_has_a_cookie_of_its_own_besides)
{
    set_up(REPLICAS("choose: primary, token: abc, of_write: true"));
    guest_meets(&guest, "POST / HTTP/1.1\nHost: a", &place.apps[0], OK);
    cr_expect_eq(guest_fields(&guest, "Set-Cookie"), 2);
    cr_expect(head_has("Set-Cookie: weir_position=abc; Path=/; Max-Age=60;"));
    cr_expect(head_has("Set-Cookie: weir_wrote=abc; Path=/; Max-Age=60;"));
    tear_down();
    set_up(REPLICAS("choose: primary, token: abc"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], OK);
    cr_expect_eq(guest_fields(&guest, "Set-Cookie"), 1);
    tear_down();
}

Test(plugin_hooks, what_goes_once_is_not_sent_again_when_a_server_may_have_begun)
{
    static const char *const yamls[] = { REPLICAS("choose: primary"),
                                         REPLICAS("choose: primary, once: true") };
    for (unsigned once = 0; once < 2; once++) {
        set_up(yamls[once]);
        guest_ask(&guest, "PUT / HTTP/1.1\nHost: a\nContent-Length: 0");
        app_head(&place.apps[0]);
        app_close(&place.apps[0]);
        if (!once) { /* the other one is next */
            app_head(&place.apps[1]);
            app_send(&place.apps[1], OK);
        }
        guest_until_done(&guest);
        cr_expect_eq(guest_status(&guest), once ? 502 : 200);
        tear_down();
    }
}

/* --- what plugins do wrong --- */

Test(plugin_hooks, a_token_that_no_cookie_can_have_is_left_out_and_the_reply_is_not)
{
    static const char *const yamls[] = { REPLICAS("choose: primary, token: 'a;b'"),
                                         REPLICAS("choose: primary, token: 'a b'"),
                                         REPLICAS("choose: primary, token: \"a\\r\\nX: 1\""),
                                         REPLICAS("choose: primary, token: \"a\\x80\"") };
    for (unsigned i = 0; i < COUNT_OF(yamls); i++) {
        set_up(yamls[i]);
        guest_meets(&guest, "POST / HTTP/1.1\nHost: a", &place.apps[0], OK);
        cr_expect_eq(guest_status(&guest), 200);
        cr_expect_null(guest_field(&guest, "Weir-Position"));
        cr_expect_null(guest_field(&guest, "Set-Cookie"));
        tear_down();
    }
}

Test(plugin_hooks, a_pick_beyond_the_candidates_is_no_opinion)
{
    set_up(REPLICAS("choose: beyond"));
    atomic_store(&place.world->supplies[0].upstream->servers[1]->admin, SERVER_ADMIN_DOWN);
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], OK);
    cr_expect_eq(guest_status(&guest), 200);
    tear_down();
}

Test(plugin_hooks, a_server_that_refused_is_not_picked_again_and_again)
{
    set_up(REPLICAS("choose: first"));
    shutdown(place.apps[0].listen_fd, SHUT_RD); /* it refuses from now on */
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", NULL, NULL);
    cr_expect_eq(guest_status(&guest), 502, "the other role is not what the plugin wants");
    cr_expect_leq(place.world->supplies[0].upstream->servers[0]->requests, 3);
    cr_expect_eq(place.world->supplies[0].upstream->servers[1]->requests, 0);
    tear_down();
}

Test(plugin_hooks, a_wake_inside_choose_does_not_ask_for_ever)
{
    struct plugin_stats stats;
    set_up(REPLICAS("choose: wake"));
    guest_ask(&guest, "GET / HTTP/1.1\nHost: a");
    place_turn(&place, 20);
    cr_assert_not_null(guest.req->fetch);
    cr_expect_str_eq(guest.req->fetch->wait_why, "position");
    plugin_stats_read(place.world->supplies[0].plugins[0], &stats);
    cr_expect_leq(stats.calls, 3);
    guest_leave(&guest);
    tear_down();
}

Test(plugin_hooks, fields_of_an_attempt_that_failed_are_not_the_replys)
{
    set_up(REPLICAS("choose: primary, tells: true, field: 'X-Once: 1'"));
    shutdown(place.apps[0].listen_fd, SHUT_RD);
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[1], OK);
    cr_expect_eq(guest_status(&guest), 200);
    cr_expect_eq(guest_fields(&guest, "X-Kind"), 1, "choose was asked twice");
    cr_expect_eq(guest_fields(&guest, "X-Once"), 1, "inspect once");
    tear_down();
}
