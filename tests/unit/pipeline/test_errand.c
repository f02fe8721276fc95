/* Requests that no client waits for: they are few, they are everybody's, and each comes to its end. */
#include "pipeline/errand.h"

#include "standing.h"

/* Stale as it comes, good for a minute behind the client's back. */
#define BEHIND                                                                                            \
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-while-revalidate=60\r\nAge: 5\r\nETag: \"e\"\r\n" \
    "Content-Length: 3\r\n\r\nold"
#define NEWER "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nnew"
#define GET_X "GET /x HTTP/1.1\nHost: a"

static struct lane *lane(void)
{
    return place.lane;
}

/* Somebody gets the stale answer, and its renewal has set out. */
static void sets_out(const char *lines)
{
    meet(GET_X, BEHIND);
    meet(lines, NULL);
    cr_assert_eq(lane()->errands, 1);
}

static void until_home(void)
{
    UNTIL(&place, lane()->errands == 0 && lane()->now->requests == 0);
}

Test(errand, one_goes_for_all_who_get_the_stale_answer)
{
    set_up(APP);
    sets_out(GET_X);
    for (unsigned i = 0; i < 3; i++) {
        meet(GET_X, NULL);
        cr_expect(guest_has_body(&guest, "old"));
        cr_expect_eq(lane()->errands, 1);
    }
    cr_expect_eq(atomic_load(&lane()->stats[LANE_CACHE_REFRESHED]), 1u);
    const char *head = app_head(&place.apps[0]);
    cr_expect_not_null(strstr(head, "If-None-Match: \"e\"\r\n"));
    app_send(&place.apps[0], NEWER);
    until_home();
    meet(GET_X, NULL);
    cr_expect(guest_has_body(&guest, "new"));
    tear_down();
}

Test(errand, it_asks_as_its_asker_did_but_for_the_whole)
{
    set_up(APP);
    sets_out("GET /x HTTP/1.1\nHost: a\nX-Tell: 1\nRange: bytes=0-0\nIf-Range: \"e\"");
    const char *head = app_head(&place.apps[0]);
    cr_expect_str_eq(head_field(head, "X-Tell:"), "1");
    cr_expect_str_eq(head_field(head, "X-Forwarded-For:"), "127.0.0.9");
    cr_expect_null(head_field(head, "Range:"));
    cr_expect_null(head_field(head, "If-Range:"));
    app_send(&place.apps[0], NEWER);
    until_home();
    meet(GET_X, NULL);
    cr_expect(guest_has_body(&guest, "new"));
    tear_down();
}

Test(errand, a_heads_errand_gets)
{
    set_up(APP);
    sets_out("HEAD /x HTTP/1.1\nHost: a");
    cr_expect(str_has_prefix(str_of(app_head(&place.apps[0])), STR("GET /x HTTP/1.1\r\n")));
    app_send(&place.apps[0], NEWER);
    until_home();
    meet(GET_X, NULL);
    cr_expect(guest_has_body(&guest, "new"));
    tear_down();
}

Test(errand, however_the_app_answers_it_comes_home)
{
    static const struct {
        const char *reply;
        const char *after; /* what is stored then; NULL: nothing */
    } rows[] = {
        { "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"e\"\r\n\r\n", "old" },
        { "HTTP/1.1 304 Not Modified\r\nCache-Control: no-store\r\nETag: \"e\"\r\n\r\n", NULL },
        { "HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\nx", NULL },
        { "HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 1\r\n\r\nx", NULL },
        { "HTTP/1.1 200 OK\r\nCache-Control: private\r\nTransfer-Encoding: "
          "chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
          NULL },
        { "HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\n\r\n", "" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        sets_out(GET_X);
        app_head(&place.apps[0]);
        app_send(&place.apps[0], rows[i].reply);
        until_home();
        meet(GET_X, rows[i].after ? NULL : NEWER);
        cr_expect(guest_has_body(&guest, rows[i].after ? rows[i].after : "new"), "row %zu", i);
        tear_down();
    }
}

Test(errand, however_the_app_fails_it_comes_home_and_rests)
{
    static const char *const replies[] = {
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 2x0 What\r\n\r\n",
        "",
    };
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        set_up("upstreams: {app: {primary: [\"@0\"], retries: {attempts: 0}}}\n");
        meet(GET_X, BEHIND);
        app_close(&place.apps[0]); /* else a kept connection would be tried anew */
        place_turn(&place, 5);
        meet(GET_X, NULL);
        app_head(&place.apps[0]);
        app_send(&place.apps[0], replies[i]);
        if (!replies[i][0])
            app_close(&place.apps[0]);
        until_home();
        meet(GET_X, NULL);
        cr_expect(guest_has_body(&guest, "old"), "reply %zu", i);
        cr_expect_eq(lane()->errands, 0, "reply %zu: it rests", i);
        tear_down();
    }
}

