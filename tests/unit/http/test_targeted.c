/* Targeted fields, RFC 9213: cache_control_of_reply() and what freshness_of() makes of it. */
#include "http/caching.h"
#include "read.h"

#define NOW_MS 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */

static struct freshness judge(const char *lines)
{
    static const struct cache_policy policy = { .ttl_ms = -1, .is_guess_allowed = true };
    static struct message request;
    static struct message reply;
    struct freshness out;
    get_with(&request, "");
    reply_with(&reply, 200, lines);
    freshness_of(&request, &reply, &policy, NOW_MS, NOW_MS, &out);
    return out;
}

static struct cache_control control_of(const char *lines)
{
    static struct message msg;
    struct cache_control control;
    reply_with(&msg, 200, lines);
    cache_control_of_reply(&msg, &control);
    return control;
}

Test(targeted, rfc9213_2_2__the_first_valid_one_that_says_something_counts)
{
    static const struct {
        const char *lines;
        int64_t max_age_s;
        bool is_targeted;
    } rows[] = {
        { "Cache-Control: max-age=1\r\n", 1, false },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control: max-age=2\r\n", 2, true },
        { "CDN-Cache-Control: max-age=2\r\nWeir-Cache-Control: max-age=3\r\n", 3, true },
        { "CDN-Cache-Control: max-age=2\r\nWeir-Cache-Control: max-age=3,\r\n", 2, true },
        { "CDN-Cache-Control: max-age=2\r\nWeir-Cache-Control:\r\n", 2, true },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control:\r\n", 1, false },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control: MaX-aGe=2\r\n", 1, false },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control: max-age=2, &&&&&\r\n", 1, false },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control: max-age =2\r\n", 1, false },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control: max-age= 2\r\n", 1, false },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control: max-age=2\r\nCDN-Cache-Control: =\r\n", 1, false },
        { "Cache-Control: max-age=1\r\nCDN-Cache-Control: foo\r\n", -1, true },
        { "Cache-Control: max-age=1\r\nSurrogate-Control: max-age=2\r\n", 1, false },
        { "CDN-Cache-Control: foobar=(1 2);x\r\nCDN-Cache-Control:\r\nCDN-Cache-Control: max-age=2;y=1\r\n",
          2, true },
        { "CDN-Cache-Control: max-age=1, max-age=7\r\n", 7, true }, /* RFC 9651 4.2.2: the last */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache_control c = control_of(rows[i].lines);
        cr_expect_eq(c.max_age_s, rows[i].max_age_s, "row %zu", i);
        cr_expect_eq(c.is_targeted, rows[i].is_targeted, "row %zu", i);
        cr_expect(c.has_any);
    }
    cr_expect_not(control_of("").has_any);
}

