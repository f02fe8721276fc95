#include "config/value.h"

#include <criterion/criterion.h>

#include "base/check.h"

struct whole_row {
    const char *text;
    int64_t want; /* -1: refused */
};

static void expect_whole(bool (*read)(struct str, int64_t *), const struct whole_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t got = -2;
        bool ok = read(str_of(rows[i].text), &got);
        cr_expect_eq(ok, rows[i].want >= 0, "\"%s\"", rows[i].text);
        cr_expect_eq(got, ok ? rows[i].want : -2, "\"%s\" gave %lld", rows[i].text, (long long)got);
    }
}

Test(value, duration_is_whole_number_and_unit)
{
    static const struct whole_row rows[] = {
        { "250ms", 250 },
        { "2s", 2000 },
        { "5m", 300000 },
        { "1h", 3600000 },
        { "0s", 0 },
        { "", -1 },
        { "5", -1 },
        { "s", -1 },
        { "5 s", -1 },
        { "1.5s", -1 },
        { "-1s", -1 },
        { "1m30s", -1 },
        { "5S", -1 },
        { "1d", -1 },
        { "+1s", -1 },
        { "9223372036854775807h", -1 },
        { "99999999999999999999s", -1 },
    };
    expect_whole(value_duration, rows, COUNT_OF(rows));
}

Test(value, size_has_binary_and_decimal_units_or_none)
{
    static const struct whole_row rows[] = {
        { "0", 0 },
        { "512", 512 },
        { "512B", 512 },
        { "64KiB", 65536 },
        { "256MiB", 268435456 },
        { "1GiB", 1 << 30 },
        { "8MB", 8000000 },
        { "2KB", 2000 },
        { "1TiB", 1LL << 40 },
        { "64K", -1 },
        { "64kb", -1 },
        { "KiB", -1 },
        { "1.5MiB", -1 },
        { "-1", -1 },
        { "99999999999TiB", -1 },
    };
    expect_whole(value_size, rows, COUNT_OF(rows));
}

Test(value, byte_rate_is_a_size_a_second)
{
    static const struct whole_row rows[] = {
        { "1KiB/s", 1024 }, { "0/s", 0 }, { "1KiB", -1 }, { "1KiB/m", -1 }, { "/s", -1 },
    };
    expect_whole(value_byte_rate, rows, COUNT_OF(rows));
}

Test(value, date_is_a_day_that_exists_at_midnight_utc)
{
    static const struct whole_row rows[] = {
        { "2026-06-30", 1782777600 }, { "2000-01-01", 946684800 }, { "2028-02-29", 1835395200 },
        { "2027-02-29", -1 },         { "2026-06-31", -1 },        { "2026-13-01", -1 },
        { "2026-00-10", -1 },         { "2026-6-3", -1 },          { "1999-12-31", -1 },
        { "2026/06/30", -1 },         { "2026-06-30T", -1 },       { "", -1 },
    };
    expect_whole(value_date, rows, COUNT_OF(rows));
}

Test(value, rate_is_more_than_nothing_a_second_or_minute)
{
    static const struct {
        const char *text;
        double want; /* 0: refused */
    } rows[] = {
        { "100/s", 100 }, { "6000/m", 100 }, { "0.5/s", 0.5 }, { "30/m", 0.5 }, { "0/s", 0 },
        { "100", 0 },     { "5/h", 0 },      { "/s", 0 },      { "-5/s", 0 },   { "1e3/s", 0 },
        { "1./s", 0 },    { ".5/s", 0 },     { "1.2.3/s", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double got = 0;
        cr_expect_eq(value_rate(str_of(rows[i].text), &got), rows[i].want > 0, "%s", rows[i].text);
        cr_expect_float_eq(got, rows[i].want, 1e-9, "%s", rows[i].text);
    }
}

Test(value, what_is_written_reads_back_the_same)
{
    static const int64_t rows[] = { 0,     1,       250,     1000, 1500,    60000,
                                    90000, 3600000, 5400000, 1024, 1000000, 8 << 20 };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out;
        int64_t got;
        buf_init(&out);
        cr_assert(value_put_duration(rows[i], &out));
        cr_expect(value_duration(buf_str(&out), &got));
        cr_expect_eq(got, rows[i]);
        buf_consume(&out, buf_len(&out));
        cr_assert(value_put_size(rows[i], &out));
        cr_expect(value_size(buf_str(&out), &got));
        cr_expect_eq(got, rows[i]);
        buf_fini(&out);
    }
}

Test(value, rates_are_written_by_the_second_or_minute)
{
    static const struct {
        double per_s;
        const char *want;
    } rows[] = { { 100, "100/s" }, { 1.0 / 60, "1/m" }, { 2.5, "150/m" }, { 0.001, "0.001/s" } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out;
        buf_init(&out);
        cr_assert(value_put_rate(rows[i].per_s, &out));
        cr_expect(str_eq(buf_str(&out), str_of(rows[i].want)), "%.*s", STR_FMT(buf_str(&out)));
        buf_fini(&out);
    }
}

Test(value, words_are_found_by_position_and_the_empty_one_never)
{
    cr_expect_eq(value_word(STR("b"), "a|b|c"), 1);
    cr_expect_eq(value_word(STR("B"), "a|b|c"), -1);
    cr_expect_eq(value_word(STR("gone"), "|gone"), 1);
    cr_expect_eq(value_word(STR(""), "|gone"), -1);
    cr_expect(str_eq(value_word_at("a|b", 1), STR("b")));
    cr_expect_eq(value_word_at("|gone", 0).len, 0);
}

Test(value, names_tokens_methods_and_hosts_keep_to_their_alphabet)
{
    static const struct {
        bool (*is)(struct str);
        const char *text;
        bool want;
    } rows[] = {
        { value_is_name, "app_v1.2-x", true },
        { value_is_name, "", false },
        { value_is_name, "a b", false },
        { value_is_name, "a/b", false },
        { value_is_name, "0123456789012345678901234567890123456789012345678901234567890123", false },
        { value_is_tenant, "acme-1_x", true },
        { value_is_tenant, "a.b", false },
        { value_is_token, "X-Tenant", true },
        { value_is_token, "X Tenant", false },
        { value_is_token, "X:", false },
        { value_is_token, "", false },
        { value_is_method, "GET", true },
        { value_is_method, "M-SEARCH", true },
        { value_is_method, "get", false },
        { value_is_method, "G T", false },
        { value_is_host, "a.example.com", true },
        { value_is_host, "[::1]", true },
        { value_is_host, "a:80", false },
        { value_is_host, "a/b", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(rows[i].is(str_of(rows[i].text)), rows[i].want, "%s", rows[i].text);
}

Test(value, route_paths_have_stars_only_as_whole_segments)
{
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        { "/", true },      { "/**", true },     { "/items/**", true }, { "/a/*/b", true },
        { "/a/", true },    { "", false },       { "items", false },    { "/a//b", false },
        { "/**/a", false }, { "/a*", false },    { "/a/../b", false },  { "/./a", false },
        { "/a?b", false },  { "/a#b", false },   { "/a b", false },     { "/**a", false },
        { "//", false },    { "/a/***", false }, { "/*", true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(value_is_route_path(str_of(rows[i].text)), rows[i].want, "%s", rows[i].text);
}
