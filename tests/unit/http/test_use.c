#include "http/caching.h"
#include "read.h"

static struct cache_request request_of(const char *lines)
{
    static struct message msg;
    struct cache_request request;
    get_with(&msg, lines);
    cache_request_read(&msg, &request);
    return request;
}

static const struct freshness plain = { .lifetime_ms = 10000,
                                        .stale_while_revalidate_ms = -1,
                                        .stale_if_error_ms = -1 };
static const struct freshness strict = { .lifetime_ms = 10000,
                                         .must_revalidate = true,
                                         .stale_while_revalidate_ms = 5000,
                                         .stale_if_error_ms = 5000 };
static const struct freshness asking = { .lifetime_ms = 10000,
                                         .must_revalidate = true,
                                         .always_revalidate = true,
                                         .stale_while_revalidate_ms = 5000,
                                         .stale_if_error_ms = 5000 };
static const struct freshness lasting = { .lifetime_ms = 10000,
                                          .stale_while_revalidate_ms = 5000,
                                          .stale_if_error_ms = 60000 };

Test(use, rfc9111_4_and_5_2_1__when_a_stored_reply_may_be_used)
{
    static const struct {
        const char *request;
        const struct freshness *freshness;
        int64_t age_ms;
        enum use_verdict want;
    } rows[] = {
        { "", &plain, 0, USE_FRESH },
        { "", &plain, 9999, USE_FRESH },
        { "", &plain, 10000, USE_REVALIDATE },
        { "", &asking, 0, USE_REVALIDATE },
        { "Cache-Control: no-cache\r\n", &plain, 0, USE_REVALIDATE },
        { "Cache-Control: no-cache=\"x\"\r\n", &plain, 0, USE_REVALIDATE },
        { "Pragma: no-cache\r\n", &plain, 0, USE_REVALIDATE },
        { "Cache-Control: no-store\r\n", &plain, 0, USE_NOT },
        { "Cache-Control: max-age=5\r\n", &plain, 5000, USE_FRESH },
        { "Cache-Control: max-age=5\r\n", &plain, 5001, USE_REVALIDATE },
        { "Cache-Control: max-age=0\r\n", &plain, 1, USE_REVALIDATE },
        { "Cache-Control: max-age=x\r\n", &plain, 1, USE_REVALIDATE },
        { "Cache-Control: max-age=99\r\n", &plain, 10000, USE_REVALIDATE },
        { "Cache-Control: min-fresh=3\r\n", &plain, 7000, USE_FRESH },
        { "Cache-Control: min-fresh=3\r\n", &plain, 7001, USE_REVALIDATE },
        { "Cache-Control: min-fresh=99999999999\r\n", &plain, 0, USE_REVALIDATE },
        { "Cache-Control: min-fresh=3, max-stale\r\n", &plain, 10001, USE_REVALIDATE },
        { "", &strict, 9999, USE_FRESH },
        { "If-Match: \"a\"\r\n", &plain, 0, USE_NOT },
        { "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", &plain, 0, USE_NOT },
        { "If-None-Match: \"a\"\r\n", &plain, 0, USE_FRESH },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache_request request = request_of(rows[i].request);
        cr_expect_eq(use_of(&request, rows[i].freshness, rows[i].age_ms), rows[i].want, "row %zu", i);
    }
}

Test(use, rfc9111_5_2_1_2__max_stale_takes_what_the_app_does_not_forbid)
{
    static const struct {
        const char *request;
        const struct freshness *freshness;
        int64_t age_ms;
        enum use_verdict want;
    } rows[] = {
        { "Cache-Control: max-stale\r\n", &plain, 999999, USE_STALE },
        { "Cache-Control: max-stale=5\r\n", &plain, 15000, USE_STALE },
        { "Cache-Control: max-stale=5\r\n", &plain, 15001, USE_REVALIDATE },
        { "Cache-Control: max-stale=x\r\n", &plain, 10001, USE_REVALIDATE },
        { "Cache-Control: max-stale, max-age=12\r\n", &plain, 12000, USE_STALE },
        { "Cache-Control: max-stale, max-age=12\r\n", &plain, 12001, USE_REVALIDATE },
        { "Cache-Control: max-stale\r\n", &strict, 10000, USE_REVALIDATE },
        { "Cache-Control: max-stale, no-cache\r\n", &plain, 10000, USE_REVALIDATE },
        { "Cache-Control: max-stale\r\n", &asking, 0, USE_REVALIDATE },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache_request request = request_of(rows[i].request);
        cr_expect_eq(use_of(&request, rows[i].freshness, rows[i].age_ms), rows[i].want, "row %zu", i);
    }
}

