/* What is stored gets a new head and age from a 304 or a HEAD. */
#include "pipeline/keep.h"

#include "kept.h"

#define STALE(fields) "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n" fields "Content-Length: 10\r\n\r\n" TEN

/* Stored, then validated by that. */
static void renew(const char *yaml, const char *stored, const char *with)
{
    set_up(yaml);
    meet(GET_X, stored);
    const char *head = guest_meets(&guest, GET_X, &place.apps[0], with);
    cr_assert_not_null(strstr(head, "If-None-Match: \"e\""));
    cr_expect(guest_has_body(&guest, TEN));
}

Test(keep_renewed, a_304_says_anew_how_it_ages)
{
    static const struct {
        const char *stored;
        const char *with;
        int lifetime_s, age_s;
        bool must;
    } rows[] = {
        { STALE("Cache-Control: max-age=5\r\nAge: 9\r\n"), RENEW("Cache-Control: max-age=60\r\n"), 60, 0,
          false },
        { STALE("Cache-Control: max-age=5\r\nAge: 9\r\n"), RENEW(""), 5, 0,
          false }, /* the old word, the new age */
        { STALE("Cache-Control: max-age=5\r\nAge: 9\r\n"), RENEW("Age: 2\r\n"), 5, 2, false },
        { STALE("Cache-Control: max-age=0\r\n"), RENEW("Cache-Control: max-age=60, must-revalidate\r\n"), 60,
          0, true },
        { STALE("Cache-Control: max-age=60\r\nWeir-Cache-Control: max-age=5\r\nAge: 9\r\n"), RENEW(""), 5, 0,
          false },
        { STALE("Cache-Control: max-age=60\r\nWeir-Cache-Control: max-age=5\r\nAge: 9\r\n"),
          RENEW("Weir-Cache-Control: max-age=70\r\n"), 70, 0, false },
        { STALE("Cache-Control: max-age=60\r\nWeir-Cache-Control: max-age=5\r\nAge: 9\r\n"),
          RENEW("Cache-Control: max-age=80\r\n"), 5, 0, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        renew(APP, rows[i].stored, rows[i].with);
        cr_assert(finds(GET_X), "row %zu", i);
        cr_expect_eq(meta.lifetime_ms / 1000, rows[i].lifetime_s, "row %zu: %lld", i,
                     (long long)meta.lifetime_ms);
        cr_expect_eq(meta.initial_age_ms / 1000, rows[i].age_s, "row %zu: %lld", i,
                     (long long)meta.initial_age_ms);
        cr_expect_eq(meta.must_revalidate, rows[i].must, "row %zu", i);
        cr_expect_eq(meta.length, 10);
        cr_expect_eq(object_size(found.object), 10);
        cr_expect(str_eq(meta.etag, STR("\"e\"")));
        let_go();
        tear_down();
    }
}

Test(keep_renewed, a_304_that_forbids_it_takes_it_away)
{
    static const char *const with[] = {
        RENEW("Cache-Control: no-store\r\n"),
        RENEW("Cache-Control: private\r\n"),
        RENEW("Weir-Cache-Control: no-store\r\n"),
        RENEW("Vary: *\r\n"),
    };
    for (size_t i = 0; i < COUNT_OF(with); i++) {
        renew(APP, STALE("Cache-Control: max-age=0\r\n"), with[i]);
        cr_expect_not(is_kept(GET_X), "row %zu", i);
        tear_down();
    }
}

Test(keep_renewed, a_304_for_who_may_not_have_a_ttl_gives_none)
{
    static const char *const yaml = ROUTES("ttl: 1s, stale_if_error: 60s");
    struct object_meta old;
    set_up(yaml);
    struct request *req = standing(GET_X);
    old = meta_aged(5000, 1000);
    old.etag = STR("\"e\"");
    old.is_by_ttl = true;
    old.head = STR("HTTP/1.1 200 OK\r\nETag: \"e\"\r\n");
    struct object *object = shelved(&req->key, &old, TEN);
    cr_assert(cache_insert(place.city.cache, &req->key, object, loop_tick_ns(place.lane->loop)));
    object_unref(object);
    go_away(req);
    const char *head =
        guest_meets(&guest, GET_X "\nCookie: a=1", &place.apps[0], OK("Cache-Control: private\r\n"));
    cr_expect_null(strstr(head, "If-None-Match"), "what is not for him is not validated for him");
    head = guest_meets(&guest, GET_X, &place.apps[0], RENEW(""));
    cr_assert_not_null(strstr(head, "If-None-Match"));
    cr_assert(finds(GET_X));
    cr_expect(meta.is_by_ttl, "renewed by who it is for, it is as before");
    let_go();
    tear_down();
}

Test(keep_renewed, what_a_304_names_for_one_goes_from_what_is_stored)
{
    renew(APP, STALE("Cache-Control: max-age=0\r\nX-Own: old\r\n"),
          RENEW("Cache-Control: max-age=60, private=\"x-own\"\r\nX-Own: new\r\n"));
    meet(GET_X, NULL);
    expect_no_reply("X-Own");
    expect_reply("Cache-Control", "max-age=60, private=\"x-own\"");
    tear_down();
}

Test(keep_renewed, a_head_renews_what_get_stored)
{
    set_up(APP);
    meet(GET_X, STALE("Cache-Control: max-age=0\r\n"));
    meet("HEAD /x HTTP/1.1\nHost: a", "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nCache-Control: max-age=60\r\nX-New: "
                                      "1\r\nContent-Length: 10\r\n\r\n");
    meet(GET_X, NULL);
    cr_expect(guest_has_body(&guest, TEN));
    expect_reply("X-New", "1");
    meet("HEAD /x HTTP/1.1\nHost: a\nCache-Control: no-cache",
         "HTTP/1.1 200 OK\r\nETag: \"f\"\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n");
    cr_expect_not(is_kept(GET_X), "it is another one now");
    tear_down();
}
