#include "http/caching.h"
#include "read.h"

static struct str key_of(const char *vary, const char *lines)
{
    static char keys[4][512];
    static unsigned turn;
    char *key = keys[turn++ % 4];
    struct message request;
    get_with(&request, lines);
    int len = vary_key(str_of(vary), &request, key, sizeof keys[0]);
    return len < 0 ? STR("none") : str_n(key, (size_t)len);
}

Test(vary, rfc9111_4_1_all_lines_become_one_sorted_list)
{
    static const struct {
        const char *lines;
        const char *want;
    } rows[] = {
        { "", "" },
        { "Vary: Accept\r\n", "accept" },
        { "Vary: Origin, accept , Cookie\r\nVary: ACCEPT\r\n", "accept,cookie,origin" },
        { "Vary: a, *\r\n", "*" },
        { "Vary: a\r\nVary: *\r\n", "*" },
        { "Vary: no name\r\n", "*" },
        { "Vary: ,\r\n", "" },
        { "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\n", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p" },
        { "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n", "*" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message reply;
        char out[128];
        reply_with(&reply, 200, rows[i].lines);
        int len = vary_read(&reply, out, sizeof out);
        cr_assert_geq(len, 0);
        assert_str(str_n(out, (size_t)len), rows[i].want);
    }
}

Test(vary, what_does_not_fit_is_said)
{
    struct message msg;
    char out[5];
    reply_with(&msg, 200, "Vary: accept\r\n");
    cr_expect_eq(vary_read(&msg, out, sizeof out), -1);
    get_with(&msg, "Accept: text/html\r\n");
    cr_expect_eq(vary_key(STR("accept"), &msg, out, sizeof out), -1);
    cr_expect_eq(vary_key(STR("*"), &msg, out, sizeof out), -1);
    cr_expect_eq(vary_key(STR(""), &msg, out, sizeof out), 0);
}

Test(vary, rfc9111_4_1_the_same_but_for_whitespace_and_lines_is_the_same)
{
    cr_expect(str_eq(key_of("accept", "Accept: a,b\r\n"), key_of("Accept", "ACCEPT:  a ,\tb \r\n")));
    cr_expect(str_eq(key_of("accept", "Accept: a,b\r\n"), key_of("accept", "Accept: a\r\nAccept: b\r\n")));
    cr_expect(str_eq(key_of("x-own, accept", "X-Own: 1\r\nAccept: a\r\n"),
                     key_of("accept,x-own", "Accept: a\r\nx-own: 1\r\n")));
}

Test(vary, rfc9111_4_1_anything_else_differs)
{
    static const struct {
        const char *a;
        const char *b;
    } rows[] = {
        { "Accept: a\r\n", "Accept: b\r\n" },
        { "Accept: a\r\n", "Accept: A\r\n" },
        { "Accept: a, b\r\n", "Accept: b, a\r\n" },
        { "Accept:\r\n", "" },
        { "Accept: a\r\n", "" },
        { "Accept: \"a, b\"\r\n", "Accept: \"a,b\"\r\n" },
        { "Accept: a b\r\n", "Accept: ab\r\n" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_not(str_eq(key_of("accept", rows[i].a), key_of("accept", rows[i].b)), "row %zu", i);
}

Test(vary, one_fields_value_cannot_pose_as_another_field)
{
    cr_expect_not(str_eq(key_of("a,b", "A: 1\r\nB: 2\r\n"), key_of("a,b", "A: 1 b:2\r\n")));
    cr_expect_not(str_eq(key_of("a,b", "A: 1\r\n"), key_of("a,b", "B: 1\r\n")));
}
