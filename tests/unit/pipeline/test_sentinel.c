/* The leak sentinel: which answers it looks at, and every verdict it can come to. */
#include "pipeline/sentinel.h"

#include "standing.h"

#define SAMPLED(cache)                                                                         \
    "upstreams: {app: {primary: [\"@0\"], retries: {attempts: 0}}}\ncache: {leak_sample: 1}\n" \
    "routes:\n  - {name: r, path: /**, cache: {" cache "}}\n"
#define WITNESS "GET /x HTTP/1.1\nHost: a\nX-User: w"
#define CALLER  "GET /x HTTP/1.1\nHost: a\nX-User: c"

static const enum lane_stat findings[] = { LANE_LEAK_SAME, LANE_LEAK_CHANGED, LANE_LEAK_UNSURE,
                                           LANE_LEAK_FOUND };

static uint64_t found(enum lane_stat finding)
{
    return atomic_load(&place.lane->stats[finding]);
}

static bool is_quarantined(void)
{
    struct quarantine rows[4];
    return world_quarantines(place.world, rows, COUNT_OF(rows)) > 0;
}

/* A body or, with three digits before it, a status and a body. */
static void answer(const char *text)
{
    char head[256];
    bool has_status = strlen(text) > 4 && text[3] == ' ';
    const char *body = has_status ? text + 4 : text;
    snprintf(head, sizeof head, "HTTP/1.1 %.3s X\r\nContent-Length: %zu\r\n\r\n%s", has_status ? text : "200",
             strlen(body), body);
    app_send(&place.apps[0], head);
}

static void until_checked(void)
{
    UNTIL(&place, !place.lane->check && place.lane->errands == 0);
}

/* Stored for the witness, got by the caller; then the app answers whom it is asked for. */
static void check(const char *const replies[], size_t count)
{
    static const char *const users[] = { "c", "w", "w", "c" };
    guest_ask(&guest, WITNESS);
    app_head(&place.apps[0]);
    answer("mine");
    guest_until_done(&guest);
    meet(CALLER, NULL);
    cr_expect(guest_has_body(&guest, "mine"));
    for (size_t i = 0; i < count; i++) {
        cr_assert_not_null(place.lane->check, "turn %zu", i);
        const char *head = app_head(&place.apps[0]);
        cr_expect_str_eq(head_field(head, "X-User:"), users[i], "turn %zu", i);
        if (strcmp(replies[i], "gone") == 0) {
            app_close(&place.apps[0]); /* a kept connection: it is tried once more */
            app_head(&place.apps[0]);
            app_close(&place.apps[0]);
        } else if (strcmp(replies[i], "cut") == 0) {
            app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nmi");
            place_turn(&place, 4);
            app_close(&place.apps[0]);
        } else {
            answer(replies[i]);
        }
        place_turn(&place, 4);
    }
    until_checked();
}

Test(sentinel, the_verdicts)
{
    static const struct {
        const char *replies[4];
        enum lane_stat want;
    } rows[] = {
        { { "mine" }, LANE_LEAK_SAME },
        { { "yours", "yours" }, LANE_LEAK_CHANGED },
        { { "yours", "mine", "mine", "yours" }, LANE_LEAK_FOUND },
        { { "yours", "newer", "newer", "yours" }, LANE_LEAK_FOUND }, /* it changed, and each has his own */
        { { "yours", "mine", "mine", "other" }, LANE_LEAK_UNSURE },
        { { "yours", "mine", "other", "yours" }, LANE_LEAK_UNSURE },
        { { "1", "2", "3", "4" }, LANE_LEAK_UNSURE }, /* it differs each time */
        { { "a", "b", "a", "b" }, LANE_LEAK_UNSURE }, /* two servers in turns */
        /* Statuses: another one for the caller is a difference, for the witness it says nothing. */
        { { "404 mine", "mine", "mine", "404 mine" }, LANE_LEAK_FOUND },
        { { "403 no!", "mine", "mine", "403 no!" }, LANE_LEAK_FOUND },
        { { "401 no!", "mine", "mine", "403 no!" }, LANE_LEAK_UNSURE },
        { { "404 mine", "mine", "mine", "mine" }, LANE_LEAK_UNSURE },
        { { "404 none", "404 none" }, LANE_LEAK_UNSURE },
        { { "yours", "403 no!" }, LANE_LEAK_UNSURE },
        { { "yours", "mine", "500 oh" }, LANE_LEAK_UNSURE },
        /* Errors say nothing, whoever asked. */
        { { "500 oh" }, LANE_LEAK_UNSURE },
        { { "503 oh" }, LANE_LEAK_UNSURE },
        { { "429 slow" }, LANE_LEAK_UNSURE },
        { { "yours", "mine", "mine", "502 oh" }, LANE_LEAK_UNSURE },
        { { "gone" }, LANE_LEAK_UNSURE },
        { { "cut" }, LANE_LEAK_UNSURE },
        { { "yours", "gone" }, LANE_LEAK_UNSURE },
        { { "yours", "mine", "cut" }, LANE_LEAK_UNSURE },
        { { "yours", "mine", "mine", "gone" }, LANE_LEAK_UNSURE },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t count = 0;
        while (count < 4 && rows[i].replies[count])
            count++;
        set_up(SAMPLED("ttl: 60s"));
        check(rows[i].replies, count);
        for (size_t k = 0; k < COUNT_OF(findings); k++)
            cr_expect_eq(found(findings[k]), findings[k] == rows[i].want, "row %zu, finding %zu", i, k);
        cr_expect_eq(is_quarantined(), rows[i].want == LANE_LEAK_FOUND, "row %zu", i);
        tear_down();
    }
}

