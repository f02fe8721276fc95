/* What stands in for an error, and how stale it may be. */
#include "pipeline/stored.h"

#include "meeting.h"

static const int errs[] = {
#define ERR(code, status, word, title) ERR_##code,
#include "base/err.def"
#undef ERR
};

/* Has the app, or the way to it, failed? */
static bool is_failure(int err)
{
    static const int rows[] = { ERR_NO_SERVER,      ERR_CONNECT_REFUSED,    ERR_CONNECT_TIMEOUT,
                                ERR_CONNECT_FAILED, ERR_UPSTREAM_TLS,       ERR_UPSTREAM_CLOSED,
                                ERR_UPSTREAM_CUT,   ERR_UPSTREAM_BAD_REPLY, ERR_APP_FAILED,
                                ERR_UPSTREAM_IDLE,  ERR_FIRST_BYTE_TIMEOUT, ERR_TOTAL_TIMEOUT,
                                ERR_REPLAY_LOOP };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i] == err)
            return true;
    }
    return false;
}

static bool is_limit(int err)
{
    return err == ERR_QUEUE_FULL || err == ERR_QUEUE_TIMEOUT || err == ERR_SHED ||
           err == ERR_TENANT_CONCURRENCY;
}

/* Did something stand in for that error, and is all said that goes with it? */
static bool stands_in(int err, int status, const char *why)
{
    meets("");
    req->stale = object_ref(object);
    cr_assert_eq(stored_or_fail(req, err, status), ANSWER);
    bool is_used = req->answer == ANSWERS_OBJECT;
    if (is_used) {
        cr_expect_str_eq(req->cache_detail, why, "%s", err_word(err));
        cr_expect_eq(req->outcome, OUTCOME_STALE);
        cr_expect_eq(req->err, 0);
        cr_expect_eq(req->forwarded_status, status);
        cr_expect_eq(object_failed_at(object) != 0, is_failure(err), "%s", err_word(err));
    } else {
        cr_expect_eq(req->answer, ANSWERS_PROBLEM);
        cr_expect_eq(req->err, err);
        cr_expect_eq(object_failed_at(object), 0);
    }
    part();
    return is_used;
}

Test(stored, which_errors_something_stale_may_stand_in_for)
{
    set_up(APP);
    meta = meta_aged(12 * SECOND, 10 * SECOND);
    meta.stale_if_error_ms = 60 * SECOND;
    for (size_t i = 0; i < COUNT_OF(errs); i++)
        cr_expect_eq(stands_in(errs[i], 0, "stale-if-error"), is_failure(errs[i]), "%s", err_word(errs[i]));
    cr_expect(stands_in(ERR_APP_FAILED, 503, "stale-if-error"));
    tear_down();
}

Test(stored, in_a_brownout_also_for_what_a_limit_refused)
{
    set_up(ROUTES("brownout: 60s"));
    meta = meta_aged(12 * SECOND, 10 * SECOND);
    for (size_t i = 0; i < COUNT_OF(errs); i++)
        cr_expect_eq(stands_in(errs[i], 0, "brownout"), is_limit(errs[i]), "%s", err_word(errs[i]));
    meta.stale_if_error_ms = 60 * SECOND;
    for (size_t i = 0; i < COUNT_OF(errs); i++)
        cr_expect_eq(stands_in(errs[i], 0, is_limit(errs[i]) ? "brownout" : "stale-if-error"),
                     is_limit(errs[i]) || is_failure(errs[i]), "%s", err_word(errs[i]));
    tear_down();
}

