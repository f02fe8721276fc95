#include "http/caching.h"
#include "read.h"

#define MODIFIED "Sun, 06 Nov 1994 08:49:37 GMT"

static enum range_verdict judge(const char *lines, uint64_t length, struct range *out, unsigned *count)
{
    struct message request;
    get_with(&request, lines);
    return ranges_of(&request, STR("\"e\""), STR(MODIFIED), length, out, 4, count);
}

Test(ranges, rfc9110_14_1_2_one_range)
{
    static const struct {
        const char *range;
        enum range_verdict want;
        uint64_t first;
        uint64_t last;
    } rows[] = {
        { "bytes=0-0", RANGE_PARTS, 0, 0 },
        { "bytes=0-99", RANGE_PARTS, 0, 99 },
        { "bytes=10-", RANGE_PARTS, 10, 99 },
        { "bytes=90-1000", RANGE_PARTS, 90, 99 },
        { "bytes=99-99999999999999999999999999", RANGE_PARTS, 99, 99 },
        { "bytes=-1", RANGE_PARTS, 99, 99 },
        { "bytes=-100", RANGE_PARTS, 0, 99 },
        { "bytes=-1000", RANGE_PARTS, 0, 99 },
        { "BYTES=5-6", RANGE_PARTS, 5, 6 },
        { "bytes=100-", RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=100-200", RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=99999999999999999999999999-", RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=-0", RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=5-4", RANGE_WHOLE, 0, 0 },
        { "bytes=", RANGE_WHOLE, 0, 0 },
        { "bytes=-", RANGE_WHOLE, 0, 0 },
        { "bytes=a-b", RANGE_WHOLE, 0, 0 },
        { "bytes=1", RANGE_WHOLE, 0, 0 },
        { "bytes=1-2-3", RANGE_WHOLE, 0, 0 },
        { "bytes=+1-2", RANGE_WHOLE, 0, 0 },
        { "bytes 1-2", RANGE_WHOLE, 0, 0 },
        { "items=1-2", RANGE_WHOLE, 0, 0 },
        { "", RANGE_WHOLE, 0, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[128];
        struct range out[4];
        unsigned count;
        snprintf(lines, sizeof lines, "Range: %s\r\n", rows[i].range);
        cr_expect_eq(judge(lines, 100, out, &count), rows[i].want, "row %zu", i);
        if (rows[i].want != RANGE_PARTS)
            continue;
        cr_expect_eq(count, 1);
        cr_expect_eq(out[0].first, rows[i].first, "row %zu", i);
        cr_expect_eq(out[0].last, rows[i].last, "row %zu", i);
    }
}

Test(ranges, rfc9110_14_2_several_ranges_in_their_order)
{
    struct range out[4];
    unsigned count;
    cr_assert_eq(judge("Range: bytes=90-, 0-4 ,200-, 10-19\r\n", 100, out, &count), RANGE_PARTS);
    cr_assert_eq(count, 3, "one lies outside");
    cr_expect_eq(out[0].first, 90);
    cr_expect_eq(out[1].last, 4);
    cr_expect_eq(out[2].first, 10);
}

Test(ranges, rfc9110_17_15_many_or_overlapping_ones_get_the_whole)
{
    struct range out[4];
    unsigned count;
    cr_expect_eq(judge("Range: bytes=0-10, 5-20\r\n", 100, out, &count), RANGE_WHOLE);
    cr_expect_eq(judge("Range: bytes=0-, -1\r\n", 100, out, &count), RANGE_WHOLE);
    cr_expect_eq(judge("Range: bytes=0-0,2-2,4-4,6-6,8-8\r\n", 100, out, &count), RANGE_WHOLE);
    cr_expect_eq(judge("Range: bytes=0-0,2-2,4-4,6-6\r\n", 100, out, &count), RANGE_PARTS);
    cr_expect_eq(judge("Range: bytes=0-0\r\nRange: bytes=2-2\r\n", 100, out, &count), RANGE_WHOLE);
}

Test(ranges, nothing_of_nothing_is_the_whole)
{
    struct range out[4];
    unsigned count;
    cr_expect_eq(judge("Range: bytes=0-\r\n", 0, out, &count), RANGE_WHOLE);
    cr_expect_eq(judge("Range: bytes=-5\r\n", 0, out, &count), RANGE_WHOLE);
    cr_expect_eq(judge("", 100, out, &count), RANGE_WHOLE);
}

Test(ranges, rfc9110_14_2_only_for_get)
{
    struct message request;
    struct range out[4];
    unsigned count;
    cr_assert_eq(read_request(&request, STR("HEAD / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n")), 0);
    cr_expect_eq(ranges_of(&request, STR("\"e\""), STR(""), 100, out, 4, &count), RANGE_WHOLE);
}

Test(ranges, rfc9110_13_1_5_if_range_needs_a_strong_match)
{
    static const struct {
        const char *if_range;
        enum range_verdict want;
    } rows[] = {
        { "\"e\"", RANGE_PARTS },
        { "\"f\"", RANGE_WHOLE },
        { "W/\"e\"", RANGE_WHOLE },
        { MODIFIED, RANGE_PARTS },
        { "Sun, 06 Nov 1994 08:49:38 GMT", RANGE_WHOLE },
        { "", RANGE_WHOLE },
        { "e", RANGE_WHOLE },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[128];
        struct range out[4];
        unsigned count;
        snprintf(lines, sizeof lines, "Range: bytes=0-0\r\nIf-Range: %s\r\n", rows[i].if_range);
        cr_expect_eq(judge(lines, 100, out, &count), rows[i].want, "row %zu", i);
    }
    struct message request;
    struct range out[4];
    unsigned count;
    get_with(&request, "Range: bytes=0-0\r\nIf-Range: " MODIFIED "\r\n");
    cr_expect_eq(ranges_of(&request, STR(""), STR(""), 100, out, 4, &count), RANGE_WHOLE, "no strong date");
}

Test(ranges, rfc9110_14_4__content_range_is_read_strictly)
{
    static const struct {
        const char *lines;
        bool want;
        struct content_range range;
    } rows[] = {
        { "Content-Range: bytes 0-4/10\r\n", true, { 0, 4, 10 } },
        { "Content-Range: BYTES 5-9/10\r\n", true, { 5, 9, 10 } },
        { "Content-Range: bytes 0-4/*\r\n", true, { 0, 4, -1 } },
        { "Content-Range: bytes 0-0/9223372036854775807\r\n", true, { 0, 0, INT64_MAX } },
        { "Content-Range: bytes */10\r\n", false, { 0 } },
        { "Content-Range: bytes 5-4/10\r\n", false, { 0 } },
        { "Content-Range: bytes 5-10/10\r\n", false, { 0 } },
        { "Content-Range: bytes 0-0/0\r\n", false, { 0 } },
        { "Content-Range: bytes 0-4\r\n", false, { 0 } },
        { "Content-Range: bytes 0-4/\r\n", false, { 0 } },
        { "Content-Range: bytes -4/10\r\n", false, { 0 } },
        { "Content-Range: bytes 0-/10\r\n", false, { 0 } },
        { "Content-Range: bytes  0-4/10\r\n", false, { 0 } },
        { "Content-Range: bytes=0-4/10\r\n", false, { 0 } },
        { "Content-Range: items 0-4/10\r\n", false, { 0 } },
        { "Content-Range: bytes 0-4/10, bytes 5-9/10\r\n", false, { 0 } },
        { "Content-Range: bytes 0-4/10\r\nContent-Range: bytes 0-4/10\r\n", false, { 0 } },
        { "Content-Range: bytes 0-99999999999999999999/*\r\n", false, { 0 } },
        { "Content-Range: bytes 0-4/9223372036854775808\r\n", false, { 0 } },
        { "Content-Range:\r\n", false, { 0 } },
        { "", false, { 0 } },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message reply;
        struct content_range range;
        reply_with(&reply, 206, rows[i].lines);
        cr_assert_eq(content_range_read(&reply, &range), rows[i].want, "row %zu", i);
        if (!rows[i].want)
            continue;
        cr_expect_eq(range.first, rows[i].range.first, "row %zu", i);
        cr_expect_eq(range.last, rows[i].range.last, "row %zu", i);
        cr_expect_eq(range.total, rows[i].range.total, "row %zu", i);
    }
}

Test(ranges, rfc9111_3_4__parts_combine_only_under_one_strong_validator)
{
    static const char date[] = "Date: Sun, 06 Nov 1994 08:49:39 GMT\r\nLast-Modified: " MODIFIED "\r\n";
    static const struct {
        const char *etag;
        const char *modified;
        const char *tag_line;
        bool has_dates;
        bool want;
    } rows[] = {
        { "\"a\"", "", "ETag: \"a\"\r\n", false, true },
        { "\"a\"", "", "ETag: \"b\"\r\n", false, false },
        { "W/\"a\"", "", "ETag: W/\"a\"\r\n", false, false },
        { "\"a\"", "", "ETag: W/\"a\"\r\n", false, false },
        { "\"a\"", MODIFIED, "", true, false },
        { "", MODIFIED, "ETag: \"a\"\r\n", true, false },
        { "", MODIFIED, "", true, true },
        { "", MODIFIED, "Last-Modified: " MODIFIED "\r\n", false, false },
        { "", MODIFIED, "", false, false },
        { "", "", "", true, false },
        { "", "", "", false, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message reply;
        char lines[256];
        snprintf(lines, sizeof lines, "%s%s", rows[i].tag_line, rows[i].has_dates ? date : "");
        reply_with(&reply, 206, lines);
        cr_expect_eq(may_combine(str_of(rows[i].etag), str_of(rows[i].modified), &reply), rows[i].want,
                     "row %zu", i);
    }
}

Test(ranges, rfc9110_13_1_5__if_range_compares_strongly)
{
    static const struct {
        const char *line;
        enum range_verdict want;
    } rows[] = {
        { "If-Range: \"e\"\r\n", RANGE_PARTS },
        { "If-Range: W/\"e\"\r\n", RANGE_WHOLE },
        { "If-Range: \"f\"\r\n", RANGE_WHOLE },
        { "If-Range: \"e\", \"f\"\r\n", RANGE_WHOLE },
        { "If-Range: *\r\n", RANGE_WHOLE },
        { "If-Range: " MODIFIED "\r\n", RANGE_PARTS },
        { "If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n", RANGE_WHOLE },
        { "If-Range: Sunday, 06-Nov-94 08:49:37 GMT\r\n", RANGE_WHOLE },
        { "If-Range:\r\n", RANGE_WHOLE },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[128];
        struct range out[4];
        unsigned count;
        snprintf(lines, sizeof lines, "Range: bytes=0-0\r\n%s", rows[i].line);
        cr_expect_eq(judge(lines, 100, out, &count), rows[i].want, "row %zu", i);
    }
}
