/* What a shared cache must and should do, rule by rule, where freshness_of() decides it. Named by section. */
#include "http/caching.h"
#include "read.h"

#define NOW_MS 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define HOUR   "Expires: Sun, 06 Nov 1994 09:49:37 GMT\r\n"
#define TAG    "ETag: \"a\"\r\n"

static const struct cache_policy plain = { .ttl_ms = -1 };
static const struct cache_policy guessing = { .ttl_ms = -1, .is_guess_allowed = true };

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

static int64_t lifetime_of(const char *lines)
{
    return judge("", 200, lines, &plain).lifetime_ms;
}

Test(rfc9111, rfc9111_3__any_final_status_with_explicit_freshness)
{
    static const int statuses[] = { 200, 201, 202, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 401,
                                    403, 404, 405, 410, 414, 451, 499, 500, 501, 502, 503, 504, 599 };
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        cr_expect_eq(judge("", statuses[i], "Cache-Control: max-age=9\r\n", &plain).verdict, STORE_YES, "%d",
                     statuses[i]);
        cr_expect_eq(judge("", statuses[i], HOUR, &plain).verdict, STORE_YES, "%d", statuses[i]);
    }
}

Test(rfc9111, rfc9111_3__no_store_is_not_stored_whatever_else_is_said)
{
    cr_expect_eq(judge("", 200, "Cache-Control: No-StOrE\r\n" HOUR TAG, &guessing).verdict, STORE_NO);
    cr_expect_eq(
        judge("", 200, "Cache-Control: max-age=9\r\nCache-Control: no-store=x\r\n", &guessing).verdict,
        STORE_NO);
}

/* A reply to "Range: bytes=0-4" with five bytes. */
static struct freshness judge_part(const char *lines)
{
    static struct message request;
    static struct message reply;
    static char head[512];
    struct freshness out;
    int len = snprintf(head, sizeof head, "HTTP/1.1 206 \r\n%s\r\n", lines);
    get_with(&request, "Range: bytes=0-4\r\n");
    cr_assert_eq(read_reply(&reply, str_n(head, (size_t)len), METHOD_GET), 0);
    freshness_of(&request, &reply, &plain, NOW_MS, NOW_MS, &out);
    return out;
}

#define PART "Cache-Control: max-age=9\r\nContent-Range: bytes 0-4/9\r\n"

Test(rfc9111, rfc9111_3_3__a_206_is_stored_as_a_part)
{
    static const struct {
        const char *reply;
        enum store_verdict want;
    } rows[] = {
        { PART "Content-Length: 5\r\n", STORE_YES },
        { PART "Transfer-Encoding: chunked\r\n", STORE_YES },
        { PART "Content-Length: 6\r\n", STORE_NO_REQUEST },
        { PART "Content-Length: 0\r\n", STORE_NO_REQUEST },
        { PART "Content-Length: 5\r\nContent-Type: Multipart/Byteranges; boundary=x\r\n", STORE_NO_REQUEST },
        { "Cache-Control: max-age=9\r\nContent-Range: bytes 4-0/9\r\nContent-Length: 5\r\n",
          STORE_NO_REQUEST },
        { "Cache-Control: max-age=9\r\nContent-Length: 5\r\n", STORE_NO_REQUEST },
        { PART "Content-Length: 5\r\nCache-Control: private\r\n", STORE_NO_PRIVATE },
        { "Content-Range: bytes 0-4/9\r\nContent-Length: 5\r\n" TAG, STORE_NO },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct freshness f = judge_part(rows[i].reply);
        cr_expect_eq(f.verdict, rows[i].want, "row %zu: %s", i, f.why);
        cr_expect(f.is_partial || f.verdict != STORE_YES, "row %zu", i);
    }
    cr_expect_not(judge("Range: bytes=0-4\r\n", 200, "Cache-Control: max-age=9\r\n", &plain).is_partial);
    cr_expect_eq(judge("", 206, PART, &plain).verdict, STORE_NO, "nobody asked for a part");
}

