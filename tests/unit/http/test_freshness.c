#include "http/caching.h"
#include "read.h"

#define NOW_MS 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static const struct cache_policy no_policy = { .ttl_ms = -1 };
static const struct cache_policy ttl_10s = { .ttl_ms = 10000 };

static struct freshness judge(const char *request_lines, int status, const char *reply_lines,
                              const struct cache_policy *policy)
{
    static struct message request;
    static struct message reply;
    struct freshness out;
    get_with(&request, request_lines);
    reply_with(&reply, status, reply_lines);
    freshness_of(&request, &reply, policy, NOW_MS, NOW_MS, &out);
    return out;
}

static struct freshness judge_reply(const char *reply_lines)
{
    return judge("", 200, reply_lines, &no_policy);
}

Test(freshness, rfc9111_3_what_may_be_stored)
{
    static const struct {
        const char *request;
        int status;
        const char *reply;
        enum store_verdict want;
    } rows[] = {
        { "", 200, "Cache-Control: max-age=5\r\n", STORE_YES },
        { "", 200, "Cache-Control: max-age=5, no-store\r\n", STORE_NO },
        { "", 200, "Cache-Control: max-age=5, private\r\n", STORE_NO_PRIVATE },
        { "", 200, "Cache-Control: max-age=5, private=\"X\"\r\n", STORE_YES },
        { "", 200, "Cache-Control: max-age=5, private=\"\"\r\n", STORE_NO_PRIVATE },
        { "", 200, "Cache-Control: max-age=5, private=\"X\", private\r\n", STORE_NO_PRIVATE },
        { "", 200, "Cache-Control: max-age=5\r\nSet-Cookie: a=b\r\n", STORE_NO_PRIVATE },
        { "", 200, "Cache-Control: max-age=5\r\nVary: *\r\n", STORE_NO },
        { "", 200, "Cache-Control: max-age=5\r\nVary: Accept\r\n", STORE_YES },
        { "", 200, "", STORE_NO },
        { "", 200, "ETag: \"a\"\r\n", STORE_NO },
        { "", 200, "Cache-Control: public\r\n", STORE_NO },
        { "", 200, "Cache-Control: no-cache\r\n", STORE_NO },
        { "", 200, "Cache-Control: no-cache\r\nETag: \"a\"\r\n", STORE_YES },
        { "", 200, "Cache-Control: max-age=0\r\n", STORE_NO },
        { "", 200, "Cache-Control: max-age=0\r\nETag: \"a\"\r\n", STORE_YES },
        { "", 200, "Cache-Control: max-age=0, stale-while-revalidate=5\r\n", STORE_YES },
        { "", 200, "Cache-Control: max-age=0, must-revalidate, stale-while-revalidate=5\r\n", STORE_NO },
        { "", 200, "Expires: Sun, 06 Nov 1994 09:49:37 GMT\r\n" DATE, STORE_YES },
        { "", 200, "Expires: 0\r\n", STORE_NO },
        { "", 206, "Cache-Control: max-age=5\r\n", STORE_NO },
        { "", 304, "Cache-Control: max-age=5\r\n", STORE_NO },
        { "", 299, "Cache-Control: max-age=5\r\n", STORE_YES },
        { "", 404, "Cache-Control: max-age=5\r\n", STORE_YES },
        { "", 500, "Cache-Control: max-age=5\r\n", STORE_YES },
        { "", 302, "Cache-Control: max-age=5\r\n", STORE_YES },
        { "", 303, "Cache-Control: max-age=5\r\n", STORE_YES },
        { "", 599, "Cache-Control: max-age=5\r\n", STORE_YES },
        { "Range: bytes=0-1\r\n", 206, "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "Range: bytes=9-\r\n", 416, "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "If-None-Match: \"a\"\r\n", 304, "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "If-Match: \"a\"\r\n", 412, "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "Cache-Control: no-store\r\n", 200, "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "Content-Length: 1\r\n", 200, "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "Transfer-Encoding: chunked\r\n", 200, "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "Cache-Control: no-store\r\n", 200, "Cache-Control: no-store\r\n", STORE_NO },
        { "Cookie: a=b\r\n", 200, "Cache-Control: max-age=5\r\n", STORE_YES },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct freshness f = judge(rows[i].request, rows[i].status, rows[i].reply, &no_policy);
        cr_expect_eq(f.verdict, rows[i].want, "row %zu: %s", i, f.why);
        cr_expect_not_null(f.why);
    }
}

