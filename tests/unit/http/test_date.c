#include "http/date.h"
#include "read.h"

static const int64_t now_s = 1767225600; /* 2026-01-01 */

Test(date, rfc9110_5_6_7_imf_fixdate_is_written)
{
    static const struct {
        int64_t unix_s;
        const char *want;
    } rows[] = {
        { 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" },  { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
        { 951782399, "Mon, 28 Feb 2000 23:59:59 GMT" },  { 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
        { 4107542399, "Sun, 28 Feb 2100 23:59:59 GMT" }, { 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" },
        { 1735689599, "Tue, 31 Dec 2024 23:59:59 GMT" }, { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[HTTP_DATE_LEN];
        int64_t back;
        http_date_format(rows[i].unix_s, out);
        assert_str(str_n(out, HTTP_DATE_LEN), rows[i].want);
        cr_assert(http_date_parse(str_n(out, HTTP_DATE_LEN), now_s, &back));
        cr_expect_eq(back, rows[i].unix_s);
    }
}

Test(date, rfc9110_5_6_7_all_three_forms_are_read)
{
    static const char *const forms[] = { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                         "Sun Nov  6 08:49:37 1994" };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        int64_t got = 0;
        cr_assert(http_date_parse(str_of(forms[i]), now_s, &got), "%s", forms[i]);
        cr_expect_eq(got, 784111777, "%s", forms[i]);
    }
    int64_t got;
    cr_assert(http_date_parse(STR("Wed Nov 16 08:49:37 1994"), now_s, &got));
    cr_expect_eq(got, 784111777 + 10 * 86400);
}

Test(date, rfc9110_5_6_7_two_digit_years_lie_within_50_years_ahead)
{
    int64_t got;
    cr_assert(http_date_parse(STR("Wednesday, 01-Jan-76 00:00:00 GMT"), now_s, &got));
    cr_expect_eq(got, 3345062400, "2076");
    cr_assert(http_date_parse(STR("Saturday, 01-Jan-77 00:00:00 GMT"), now_s, &got));
    cr_expect_eq(got, 220924800, "1977");
}

Test(date, what_is_no_date_is_refused)
{
    static const char *const bad[] = {
        "",
        "0",
        "-1",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Xxx, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 19941 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "2024-01-01T00:00:00Z",
        "784111777",
    };
    int64_t got;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_not(http_date_parse(str_of(bad[i]), now_s, &got), "%s", bad[i]);
}

Test(date, every_day_of_400_years_goes_there_and_back)
{
    for (int64_t day = 0; day < 146097; day++) {
        char out[HTTP_DATE_LEN];
        int64_t back = -1;
        http_date_format(day * 86400 + 43210, out);
        cr_assert(http_date_parse(str_n(out, HTTP_DATE_LEN), now_s, &back));
        cr_assert_eq(back, day * 86400 + 43210, "%.*s", HTTP_DATE_LEN, out);
    }
}
