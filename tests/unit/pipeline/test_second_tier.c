/* When the second tier is asked and given something, and what becomes of its answers. */
#include "pipeline/second_tier.h"

#include "tier_played.h"

/* --- asking --- */

Test(second_tier, who_asks_it)
{
    static const struct {
        const char *lines;
        bool want;
    } rows[] = {
        { GET_X, true },
        { GET_X "\nCookie: a=1", true },
        { "HEAD /x HTTP/1.1\nHost: a", false },
        { "POST /x HTTP/1.1\nHost: a", false },
        { GET_X "\nCache-Control: no-store", false },
        { GET_X "\nIf-Match: \"a\"", false },
        { GET_X "\nRange: bytes=0-1", false },
        { GET_X "\nConnection: upgrade\nUpgrade: x", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        open_with(APP, TIER_FOUND);
        guest_ask(&guest, rows[i].lines);
        cr_expect_eq(tier.gets, rows[i].want, "row %zu", i);
        if (tier.get)
            cr_expect_str_eq(guest.req->wait_why, "second_tier");
        guest_leave(&guest);
        cr_expect_eq(tier.cancels, rows[i].want, "row %zu: who leaves asks no more", i);
        place_turn(&place, 3);
        close_all();
    }
}

Test(second_tier, who_must_see_his_own_write_or_has_no_tier_does_not_ask)
{
    open_with(APP, TIER_FOUND);
    struct request *req = standing(GET_X);
    req->not_before_ms = 1;
    cr_expect_eq(second_tier_ask(req, NULL), NEXT);
    req->not_before_ms = 0;
    req->position = STR("5");
    cr_expect_eq(second_tier_ask(req, NULL), NEXT);
    req->position = (struct str){ NULL, 0 };
    req->may_store = false;
    cr_expect_eq(second_tier_ask(req, NULL), NEXT);
    req->may_store = true;
    place.lane->tier = NULL;
    cr_expect_eq(second_tier_ask(req, NULL), NEXT);
    cr_expect_eq(tier.gets, 0u);
    go_away(req);
    close_all();
}

/* Credentials are in such a key: they stay in this process. */
Test(second_tier, what_is_kept_apart_by_credentials_stays_here)
{
    open_with(APP "routes:\n  - {path: /**, cache: {ttl: 60s, share: credential}}\n", TIER_FOUND);
    meet(GET_X "\nCookie: a=1", KEEP);
    cr_expect_eq(tier.gets, 0u);
    cr_expect_eq(tier.puts, 0u);
    close_all();
}

Test(second_tier, an_answer_from_it_is_a_hit_once_it_is_here)
{
    open_with(APP, TIER_FOUND);
    guest_ask(&guest, GET_X);
    struct value value = value_aged(5000);
    tells(&value);
    guest_until_done(&guest);
    cr_expect(guest_has_body(&guest, "theirs"));
    expect_reply("Age", "5");
    cr_expect_eq(counted(LANE_TIER_HIT), 1u);
    meet(GET_X, NULL);
    cr_expect_eq(tier.gets, 1u, "memory knows it now");
    close_all();
}

Test(second_tier, however_it_fails_the_app_is_asked_once)
{
    static const struct {
        enum tier_miss miss;
        enum lane_stat stat;
    } rows[] = {
        { TIER_ABSENT, LANE_TIER_MISS },    { TIER_INVALIDATED, LANE_TIER_MISS },
        { TIER_UNUSABLE, LANE_TIER_MISS },  { TIER_REFUSED, LANE_TIER_REFUSED },
        { TIER_LATE, LANE_TIER_TIMEOUT },   { TIER_FAILED, LANE_TIER_ERROR },
        { TIER_CLOSED, LANE_TIER_SKIPPED },
    };
    for (unsigned later = 0; later < 2; later++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            open_with(APP, later ? TIER_FOUND : rows[i].miss);
            guest_ask(&guest, GET_X);
            if (later) {
                struct tier_get *get = tier.get;
                tier.get = NULL;
                get->on_done(get, NULL, rows[i].miss);
            }
            app_head(&place.apps[0]);
            app_send(&place.apps[0], KEEP);
            guest_until_done(&guest);
            cr_expect(guest_has_body(&guest, TEN), "row %zu", i);
            cr_expect_eq(tier.gets, 1u, "row %zu", i);
            cr_expect_eq(counted(rows[i].stat), 1u, "row %zu", i);
            cr_expect_eq(counted(LANE_CACHE_MISSES), 1u, "row %zu", i);
            close_all();
        }
    }
}