Test(targeted, rfc9213_2_1__values_of_a_wrong_type_are_no_use)
{
    static const struct {
        const char *value;
        int64_t want;
    } rows[] = {
        { "max-age=10", 10 },
        { "max-age=0", 0 },
        { "max-age=2147483648", 2147483648 },
        { "max-age=99999999999", 2147483648 },
        { "max-age=-5", 0 },
        { "max-age=\"10\"", 0 },
        { "max-age=1.5", 0 },
        { "max-age=10.0", 0 },
        { "max-age", 0 },
        { "max-age=(10)", 0 },
        { "max-age=@10", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[128];
        snprintf(lines, sizeof lines, "CDN-Cache-Control: %s\r\n", rows[i].value);
        cr_expect_eq(control_of(lines).max_age_s, rows[i].want, "row %zu", i);
    }
    cr_expect(control_of("CDN-Cache-Control: no-store\r\n").is_no_store);
    cr_expect(control_of("CDN-Cache-Control: no-store=1\r\n").is_no_store,
              "what forbids does so in any type");
    cr_expect_not(control_of("CDN-Cache-Control: no-store=?0\r\n").is_no_store);
    cr_expect_not(control_of("CDN-Cache-Control: public=1\r\n").is_public);
    cr_expect(control_of("CDN-Cache-Control: public\r\n").is_public);
    cr_expect(control_of("CDN-Cache-Control: private=token\r\n").is_private);
    cr_expect(control_of("CDN-Cache-Control: private=\"a b\"\r\n").is_private);
    struct cache_control c = control_of("CDN-Cache-Control: private=\"a, b\", no-cache=\"c\"\r\n");
    cr_expect_not(c.is_private);
    cr_expect_not(c.is_no_cache);
    cr_expect(field_is_kept_out(&c, STR("B")));
    cr_expect(field_is_kept_out(&c, STR("C")));
    cr_expect(control_of("CDN-Cache-Control: private=\"a\", private\r\n").is_private);
}

Test(targeted, rfc9213_2_2__cache_control_and_expires_are_void_beside_it)
{
    static const struct {
        const char *lines;
        enum store_verdict verdict;
        int64_t lifetime_ms;
    } rows[] = {
        { "CDN-Cache-Control: max-age=10\r\nCache-Control: no-store\r\n", STORE_YES, 10000 },
        { "CDN-Cache-Control: max-age=10\r\nCache-Control: private, no-cache\r\n", STORE_YES, 10000 },
        { "CDN-Cache-Control: max-age=10\r\nExpires: 0\r\nPragma: no-cache\r\n", STORE_YES, 10000 },
        { "CDN-Cache-Control: max-age=10\r\nCache-Control: s-maxage=5\r\n", STORE_YES, 10000 },
        { "CDN-Cache-Control: foo\r\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\r\n", STORE_NO, -1 },
        { "CDN-Cache-Control: max-age=0\r\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\r\n", STORE_NO, -1 },
        { "CDN-Cache-Control: no-store\r\nCache-Control: max-age=10\r\n", STORE_NO, -1 },
        { "CDN-Cache-Control: private\r\nCache-Control: max-age=10\r\n", STORE_NO_PRIVATE, -1 },
        { "CDN-Cache-Control: no-cache\r\nCache-Control: max-age=10\r\n", STORE_NO, -1 },
        { "CDN-Cache-Control: max-age=\"10000\"\r\nCache-Control: no-store\r\n", STORE_NO, -1 },
        { "CDN-Cache-Control: max-age=10, &\r\nCache-Control: no-store\r\n", STORE_NO, -1 },
        { "CDN-Cache-Control: max-age=3600\r\nAge: 7200\r\n", STORE_NO, -1 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct freshness f = judge(rows[i].lines);
        cr_expect_eq(f.verdict, rows[i].verdict, "row %zu: %s", i, f.why);
        if (rows[i].lifetime_ms >= 0)
            cr_expect_eq(f.lifetime_ms, rows[i].lifetime_ms, "row %zu", i);
    }
    cr_expect_not(judge("CDN-Cache-Control: max-age=9\r\nCache-Control: s-maxage=5\r\n").must_revalidate);
    cr_expect(judge("CDN-Cache-Control: max-age=9, must-revalidate\r\n").must_revalidate);
    cr_expect_eq(judge("CDN-Cache-Control: max-age=9, stale-if-error=5\r\n").stale_if_error_ms, 5000);
}

Test(targeted, rfc9111_3_5__the_effective_field_consents_to_authorization)
{
    cr_expect(judge("CDN-Cache-Control: max-age=9, public\r\n").allows_authorization);
    cr_expect_not(judge("CDN-Cache-Control: max-age=9\r\nCache-Control: public\r\n").allows_authorization);
}

Test(targeted, each_field_goes_where_it_should)
{
    cr_expect(field_traits(FIELD_WEIR_CACHE_CONTROL) & FIELD_APP_ONLY);
    cr_expect(field_traits(FIELD_CACHE_TAG) & FIELD_APP_ONLY);
    cr_expect(field_traits(FIELD_SURROGATE_KEY) & FIELD_APP_ONLY);
    cr_expect_eq(field_traits(FIELD_CDN_CACHE_CONTROL), 0);
    cr_expect_eq(field_traits(FIELD_CACHE_GROUPS), 0);
    cr_expect_eq(field_traits(FIELD_CACHE_GROUP_INVALIDATION), 0);
    cr_expect_eq(field_id_of(STR("Surrogate-Control")), FIELD_UNKNOWN);
}