Test(stored, how_stale_it_may_be)
{
    static const struct {
        int age_s;
        int sie_s;
        bool must, always;
        bool for_failure, for_limit;
    } rows[] = {
        { 12, 60, 0, 0, true, true },   { 12, -1, 0, 0, false, true }, { 12, 0, 0, 0, false, true },
        { 75, 60, 0, 0, false, false }, { 65, 60, 0, 0, true, true },  { 12, 60, 1, 0, false, false },
        { 12, 60, 1, 1, false, false }, { 5, -1, 0, 0, true, true }, /* still fresh: validated on demand */
    };
    set_up(ROUTES("brownout: 60s"));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meta = meta_aged(rows[i].age_s * SECOND, 10 * SECOND);
        meta.stale_if_error_ms = rows[i].sie_s < 0 ? -1 : rows[i].sie_s * SECOND;
        meta.must_revalidate = rows[i].must;
        meta.always_revalidate = rows[i].always;
        cr_expect_eq(stands_in(ERR_CONNECT_FAILED, 0, "stale-if-error"), rows[i].for_failure, "row %zu", i);
        cr_expect_eq(stands_in(ERR_QUEUE_FULL, 0, "brownout"), rows[i].for_limit, "row %zu", i);
    }
    tear_down();
}

Test(stored, which_statuses_of_the_app_something_stands_in_for)
{
    set_up(APP);
    meta = meta_aged(12 * SECOND, 10 * SECOND);
    meta.stale_if_error_ms = 60 * SECOND;
    meets("");
    cr_expect_not(stored_stands_in_for(req, 503), "nothing is stored");
    req->stale = object_ref(object);
    for (int status = 200; status < 600; status++) /* RFC 5861 4 */
        cr_expect_eq(stored_stands_in_for(req, status),
                     status == 500 || status == 502 || status == 503 || status == 504, "%d", status);
    part();
    tear_down();
}

Test(stored, an_answer_that_has_begun_is_not_begun_anew)
{
    set_up(APP);
    meta = meta_aged(12 * SECOND, 10 * SECOND);
    meta.stale_if_error_ms = 60 * SECOND;
    meets("");
    req->stale = object_ref(object);
    req->has_begun = true;
    cr_expect_not(stored_stands_in_for(req, 503));
    cr_expect_eq(stored_or_fail(req, ERR_UPSTREAM_CUT, 0), ANSWER);
    cr_expect_eq(req->answer, ANSWERS_PROBLEM);
    req->has_begun = false;
    cr_assert(stored_serve(req, object));
    cr_expect_not(stored_stands_in_for(req, 503), "it reads something already");
    part();
    tear_down();
}

Test(stored, the_clients_own_limits_hold_for_what_stands_in)
{
    static const struct {
        const char *control;
        bool want;
    } rows[] = {
        { "Cache-Control: no-store", false },         { "If-Match: \"a\"", false },
        { "Cache-Control: stale-if-error=1", false }, { "Cache-Control: stale-if-error=30", true },
        { "Cache-Control: no-cache", true },          { "Cache-Control: max-age=1", true },
    };
    set_up(APP);
    meta = meta_aged(12 * SECOND, 10 * SECOND);
    meta.stale_if_error_ms = 60 * SECOND;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        meets(rows[i].control);
        req->stale = object_ref(object);
        cr_expect_eq(stored_stands_in_for(req, 502), rows[i].want, "row %zu", i);
        part();
    }
    tear_down();
}

Test(stored, a_window_whose_front_is_gone_serves_nobody_new)
{
    set_up(APP);
    meta = meta_aged(12 * SECOND, 10 * SECOND);
    meta.stale_if_error_ms = 60 * SECOND;
    req = standing("GET /x HTTP/1.1\nHost: a");
    object = object_new(place.city.cache, &req->key, &meta);
    object_become_window(object);
    cr_assert(object_append(object, STR(TEN)));
    static char bytes[200000];
    for (unsigned i = 0; i < 3; i++)
        cr_assert(object_append(object, str_n(bytes, sizeof bytes)));
    cr_expect_not(stored_serve(req, object));
    cr_expect_eq(req->answer, ANSWERS_NOTHING);
    req->stale = object_ref(object);
    cr_expect_eq(stored_or_fail(req, ERR_CONNECT_FAILED, 0), ANSWER);
    cr_expect_eq(req->err, ERR_CONNECT_FAILED);
    object_break(object, ERR_UPSTREAM_CUT);
    part();
    tear_down();
}
