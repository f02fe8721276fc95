#include "http/target.h"
#include "read.h"

Test(target, origin_form_is_visible_ascii_behind_a_slash)
{
    static const struct {
        const char *target;
        bool is_valid;
    } rows[] = {
        { "/", true },     { "/a?b=c&d", true }, { "/%zz|\"{}", true },  { "", false },
        { "a", false },    { "*", false },       { "/a b", false },      { "/a\tb", false },
        { "/a#b", false }, { "/\x7f", false },   { "/\xc3\xa4", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(target_is_valid(str_of(rows[i].target)), rows[i].is_valid, "row %zu", i);
}

Test(target, authority_is_a_host_and_maybe_a_port)
{
    static const char *const good[] = {
        "a",       "A.example.com", "a.example.com.", "a-b_c~d",          "127.0.0.1", "a:1",
        "a:65535", "[::1]",         "[::1]:8080",     "[::ffff:1.2.3.4]", "123"
    };
    static const char *const bad[] = {
        "",         "a b",  "a,b", "a/b",      "u@a",     "u:p@a",     "a#b", "a?b",
        "a\\b",     "a:",   "a:b", "a:1:2",    "a:65536", "a:123456",  "a:0", "a:080",
        "a:+1",     "[",    "[]",  "[::1",     "[::1]x",  "[::1]x:80", "::1", "[fe80::1%25eth0]",
        "[v1.a]",   "a..b", ".a",  ".",        "a%41",    "a;b",       "a'b", "a\tb",
        "\xc3\xa4", ":80",  "a!b", "[1.2.3.4]"
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        cr_expect(authority_is_valid(str_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_not(authority_is_valid(str_of(bad[i])), "%s", bad[i]);
}

Test(target, a_name_has_at_most_255_bytes)
{
    char name[300];
    memset(name, 'a', sizeof name);
    cr_expect(authority_is_valid(str_n(name, 255)));
    cr_expect_not(authority_is_valid(str_n(name, 256)));
}

Test(target, normalising_lowers_case_and_drops_the_default_port_and_the_last_dot)
{
    static const struct {
        const char *authority;
        bool is_https;
        const char *want;
    } rows[] = {
        { "A.Example.COM", false, "a.example.com" },
        { "a:80", false, "a" },
        { "a:443", false, "a:443" },
        { "a:443", true, "a" },
        { "a:80", true, "a:80" },
        { "a.:8080", false, "a:8080" },
        { "[::FFFF:1]:80", false, "[::ffff:1]" },
        { "[::1]:81", true, "[::1]:81" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[64];
        size_t len = authority_normalise(str_of(rows[i].authority), rows[i].is_https, out, sizeof out);
        assert_str(str_n(out, len), rows[i].want);
    }
    char small[3];
    cr_expect_eq(authority_normalise(STR("abcd"), false, small, sizeof small), 0, "does not fit");
    cr_expect_eq(authority_normalise(STR("ab:1"), false, small, sizeof small), 0,
                 "does not fit with its port");
}

Test(target, host_has_neither_port_nor_brackets)
{
    assert_str(authority_host(STR("a.b:80")), "a.b");
    assert_str(authority_host(STR("a.b")), "a.b");
    assert_str(authority_host(STR("[::1]:80")), "::1");
    assert_str(authority_host(STR("[::1]")), "::1");
    assert_str(authority_host(STR("")), "");
}

Test(target, a_path_that_two_parsers_may_read_differently_is_not_plain)
{
    static const char *const plain[] = { "/",      "/a",      "/a/b.css", "/a/", "/.well-known/x",
                                         "/a/...", "/a..b/c", "/%41",     "/%2", "*",
                                         "/..." };
    static const char *const odd[] = { "/.",     "/..",    "/./a",   "/../a",  "/a/..", "/a/../b",
                                       "//",     "/a//b",  "/a;b",   "/a\\b",  "/%2e",  "/%2E%2e/a",
                                       "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a/." };
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        cr_expect(path_is_plain(str_of(plain[i])), "%s", plain[i]);
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        cr_expect_not(path_is_plain(str_of(odd[i])), "%s", odd[i]);
}

Test(target, query_parameters_are_found_by_their_exact_name)
{
    struct str value;
    struct str query = STR("a=1&api-version=v2&b&api-version=v3&=x&c==");
    cr_assert(query_find(query, STR("api-version"), &value));
    assert_str(value, "v2");
    cr_assert(query_find(query, STR("b"), &value));
    assert_str(value, "");
    cr_assert(query_find(query, STR("c"), &value));
    assert_str(value, "=");
    cr_expect_not(query_find(query, STR("api"), &value));
    cr_expect_not(query_find(query, STR("API-Version"), &value));
    cr_expect_not(query_find((struct str){ NULL, 0 }, STR("a"), &value));
}
