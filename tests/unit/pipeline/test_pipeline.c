/* The two corridors by what can be seen of them: their order, and where each verdict leads. */
#include "pipeline/stage.h"

#include <stdlib.h>
#include <unistd.h>

#include "walk.h"

#define APP "upstreams: {app: {primary: [\"@0\"]}}\n"
#define TWO "upstreams: {app: {primary: [\"@0\", \"@1\"], balance: round_robin}}\n"
#define ONE_PLACE                                                                                            \
    "upstreams: {app: {primary: [\"@0\"], limit: {concurrency: 1, queue: 2, queue_time: 10s}}}\n"            \
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

static struct line *line(void)
{
    return place.world->supplies[0].line;
}

static bool is_refused(const struct guest *who, int status, const char *reason)
{
    return guest_status(who) == status && strcmp(guest_reason(who), reason) == 0;
}

static const char *outcomes(void)
{
    static struct buf text;
    buf_fini(&text);
    cr_assert(series_prometheus(place.city.labels, &place.tally, 1, &text));
    cr_assert(buf_append(&text, "", 1));
    static char copy[65536];
    str_copy(buf_str(&text), copy, sizeof copy);
    buf_fini(&text);
    return copy;
}

/* --- the order of stages --- */

Test(pipeline, stages_have_words)
{
    cr_expect_str_eq(request_stage_word(AT_identify), "identify");
    cr_expect_str_eq(request_stage_word(AT_record), "record");
    cr_expect_str_eq(fetch_stage_word(AT_choose), "choose");
    cr_expect_str_eq(fetch_stage_word(AT_store), "store");
}

Test(pipeline, a_rate_is_spent_after_identity_and_route_and_before_the_cache)
{
    set_up(APP "tenants: {from: [{header: X-Tenant, believe: any}], unlisted: refuse, named: {acme: {rate: 1/s, burst: 2}}}\n"
               "versions: {from: [{header: API-Version}], default: v1, known: {v1: {}}}\n");
    guest_meets(guest, GET "\nX-Tenant: nobody", NULL, NULL);
    cr_expect(is_refused(guest, 404, "no-tenant"));
    guest_meets(guest, GET "\nX-Tenant: acme\nAPI-Version: v9", NULL, NULL);
    cr_expect(is_refused(guest, 400, "unknown-version"));
    guest_meets(guest, GET "\nX-Tenant: acme", &place.apps[0], KEEP);
    guest_meets(guest, GET "\nX-Tenant: acme", NULL, NULL);
    cr_expect_eq(guest_status(guest), 200, "a hit");
    guest_meets(guest, GET "\nX-Tenant: acme", NULL, NULL);
    cr_expect(is_refused(guest, 429, "tenant-rate"), "a hit costs a token as well; those refused before cost none");
    tear_down();
}

Test(pipeline, an_addresss_rate_spares_trusted_peers)
{
    set_up(APP "clients: {rate: 1/s}\n");
    guest_meets(guest, POST, &place.apps[0], OK);
    guest_meets(guest, POST, NULL, NULL);
    cr_expect(is_refused(guest, 429, "address-rate"));
    guest->client.is_trusted = true;
    guest_meets(guest, POST, &place.apps[0], OK);
    cr_expect_eq(guest_status(guest), 200);
    tear_down();
}

Test(pipeline, a_hit_waits_for_no_permit)
{
    set_up(ONE_PLACE);
    guest_meets(guest, GET, &place.apps[0], KEEP);
    guest_ask(&guests[1], POST);
    cr_assert_eq(line_inside(line()), 1);
    guest_meets(guest, GET, NULL, NULL);
    cr_expect_eq(guest_status(guest), 200);
    guest_leave(&guests[1]);
    tear_down();
}

Test(pipeline, a_body_that_is_too_large_is_refused_before_it_is_read)
{
    set_up(APP "clients: {body_max: 4B}\n");
    guest_ask(guest, POST "\nContent-Length: 5");
    cr_expect(is_refused(guest, 413, "body-too-large"));
    cr_expect_not(guest->wants_upload);
    guest_ask(guest, POST "\nTransfer-Encoding: chunked");
    guest_send(guest, "12345", false);
    cr_expect(is_refused(guest, 413, "body-too-large"), "or as soon as it shows");
    tear_down();
}

Test(pipeline, a_refused_head_is_told_and_recorded)
{
    set_up(APP);
    guest_ask(guest, "GET / HTTP/1.1\nHost: a\nHost: b");
    cr_expect(is_refused(guest, 400, "bad-host"));
    cr_expect_eq(guest->dones, 1);
    cr_expect_eq(place.lane->stats[LANE_REQUESTS], 1);
    cr_expect_not_null(strstr(outcomes(), "outcome=\"refused\",code=\"400\"} 1"));
    tear_down();
}