Test(freshness, rfc9111_3_5_authorization_needs_the_replys_consent)
{
    static const struct {
        const char *reply;
        enum store_verdict want;
    } rows[] = {
        { "Cache-Control: max-age=5\r\n", STORE_NO_REQUEST },
        { "Cache-Control: max-age=5, public\r\n", STORE_YES },
        { "Cache-Control: s-maxage=5\r\n", STORE_YES },
        { "Cache-Control: max-age=5, must-revalidate\r\n", STORE_YES },
        { "Cache-Control: max-age=5, proxy-revalidate\r\n", STORE_NO_REQUEST },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct freshness f = judge("Authorization: x\r\n", 200, rows[i].reply, &no_policy);
        cr_expect_eq(f.verdict, rows[i].want, "row %zu", i);
        cr_expect_eq(f.allows_authorization, rows[i].want == STORE_YES, "row %zu", i);
    }
    const struct cache_policy apart = { .ttl_ms = 10000, .is_authorized_stored = true };
    cr_expect_eq(judge("Authorization: x\r\n", 200, "", &apart).verdict, STORE_YES,
                 "the key keeps them apart");
}

Test(freshness, only_get_is_stored)
{
    struct message request;
    struct message reply;
    struct freshness out;
    cr_assert_eq(read_request(&request, STR("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")), 0);
    reply_with(&reply, 200, "Cache-Control: max-age=5\r\n");
    freshness_of(&request, &reply, &no_policy, NOW_MS, NOW_MS, &out);
    cr_expect_eq(out.verdict, STORE_NO_REQUEST);
}

Test(freshness, a_transfer_coding_we_cannot_undo_is_never_stored)
{
    struct message request;
    struct message reply;
    struct freshness out;
    get_with(&request, "");
    cr_assert_eq(
        read_reply(&reply,
                   STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nCache-Control: max-age=9\r\n\r\n"),
                   METHOD_GET),
        0);
    freshness_of(&request, &reply, &no_policy, NOW_MS, NOW_MS, &out);
    cr_expect_eq(out.verdict, STORE_NO);
}