Test(sentinel, a_leaking_route_shares_nothing_until_it_is_lifted)
{
    static const char *const leak[] = { "yours", "mine", "mine", "yours" };
    struct quarantine row;
    set_up(SAMPLED("ttl: 60s"));
    check(leak, 4);
    cr_assert_eq(world_quarantines(place.world, &row, 1), 1);
    cr_expect(str_eq(row.route, STR("r")));
    cr_expect_neq(row.stored_digest, row.fetched_digest);
    for (unsigned i = 0; i < 2; i++) {
        guest_ask(&guest, CALLER);
        app_head(&place.apps[0]);
        answer("fresh");
        guest_until_done(&guest);
        cr_expect(guest_has_body(&guest, "fresh"));
    }
    meet("GET /own HTTP/1.1\nHost: a", KEEP);
    meet("GET /own HTTP/1.1\nHost: a", NULL); /* what the app declares is still shared */
    cr_assert(place_reload(&place, SAMPLED("ttl: 60s")));
    cr_expect(is_quarantined(), "a reload alone does not lift it");
    cr_assert(world_lift_quarantine(place.world, STR("r")));
    guest_ask(&guest, WITNESS);
    app_head(&place.apps[0]);
    answer("mine");
    guest_until_done(&guest);
    place.lane->errands = 64; /* no further check */
    meet(CALLER, NULL);
    place_turn(&place, 3);
    place.lane->errands = 0;
    tear_down();
}

Test(sentinel, a_guess_that_leaks_is_no_longer_made)
{
    static const char guessed[] = "HTTP/1.1 200 OK\r\nLast-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n"
                                  "Content-Length: 4\r\n\r\nmine";
    static const char *const leak[] = { "yours", "mine", "mine", "yours" };
    set_up(SAMPLED("stale_if_error: 0s"));
    meet(WITNESS, guessed);
    meet(CALLER, NULL);
    for (size_t i = 0; i < COUNT_OF(leak); i++) {
        app_head(&place.apps[0]);
        answer(leak[i]);
        place_turn(&place, 4);
    }
    until_checked();
    cr_assert(is_quarantined());
    for (unsigned i = 0; i < 2; i++) {
        meet(CALLER, guessed);
        cr_expect_null(strstr(cache_status(), "hit"));
        cr_expect_null(strstr(cache_status(), "stored"));
    }
    tear_down();
}

/* --- which answers it looks at --- */

static void expect_no_check(const char *reply)
{
    meet(WITNESS, reply);
    meet(CALLER, NULL);
    cr_expect_null(place.lane->check);
    cr_expect_eq(place.lane->errands, 0);
}

