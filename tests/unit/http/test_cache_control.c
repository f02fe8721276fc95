#include "http/caching.h"
#include "read.h"

static struct cache_control control_of(const char *lines)
{
    static struct message msg;
    struct cache_control control;
    reply_with(&msg, 200, lines);
    cache_control_read(&msg, &control);
    return control;
}

static struct cache_request request_of(const char *lines)
{
    static struct message msg;
    struct cache_request request;
    get_with(&msg, lines);
    cache_request_read(&msg, &request);
    return request;
}

Test(cache_control, rfc9111_5_2_directives_are_read_in_any_case_from_every_line)
{
    struct cache_control c =
        control_of("Cache-Control: Public, MAX-AGE=60\r\n"
                   "Cache-Control: s-maxage=\"30\" , must-revalidate,,immutable\r\n"
                   "Cache-Control: stale-while-revalidate=5, stale-if-error=6, unknown=7\r\n");
    cr_expect(c.has_any);
    cr_expect(c.is_public);
    cr_expect(c.is_must_revalidate);
    cr_expect(c.is_immutable);
    cr_expect_eq(c.max_age_s, 60);
    cr_expect_eq(c.s_maxage_s, 30);
    cr_expect_eq(c.stale_while_revalidate_s, 5);
    cr_expect_eq(c.stale_if_error_s, 6);
    cr_expect_not(c.is_no_store);
    cr_expect_not(c.is_private);
    c = control_of("");
    cr_expect_not(c.has_any);
    cr_expect_eq(c.max_age_s, -1);
}

