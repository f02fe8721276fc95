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
        { "Foo: a\r\n", "Foo: b\r\n" },
        { "Foo: a\r\n", "Foo: A\r\n" },
        { "Foo: a, b\r\n", "Foo: b, a\r\n" },
        { "Foo:\r\n", "" },
        { "Foo: a\r\n", "" },
        { "Foo: \"a, b\"\r\n", "Foo: \"a,b\"\r\n" },
        { "Foo: a b\r\n", "Foo: ab\r\n" },
        { "Accept: a\r\n", "Accept: b\r\n" },
        { "Accept:\r\n", "" },
        { "Accept: a;p=\"X\"\r\n", "Accept: a;p=\"x\"\r\n" },
        { "Accept: a;p=\"b;c\"\r\n", "Accept: a;p=\"b; c\"\r\n" },
        { "Accept: a;q=0.5, b\r\n", "Accept: a, b;q=0.5\r\n" },
        { "Accept: a\r\n", "Accept: a, a\r\n" },
        { "Accept: a b\r\n", "Accept: ab\r\n" },
        { "Cookie: a=b, c\r\n", "Cookie: a=b,c\r\n" },
        { "Cookie: a\r\nCookie:\r\n", "Cookie: a,\r\n" },
        { "User-Agent: X (a, b)\r\n", "User-Agent: X (a,b)\r\n" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_not(str_eq(key_of("accept,cookie,foo,user-agent", rows[i].a),
                             key_of("accept,cookie,foo,user-agent", rows[i].b)),
                      "row %zu", i);
}

Test(vary, one_fields_value_cannot_pose_as_another_field)
{
    cr_expect_not(str_eq(key_of("a,b", "A: 1\r\nB: 2\r\n"), key_of("a,b", "A: 1 b:2\r\n")));
    cr_expect_not(str_eq(key_of("a,b", "A: 1\r\n"), key_of("a,b", "B: 1\r\n")));
}

Test(vary, rfc9111_4_1__what_means_the_same_is_the_same)
{
    static const struct {
        const char *vary;
        const char *a;
        const char *b;
    } rows[] = {
        { "accept-language", "Accept-Language: en, de\r\n", "Accept-Language: de, en\r\n" },
        { "accept-language", "Accept-Language: en-US\r\n", "Accept-Language: EN-us\r\n" },
        { "accept-encoding", "Accept-Encoding: gzip, br\r\n",
          "Accept-Encoding: br\r\nAccept-Encoding: GZIP\r\n" },
        { "accept", "Accept: text/html;q=0.5, */*\r\n", "Accept: */* , text/HTML ;\tq = 0.5\r\n" },
        { "accept-charset", "Accept-Charset: utf-8,, a\r\n", "Accept-Charset: a, UTF-8\r\n" },
        { "foo", "Foo: 1,2\r\n", "Foo:  1, 2 \r\n" },
        { "foo", "Foo: 1, 2\r\n", "foo: 1\r\nFOO: 2\r\n" },
        { "foo", "Foo: 1\r\n", "Foo:\r\nFoo: 1\r\n" },
        { "origin", "Origin: a\r\n", "ORIGIN: a \r\n" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct str key = key_of(rows[i].vary, rows[i].a);
        cr_expect(str_eq(key, key_of(rows[i].vary, rows[i].b)), "row %zu: %.*s", i, STR_FMT(key));
    }
}

Test(vary, the_normal_form_is_this)
{
    assert_str(key_of("accept", "Accept: text/html; Q=0.5 , a/b ;p=\"X; \\\"Y\" ; q=1\r\n"),
               "accept:a/b;p=\"X; \\\"Y\";q=1,text/html;q=0.5\n");
    assert_str(key_of("accept", ""), "accept\n");
}

Test(vary, more_members_than_there_is_room_for_are_no_key)
{
    char lines[1024] = "Accept: a";
    size_t len = strlen(lines);
    for (int i = 0; i < 63; i++)
        len += (size_t)snprintf(lines + len, sizeof lines - len, ",a%d", i);
    snprintf(lines + len, sizeof lines - len, "\r\n");
    cr_expect_not(str_eq(key_of("accept", lines), STR("none")));
    snprintf(lines + len, sizeof lines - len, ",b\r\n");
    cr_expect(str_eq(key_of("accept", lines), STR("none")));
}

/* Deterministic noise: whatever the members are, their order and blanks change nothing. */
Test(vary, the_order_of_members_never_matters)
{
    static const char *const members[] = { "gzip",  "br;q=0.9", "BR ; Q=0.8",  "\"x, y\"",
                                           "*;q=0", "en-US",    "a;b=\"\\\"\"" };
    uint32_t seed = 7;
    for (int round = 0; round < 500; round++) {
        unsigned order[COUNT_OF(members)];
        char a[256] = "Accept: ";
        char b[256] = "Accept: ";
        for (unsigned i = 0; i < COUNT_OF(members); i++)
            order[i] = i;
        for (unsigned i = COUNT_OF(members) - 1; i > 0; i--) {
            seed = seed * 1664525u + 1013904223u;
            unsigned j = (seed >> 16) % (i + 1);
            unsigned swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        for (unsigned i = 0; i < COUNT_OF(members); i++) {
            strcat(strcat(a, members[i]), ",");
            strcat(strcat(b, members[order[i]]), (seed >> i) & 1 ? " ,\t" : ",");
        }
        cr_assert(str_eq(key_of("accept", strcat(a, "\r\n")), key_of("accept", strcat(b, "\r\n"))), "%s", b);
    }
}