Test(errand, a_reply_that_breaks_off_is_not_kept_and_it_comes_home)
{
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nabc", /* into the cache */
        "HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 9\r\n\r\nabc",    /* into nothing */
    };
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        set_up(APP);
        sets_out(GET_X);
        app_head(&place.apps[0]);
        app_send(&place.apps[0], heads[i]);
        place_turn(&place, 5);
        app_close(&place.apps[0]);
        until_home();
        meet(GET_X, NEWER);
        cr_expect(guest_has_body(&guest, "new"));
        tear_down();
    }
}

Test(errand, what_refuses_it_sends_it_home)
{
    set_up(APP);
    meet(GET_X, BEHIND);
    down();
    meet(GET_X, NULL); /* no server */
    cr_expect(guest_has_body(&guest, "old"));
    until_home();
    tear_down();

    set_up(APP);
    meet(GET_X, BEHIND);
    atomic_store(&place.city.is_draining, true);
    meet(GET_X, NULL);
    cr_expect(guest_has_body(&guest, "old"));
    until_home();
    tear_down();

    set_up("upstreams: {app: {primary: [\"@0\"], limit: {concurrency: 1, queue: 0}}}\n");
    struct guest second;
    guest_init(&second, &place);
    meet(GET_X, BEHIND);
    guest_ask(&second, "GET /busy HTTP/1.1\nHost: a");
    app_head(&place.apps[0]);
    meet(GET_X, NULL); /* no place in the line */
    cr_expect(guest_has_body(&guest, "old"));

    UNTIL(&place, lane()->errands == 0);
    app_send(&place.apps[0], NEWER);
    guest_until_done(&second);
    guest_fini(&second);
    tear_down();
}

Test(errand, it_goes_on_when_its_asker_has_left)
{
    set_up(APP);
    meet(GET_X, BEHIND);
    guest.act = GUEST_LEAVES_AT_WRITE;
    guest_ask(&guest, GET_X);
    guest_until_done(&guest);
    cr_assert_eq(lane()->errands, 1);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], NEWER);
    until_home();
    meet(GET_X, NULL);
    cr_expect(guest_has_body(&guest, "new"));
    tear_down();
}

Test(errand, it_spends_nobodys_rate)
{
    set_up(APP "tenants: {default: {rate: 3/m, burst: 3}}\n");
    sets_out(GET_X);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], BEHIND);
    until_home();
    meet(GET_X, NULL);
    cr_expect_eq(guest_status(&guest), 200);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], NEWER);
    until_home();
    meet(GET_X, NULL);
    cr_expect_eq(guest_status(&guest), 429, "three were for clients");
    tear_down();
}

/* --- how many --- */

Test(errand, a_lane_has_room_for_64_and_for_refreshing_with_less_than_16)
{
    static const struct {
        unsigned errands;
        bool revalidates, refreshes;
    } rows[] = {
        { 0, true, true },   { 15, true, true },   { 16, true, false },
        { 63, true, false }, { 64, false, false }, { 65, false, false },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        lane()->errands = rows[i].errands;
        cr_expect_eq(errand_may(lane(), ERRAND_REVALIDATE), rows[i].revalidates, "row %zu", i);
        cr_expect_eq(errand_may(lane(), ERRAND_CHECK), rows[i].revalidates, "row %zu", i);
        cr_expect_eq(errand_may(lane(), ERRAND_REFRESH), rows[i].refreshes, "row %zu", i);
    }
    lane()->errands = 0;
    lane()->is_draining = true;
    cr_expect_not(errand_may(lane(), ERRAND_REVALIDATE));
    lane()->is_draining = false;
    tear_down();
}

Test(errand, who_finds_no_room_makes_none_and_keeps_no_flight)
{
    set_up(APP);
    meet(GET_X, BEHIND);
    lane()->errands = ERRANDS_MAX;
    meet(GET_X, NULL);
    cr_expect(guest_has_body(&guest, "old"));
    cr_expect_eq(lane()->errands, (unsigned)ERRANDS_MAX);
    cr_expect_eq(atomic_load(&lane()->stats[LANE_CACHE_REFRESHED]), 0u);
    lane()->errands = 0;
    meet(GET_X, NULL);
    cr_expect_eq(lane()->errands, 1, "the next one may");
    app_head(&place.apps[0]);
    app_send(&place.apps[0], NEWER);
    until_home();
    tear_down();
}

static struct flight *flight_of(struct request *req)
{
    struct flight *flight = NULL;
    cr_assert_eq(flight_lead(place.city.cache, &req->key, &req->msg, NULL, &flight), FLIGHT_LEAD);
    return flight;
}

