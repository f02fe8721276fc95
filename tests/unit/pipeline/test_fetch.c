/* The fetch: asked again elsewhere, shared by many, left by whoever began it. */
#include "pipeline/fetch.h"

#include <stdlib.h>
#include <unistd.h>

#include "walk.h"

#define APP "upstreams: {app: {primary: [\"@0\"]}}\n"
#define TWO "upstreams: {app: {primary: [\"@0\", \"@1\"], balance: round_robin}}\n"
#define ONE_PLACE                                                                                 \
    "upstreams: {app: {primary: [\"@0\"], limit: {concurrency: 1, queue: 2, queue_time: 10s}}}\n" \
    "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default}\n"
#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define KEEP  "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
#define STAMP "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok"
#define GET   "GET /x HTTP/1.1\nHost: a"
#define POST  "POST /x HTTP/1.1\nHost: a"

static struct place place;
static struct guest guests[3];
static struct guest *const guest = &guests[0];

static void set_up(const char *yaml)
{
    place.plugin_dir = PLUGINS;
    place_open(&place, yaml);
    for (unsigned i = 0; i < COUNT_OF(guests); i++)
        guest_init(&guests[i], &place);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < COUNT_OF(guests); i++)
        guest_fini(&guests[i]);
    place_close(&place);
}

static bool is_refused(const struct guest *who, int status, const char *reason)
{
    return guest_status(who) == status && strcmp(guest_reason(who), reason) == 0;
}

/* --- retries --- */

static void refuse_connections(unsigned app)
{
    close(place.apps[app].listen_fd);
    place.apps[app].listen_fd = -1;
}

Test(fetch, what_may_be_sent_again_is_tried_elsewhere)
{
    set_up(TWO);
    refuse_connections(0);
    for (unsigned i = 0; i < 2; i++) {
        guest_meets(guest, "GET /x HTTP/1.1\nHost: a\nCache-Control: no-store", &place.apps[1], OK);
        cr_expect_eq(guest_status(guest), 200, "request %u", i);
    }
    tear_down();
}

Test(fetch, what_is_not_idempotent_is_not)
{
    set_up("upstreams: {app: {primary: [\"@0\"]}}\n");
    guest_ask(guest, POST);
    app_head(&place.apps[0]);
    app_close(&place.apps[0]);
    guest_until_done(guest);
    cr_expect(is_refused(guest, 502, "upstream-closed"));
    tear_down();
}

Test(fetch, once_a_byte_was_answered_nothing_is_sent_again)
{
    set_up(TWO);
    guest_ask(guest, "GET /x HTTP/1.1\nHost: a\nCache-Control: no-store");
    unsigned at = upstream_index(place.world->supplies[0].upstream, guest->req->fetch->server);
    app_head(&place.apps[at]);
    app_send(&place.apps[at], "HTTP/1.1 200");
    place_turn(&place, 2);
    app_close(&place.apps[at]);
    guest_until_done(guest);
    cr_expect_eq(guest_status(guest), 502);
    tear_down();
}

Test(fetch, a_kept_connection_that_was_closed_is_nobodys_failure)
{
    set_up("upstreams: {app: {primary: [\"@0\"], retries: {attempts: 0}}}\n");
    guest_meets(guest, GET, &place.apps[0], STAMP);
    cr_assert_eq(pools_idle(place.lane->pools), 1);
    guest_ask(guest, GET);
    app_expect(&place.apps[0], "\r\n\r\n");
    app_close(&place.apps[0]); /* its server's time was up just then */
    app_head(&place.apps[0]);
    app_send(&place.apps[0], STAMP);
    guest_until_done(guest);
    cr_expect_eq(guest_status(guest), 200);
    cr_expect_eq(place.world->supplies[0].upstream->servers[0]->failures, 0);
    tear_down();
}

Test(fetch, a_kept_body_is_sent_again_whole)
{
    set_up(TWO);
    refuse_connections(0);
    for (unsigned i = 0; i < 2; i++) {
        guest_ask(guest, "PUT /x HTTP/1.1\nHost: a\nContent-Length: 5");
        guest_send(guest, "hello", true);
        const char *head = app_head(&place.apps[1]);
        cr_expect_not_null(strstr(head, "\r\n\r\nhello"), "%s", head);
        app_send(&place.apps[1], OK);
        guest_until_done(guest);
        cr_expect_eq(guest_status(guest), 200);
    }
    tear_down();
}