Test(rfc9111, rfc9111_3_5__authorization_by_the_three_directives_only)
{
    const char *asks = "Authorization: Basic eDp5\r\n";
    cr_expect_eq(judge(asks, 200, HOUR, &plain).verdict, STORE_NO_REQUEST);
    cr_expect_eq(judge(asks, 200, "Cache-Control: public\r\n" HOUR, &plain).verdict, STORE_YES);
    cr_expect_eq(judge(asks, 200, "Cache-Control: must-revalidate\r\n" HOUR, &plain).verdict, STORE_YES);
    cr_expect_eq(judge(asks, 200, "Cache-Control: s-maxage=9\r\n", &plain).verdict, STORE_YES);
    cr_expect_eq(judge(asks, 200, "Cache-Control: no-cache\r\n" TAG, &plain).verdict, STORE_NO_REQUEST);
    cr_expect_eq(judge(asks, 200, "Cache-Control: public, private\r\n" HOUR, &plain).verdict,
                 STORE_NO_PRIVATE);
}

Test(rfc9111, rfc9111_4_2_1__s_maxage_wins)
{
    cr_expect_eq(lifetime_of("Cache-Control: max-age=9, s-maxage=7\r\n" HOUR DATE), 7000);
    cr_expect_eq(lifetime_of("Cache-Control: s-maxage=7\r\nCache-Control: max-age=9\r\n"), 7000);
    cr_expect_eq(lifetime_of("Cache-Control: max-age=9, s-maxage=0\r\n" TAG), 0);
}

Test(rfc9111, rfc9111_4_2_1__max_age_wins_over_expires)
{
    cr_expect_eq(lifetime_of("Cache-Control: max-age=9\r\n" HOUR DATE), 9000);
    cr_expect_eq(lifetime_of("Cache-Control: max-age=9\r\nExpires: 0\r\n"), 9000);
    cr_expect_eq(lifetime_of("Cache-Control: max-age=0\r\n" HOUR DATE TAG), 0);
}

Test(rfc9111, rfc9111_4_2_1__invalid_freshness_is_stale)
{
    static const char *const lines[] = {
        "Cache-Control: max-age=x\r\n" HOUR,
        "Cache-Control: max-age=-1\r\n" HOUR,
        "Cache-Control: max-age=1.5\r\n",
        "Cache-Control: max-age=3600.0\r\n",
        "Cache-Control: max-age=\r\n",
        "Cache-Control: max-age='3600'\r\n",
        "Cache-Control: s-maxage=x, max-age=9\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        cr_expect_eq(lifetime_of(lines[i]), 0, "row %zu", i);
        cr_expect_eq(judge("", 200, lines[i], &guessing).verdict, STORE_NO, "row %zu: and no guess", i);
    }
}

Test(rfc9111, rfc9111_4_2_1__the_first_of_several)
{
    cr_expect_eq(lifetime_of("Cache-Control: max-age=9, max-age=1\r\n"), 9000);
    cr_expect_eq(lifetime_of("Cache-Control: max-age=1\r\nCache-Control: max-age=9\r\n"), 1000);
    cr_expect_eq(lifetime_of(HOUR HOUR DATE), 3600000, "the same twice");
    cr_expect_eq(lifetime_of(HOUR "Expires: Sun, 06 Nov 1994 10:49:37 GMT\r\n" DATE), 0, "which one?");
}

Test(rfc9111, rfc9111_5_3__an_invalid_expires_is_in_the_past)
{
    static const char *const values[] = {
        "0",
        "-1",
        "",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
    };
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        char lines[160];
        snprintf(lines, sizeof lines, "Expires: %s\r\n", values[i]);
        struct freshness f = judge("", 200, lines, &guessing);
        cr_expect_eq(f.verdict, STORE_NO, "'%s'", values[i]);
        cr_expect_eq(f.lifetime_ms, 0, "'%s'", values[i]);
    }
}

Test(rfc9111, rfc9111_4_2_1__expires_counts_from_date_or_from_the_arrival)
{
    cr_expect_eq(lifetime_of(HOUR DATE), 3600000);
    cr_expect_eq(lifetime_of(HOUR), 3600000);
    cr_expect_eq(lifetime_of(HOUR "Date: foo\r\n"), 3600000);
    cr_expect_eq(judge("", 200, HOUR "Date: Sun, 06 Nov 1994 10:49:37 GMT\r\n", &plain).verdict, STORE_NO,
                 "older than its Date");
    cr_expect_eq(judge("", 200, "Expires: Sun, 06 Nov 1994 08:49:37 GMT\r\n" DATE, &plain).verdict, STORE_NO);
}

