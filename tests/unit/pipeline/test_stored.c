/* What a stored answer may do for a request: every reason to use it, to validate it and to pass it by. */
#include "pipeline/stored.h"

#include "fleet/bus.h"
#include "meeting.h"

/* The bus is a fleet's; here it only says whether purges may have been missed. */
static bool trust = true;
static int64_t distrusted_before_ms;

bool __wrap_bus_trust(const struct bus *bus);
int64_t __wrap_bus_distrusted_before_ms(const struct bus *bus);

bool __wrap_bus_trust(const struct bus *bus)
{
    (void)bus;
    return trust;
}

int64_t __wrap_bus_distrusted_before_ms(const struct bus *bus)
{
    (void)bus;
    return distrusted_before_ms;
}

static enum use_verdict judged(const char *control)
{
    meets(control);
    enum use_verdict verdict = stored_judge(req, object);
    part();
    return verdict;
}

Test(stored, fresh_stale_and_all_between)
{
    static const struct {
        const char *control;
        int age_s, lifetime_s, swr_s, sie_s;
        bool must, always;
        enum use_verdict want;
        enum forwarded_why why;
        const char *detail; /* NULL: none */
    } rows[] = {
        { "", 5, 10, -1, -1, 0, 0, USE_FRESH, FWD_NONE, NULL },
        { "", 5, 10, 60, 60, 1, 0, USE_FRESH, FWD_NONE, NULL },
        { "", 10, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "", 12, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "", 12, 10, 0, 0, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "", 12, 10, 5, -1, 0, 0, USE_STALE_REVALIDATE, FWD_STALE, "stale-while-revalidate" },
        { "", 16, 10, 5, -1, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "", 12, 10, 5, -1, 1, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "", 5, 10, 5, 5, 1, 1, USE_REVALIDATE, FWD_STALE, NULL },
        { "", 12, 10, -1, 60, 0, 0, USE_REVALIDATE, FWD_STALE, NULL }, /* an error has to come first */
        { "", 5, 0, -1, -1, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "Cache-Control: no-cache", 5, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_REQUEST, NULL },
        { "Cache-Control: no-cache", 12, 10, 5, -1, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "Pragma: no-cache", 5, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_REQUEST, NULL },
        { "Cache-Control: max-age=0", 0, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_REQUEST, NULL },
        { "Cache-Control: max-age=4", 5, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_REQUEST, NULL },
        { "Cache-Control: max-age=8", 5, 10, -1, -1, 0, 0, USE_FRESH, FWD_NONE, NULL },
        { "Cache-Control: min-fresh=6", 5, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_REQUEST, NULL },
        { "Cache-Control: min-fresh=4", 5, 10, -1, -1, 0, 0, USE_FRESH, FWD_NONE, NULL },
        { "Cache-Control: max-stale", 999, 10, -1, -1, 0, 0, USE_STALE, FWD_STALE, NULL },
        { "Cache-Control: max-stale=5", 12, 10, -1, -1, 0, 0, USE_STALE, FWD_STALE, NULL },
        { "Cache-Control: max-stale=5", 16, 10, -1, -1, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "Cache-Control: max-stale", 12, 10, -1, -1, 1, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "Cache-Control: max-stale=1", 12, 10, 5, -1, 0, 0, USE_REVALIDATE, FWD_STALE, NULL },
        { "Cache-Control: no-store", 5, 10, -1, -1, 0, 0, USE_NOT, FWD_REQUEST, NULL },
        { "If-Match: \"a\"", 5, 10, -1, -1, 0, 0, USE_NOT, FWD_REQUEST, NULL },
        { "If-None-Match: \"a\"", 5, 10, -1, -1, 0, 0, USE_FRESH, FWD_NONE, NULL },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meta = meta_aged(rows[i].age_s * SECOND, rows[i].lifetime_s * SECOND);
        meta.stale_while_revalidate_ms = rows[i].swr_s < 0 ? -1 : rows[i].swr_s * SECOND;
        meta.stale_if_error_ms = rows[i].sie_s < 0 ? -1 : rows[i].sie_s * SECOND;
        meta.must_revalidate = rows[i].must;
        meta.always_revalidate = rows[i].always;
        meets(rows[i].control);
        cr_expect_eq(stored_judge(req, object), rows[i].want, "row %zu", i);
        cr_expect_eq(req->forwarded, rows[i].why, "row %zu: %d", i, req->forwarded);
        cr_expect(rows[i].detail ? req->cache_detail && !strcmp(req->cache_detail, rows[i].detail)
                                 : !req->cache_detail,
                  "row %zu: %s", i, req->cache_detail);
        part();
    }
    tear_down();
}

Test(stored, an_answer_that_came_old_is_as_old_as_it_says)
{
    set_up(APP);
    meta = meta_aged(2 * SECOND, 10 * SECOND);
    meta.initial_age_ms = 7 * SECOND;
    cr_expect_eq(judged(""), USE_FRESH);
    meta.initial_age_ms = 9 * SECOND;
    cr_expect_eq(judged(""), USE_REVALIDATE);
    tear_down();
}