Test(use, rfc5861_3__stale_while_revalidate)
{
    static const struct {
        const char *request;
        const struct freshness *freshness;
        int64_t age_ms;
        enum use_verdict want;
    } rows[] = {
        { "", &lasting, 9999, USE_FRESH },
        { "", &lasting, 10000, USE_STALE_REVALIDATE },
        { "", &lasting, 15000, USE_STALE_REVALIDATE },
        { "", &lasting, 15001, USE_REVALIDATE },
        { "", &strict, 10000, USE_REVALIDATE },
        { "", &asking, 10000, USE_REVALIDATE },
        { "Cache-Control: no-cache\r\n", &lasting, 10000, USE_REVALIDATE },
        { "Cache-Control: max-age=60\r\n", &lasting, 10000, USE_REVALIDATE },
        { "Cache-Control: max-age=60, max-stale\r\n", &lasting, 10000, USE_STALE_REVALIDATE },
        { "Cache-Control: min-fresh=0\r\n", &lasting, 10001, USE_REVALIDATE },
        { "Cache-Control: max-stale=2\r\n", &lasting, 12000, USE_STALE_REVALIDATE },
        { "Cache-Control: max-stale=2\r\n", &lasting, 12001, USE_REVALIDATE },
        { "Cache-Control: max-stale\r\n", &lasting, 15001, USE_STALE },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache_request request = request_of(rows[i].request);
        cr_expect_eq(use_of(&request, rows[i].freshness, rows[i].age_ms), rows[i].want, "row %zu", i);
    }
}

Test(use, rfc5861_4_and_rfc9111_4_2_4__what_may_stand_in_for_an_error)
{
    static const struct {
        const char *request;
        const struct freshness *freshness;
        int64_t age_ms;
        bool want;
    } rows[] = {
        { "", &lasting, 70000, true },
        { "", &lasting, 70001, false },
        { "", &plain, 9999, true },
        { "", &plain, 10000, false },
        { "", &strict, 10000, false },
        { "", &asking, 0, false },
        { "Cache-Control: no-cache\r\n", &lasting, 10000, true },
        { "Cache-Control: max-age=0\r\n", &lasting, 10000, true },
        { "Cache-Control: no-store\r\n", &lasting, 0, false },
        { "If-Match: \"a\"\r\n", &lasting, 0, false },
        { "Cache-Control: stale-if-error=5\r\n", &lasting, 15000, true },
        { "Cache-Control: stale-if-error=5\r\n", &lasting, 15001, false },
        { "Cache-Control: stale-if-error=100\r\n", &lasting, 110000, true },
        { "Cache-Control: stale-if-error=100\r\n", &plain, 110000, true },
        { "Cache-Control: stale-if-error=100\r\n", &strict, 10001, false },
        { "Cache-Control: stale-if-error=x\r\n", &lasting, 10001, false },
        { "Cache-Control: max-stale=3\r\n", &plain, 13000, true },
        { "Cache-Control: max-stale=3\r\n", &plain, 13001, false },
        { "Cache-Control: max-stale\r\n", &strict, 13000, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache_request request = request_of(rows[i].request);
        cr_expect_eq(may_stand_in(&request, rows[i].freshness, rows[i].age_ms), rows[i].want, "row %zu", i);
    }
}

Test(use, the_greatest_numbers_do_not_overflow)
{
    struct freshness f = plain;
    f.lifetime_ms = ((int64_t)1 << 31) * 1000;
    struct cache_request request =
        request_of("Cache-Control: max-age=99999999999, max-stale=99999999999, min-fresh=0\r\n");
    cr_expect_eq(use_of(&request, &f, f.lifetime_ms - 1), USE_FRESH);
    f.lifetime_ms = 0;
    request = request_of("Cache-Control: max-stale=99999999999\r\n");
    cr_expect_eq(use_of(&request, &f, ((int64_t)1 << 31) * 1000), USE_STALE);
    cr_expect_eq(use_of(&request, &f, INT64_MAX), USE_REVALIDATE);
}

Test(use, rfc9111_4_2_3__age_grows_with_time_in_the_cache_and_never_shrinks)
{
    struct freshness f = { .initial_age_ms = 500 };
    cr_expect_eq(age_ms_at(&f, 1000, 1000), 500);
    cr_expect_eq(age_ms_at(&f, 1000, 3500), 3000);
    cr_expect_eq(age_ms_at(&f, 1000, 10), 500, "the wall clock jumped back");
}

Test(use, rfc9111_4_4__successful_unsafe_methods_invalidate)
{
    cr_expect(reply_invalidates(METHOD_POST, 200));
    cr_expect(reply_invalidates(METHOD_DELETE, 204));
    cr_expect(reply_invalidates(METHOD_PUT, 303));
    cr_expect(reply_invalidates(METHOD_OTHER, 200), "unknown safety counts as unsafe");
    cr_expect_not(reply_invalidates(METHOD_POST, 400));
    cr_expect_not(reply_invalidates(METHOD_POST, 500));
    cr_expect_not(reply_invalidates(METHOD_POST, 103));
    cr_expect_not(reply_invalidates(METHOD_GET, 200));
    cr_expect_not(reply_invalidates(METHOD_HEAD, 200));
    cr_expect_not(reply_invalidates(METHOD_OPTIONS, 200));
}