Test(second_tier, what_it_has_is_judged_like_everything_stored)
{
    static const struct {
        int age_s;
        unsigned flags;
        const char *lines;
        bool is_used;
    } rows[] = {
        { 5, 0, GET_X, true },
        { 61, 0, GET_X, false },
        { 5, VALUE_ALWAYS_REVALIDATE | VALUE_MUST_REVALIDATE, GET_X, false },
        { 5, VALUE_IS_BY_TTL, GET_X, false }, /* this route has none */
        { 5, VALUE_IS_GUESSED, GET_X, true },
        { 5, VALUE_IS_GUESSED, GET_X "\nCookie: a=1", false },
        { 5, 0, GET_X "\nCache-Control: max-age=3", false },
        { 5, 0, GET_X "\nCache-Control: min-fresh=58", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        open_with(APP, TIER_FOUND);
        guest_ask(&guest, rows[i].lines);
        cr_assert_not_null(tier.get, "row %zu", i);
        struct value value = value_aged(rows[i].age_s * 1000);
        value.flags = rows[i].flags;
        tells(&value);
        bool is_used = guest.req == NULL;
        cr_expect_eq(is_used, rows[i].is_used, "row %zu", i);
        if (!is_used) {
            app_head(&place.apps[0]);
            app_send(&place.apps[0], KEEP);
            guest_until_done(&guest);
        }
        cr_expect(guest_has_body(&guest, is_used ? "theirs" : TEN), "row %zu", i);
        close_all();
    }
}

Test(second_tier, a_clock_that_is_ahead_makes_nothing_younger_than_now)
{
    open_with(APP, TIER_FOUND);
    guest_ask(&guest, GET_X);
    struct value value = value_aged(-3600 * 1000);
    value.initial_age_ms = 3000;
    tells(&value);
    guest_until_done(&guest);
    expect_reply("Age", "3");
    struct request *req = standing(GET_X);
    struct cache_found found;
    cache_find(place.city.cache, &req->key, &req->msg, now_ms(), &found);
    cr_assert_not_null(found.object);
    cr_expect_leq(object_meta(found.object)->fetched_wall_ms, now_ms());
    cr_expect_leq(object_meta(found.object)->stored_wall_ms, now_ms());
    object_unref(found.object);
    go_away(req);
    close_all();
}

Test(second_tier, what_is_older_than_what_memory_has_or_brings_a_cookie_is_not_taken)
{
    open_with(APP, TIER_FOUND);
    struct request *req = standing(GET_X);
    struct object_meta meta = meta_aged(61000, 60000);
    struct object *object = shelved(&req->key, &meta, "ours");
    cr_assert_eq(second_tier_ask(req, object), WAIT);
    struct value value = value_aged(61000);
    cr_expect_not(tier.get->may_use(tier.get, &value));
    value = value_aged(70000);
    cr_expect_not(tier.get->may_use(tier.get, &value));
    value = value_aged(50000);
    cr_expect(tier.get->may_use(tier.get, &value));
    value.head = STR(HEAD "set-cookie: s=1\r\n");
    cr_expect_not(tier.get->may_use(tier.get, &value));
    req->cancel(req);
    cr_expect_null(req->question);
    object_unref(object);
    go_away(req);
    close_all();
}

Test(second_tier, what_was_purged_since_is_not_taken)
{
    static int bus;
    open_with(APP, TIER_FOUND);
    place.city.bus = (struct bus *)&bus;
    struct request *req = standing(GET_X);
    cr_assert_eq(second_tier_ask(req, NULL), WAIT);
    struct value value = value_aged(1000);
    cr_expect(tier.get->may_use(tier.get, &value));
    tier.covers = false;
    cr_expect_not(tier.get->may_use(tier.get, &value), "the journal knows better");
    req->cancel(req);
    go_away(req);
    place.city.bus = NULL;
    close_all();
}

Test(second_tier, a_purge_while_it_is_asked_keeps_its_answer_out)
{
    open_with(APP, TIER_FOUND);
    guest_ask(&guest, GET_X);
    struct value value = value_aged(5000);
    const struct cache_purge all = { .kind = PURGE_ALL };
    cache_purge(place.city.cache, &all, loop_tick_ns(place.lane->loop), now_ms());
    tells(&value);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], KEEP);
    guest_until_done(&guest);
    cr_expect(guest_has_body(&guest, TEN));
    close_all();
}

Test(second_tier, what_varies_is_asked_for_in_this_requests_words)
{
    static char line[4000];
    open_with(APP, TIER_FOUND);
    struct request *req = standing(GET_X "\nAccept-X: b");
    cr_assert_eq(second_tier_ask(req, NULL), WAIT);
    char want[100];
    int len = vary_key(STR("accept-x"), &req->msg, want, sizeof want);
    cr_assert_gt(len, 0);
    cr_expect(str_eq(tier.get->vary_key(tier.get, STR("accept-x")), str_n(want, (size_t)len)));
    req->cancel(req);
    go_away(req);
    memset(line, 'v', sizeof line);
    memcpy(line, GET_X "\nAccept-X: ", sizeof GET_X + 10);
    line[sizeof line - 1] = '\0';
    req = standing(line);
    cr_assert_eq(second_tier_ask(req, NULL), WAIT);
    cr_expect_null(tier.get->vary_key(tier.get, STR("accept-x")).data, "too long to be said");
    req->cancel(req);
    go_away(req);
    close_all();
}

/* --- giving --- */