Test(stored, a_clock_that_was_set_back_makes_nothing_younger_than_it_came)
{
    set_up(APP);
    meta = meta_aged(-3600 * SECOND, 10 * SECOND);
    meta.initial_age_ms = 4 * SECOND;
    cr_expect_eq(judged(""), USE_FRESH);
    cr_expect_eq(judged("Cache-Control: max-age=4"), USE_FRESH);
    cr_expect_eq(judged("Cache-Control: max-age=3"), USE_REVALIDATE);
    meta.initial_age_ms = 10 * SECOND;
    cr_expect_eq(judged(""), USE_REVALIDATE);
    tear_down();
}

Test(stored, a_soft_purge_ends_its_life_for_all)
{
    set_up(APP);
    meta = meta_aged(5 * SECOND, 10 * SECOND);
    meta.stale_while_revalidate_ms = 60 * SECOND;
    meets("");
    object_expire(object, now_ms());
    cr_expect_eq(stored_judge(req, object), USE_STALE_REVALIDATE);
    part();
    tear_down();
}

Test(stored, only_the_last_tenth_of_its_life_is_ageing)
{
    static const struct {
        int64_t age_ms, lifetime_ms;
        bool want;
    } rows[] = {
        { 5 * SECOND, 10 * SECOND, false },
        { 8900, 10 * SECOND, false },
        { 9200, 10 * SECOND, true },
        { 900 * SECOND, 1000 * SECOND, false },
        { 994 * SECOND, 1000 * SECOND, false },
        { 996 * SECOND, 1000 * SECOND, true },
        { 0, 0, false },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meta = meta_aged(rows[i].age_ms, rows[i].lifetime_ms);
        meets("");
        stored_judge(req, object);
        cr_expect_eq(req->is_ageing, rows[i].want, "row %zu", i);
        part();
    }
    tear_down();
}

/* --- after a failure --- */

Test(stored, while_it_rests_after_a_failure_what_may_stand_in_is_used)
{
    static const struct {
        int failed_ago_s; /* -1: never */
        int age_s, sie_s;
        bool must;
        enum use_verdict want;
    } rows[] = {
        { 0, 12, 60, false, USE_STALE },      { -1, 12, 60, false, USE_REVALIDATE },
        { 9, 12, 60, false, USE_REVALIDATE }, /* it has rested */
        { 0, 99, 60, false, USE_REVALIDATE }, { 0, 12, -1, false, USE_REVALIDATE },
        { 0, 12, 60, true, USE_REVALIDATE },  { 0, 5, 60, false, USE_FRESH },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meta = meta_aged(rows[i].age_s * SECOND, 10 * SECOND);
        meta.stale_if_error_ms = rows[i].sie_s * SECOND;
        meta.must_revalidate = rows[i].must;
        meets("");
        uint64_t before = atomic_load(&place.lane->stats[LANE_CACHE_STOOD_IN]);
        if (rows[i].failed_ago_s >= 0)
            object_set_failed_at(object, (uint32_t)(now_ms() / 1000 - rows[i].failed_ago_s));
        cr_expect_eq(stored_is_resting(place.lane, object), rows[i].failed_ago_s == 0, "row %zu", i);
        cr_expect_eq(stored_judge(req, object), rows[i].want, "row %zu", i);
        bool stood_in = rows[i].want == USE_STALE;
        cr_expect_eq(atomic_load(&place.lane->stats[LANE_CACHE_STOOD_IN]) - before, stood_in, "row %zu", i);
        cr_expect_eq(req->cache_detail && !strcmp(req->cache_detail, "stale-if-error"), stood_in, "row %zu",
                     i);
        part();
    }
    tear_down();
}

Test(stored, who_insists_on_the_app_is_not_put_off_by_a_rest)
{
    set_up(APP);
    meta = meta_aged(5 * SECOND, 10 * SECOND);
    meta.stale_if_error_ms = 60 * SECOND;
    meets("Cache-Control: no-cache");
    object_set_failed_at(object, (uint32_t)(now_ms() / 1000));
    cr_expect_eq(stored_judge(req, object), USE_REVALIDATE);
    part();
    tear_down();
}

/* --- read your writes --- */

Test(stored, what_was_fetched_before_my_write_is_not_for_me)
{
    set_up(APP);
    meta = meta_aged(5 * SECOND, 10 * SECOND);
    meets("");
    req->not_before_ms = meta.fetched_wall_ms + 1;
    cr_expect_eq(stored_judge(req, object), USE_NOT);
    cr_expect_str_eq(req->cache_detail, "read-your-writes");
    cr_expect_eq(req->forwarded, FWD_REQUEST);
    req->not_before_ms = meta.fetched_wall_ms;
    cr_expect_eq(stored_judge(req, object), USE_FRESH);
    cr_expect_null(req->cache_detail);
    part();
    tear_down();
}

