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

Test(conditions, rfc9111_4_3_2__without_last_modified_the_date_stands_in)
{
    static const struct {
        const char *request;
        const char *modified;
        int64_t date_s;
        enum precondition want;
    } rows[] = {
        { "If-Modified-Since: " SAME "\r\n", "", 784111777, CONDITION_NOT_MODIFIED },
        { "If-Modified-Since: " LATER "\r\n", "", 784111777, CONDITION_NOT_MODIFIED },
        { "If-Modified-Since: " OLD "\r\n", "", 784111777, CONDITION_PASSES },
        { "If-Modified-Since: " SAME "\r\n", "", -1, CONDITION_PASSES },
        { "If-Modified-Since: " SAME "\r\n", "rubbish", 784111777, CONDITION_PASSES },
        { "If-Modified-Since: " SAME "\r\n", LATER, 0, CONDITION_PASSES },
        { "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", SAME, -1, CONDITION_NOT_MODIFIED },
        { "If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", SAME, -1, CONDITION_NOT_MODIFIED },
        { "If-None-Match: \"b\"\r\nIf-Modified-Since: " LATER "\r\n", "", 784111777, CONDITION_PASSES },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message request;
        get_with(&request, rows[i].request);
        cr_expect_eq(precondition_at(&request, STR("\"a\""), str_of(rows[i].modified), rows[i].date_s, now_s),
                     rows[i].want, "row %zu", i);
    }
}

Test(conditions, rfc9111_4_3_4__which_304_may_update_what)
{
    static const struct {
        const char *etag;
        const char *modified;
        const char *reply;
        bool want;
    } rows[] = {
        { "\"a\"", "", "ETag: \"a\"\r\n", true },
        { "\"a\"", "", "ETag: \"b\"\r\n", false },
        { "W/\"a\"", "", "ETag: \"a\"\r\n", true }, /* as those who compress answer */
        { "\"a\"", "", "ETag: \"b\"\r\n", false },
        { "\"a\"", "", "ETag: W/\"a\"\r\n", true },
        { "W/\"a\"", "", "ETag: W/\"a\"\r\n", true },
        { "W/\"a\"", "", "ETag: W/\"b\"\r\n", false },
        { "odd", "", "ETag: odd\r\n", true },
        { "\"a\"", SAME, "ETag: \"b\"\r\nLast-Modified: " SAME "\r\n", false },
        { "\"a\"", SAME, "Last-Modified: " SAME "\r\n", true },
        { "\"a\"", SAME, "Last-Modified: " LATER "\r\n", false },
        { "", SAME, "Last-Modified: " SAME "\r\n", true },
        { "", SAME, "ETag: \"a\"\r\nLast-Modified: " SAME "\r\n", true },
        { "", SAME, "ETag: \"a\"\r\n", false },
        { "", "", "ETag: \"a\"\r\n", false },
        { "\"a\"", SAME, "", true },
        { "", "", "", true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message reply;
        reply_with(&reply, 304, rows[i].reply);
        cr_expect_eq(not_modified_is_for(str_of(rows[i].etag), str_of(rows[i].modified), &reply),
                     rows[i].want, "row %zu", i);
    }
}

Test(conditions, rfc9111_4_3_5__what_a_head_says_of_a_stored_get)
{
    static const struct {
        int status;
        const char *reply; /* Content-Length: 0 is there */
        int64_t length;
        enum head_says want;
    } rows[] = {
        { 200, "", 0, HEAD_SAYS_NOTHING }, /* as long, but is it the same? */
        { 200, "", -1, HEAD_SAYS_NOTHING },
        { 200, "", 10, HEAD_INVALIDATES },
        { 200, "ETag: \"a\"\r\n", 0, HEAD_UPDATES },
        { 200, "ETag: \"b\"\r\n", 0, HEAD_INVALIDATES },
        { 200, "Last-Modified: " SAME "\r\n", 0, HEAD_UPDATES },
        { 200, "Last-Modified: " LATER "\r\n", 0, HEAD_INVALIDATES },
        { 200, "ETag: \"a\"\r\nLast-Modified: " LATER "\r\n", 0, HEAD_INVALIDATES },
        { 410, "ETag: \"b\"\r\n", 0, HEAD_SAYS_NOTHING },
        { 304, "", 10, HEAD_SAYS_NOTHING },
        { 206, "", 10, HEAD_SAYS_NOTHING },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message reply;
        reply_with(&reply, rows[i].status, rows[i].reply);
        cr_expect_eq(head_says_of(STR("\"a\""), STR(SAME), rows[i].length, &reply), rows[i].want, "row %zu",
                     i);
    }
}