Test(errand, the_flight_is_taken_over_also_when_there_is_no_room)
{
    set_up(APP);
    struct request *req = standing(GET_X);
    struct object_meta meta = meta_aged(12000, 10000);
    struct object *object = shelved(&req->key, &meta, "old");
    lane()->errands = ERRANDS_MAX;
    errand_revalidate(req, ERRAND_REVALIDATE, object, flight_of(req));
    lane()->errands = ERRANDS_REFRESH_MAX;
    errand_revalidate(req, ERRAND_REFRESH, object, flight_of(req));
    flight_abandon(flight_of(req)); /* it is free again each time */
    lane()->errands = 0;
    object_unref(object);
    go_away(req);
    tear_down();
}

Test(errand, none_is_made_for_a_world_that_was_reloaded)
{
    set_up(APP);
    struct request *req = standing(GET_X);
    struct object_meta meta = meta_aged(12000, 10000);
    struct object *object = shelved(&req->key, &meta, "old");
    struct flight *flight = flight_of(req);
    cr_assert(place_reload(&place, APP));
    errand_revalidate(req, ERRAND_REVALIDATE, object, flight);
    cr_expect_eq(lane()->errands, 0);
    object_unref(object);
    go_away(req);
    tear_down();
}

/* --- the sentinel's question --- */

static unsigned told_times;
static int told_status;
static uint64_t told_digest;

static void on_told(void *arg, const struct errand_answer *answer)
{
    cr_expect_eq(arg, &told_times);
    cr_expect_eq(lane()->errands, 0, "its place is free when it is told");
    told_times++;
    told_status = answer->status;
    told_digest = answer->digest;
}

/* What is told of that reply; is_closed: the app closes behind it. */
static uint64_t told_of(const char *reply, bool is_closed, int want)
{
    struct request *req = standing(GET_X);
    told_times = 0;
    cr_assert(errand_check(req, req->head_text, false, NULL, on_told, &told_times));
    cr_expect_eq(lane()->errands, 1);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], reply);
    place_turn(&place, 3);
    if (is_closed)
        app_close(&place.apps[0]);
    UNTIL(&place, told_times > 0);
    place_turn(&place, 3);
    cr_expect_eq(told_times, 1);
    cr_expect_eq(told_status, want, "%d for %s", told_status, reply);
    cr_expect_eq(lane()->errands, 0);
    go_away(req);
    return told_digest;
}

Test(errand, a_check_is_told_the_status_and_what_the_body_was)
{
    set_up("upstreams: {app: {primary: [\"@0\"], retries: {attempts: 0}}}\n");
    uint64_t digest = told_of("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef", false, 200);
    cr_expect_eq(
        told_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n",
                false, 200),
        digest);
    cr_expect_eq(told_of("HTTP/1.1 404 No\r\nX: y\r\nContent-Length: 6\r\n\r\nabcdef", false, 404), digest);
    cr_expect_neq(told_of("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdeF", false, 200), digest);
    cr_expect_eq(told_of("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nCache-Control: max-age=60\r\n\r\nabcdef",
                         false, 200),
                 digest);
    told_of("HTTP/1.1 204 None\r\n\r\n", false, 204);
    told_of("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", true, 0);
    told_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true, 0);
    told_of("HTTP/1.1 ??? what\r\n\r\n", true, 0);
    told_of("", true, 0);
    struct cache_stats stats;
    cache_stats_read(place.city.cache, &stats);
    cr_expect_eq(stats.objects, 0u, "a check leaves nothing in the cache");
    tear_down();
}

Test(errand, a_check_that_nobody_serves_is_told_so)
{
    set_up(APP);
    struct request *req = standing(GET_X);
    down();
    cr_assert(errand_check(req, req->head_text, false, NULL, on_told, &told_times));
    UNTIL(&place, told_times > 0);
    cr_expect_eq(told_status, 0);
    cr_assert(errand_check(req, STR("no head at all\r\n\r\n"), false, NULL, on_told, &told_times));
    UNTIL(&place, told_times > 1);
    cr_expect_eq(told_status, 0);
    cr_expect_eq(lane()->errands, 0);
    lane()->errands = ERRANDS_MAX;
    cr_expect_not(errand_check(req, req->head_text, false, NULL, on_told, &told_times), "no room");
    lane()->errands = 0;
    cr_expect_eq(told_times, 2);
    go_away(req);
    tear_down();
}

Test(errand, a_check_that_a_limit_ends_is_told_so)
{
    set_up("upstreams: {app: {primary: [\"@0\"], timeouts: {total: 30ms}}}\n");
    struct request *req = standing(GET_X);
    cr_assert(errand_check(req, req->head_text, false, NULL, on_told, &told_times));
    app_head(&place.apps[0]);
    UNTIL(&place, told_times > 0);
    cr_expect_eq(told_status, 0);
    cr_assert(errand_check(req, req->head_text, false, NULL, on_told, &told_times));
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"); /* and then nothing */
    UNTIL(&place, told_times > 1);
    cr_expect_eq(told_status, 0);
    place_turn(&place, 3);
    cr_expect_eq(told_times, 2);
    go_away(req);
    tear_down();
}
