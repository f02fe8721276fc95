/* The two corridors by what can be seen of them: their order, and where each verdict leads. */
#include "pipeline/stage.h"

#include <stdlib.h>

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
    set_up(APP "tenants: {from: [{header: X-Tenant, believe: any}], unlisted: refuse, named: {acme: {rate: "
               "1/s, burst: 2}}}\n"
               "versions: {from: [{header: API-Version}], default: v1, known: {v1: {}}}\n");
    guest_meets(guest, GET "\nX-Tenant: nobody", NULL, NULL);
    cr_expect(is_refused(guest, 404, "no-tenant"));
    guest_meets(guest, GET "\nX-Tenant: acme\nAPI-Version: v9", NULL, NULL);
    cr_expect(is_refused(guest, 400, "unknown-version"));
    guest_meets(guest, GET "\nX-Tenant: acme", &place.apps[0], KEEP);
    guest_meets(guest, GET "\nX-Tenant: acme", NULL, NULL);
    cr_expect_eq(guest_status(guest), 200, "a hit");
    guest_meets(guest, GET "\nX-Tenant: acme", NULL, NULL);
    cr_expect(is_refused(guest, 429, "tenant-rate"),
              "a hit costs a token as well; those refused before cost none");
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
        { "GET /y HTTP/1.1\nHost: a\nCache-Control: only-if-cached", NULL,
          "outcome=\"failed\",code=\"504\"} 1" },
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
    set_up(APP "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default, named: {acme: "
               "{concurrency: 1}}}\n");
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
    set_up("upstreams: {app: {primary: [\"@0\", \"@1\"], balance: round_robin, limit: {concurrency: 1, "
           "queue: 2, queue_time: 10s}}}\n");
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

/* --- time --- */

Test(pipeline, the_total_time_ends_whatever_goes_on)
{
    set_up("upstreams: {app: {primary: [\"@0\"], timeouts: {total: 200ms}}}\n");
    guest_ask(guest, GET);
    app_head(&place.apps[0]);
    guest_until_done(guest);
    cr_expect(is_refused(guest, 504, "total-timeout"));
    app_close(&place.apps[0]);

    static const char *const lines[] = { POST, GET }; /* relayed, and read as it is stored */
    for (unsigned i = 0; i < 2; i++) {
        guest_ask(guest, lines[i]);
        app_head(&place.apps[0]);
        app_send(&place.apps[0],
                 "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 4\r\n\r\nab");
        UNTIL(&place, buf_len(&guest->body) == 2);
        guest_until_done(guest);
        cr_expect_eq(guest->cut, ERR_TOTAL_TIMEOUT, "a head that went out is not followed by an error");
        cr_expect_eq(guest->lasts, 0);
        app_close(&place.apps[0]);
    }
    UNTIL(&place, place.lane->now->requests == 0);
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