Test(pipeline, each_request_is_recorded_once_with_its_outcome)
{
    static const struct {
        const char *lines;
        const char *reply;
        const char *outcome;
    } rows[] = {
        { GET, KEEP, "outcome=\"miss\",code=\"200\"} 1" },
        { GET, NULL, "outcome=\"hit\",code=\"200\"} 1" },
        { POST, OK, "outcome=\"pass\",code=\"200\"} 1" },
        { "GET /y HTTP/1.1\nHost: a\nCache-Control: only-if-cached", NULL, "outcome=\"failed\",code=\"504\"} 1" },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        guest_meets(guest, rows[i].lines, &place.apps[0], rows[i].reply);
        cr_expect_not_null(strstr(outcomes(), rows[i].outcome), "row %zu: %s", i, outcomes());
        cr_expect_eq(place.lane->stats[LANE_REQUESTS], i + 1);
    }
    tear_down();
}

/* --- permits --- */

Test(pipeline, a_full_upstream_is_waited_for_in_turn)
{
    set_up(ONE_PLACE);
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], POST);
    cr_expect_eq(line_waiting(line()), 2);
    cr_expect_str_eq(guests[1].req->fetch->wait_why, "permit");
    for (unsigned i = 0; i < 3; i++) {
        app_head(&place.apps[0]);
        cr_expect_eq(line_inside(line()), 1);
        app_send(&place.apps[0], OK);
        guest_until_done(&guests[i]);
        cr_expect_eq(guest_status(&guests[i]), 200);
    }
    tear_down();
}

Test(pipeline, a_full_queue_and_a_long_wait_are_503)
{
    set_up("upstreams: {app: {primary: [\"@0\"], limit: {concurrency: 1, queue: 1, queue_time: 20ms}}}\n");
    guest_ask(&guests[0], POST);
    guest_ask(&guests[1], POST);
    guest_ask(&guests[2], POST);
    cr_expect(is_refused(&guests[2], 503, "queue-full"));
    cr_expect_str_eq(guest_field(&guests[2], "Retry-After"), "1");
    guest_until_done(&guests[1]);
    cr_expect(is_refused(&guests[1], 503, "queue-timeout"));
    cr_expect_eq(line_waiting(line()), 0);
    cr_expect_not_null(strstr(outcomes(), "outcome=\"shed\",code=\"503\"} 2"));
    guest_leave(&guests[0]);
    tear_down();
}

Test(pipeline, a_better_claim_pushes_the_last_one_out)
{
    set_up("upstreams: {app: {primary: [\"@0\"], limit: {concurrency: 1, queue: 1, queue_time: 10s}}}\n"
           "routes: [{path: /low, priority: low}, {path: /high, priority: high}]\n");
    guest_ask(&guests[0], POST);
    guest_ask(&guests[1], "POST /low HTTP/1.1\nHost: a");
    guest_ask(&guests[2], "POST /high HTTP/1.1\nHost: a");
    guest_until_done(&guests[1]);
    cr_expect(is_refused(&guests[1], 503, "queue-full"));
    cr_expect_eq(line_waiting(line()), 1);

    guest_leave(&guests[2]);
    guest_ask(&guests[1], "POST /low HTTP/1.1\nHost: a");
    guest_ask(&guests[2], "POST /high HTTP/1.1\nHost: a");
    guest_leave(&guests[1]); /* its refusal is on the way */
    place_turn(&place, 2);
    guest_leave(&guests[2]);
    guest_leave(&guests[0]);
    tear_down();
}

Test(pipeline, a_tenants_concurrency_is_its_own)
{
    set_up(APP "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default, named: {acme: {concurrency: 1}}}\n");
    guest_ask(&guests[0], POST "\nX-Tenant: acme");
    guest_ask(&guests[1], POST "\nX-Tenant: acme");
    cr_expect(is_refused(&guests[1], 429, "tenant-concurrency"));
    guest_ask(&guests[2], POST "\nX-Tenant: other");
    cr_expect_not_null(guests[2].req);
    guest_leave(&guests[0]);
    guest_ask(&guests[1], POST "\nX-Tenant: acme");
    cr_expect_not_null(guests[1].req, "its place is free again");
    guest_leave(&guests[1]);
    guest_leave(&guests[2]);
    tear_down();
}

Test(pipeline, a_permit_ends_with_the_exchange_not_with_a_slow_client)
{
    set_up(ONE_PLACE);
    guest->room = 0;
    guest_ask(guest, POST);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], OK);
    UNTIL(&place, guest->stuck == 2);
    cr_expect_eq(line_inside(line()), 0);
    cr_expect_not_null(guest->req, "not recorded before it is written");
    guest_read(guest, 2);
    cr_expect_eq(guest->dones, 1);
    tear_down();
}