Test(sentinel, only_what_rests_on_weirs_own_word)
{
    static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine";
    set_up(SAMPLED("ttl: 60s"));
    expect_no_check(KEEP);
    tear_down();
    set_up(SAMPLED("ttl: 60s, share: credential"));
    expect_no_check(plain);
    tear_down();
    set_up("upstreams: {app: {primary: [\"@0\"]}}\ncache: {leak_sample: off}\n"
           "routes:\n  - {path: /**, cache: {ttl: 60s}}\n");
    expect_no_check(plain);
    tear_down();
}

Test(sentinel, every_so_many_hits_one)
{
    static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine";
    set_up("upstreams: {app: {primary: [\"@0\"]}}\ncache: {leak_sample: 3}\n"
           "routes:\n  - {path: /**, cache: {ttl: 60s}}\n");
    meet(WITNESS, plain);
    for (unsigned i = 1; i <= 9; i++) {
        meet(CALLER, NULL);
        cr_expect_eq(place.lane->check != NULL, i % 3 == 0, "hit %u", i);
        if (!place.lane->check)
            continue;
        app_head(&place.apps[0]);
        answer("mine");
        until_checked();
    }
    cr_expect_eq(found(LANE_LEAK_SAME), 3);
    tear_down();
}

Test(sentinel, one_at_a_time)
{
    set_up(SAMPLED("ttl: 60s"));
    guest_ask(&guest, WITNESS);
    app_head(&place.apps[0]);
    answer("mine");
    guest_until_done(&guest);
    meet(CALLER, NULL);
    place_turn(&place, 3);
    for (unsigned i = 0; i < 3; i++)
        meet(CALLER, NULL);
    cr_expect_eq(place.lane->errands, 1);
    app_head(&place.apps[0]);
    answer("mine");
    until_checked();
    cr_expect_eq(found(LANE_LEAK_SAME), 1);
    tear_down();
}

Test(sentinel, without_room_for_an_errand_nothing_can_be_said)
{
    set_up(SAMPLED("ttl: 60s"));
    guest_ask(&guest, WITNESS);
    app_head(&place.apps[0]);
    answer("mine");
    guest_until_done(&guest);
    place.lane->errands = 64;
    meet(CALLER, NULL);
    UNTIL(&place, !place.lane->check);
    cr_expect_eq(found(LANE_LEAK_UNSURE), 1);
    place.lane->errands = 0;
    tear_down();
}

Test(sentinel, what_is_too_large_is_not_compared)
{
    static char body[(1 << 20) + 1];
    memset(body, 'x', sizeof body);
    set_up(SAMPLED("ttl: 60s"));
    guest_ask(&guest, WITNESS);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n");
    app_send_n(&place.apps[0], body, sizeof body);
    guest_until_done(&guest);
    meet(CALLER, NULL);
    cr_expect_null(place.lane->check);
    tear_down();
}

Test(sentinel, a_client_that_leaves_takes_no_check_with_it)
{
    set_up(SAMPLED("ttl: 60s"));
    guest_ask(&guest, WITNESS);
    app_head(&place.apps[0]);
    answer("mine");
    guest_until_done(&guest);
    guest.act = GUEST_LEAVES_AT_BEGIN;
    guest_ask(&guest, CALLER);
    guest_until_done(&guest);
    const char *head = app_head(&place.apps[0]);
    cr_expect_str_eq(head_field(head, "X-Forwarded-For:"), "127.0.0.9");
    answer("mine");
    until_checked();
    cr_expect_eq(found(LANE_LEAK_SAME), 1);
    tear_down();
}

/* Whoever was not believed when he asked is not believed when he is asked for again. */
Test(sentinel, the_witness_is_trusted_as_little_as_he_was)
{
    set_up(SAMPLED("ttl: 60s"));
    guest.client.is_trusted = false;
    guest_ask(&guest, WITNESS "\nX-Forwarded-For: 10.9.9.9\nX-Request-Id: mine");
    const char *head = app_head(&place.apps[0]);
    cr_expect_null(strstr(head, "10.9.9.9"));
    answer("mine");
    guest_until_done(&guest);
    guest.client.is_trusted = true;
    meet(CALLER, NULL);
    app_head(&place.apps[0]);
    answer("yours");
    head = app_head(&place.apps[0]);
    cr_expect_str_eq(head_field(head, "X-User:"), "w");
    cr_expect_null(strstr(head, "10.9.9.9"), "%s", head);
    answer("yours");
    until_checked();
    tear_down();
}
