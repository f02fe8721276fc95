#include "http/structured.h"
#include "read.h"

/* How many members a line has, -1 if it is broken. The text is copied to its exact size, so that
 * AddressSanitizer sees any byte read behind it. */
static int count_of(struct str text, bool is_dictionary)
{
    char *copy = malloc(text.len + 1);
    cr_assert_not_null(copy);
    memcpy(copy + 1, text.data, text.len);
    struct str rest = str_n(copy + 1, text.len);
    struct structured_member member;
    enum structured_step step;
    int count = 0;
    while ((step = is_dictionary ? structured_next_entry(&rest, &member)
                                 : structured_next_item(&rest, &member)) == STRUCTURED_MEMBER)
        count++;
    free(copy);
    return step == STRUCTURED_BROKEN ? -1 : count;
}

Test(structured, rfc9651_3_2__dictionaries)
{
    static const struct {
        const char *text;
        int want;
    } rows[] = {
        { "", 0 },
        { "  ", 0 },
        { "a", 1 },
        { "a=1", 1 },
        { "a=1, b;x=2;y, c=(1 2);z", 3 },
        { "a=1 ,\tb", 2 },
        { "*a_-.*9=1", 1 },
        { "a=1,b=2", 2 },
        { "a, a=1", 2 },
        { "a=1,", -1 },
        { "a=1,,b", -1 },
        { ",a", -1 },
        { "A=1", -1 },
        { "a=B=1", -1 },
        { "a =1", -1 },
        { "a= 1", -1 },
        { "a=", -1 },
        { "1a", -1 },
        { "a=1 b", -1 },
        { "a=1, &&&&&", -1 },
        { "max-age=1; X", -1 },
        { "a;  x=1", 1 },
        { "a ;x=1", -1 },
        { "a;x= 1", -1 },
        { "a;", -1 },
        { "a;x=(1)", -1 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(count_of(str_of(rows[i].text), true), rows[i].want, "row %zu: %s", i, rows[i].text);
}

Test(structured, rfc9651_3_3__items_of_every_type)
{
    static const struct {
        const char *text;
        bool is_sound;
    } rows[] = {
        { "0", true },
        { "-0", true },
        { "999999999999999", true },
        { "-999999999999999", true },
        { "1000000000000000", false },
        { "00000000000000000001", false },
        { "-", false },
        { "--1", false },
        { "+1", false },
        { "1.5", true },
        { "-1.125", true },
        { "1.1234", false },
        { "1.", false },
        { ".5", false },
        { "123456789012.1", true },
        { "1234567890123.1", false },
        { "1e5", false },
        { "\"\"", true },
        { "\"a \\\" \\\\ z\"", true },
        { "\"a", false },
        { "\"a\\", false },
        { "\"\\a\"", false },
        { "\"\xc3\xa4\"", false },
        { "\"\t\"", false },
        { "'a'", false },
        { "token", true },
        { "*t/o:k!#$%&'*+-.^_`|~", true },
        { "a\"b\"", false },
        { ":aGVsbG8=:", true },
        { ":aGVsbG8:", true },
        { "::", true },
        { ":a:", false },
        { ":a=b:", false },
        { ":aGVsbG8==:", false },
        { ":aGVsbG8", false },
        { ":a_b:", false },
        { "?0", true },
        { "?1", true },
        { "?2", false },
        { "?", false },
        { "@1659578233", true },
        { "@-1", true },
        { "@1.5", false },
        { "@", false },
        { "%\"f%c3%bc\"", true },
        { "%\"\"", true },
        { "%\"%C3%BC\"", false },
        { "%\"%c3\"", false },
        { "%\"%ff\"", false },
        { "%\"%c0%af\"", false },
        { "%\"%e0%80%af\"", false },
        { "%\"%ed%a0%80\"", false },
        { "%\"%f4%90%80%80\"", false },
        { "%\"%f0%9f%98%80\"", true },
        { "%\"%e2%82%ac\"", true },
        { "%\"%2\"", false },
        { "%\"a", false },
        { "%a", false },
        { "()", true },
        { "( a  \"b\";x 1 )", true },
        { "(a b", false },
        { "(a\"b\")", false },
        { "(a,b)", false },
        { "(a (b))", false },
        { "(", false },
        { "a;b=1;c=?0;d=\"x\";e=:YQ==:;f=@1;g=%\"x\";h", true },
        { "{", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(count_of(str_of(rows[i].text), false), rows[i].is_sound ? 1 : -1, "row %zu: %s", i,
                     rows[i].text);
}

Test(structured, values_are_handed_out)
{
    struct str rest = STR("n=-42, s=\"a\\\"b\", t=tok, f=?0, yes, d=@7, l=(1), x=1.5");
    static const enum structured_type types[] = { STRUCTURED_INTEGER,    STRUCTURED_STRING,  STRUCTURED_TOKEN,
                                                  STRUCTURED_BOOLEAN,    STRUCTURED_BOOLEAN, STRUCTURED_DATE,
                                                  STRUCTURED_INNER_LIST, STRUCTURED_DECIMAL };
    struct structured_member m[COUNT_OF(types)];
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        cr_assert_eq(structured_next_entry(&rest, &m[i]), STRUCTURED_MEMBER, "member %zu", i);
        cr_expect_eq(m[i].type, types[i], "member %zu", i);
    }
    struct structured_member end;
    cr_expect_eq(structured_next_entry(&rest, &end), STRUCTURED_END);
    assert_str(m[0].key, "n");
    cr_expect_eq(m[0].integer, -42);
    char plain[8];
    assert_str(str_n(plain, structured_unescape(m[1].text, plain)), "a\"b");
    assert_str(m[2].text, "tok");
    cr_expect_eq(m[3].integer, 0);
    cr_expect_eq(m[4].integer, 1);
    cr_expect_eq(m[5].integer, 7);
}

/* Deterministic noise from the bytes that mean something: nothing is read behind the end (AddressSanitizer
 * watches), every step gets on, and a sound line stays sound when blanks surround it. */
Test(structured, noise_is_read_safely)
{
    static const char bytes[] = "a1*-.\"\\:?@%();=, \tz/=0f";
    uint32_t seed = 1;
    for (int round = 0; round < 200000; round++) {
        char text[24];
        size_t len = 0;
        seed = seed * 1664525u + 1013904223u;
        size_t want = (seed >> 24) % (sizeof text - 4);
        text[len++] = ' ';
        while (len < want + 1) {
            seed = seed * 1664525u + 1013904223u;
            text[len++] = bytes[(seed >> 16) % (sizeof bytes - 1)];
        }
        text[len++] = ' ';
        for (int is_dictionary = 0; is_dictionary < 2; is_dictionary++)
            cr_assert_eq(count_of(str_n(text + 1, want), is_dictionary),
                         count_of(str_n(text, len), is_dictionary), "%.*s", (int)want, text + 1);
    }
}