Test(rfc9111, rfc9111_4_2_2__a_tenth_of_its_unchanged_time)
{
    static const struct {
        const char *reply;
        int64_t want_ms;
    } rows[] = {
        { DATE "Last-Modified: Sun, 06 Nov 1994 08:49:27 GMT\r\n", 1000 },
        { DATE "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\n", 8640000 },
        { "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\n", 8640000 },
        { DATE "Last-Modified: Sun, 06 Nov 1974 08:49:37 GMT\r\n", 86400000 },
        { DATE "Last-Modified: Sun, 06 Nov 1994 08:49:47 GMT\r\n", 0 },
        { DATE "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\nPragma: no-cache\r\n", 8640000 },
        { DATE "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\nCache-Control: must-revalidate\r\n",
          8640000 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct freshness f = judge("", 200, rows[i].reply, &guessing);
        cr_expect_eq(f.verdict, STORE_YES, "row %zu: %s", i, f.why);
        cr_expect_eq(f.lifetime_ms, rows[i].want_ms, "row %zu", i);
        cr_expect(f.is_guessed, "row %zu", i);
        cr_expect_eq(judge("", 200, rows[i].reply, &plain).verdict, STORE_NO, "row %zu: only where allowed",
                     i);
    }
}

#define OLD "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\n" DATE

Test(rfc9111, rfc9111_4_2_2__no_guess_beside_what_the_reply_says)
{
    static const char *const lines[] = {
        OLD HOUR,
        OLD "Expires: 0\r\n",
        OLD "Cache-Control: max-age=x\r\n",
        OLD "Cache-Control: max-age=0\r\n",
        OLD "Cache-Control: s-maxage=1\r\n",
        OLD "Cache-Control: no-cache\r\n",
        OLD "Cache-Control: no-store\r\n",
        OLD "Cache-Control: private\r\n",
        OLD "Set-Cookie: a=b\r\n",
        OLD "CDN-Cache-Control: max-age=1\r\n",
        OLD "CDN-Cache-Control: public\r\n",
        TAG,
        "Last-Modified: foo\r\n",
        OLD "Last-Modified: Sun, 06 Nov 1994 08:49:27 GMT\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct freshness f = judge("", 200, lines[i], &guessing);
        cr_expect(!f.is_guessed || f.verdict != STORE_YES, "row %zu", i);
    }
    const struct cache_policy both = { .ttl_ms = 5000, .is_guess_allowed = true };
    cr_expect(judge("", 200, OLD, &both).is_by_ttl);
    cr_expect_not(judge("", 404, OLD, &both).is_guessed, "a route with a ttl has said its word");
}

Test(rfc9111, rfc9111_4_2_2__only_statuses_that_allow_it_or_public)
{
    static const int allowed[] = { 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501 };
    static const int others[] = { 201, 202, 302, 303, 307, 400, 403, 451, 500, 502, 503, 504, 599 };
    for (size_t i = 0; i < COUNT_OF(allowed); i++)
        cr_expect_eq(judge("", allowed[i], OLD, &guessing).verdict, STORE_YES, "%d", allowed[i]);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        cr_expect_eq(judge("", others[i], OLD, &guessing).verdict, STORE_NO, "%d", others[i]);
        cr_expect_eq(judge("", others[i], OLD "Cache-Control: public\r\n", &guessing).verdict, STORE_YES,
                     "%d", others[i]);
    }
}

Test(rfc9111, rfc9111_4_2_3__the_greater_of_apparent_and_corrected_age)
{
    static const struct {
        const char *reply;
        int64_t want_ms;
    } rows[] = {
        { "Date: Sun, 06 Nov 1994 08:49:27 GMT\r\n", 12000 },
        { "Date: Sun, 06 Nov 1994 08:49:27 GMT\r\nAge: 25\r\n", 27000 },
        { "Date: Sun, 06 Nov 1994 08:49:47 GMT\r\nAge: 15\r\n", 17000 },
        { "Age: 15\r\n", 17000 },
    };
    struct message request;
    get_with(&request, "");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message reply;
        struct freshness out;
        reply_with(&reply, 200, rows[i].reply);
        freshness_of(&request, &reply, &plain, NOW_MS, NOW_MS + 2000, &out);
        cr_expect_eq(out.initial_age_ms, rows[i].want_ms, "row %zu", i);
    }
}