Test(cache_control, rfc9111_1_2_2_seconds_saturate_and_rubbish_is_stale)
{
    static const struct {
        const char *lines;
        int64_t want;
    } rows[] = {
        { "Cache-Control: max-age=0\r\n", 0 },
        { "Cache-Control: max-age=2147483647\r\n", 2147483647 },
        { "Cache-Control: max-age=2147483648\r\n", 2147483648 },
        { "Cache-Control: max-age=99999999999\r\n", 2147483648 },
        { "Cache-Control: max-age=99999999999999999999999999\r\n", 2147483648 },
        { "Cache-Control: max-age=-1\r\n", 0 },
        { "Cache-Control: max-age=1.5\r\n", 0 },
        { "Cache-Control: max-age=\r\n", 0 },
        { "Cache-Control: max-age\r\n", 0 },
        { "Cache-Control: max-age=60s\r\n", 0 },
        { "Cache-Control: max-age='60'\r\n", 0 },
        { "Cache-Control: max-age=\"\"\r\n", 0 },
        { "Cache-Control: max-age=\"6\\0\"\r\n", 0 },
        { "Cache-Control: max-age=\"60\"x\r\n", 0 },
        { "Cache-Control: max-age =60\r\n", 0 },
        { "Cache-Control: max-age= 60\r\n", 0 },
        { "Cache-Control: max-age=60; private\r\n", 0 },
        { "Cache-Control: max-age=\"60\"\r\n", 60 },
        { "Cache-Control: max-age=0060\r\n", 60 },
        { "Cache-Control: MaX-aGe=60\r\n", 60 },
        { "Cache-Control: x=\"max-age=3600\", max-age=1\r\n", 1 },
        { "Cache-Control: max-age=1, x=\"a, \\\" , max-age=3600\"\r\n", 1 },
        { "Cache-Control: x=a\"b, max-age=2, y=c\"\r\n", 2 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(control_of(rows[i].lines).max_age_s, rows[i].want, "row %zu", i);
}

Test(cache_control, rfc9111_4_2_1_the_first_of_repeated_ones_counts)
{
    cr_expect_eq(control_of("Cache-Control: max-age=5, max-age=50\r\n").max_age_s, 5);
    cr_expect_eq(control_of("Cache-Control: max-age=5\r\nCache-Control: max-age=1\r\n").max_age_s, 5);
}

Test(cache_control, rfc9111_5_2_2_4_and_7_field_names_are_told_apart)
{
    struct cache_control c =
        control_of("Cache-Control: no-cache=\"Set-Cookie, X\", private=\"Y\", max-age=5\r\n");
    cr_expect_not(c.is_no_cache);
    cr_expect_not(c.is_private);
    assert_str(c.no_cache_fields, "Set-Cookie, X");
    assert_str(c.private_fields, "Y");
    cr_expect_eq(c.max_age_s, 5, "the comma inside of the quotes ends nothing");
    cr_expect(control_of("Cache-Control: no-cache\r\n").is_no_cache);
    cr_expect(control_of("Cache-Control: private=\"\"\r\n").is_private, "no names: all of it");
    cr_expect(control_of("Cache-Control: no-cache=x\r\n").is_no_cache, "not quoted: all of it");
    cr_expect(control_of("Cache-Control: private=\"a\", private=\"b\"\r\n").is_private,
              "two lists: all of it");
}

Test(cache_control, rfc9111_5_2_1_requests_ask)
{
    struct cache_request r =
        request_of("Cache-Control: max-age=3, min-fresh=4, max-stale=5, only-if-cached, no-store\r\n");
    cr_expect_eq(r.control.max_age_s, 3);
    cr_expect_eq(r.control.min_fresh_s, 4);
    cr_expect_eq(r.control.max_stale_s, 5);
    cr_expect(r.control.is_only_if_cached);
    cr_expect(r.control.is_no_store);
    cr_expect_eq(request_of("Cache-Control: max-stale\r\n").control.max_stale_s, INT64_MAX, "any age");
    cr_expect_eq(request_of("Cache-Control: max-stale=x\r\n").control.max_stale_s, 0);
}

Test(cache_control, rfc9111_5_4_pragma_counts_only_without_cache_control)
{
    cr_expect(request_of("Pragma: no-cache\r\n").is_no_cache);
    cr_expect(request_of("Pragma: x, No-Cache\r\n").is_no_cache);
    cr_expect_not(request_of("Pragma: no-cache\r\nCache-Control: max-age=5\r\n").is_no_cache);
    cr_expect_not(request_of("Pragma: x\r\n").is_no_cache);
    cr_expect(request_of("Cache-Control: no-cache\r\n").is_no_cache);
}

Test(cache_control, what_else_a_cache_must_know_of_a_request)
{
    struct cache_request r = request_of("Authorization: x\r\nRange: bytes=0-1\r\nIf-None-Match: \"a\"\r\n");
    cr_expect(r.has_authorization);
    cr_expect(r.has_range);
    cr_expect(r.has_conditions);
    cr_expect_not(r.has_origin_conditions);
    cr_expect(request_of("If-Match: \"a\"\r\n").has_origin_conditions);
    cr_expect(request_of("If-Unmodified-Since: x\r\n").has_origin_conditions);
    cr_expect_not(request_of("").has_conditions);
}

Test(cache_control, a_quote_that_never_closes_hides_no_directive)
{
    cr_expect(control_of("Cache-Control: x=\"a, no-store\r\n").is_no_store);
    cr_expect(control_of("Cache-Control: x=\"a\\\", private\r\n").is_private);
    cr_expect(control_of("Cache-Control: \"\r\nCache-Control: no-store\r\n").is_no_store);
}

Test(cache_control, rfc9111_5_2_3__unknown_directives_are_ignored)
{
    struct cache_control c =
        control_of("Cache-Control: foo, bar=\"no-store, private\", =, =x, max-age=5, x=\r\n");
    cr_expect_not(c.is_no_store);
    cr_expect_not(c.is_private);
    cr_expect_eq(c.max_age_s, 5);
}

Test(cache_control, rfc9111_5_2_2_4_and_7__odd_lists_of_names_mean_all_of_the_reply)
{
    static const char *const lines[] = {
        "Cache-Control: private=\" , \"\r\n",
        "Cache-Control: private=\"a b\"\r\n",
        "Cache-Control: private=\"a\"b\r\n",
        "Cache-Control: private= \"a\"\r\n",
        "Cache-Control: private=\"a\r\n",
        "Cache-Control: private=a\r\n",
        "Cache-Control: private=\"Vary\"\r\n",
        "Cache-Control: private=\"a, Content-Encoding\"\r\n",
        "Cache-Control: private=\"a\", private=b\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        cr_expect(control_of(lines[i]).is_private, "row %zu", i);
}

Test(cache_control, rfc9111_5_2_2_4_and_7__named_fields_are_kept_out)
{
    struct cache_control c = control_of("Cache-Control: no-cache=\"Set-Cookie,, X \", private=\"Y\"\r\n");
    cr_expect(field_is_kept_out(&c, STR("set-cookie")));
    cr_expect(field_is_kept_out(&c, STR("X")));
    cr_expect(field_is_kept_out(&c, STR("y")));
    cr_expect_not(field_is_kept_out(&c, STR("Set-Cookie2")));
    c = control_of("");
    cr_expect_not(field_is_kept_out(&c, STR("X")));
}

Test(cache_control, rfc9111_5_2_1__a_route_may_pass_over_what_requests_ask)
{
    const char *lines =
        "Cache-Control: no-cache, no-store, max-age=1, min-fresh=2, max-stale=3, only-if-cached\r\n";
    struct cache_request r = request_of(lines);
    cache_request_ignore(&r, IGNORE_NO_CACHE | IGNORE_MAX_AGE);
    cr_expect_not(r.is_no_cache);
    cr_expect_not(r.control.is_no_cache);
    cr_expect_eq(r.control.max_age_s, -1);
    cr_expect(r.control.is_no_store);
    cr_expect_eq(r.control.min_fresh_s, 2);
    cache_request_ignore(&r, IGNORE_NO_STORE | IGNORE_MIN_FRESH | IGNORE_MAX_STALE | IGNORE_ONLY_IF_CACHED);
    cr_expect_not(r.control.is_no_store);
    cr_expect_eq(r.control.min_fresh_s, -1);
    cr_expect_eq(r.control.max_stale_s, -1);
    cr_expect_not(r.control.is_only_if_cached);
    r = request_of("Pragma: no-cache\r\n");
    cache_request_ignore(&r, IGNORE_NO_CACHE);
    cr_expect_not(r.is_no_cache);
}