Test(freshness, rfc9111_5_2_2_3_must_understand_asks_for_known_statuses)
{
    cr_expect_eq(judge("", 200, "Cache-Control: max-age=5, must-understand\r\n", &no_policy).verdict,
                 STORE_YES);
    cr_expect_eq(judge("", 299, "Cache-Control: max-age=5, must-understand\r\n", &no_policy).verdict,
                 STORE_NO);
    static const struct {
        int status;
        const char *reply;
        enum store_verdict want;
    } rows[] = {
        { 200, "Cache-Control: max-age=5, must-understand, no-store\r\n", STORE_YES },
        { 200, "Cache-Control: no-store, max-age=5, must-understand\r\n", STORE_YES },
        { 299, "Cache-Control: max-age=5, must-understand, no-store\r\n", STORE_NO },
        { 200, "Cache-Control: max-age=5, must-understand, no-store, private\r\n", STORE_NO_PRIVATE },
        { 200, "Cache-Control: no-store, must-understand\r\n", STORE_NO },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(judge("", rows[i].status, rows[i].reply, &no_policy).verdict, rows[i].want, "row %zu",
                     i);
}

Test(freshness, rfc9111_4_2_1_lifetime_is_s_maxage_then_max_age_then_expires)
{
    static const struct {
        const char *reply;
        int64_t want_ms;
    } rows[] = {
        { "Cache-Control: max-age=5, s-maxage=7\r\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\r\n" DATE, 7000 },
        { "Cache-Control: max-age=5\r\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\r\n" DATE, 5000 },
        { "Expires: Sun, 06 Nov 1994 09:49:37 GMT\r\n" DATE, 3600000 },
        { "Expires: Sun, 06 Nov 1994 09:49:37 GMT\r\n", 3600000 },
        { "Expires: Sun, 06 Nov 1994 09:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:47 GMT\r\n", 3590000 },
        { "Expires: Sun, 06 Nov 1994 08:49:36 GMT\r\nETag: \"a\"\r\n" DATE, 0 },
        { "Expires: -1\r\nETag: \"a\"\r\n", 0 },
        { "Cache-Control: max-age=99999999999\r\n", 2147483648000 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct freshness f = judge_reply(rows[i].reply);
        cr_expect_eq(f.verdict, STORE_YES, "row %zu: %s", i, f.why);
        cr_expect_eq(f.lifetime_ms, rows[i].want_ms, "row %zu", i);
        cr_expect_not(f.is_by_ttl);
    }
}

Test(freshness, a_routes_ttl_is_for_replies_without_freshness_of_their_own)
{
    static const struct {
        int status;
        const char *reply;
        enum store_verdict want;
        bool is_by_ttl;
    } rows[] = {
        { 200, "", STORE_YES, true },
        { 301, "", STORE_YES, true },
        { 200, "Cache-Control: public, must-revalidate\r\n", STORE_YES, true },
        { 200, "Cache-Control: max-age=5\r\n", STORE_YES, false },
        { 200, "Cache-Control: max-age=0\r\n", STORE_NO, false },
        { 200, "Expires: 0\r\n", STORE_NO, false },
        { 200, "Cache-Control: no-store\r\n", STORE_NO, false },
        { 200, "Cache-Control: no-cache\r\n", STORE_NO, false },
        { 200, "Cache-Control: private\r\n", STORE_NO_PRIVATE, false },
        { 200, "Set-Cookie: a=b\r\n", STORE_NO_PRIVATE, false },
        { 200, "Pragma: no-cache\r\n", STORE_YES, true },
        { 404, "", STORE_NO, false },
        { 500, "", STORE_NO, false },
        { 302, "", STORE_NO, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct freshness f = judge("", rows[i].status, rows[i].reply, &ttl_10s);
        cr_expect_eq(f.verdict, rows[i].want, "row %zu: %s", i, f.why);
        cr_expect_eq(f.is_by_ttl, rows[i].is_by_ttl, "row %zu", i);
    }
}

Test(freshness, a_ttl_counts_from_the_arrival_whatever_age_the_reply_had)
{
    struct freshness f = judge("", 200, "Age: 100\r\n", &ttl_10s);
    cr_expect_eq(f.initial_age_ms, 100000);
    cr_expect_eq(f.lifetime_ms, 110000);
    cr_expect_eq(f.verdict, STORE_YES);
}

Test(freshness, cookies_of_a_reply_are_stored_only_when_the_route_says_so)
{
    const struct cache_policy policy = { .ttl_ms = -1, .is_set_cookie_stored = true };
    cr_expect_eq(judge("", 200, "Cache-Control: max-age=5\r\nSet-Cookie: a=b\r\n", &policy).verdict,
                 STORE_YES);
    const struct cache_policy by_ttl = { .ttl_ms = 10000, .is_set_cookie_stored = true };
    cr_expect_eq(judge("", 200, "Set-Cookie: a=b\r\n", &by_ttl).verdict, STORE_NO_PRIVATE,
                 "only with freshness of the reply's own");
}

Test(freshness, rfc9111_4_2_3_initial_age)
{
    static const struct {
        const char *reply;
        int64_t delay_ms;
        int64_t want_ms;
    } rows[] = {
        { DATE, 0, 0 },
        { DATE, 700, 700 },
        { "Age: 5\r\n" DATE, 700, 5700 },
        { "Date: Sun, 06 Nov 1994 08:49:30 GMT\r\n", 0, 7000 },
        { "Date: Sun, 06 Nov 1994 08:49:30 GMT\r\nAge: 3\r\n", 0, 7000 },
        { "Date: Sun, 06 Nov 1994 08:49:50 GMT\r\n", 0, 0 },
        { "Date: rubbish\r\n", 0, 0 },
    };
    struct message request;
    get_with(&request, "");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message reply;
        struct freshness out;
        reply_with(&reply, 200, rows[i].reply);
        freshness_of(&request, &reply, &ttl_10s, NOW_MS - rows[i].delay_ms, NOW_MS, &out);
        cr_expect_eq(out.initial_age_ms, rows[i].want_ms, "row %zu", i);
    }
}

Test(freshness, the_part_of_a_second_that_date_cuts_off_is_no_age)
{
    struct message request;
    struct message reply;
    struct freshness out;
    get_with(&request, "");
    reply_with(&reply, 200, DATE);
    freshness_of(&request, &reply, &ttl_10s, NOW_MS + 900, NOW_MS + 900, &out);
    cr_expect_eq(out.initial_age_ms, 0);
}

Test(freshness, rfc9111_5_1_age_is_one_number)
{
    cr_expect_eq(judge("", 200, "Age: 7, 9\r\n", &ttl_10s).initial_age_ms, 7000, "of a list the first");
    cr_expect_eq(judge("", 200, "Age: 7\r\nAge: 9\r\n", &ttl_10s).initial_age_ms, 7000);
    cr_expect_eq(judge("", 200, "Age: -7\r\n", &ttl_10s).initial_age_ms, 0);
    cr_expect_eq(judge("", 200, "Age: 1.5\r\n", &ttl_10s).initial_age_ms, 0);
    cr_expect_eq(judge("", 200, "Age: 99999999999\r\n", &ttl_10s).initial_age_ms, 2147483648000);
    cr_expect_eq(judge("", 200, "Age: 99999999999999999999999\r\n", &ttl_10s).initial_age_ms, 2147483648000);
    cr_expect_eq(judge("", 200, "Age: abc, 7\r\n", &ttl_10s).initial_age_ms, 0, "the rest is discarded");
}

Test(freshness, rfc9111_4_2_4_who_forbids_stale)
{
    cr_expect_not(judge_reply("Cache-Control: max-age=5\r\n").must_revalidate);
    cr_expect(judge_reply("Cache-Control: max-age=5, must-revalidate\r\n").must_revalidate);
    cr_expect(judge_reply("Cache-Control: max-age=5, proxy-revalidate\r\n").must_revalidate);
    cr_expect(judge_reply("Cache-Control: s-maxage=5\r\n").must_revalidate);
    cr_expect(judge_reply("Cache-Control: no-cache, max-age=5\r\nETag: \"a\"\r\n").must_revalidate);
}

Test(freshness, rfc5861_stale_times_are_read)
{
    struct freshness f =
        judge_reply("Cache-Control: max-age=5, stale-while-revalidate=30, stale-if-error=60\r\n");
    cr_expect_eq(f.stale_while_revalidate_ms, 30000);
    cr_expect_eq(f.stale_if_error_ms, 60000);
    f = judge_reply("Cache-Control: max-age=5\r\n");
    cr_expect_eq(f.stale_while_revalidate_ms, -1);
    cr_expect_eq(f.stale_if_error_ms, -1);
}

Test(freshness, rfc9111_5_2_2_4_no_cache_asks_first_even_when_fresh)
{
    cr_expect(judge_reply("Cache-Control: no-cache, max-age=5\r\nETag: \"a\"\r\n").always_revalidate);
    cr_expect(judge_reply("Cache-Control: no-cache=\"\", max-age=5\r\nETag: \"a\"\r\n").always_revalidate);
    cr_expect_not(judge_reply("Cache-Control: no-cache=\"X\", max-age=5\r\n").always_revalidate);
    cr_expect_not(judge_reply("Cache-Control: max-age=5\r\n").always_revalidate);
}