Test(rfc9111, rfc9111_5_2_2__who_forbids_stale_use)
{
    static const char *const lines[] = { "must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2" };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        char reply[128];
        snprintf(reply, sizeof reply, "Cache-Control: max-age=2, %s\r\n" TAG, lines[i]);
        cr_expect(judge("", 200, reply, &plain).must_revalidate, "%s", lines[i]);
    }
    cr_expect_not(judge("", 200, "Cache-Control: max-age=2, immutable\r\n", &plain).must_revalidate);
}

Test(rfc9111, rfc9111_5_2_2_4__named_fields_alone_do_not_ask_for_validation)
{
    struct freshness f =
        judge("", 200, "Cache-Control: no-cache=\"Set-Cookie\", max-age=9\r\nSet-Cookie: a=b\r\n", &plain);
    cr_expect_eq(f.verdict, STORE_YES, "%s", f.why);
    cr_expect_not(f.always_revalidate);
    cr_expect(field_is_kept_out(&f.control, STR("Set-Cookie")));
    f = judge("", 200, "Cache-Control: private=\"Set-Cookie\", max-age=9\r\nSet-Cookie: a=b\r\n", &plain);
    cr_expect_eq(f.verdict, STORE_YES, "%s", f.why);
    f = judge("", 200, "Cache-Control: private=\"X\", max-age=9\r\nSet-Cookie: a=b\r\n", &plain);
    cr_expect_eq(f.verdict, STORE_NO_PRIVATE);
    f = judge("", 200, "Cache-Control: private=\"X\", no-cache, max-age=9\r\n" TAG, &plain);
    cr_expect(f.always_revalidate);
}

Test(rfc9111, rfc9111_5_2_1_5__a_requests_no_store_unless_it_is_passed_over)
{
    const struct cache_policy deaf = { .ttl_ms = -1, .is_no_store_ignored = true };
    const char *asks = "Cache-Control: no-store\r\n";
    cr_expect_eq(judge(asks, 200, "Cache-Control: max-age=9\r\n", &plain).verdict, STORE_NO_REQUEST);
    cr_expect_eq(judge(asks, 200, "Cache-Control: max-age=9\r\n", &deaf).verdict, STORE_YES);
}

Test(rfc9111, rfc9111_5_4__pragma_in_a_reply_means_nothing)
{
    cr_expect_eq(judge("", 200, "Cache-Control: max-age=9\r\nPragma: no-cache\r\n", &plain).lifetime_ms,
                 9000);
    cr_expect_eq(judge("", 200, HOUR "Pragma: no-cache\r\n", &plain).verdict, STORE_YES);
}

Test(rfc9111, what_is_never_fresh_is_stored_if_it_can_be_validated_or_used_stale)
{
    static const struct {
        const char *reply;
        enum store_verdict want;
    } rows[] = {
        { "Cache-Control: max-age=0\r\n", STORE_NO },
        { "Cache-Control: max-age=0\r\n" TAG, STORE_YES },
        { "Cache-Control: max-age=0\r\n" OLD, STORE_YES },
        { "Cache-Control: max-age=9\r\nAge: 9\r\n", STORE_NO },
        { "Cache-Control: max-age=9\r\nAge: 9\r\n" TAG, STORE_YES },
        { "Cache-Control: max-age=0, stale-while-revalidate=1\r\n", STORE_YES },
        { "Cache-Control: max-age=0, stale-if-error=1\r\n", STORE_YES },
        { "Cache-Control: max-age=0, stale-if-error=0\r\n", STORE_NO },
        { "Cache-Control: s-maxage=0, stale-if-error=1\r\n", STORE_YES },
        { "Cache-Control: no-cache\r\n", STORE_NO },
        { "Cache-Control: no-cache, max-age=9\r\n", STORE_NO },
        { "Cache-Control: no-cache\r\n" OLD, STORE_YES },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(judge("", 200, rows[i].reply, &plain).verdict, rows[i].want, "row %zu", i);
}