/* --- flights --- */

Test(fetch, many_who_ask_at_once_cost_the_app_one_request)
{
    set_up(APP);
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], GET);
    cr_expect_str_eq(guests[2].req->wait_why, "coalesced");
    app_head(&place.apps[0]);
    app_send(&place.apps[0], KEEP);
    for (unsigned i = 0; i < 3; i++) {
        guest_until_done(&guests[i]);
        cr_expect_eq(guest_status(&guests[i]), 200);
        cr_expect(guest_has_body(&guests[i], "ok"));
    }
    cr_expect_eq(place.world->supplies[0].upstream->servers[0]->requests, 1);
    tear_down();
}

Test(fetch, an_answer_that_is_nobody_elses_sends_each_on_his_own)
{
    set_up(APP);
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], GET);
    for (unsigned i = 0; i < 3; i++) {
        app_accept(&place.apps[0]);
        app_expect(&place.apps[0], "\r\n\r\n");
        app_send(
            &place.apps[0],
            "HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    }
    for (unsigned i = 0; i < 3; i++) {
        guest_until_done(&guests[i]);
        cr_expect_eq(guest_status(&guests[i]), 200);
    }
    cr_expect_eq(place.world->supplies[0].upstream->servers[0]->requests, 3);
    tear_down();
}

Test(fetch, a_failure_is_everybodys)
{
    set_up("upstreams: {app: {primary: [\"@0\"], retries: {attempts: 0}}}\n");
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], GET);
    app_head(&place.apps[0]);
    app_close(&place.apps[0]);
    for (unsigned i = 0; i < 3; i++) {
        guest_until_done(&guests[i]);
        cr_expect(is_refused(&guests[i], 502, "upstream-closed"), "guest %u: %d %s", i,
                  guest_status(&guests[i]), guest_reason(&guests[i]));
    }
    tear_down();
}

Test(fetch, a_leader_who_leaves_does_not_take_the_answer_along)
{
    set_up(APP);
    guest_ask(&guests[0], GET);
    guest_ask(&guests[1], GET);
    app_head(&place.apps[0]);
    guest_leave(&guests[0]);
    cr_expect_eq(guests[0].dones, 1);
    app_send(&place.apps[0], KEEP);
    guest_until_done(&guests[1]);
    cr_expect(guest_has_body(&guests[1], "ok"));
    cr_expect_eq(place.world->supplies[0].upstream->servers[0]->requests, 1);
    tear_down();
}

Test(fetch, a_leader_who_left_leaves_room_to_lead)
{
    set_up(APP);
    guest_ask(&guests[0], GET);
    app_head(&place.apps[0]);
    guest_leave(&guests[0]);
    place_turn(&place, 1);
    place_assert_idle(&place);
    char end;
    UNTIL(&place, read(place.apps[0].fd, &end, 1) == 0); /* nobody wants it: the app is told */
    app_close(&place.apps[0]);
    guest_meets(&guests[1], GET, &place.apps[0], KEEP);
    cr_expect_eq(guest_status(&guests[1]), 200);
    tear_down();
}

Test(fetch, what_is_being_stored_is_fetched_to_its_end)
{
    set_up(APP);
    guest_ask(guest, GET);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nab");
    UNTIL(&place, buf_len(&guest->body) == 2);
    guest_leave(guest);
    app_send(&place.apps[0], "cd");
    UNTIL(&place, place.lane->now->requests == 0);
    guest_meets(guest, GET, NULL, NULL);
    cr_expect(guest_has_body(guest, "abcd"));
    tear_down();
}

Test(fetch, a_write_makes_what_is_stored_wrong)
{
    set_up(APP);
    guest_meets(guest, GET, &place.apps[0], KEEP);
    guest_meets(guest, POST, &place.apps[0], "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
    guest_meets(guest, GET, NULL, NULL);
    cr_expect_eq(guest_status(guest), 200, "a failed one does not");
    guest_meets(guest, POST, &place.apps[0], OK);
    guest_meets(guest, GET, &place.apps[0], KEEP);
    cr_expect_eq(guest_status(guest), 200);
    tear_down();
}
