#include "base/str.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/check.h"

#define assert_str(got, want)                                                                  \
    do {                                                                                       \
        struct str got_ = (got);                                                               \
        cr_assert(str_eq(got_, str_of(want)), "got '%.*s', want '%s'", STR_FMT(got_), (want)); \
    } while (0)

Test(str, equality_is_by_bytes_and_length)
{
    cr_expect(str_eq(STR("a"), STR("a")));
    cr_expect(str_eq(STR(""), (struct str){ NULL, 0 }));
    cr_expect_not(str_eq(STR("a"), STR("A")));
    cr_expect_not(str_eq(STR("a"), STR("ab")));
    cr_expect(str_eq(STR("a\0b"), STR("a\0b")));
    cr_expect_not(str_eq(STR("a\0b"), STR("a\0c")));
}

Test(str, case_is_folded_for_ascii_letters_only)
{
    cr_expect(str_ieq(STR("Host"), STR("hOST")));
    cr_expect_not(str_ieq(STR("@"), STR("`")));
    cr_expect_not(str_ieq(STR("["), STR("{")));
    cr_expect_not(str_ieq(STR("\xc4"), STR("\xe4")));
    cr_expect(str_has_iprefix(STR("HTTP://x"), STR("http://")));
    cr_expect_not(str_has_iprefix(STR("HTT"), STR("http://")));
}

Test(str, order_is_by_bytes_then_length)
{
    cr_expect_lt(str_cmp(STR("a"), STR("b")), 0);
    cr_expect_lt(str_cmp(STR("a"), STR("aa")), 0);
    cr_expect_gt(str_cmp(STR("b"), STR("aa")), 0);
    cr_expect_eq(str_cmp(STR(""), (struct str){ NULL, 0 }), 0);
    cr_expect_gt(str_cmp(STR("\xff"), STR("a")), 0, "bytes are unsigned");
}

Test(str, prefixes_suffixes_and_rests)
{
    cr_expect(str_has_prefix(STR("abc"), STR("ab")));
    cr_expect(str_has_prefix(STR("abc"), STR("")));
    cr_expect_not(str_has_prefix(STR("ab"), STR("abc")));
    cr_expect(str_has_suffix(STR("abc"), STR("bc")));
    cr_expect_not(str_has_suffix(STR("c"), STR("bc")));
    assert_str(str_from(STR("abc"), 1), "bc");
    assert_str(str_from(STR("abc"), 3), "");
    assert_str(str_from(STR("abc"), 9), "");
    cr_expect_eq(str_find(STR("abc"), 'c'), 2);
    cr_expect_eq(str_find(STR("abc"), 'd'), -1);
    cr_expect_eq(str_find((struct str){ NULL, 0 }, 'd'), -1);
}

Test(str, trimming_takes_spaces_and_tabs_alone)
{
    assert_str(str_trim(STR(" \t a b \t")), "a b");
    assert_str(str_trim(STR("\ra\n")), "\ra\n");
    assert_str(str_trim(STR("  ")), "");
    assert_str(str_trim(STR("")), "");
}

Test(str, splitting_keeps_empty_parts)
{
    struct str rest = STR("a,,b,");
    struct str part;
    static const char *const want[] = { "a", "", "b", "" };
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        cr_assert(str_split(&rest, ',', &part));
        assert_str(part, want[i]);
    }
    cr_expect_not(str_split(&rest, ',', &part));
    rest = STR("");
    cr_expect(str_split(&rest, ',', &part), "one empty part");
    cr_expect_not(str_split(&rest, ',', &part));
}

Test(str, rfc9110_5_6_1_list_members_skip_the_empty_ones_and_keep_quoted_commas)
{
    struct str rest = STR(" ,a, \"b,c\\\",d\" x ,, e ,");
    struct str member;
    static const char *const want[] = { "a", "\"b,c\\\",d\" x", "e" };
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        cr_assert(str_next_member(&rest, &member));
        assert_str(member, want[i]);
    }
    cr_expect_not(str_next_member(&rest, &member));
    rest = STR("\"open, a");
    cr_expect(str_next_member(&rest, &member));
    assert_str(member, "\"open, a");
    cr_expect_not(str_next_member(&rest, &member));
}

Test(str, a_list_has_whole_members_in_any_case)
{
    cr_expect(str_list_has(STR("Close, x"), STR("close")));
    cr_expect(str_list_has(STR("x,CLOSE"), STR("close")));
    cr_expect_not(str_list_has(STR("closed"), STR("close")));
    cr_expect_not(str_list_has(STR("\"x, close\""), STR("close")));
    cr_expect_not(str_list_has(STR(""), STR("close")));
}

Test(str, numbers_are_plain_digits_that_fit)
{
    static const struct {
        const char *text;
        bool is_number;
        uint64_t want;
    } rows[] = {
        { "0", true, 0 },
        { "007", true, 7 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "99999999999999999999", false, 0 },
        { "", false, 0 },
        { "+1", false, 0 },
        { "-1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "0x1", false, 0 },
        { "1e3", false, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t got = 0;
        cr_expect_eq(str_to_u64(str_of(rows[i].text), &got), rows[i].is_number, "row %zu", i);
        if (rows[i].is_number)
            cr_expect_eq(got, rows[i].want, "row %zu", i);
    }
}

Test(str, numbers_are_written_as_they_are_read)
{
    static const uint64_t rows[] = { 0, 9, 10, 12345, UINT64_MAX };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[20];
        uint64_t back;
        cr_assert(str_to_u64(str_n(out, str_put_u64(out, rows[i])), &back));
        cr_expect_eq(back, rows[i]);
    }
}

Test(str, copies_are_cut_and_terminated)
{
    char out[4] = "zzz";
    cr_expect_eq(str_copy(STR("abcdef"), out, sizeof out), 3);
    cr_expect_str_eq(out, "abc");
    cr_expect_eq(str_copy((struct str){ NULL, 0 }, out, sizeof out), 0);
    cr_expect_str_eq(out, "");
    char *copy = str_dup(STR("abc"));
    cr_expect_str_eq(copy, "abc");
    free(copy);
}