Test(stored, a_write_counts_from_when_it_was_fetched_not_from_when_it_was_validated)
{
    set_up(APP);
    meta = meta_aged(5 * SECOND, 10 * SECOND);
    meta.stored_wall_ms = now_ms();
    meets("");
    req->not_before_ms = now_ms() - 1;
    cr_expect_eq(stored_judge(req, object), USE_NOT);
    part();
    tear_down();
}

/* --- whom it is for --- */

Test(stored, weirs_own_word_is_for_those_it_was_given_for)
{
    static const struct {
        bool is_by_ttl, is_guessed, may_use_ttl, may_guess;
        bool want;
    } rows[] = {
        { 0, 0, 0, 0, true },  { 1, 0, 0, 1, false }, { 1, 0, 1, 0, true },
        { 0, 1, 1, 0, false }, { 0, 1, 0, 1, true },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meta = meta_aged(5 * SECOND, 10 * SECOND);
        meta.is_by_ttl = rows[i].is_by_ttl;
        meta.is_guessed = rows[i].is_guessed;
        meets("");
        req->may_use_ttl = rows[i].may_use_ttl;
        req->may_guess = rows[i].may_guess;
        cr_expect_eq(stored_is_for(req, object_meta(object)), rows[i].want, "row %zu", i);
        cr_expect_eq(stored_judge(req, object), rows[i].want ? USE_FRESH : USE_NOT, "row %zu", i);
        cr_expect_eq(req->forwarded, rows[i].want ? FWD_NONE : FWD_BYPASS, "row %zu", i);
        part();
    }
    tear_down();
}

Test(stored, with_authorization_only_what_the_app_allows_or_what_is_kept_apart)
{
    static const struct {
        const char *yaml;
        const char *fields;
        bool allows;
        bool want;
    } rows[] = {
        { APP, "Authorization: x", false, false },
        { APP, "Authorization: x", true, true },
        { APP, "Cookie: x=1", false, true }, /* the app's own word: RFC 9111 knows no cookies */
        { ROUTES("ttl: 1s, share: public"), "Authorization: x", false, false },
        { ROUTES("ttl: 1s, share: tenant"), "Authorization: x", false, false },
        { ROUTES("ttl: 1s, share: credential"), "Authorization: x", false, true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(rows[i].yaml);
        meta = meta_aged(5 * SECOND, 10 * SECOND);
        meta.allows_authorization = rows[i].allows;
        cr_expect_eq(judged(rows[i].fields), rows[i].want ? USE_FRESH : USE_NOT, "row %zu", i);
        tear_down();
    }
}

/* --- a fleet --- */

Test(stored, where_a_purge_may_have_been_missed_only_the_app_knows)
{
    static int bus;
    static const struct {
        bool trust;
        int distrusted_ago_s; /* -1: never */
        enum use_verdict fresh, stale;
    } rows[] = {
        { true, -1, USE_FRESH, USE_STALE_REVALIDATE },
        { false, -1, USE_REVALIDATE, USE_REVALIDATE },
        { true, 1, USE_REVALIDATE, USE_REVALIDATE }, /* it was fetched before that */
        { true, 20, USE_FRESH, USE_STALE_REVALIDATE },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        trust = rows[i].trust;
        distrusted_before_ms =
            rows[i].distrusted_ago_s < 0 ? 0 : now_ms() - rows[i].distrusted_ago_s * SECOND;
        place.city.bus = (struct bus *)&bus;
        meta = meta_aged(5 * SECOND, 10 * SECOND);
        cr_expect_eq(judged(""), rows[i].fresh, "row %zu", i);
        cr_expect_eq(judged("Cache-Control: max-stale"), rows[i].fresh, "row %zu", i);
        meta = meta_aged(12 * SECOND, 10 * SECOND);
        meta.stale_while_revalidate_ms = meta.stale_if_error_ms = 60 * SECOND;
        cr_expect_eq(judged(""), rows[i].stale, "row %zu", i);
        meets("");
        req->stale = object_ref(object);
        cr_expect_eq(stored_stands_in_for(req, 503), rows[i].fresh == USE_FRESH, "row %zu", i);
        part();
        place.city.bus = NULL;
    }
    tear_down();
}

/* Validated, not fetched again: what was missed before that is no longer missed. */
Test(stored, who_was_validated_since_is_trusted_again)
{
    static int bus;
    set_up(APP);
    place.city.bus = (struct bus *)&bus;
    meta = meta_aged(5 * SECOND, 10 * SECOND);
    distrusted_before_ms = now_ms() - SECOND;
    meta.stored_wall_ms = meta.fetched_wall_ms = now_ms();
    cr_expect_eq(judged(""), USE_FRESH);
    place.city.bus = NULL;
    tear_down();
}