Test(pipeline, a_stale_choice_is_made_again_without_losing_the_place)
{
    set_up("upstreams: {app: {primary: [\"@0\", \"@1\"], balance: round_robin, limit: {concurrency: 1, queue: 2, queue_time: 10s}}}\n");
    struct upstream *upstream = place.world->supplies[0].upstream;
    guest_ask(&guests[0], POST);
    guest_ask(&guests[1], POST);
    struct server *chosen = guests[1].req->fetch->server;
    unsigned other = 1 - upstream_index(upstream, chosen);
    unsigned first = upstream_index(upstream, guests[0].req->fetch->server);
    atomic_store(&chosen->admin, SERVER_ADMIN_DRAIN);
    app_head(&place.apps[first]);
    app_send(&place.apps[first], OK);
    guest_until_done(&guests[0]);
    app_head(&place.apps[other]);
    cr_expect_eq(line_inside(line()), 1);
    app_send(&place.apps[other], OK);
    guest_until_done(&guests[1]);
    cr_expect_eq(guest_status(&guests[1]), 200);
    tear_down();
}

/* --- retries --- */

static void refuse_connections(unsigned app)
{
    close(place.apps[app].listen_fd);
    place.apps[app].listen_fd = -1;
}

Test(pipeline, what_may_be_sent_again_is_tried_elsewhere)
{
    set_up(TWO);
    refuse_connections(0);
    for (unsigned i = 0; i < 2; i++) {
        guest_meets(guest, "GET /x HTTP/1.1\nHost: a\nCache-Control: no-store", &place.apps[1], OK);
        cr_expect_eq(guest_status(guest), 200, "request %u", i);
    }
    tear_down();
}

Test(pipeline, what_is_not_idempotent_is_not)
{
    set_up("upstreams: {app: {primary: [\"@0\"]}}\n");
    guest_ask(guest, POST);
    app_head(&place.apps[0]);
    app_close(&place.apps[0]);
    guest_until_done(guest);
    cr_expect(is_refused(guest, 502, "upstream-closed"));
    tear_down();
}

Test(pipeline, once_a_byte_was_answered_nothing_is_sent_again)
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

Test(pipeline, a_kept_connection_that_was_closed_is_nobodys_failure)
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

Test(pipeline, a_kept_body_is_sent_again_whole)
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

Test(pipeline, many_who_ask_at_once_cost_the_app_one_request)
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

Test(pipeline, an_answer_that_is_nobody_elses_sends_each_on_his_own)
{
    set_up(APP);
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], GET);
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0)
            app_accept(&place.apps[0]);
        app_head(&place.apps[0]);
        app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    }
    for (unsigned i = 0; i < 3; i++) {
        guest_until_done(&guests[i]);
        cr_expect_eq(guest_status(&guests[i]), 200);
    }
    cr_expect_eq(place.world->supplies[0].upstream->servers[0]->requests, 3);
    tear_down();
}

Test(pipeline, a_failure_is_everybodys)
{
    set_up("upstreams: {app: {primary: [\"@0\"], retries: {attempts: 0}}}\n");
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], GET);
    app_head(&place.apps[0]);
    app_close(&place.apps[0]);
    for (unsigned i = 0; i < 3; i++) {
        guest_until_done(&guests[i]);
        cr_expect(is_refused(&guests[i], 502, "upstream-closed"), "guest %u: %d %s", i, guest_status(&guests[i]), guest_reason(&guests[i]));
    }
    tear_down();
}

Test(pipeline, a_leader_who_leaves_does_not_take_the_answer_along)
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

Test(pipeline, a_leader_who_left_leaves_room_to_lead)
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

Test(pipeline, what_is_being_stored_is_fetched_to_its_end)
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

Test(pipeline, a_write_makes_what_is_stored_wrong)
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

/* --- time --- */

Test(pipeline, the_total_time_ends_whatever_goes_on)
{
    set_up("upstreams: {app: {primary: [\"@0\"], timeouts: {total: 30ms}}}\n");
    guest_ask(guest, GET);
    guest_until_done(guest);
    cr_expect(is_refused(guest, 504, "total-timeout"));

    guest_ask(guest, POST);
    app_accept(&place.apps[0]);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    guest_until_done(guest);
    if (guest->begins)
        cr_expect_eq(guest->cut, ERR_TOTAL_TIMEOUT, "a head that went out is not followed by an error");
    cr_expect_eq(guest->lasts, 0);
    tear_down();
}

Test(pipeline, an_app_that_says_nothing_is_504_and_not_asked_again)
{
    set_up("upstreams: {app: {primary: [\"@0\"], timeouts: {first_byte: 20ms}}}\n");
    guest_ask(guest, GET);
    app_head(&place.apps[0]);
    guest_until_done(guest);
    cr_expect(is_refused(guest, 504, "first-byte-timeout"));
    cr_expect_eq(place.world->supplies[0].upstream->servers[0]->requests, 1);
    tear_down();
}
