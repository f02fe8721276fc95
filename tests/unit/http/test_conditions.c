#include "http/caching.h"
#include "read.h"

#define OLD   "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME  "Sun, 06 Nov 1994 08:49:37 GMT"
#define LATER "Sun, 06 Nov 1994 08:49:38 GMT"

static const int64_t now_s = 1767225600;

Test(conditions, rfc9110_8_8_3_2_strong_and_weak_comparison)
{
    static const struct {
        const char *list;
        const char *etag;
        bool is_weak_match;
        bool is_strong_match;
    } rows[] = {
        { "W/\"1\"", "W/\"1\"", true, false },
        { "W/\"1\"", "W/\"2\"", false, false },
        { "W/\"1\"", "\"1\"", true, false },
        { "\"1\"", "\"1\"", true, true },
        { "\"1\"", "W/\"1\"", true, false },
        { "\"a\", \"b\" ,\"c\"", "\"b\"", true, true },
        { "\"a,b\"", "\"b\"", false, false },
        { "\"a\\\", \"b\"", "\"b\"", true, true },
        { "\"a", "\"a\"", false, false },
        { "a", "a", false, false },
        { "w/\"1\"", "\"1\"", false, false },
        { "", "\"1\"", false, false },
        { "\"1\"", "", false, false },
        { "\"\"", "\"\"", true, true },
        { "\"a b\", \"1\"", "\"1\"", false, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(etag_matches(str_of(rows[i].list), str_of(rows[i].etag), true), rows[i].is_weak_match,
                     "row %zu", i);
        cr_expect_eq(etag_matches(str_of(rows[i].list), str_of(rows[i].etag), false), rows[i].is_strong_match,
                     "row %zu", i);
    }
    cr_expect(etag_is_strong(STR("\"a\"")));
    cr_expect_not(etag_is_strong(STR("W/\"a\"")));
    cr_expect_not(etag_is_strong(STR("a")));
    cr_expect_not(etag_is_strong(STR("\"a\"b\"")));
    cr_expect_not(etag_is_strong(STR("")));
}

Test(conditions, rfc9110_13_2_2_and_rfc9111_4_3_2_answered_from_a_stored_reply)
{
    static const struct {
        const char *request;
        const char *etag;
        const char *modified;
        enum precondition want;
    } rows[] = {
        { "", "\"a\"", SAME, CONDITION_PASSES },
        { "If-None-Match: \"a\"\r\n", "\"a\"", SAME, CONDITION_NOT_MODIFIED },
        { "If-None-Match: W/\"a\"\r\n", "\"a\"", SAME, CONDITION_NOT_MODIFIED },
        { "If-None-Match: \"b\"\r\nIf-None-Match: \"a\"\r\n", "\"a\"", SAME, CONDITION_NOT_MODIFIED },
        { "If-None-Match: *\r\n", "", "", CONDITION_NOT_MODIFIED },
        { "If-None-Match: \"b\"\r\n", "\"a\"", SAME, CONDITION_PASSES },
        { "If-None-Match: \"a\"\r\n", "", SAME, CONDITION_PASSES },
        { "If-Modified-Since: " SAME "\r\n", "", SAME, CONDITION_NOT_MODIFIED },
        { "If-Modified-Since: " LATER "\r\n", "", SAME, CONDITION_NOT_MODIFIED },
        { "If-Modified-Since: " OLD "\r\n", "", SAME, CONDITION_PASSES },
        { "If-Modified-Since: " SAME "\r\n", "", "", CONDITION_PASSES },
        { "If-Modified-Since: rubbish\r\n", "", SAME, CONDITION_PASSES },
        { "If-Modified-Since: " SAME "\r\nIf-Modified-Since: " SAME "\r\n", "", SAME, CONDITION_PASSES },
        { "If-None-Match: \"b\"\r\nIf-Modified-Since: " SAME "\r\n", "\"a\"", SAME, CONDITION_PASSES },
        { "If-None-Match: \"a\"\r\nIf-Modified-Since: " OLD "\r\n", "\"a\"", SAME, CONDITION_NOT_MODIFIED },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message request;
        get_with(&request, rows[i].request);
        cr_expect_eq(precondition_of(&request, str_of(rows[i].etag), str_of(rows[i].modified), now_s),
                     rows[i].want, "row %zu", i);
    }
}

Test(conditions, rfc9110_13_1_2_other_methods_fail_instead)
{
    struct message request;
    cr_assert_eq(read_request(&request, STR("PUT / HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n")), 0);
    cr_expect_eq(precondition_of(&request, STR("\"a\""), STR(""), now_s), CONDITION_FAILED);
    cr_assert_eq(
        read_request(&request, STR("PUT / HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: " SAME "\r\n\r\n")), 0);
    cr_expect_eq(precondition_of(&request, STR(""), STR(SAME), now_s), CONDITION_PASSES, "13.1.3: ignored");
}

Test(conditions, rfc9110_8_8_2_2_a_date_is_strong_when_it_was_over_by_then)
{
    cr_expect(last_modified_is_strong(STR(OLD), STR(SAME), now_s));
    cr_expect_not(last_modified_is_strong(STR(SAME), STR(SAME), now_s));
    cr_expect_not(last_modified_is_strong(STR(LATER), STR(SAME), now_s));
    cr_expect_not(last_modified_is_strong(STR(OLD), STR(""), now_s));
}