Test(second_tier, what_it_is_given)
{
    static const struct {
        const char *reply;
        bool want;
        int64_t ttl_s;
        unsigned flags;
    } rows[] = {
        { "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nabc", true, 3660, 0 },
        { "HTTP/1.1 200 OK\r\nCache-Control: max-age=60, stale-if-error=5, stale-while-revalidate=9\r\n"
          "Content-Length: 3\r\n\r\nabc",
          true, 69, 0 },
        { "HTTP/1.1 200 OK\r\nCache-Control: max-age=60, must-revalidate\r\nAge: 20\r\nContent-Length: "
          "3\r\n\r\nabc",
          true, 40, VALUE_MUST_REVALIDATE | VALUE_ALLOWS_AUTHORIZATION },
        { "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: "
          "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
          true, 3660, 0 },
        { "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 3\r\n\r\nabc", false, 0, 0 },
        { "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"e\"\r\nContent-Length: 3\r\n\r\nabc", false,
          0, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        open_with(APP, TIER_ABSENT);
        meet(GET_X, rows[i].reply);
        cr_expect_eq(tier.puts, rows[i].want, "row %zu", i);
        if (tier.puts) {
            cr_expect_eq(tier.put_bytes, 3u, "row %zu", i);
            cr_expect_eq(tier.put.status, 200);
            cr_expect_eq(tier.put.flags, rows[i].flags, "row %zu: %x", i, tier.put.flags);
            cr_expect_eq((tier.put_ttl_ms + 500) / 1000, rows[i].ttl_s, "row %zu: %lld", i,
                         (long long)tier.put_ttl_ms);
        }
        close_all();
    }
}

Test(second_tier, a_cookie_that_is_stored_here_is_not_given_away)
{
    open_with(APP "cache: {set_cookie: store}\n", TIER_ABSENT);
    meet(GET_X,
         "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nSet-Cookie: s=1\r\nContent-Length: 0\r\n\r\n");
    cr_expect_eq(tier.puts, 0u);
    meet(GET_X, NULL);
    expect_reply("Set-Cookie", "s=1");
    close_all();
}

Test(second_tier, parts_and_what_broke_off_are_not_given)
{
    open_with(APP, TIER_ABSENT);
    meet(GET_X "\nRange: bytes=0-2", "HTTP/1.1 206 P\r\nCache-Control: max-age=60\r\nETag: \"e\"\r\n"
                                     "Content-Range: bytes 0-2/10\r\nContent-Length: 3\r\n\r\nabc");
    guest_ask(&guest, "GET /y HTTP/1.1\nHost: a");
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nabc");
    UNTIL(&place, guest.begins == 1);
    app_close(&place.apps[0]);
    guest_until_done(&guest);
    cr_expect_eq(tier.puts, 0u);
    close_all();
}

Test(second_tier, without_knowing_the_journal_nothing_is_given)
{
    static int bus;
    for (uint64_t stamp = 0; stamp < 2; stamp++) {
        open_with(APP, TIER_ABSENT);
        place.city.bus = (struct bus *)&bus;
        tier.stamp = stamp;
        meet(GET_X, KEEP);
        cr_expect_eq(tier.puts, stamp);
        cr_expect_eq(tier.put.seq, stamp);
        place.city.bus = NULL;
        close_all();
    }
}

Test(second_tier, what_a_replica_said_is_as_old_as_its_knowledge)
{
    place.plugin_dir = PLUGINS;
    open_with("upstreams: {app: {primary: [\"@0\"], plugins: [{name: scripted, lag: 5s}]}}\n", TIER_ABSENT);
    meet(GET_X, KEEP);
    cr_assert_eq(tier.puts, 1u);
    cr_expect_leq(tier.put.fetched_wall_ms, now_ms() - 5000);
    cr_expect_gt(tier.put.stored_wall_ms, now_ms() - 5000, "its age is another thing");
    close_all();
}

Test(second_tier, what_is_renewed_is_given_again)
{
    open_with(APP, TIER_ABSENT);
    meet(GET_X, "HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nAge: 5\r\nETag: \"e\"\r\nContent-Length: "
                "3\r\n\r\nabc");
    cr_expect_eq(tier.puts, 1u);
    meet(GET_X, "HTTP/1.1 304 Not\r\nETag: \"e\"\r\nCache-Control: max-age=60\r\n\r\n");
    cr_expect_eq(tier.puts, 2u);
    cr_expect_eq(tier.put_bytes, 3u);
    close_all();
}

Test(second_tier, a_write_is_told_to_it)
{
    open_with(APP, TIER_ABSENT);
    meet("POST /x HTTP/1.1\nHost: a", "HTTP/1.1 201 C\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n");
    cr_expect_eq(tier.forgets, 2u, "the target, and what was made");
    meet("POST /x HTTP/1.1\nHost: a", "HTTP/1.1 500 C\r\nContent-Length: 0\r\n\r\n");
    cr_expect_eq(tier.forgets, 2u);
    close_all();
}
