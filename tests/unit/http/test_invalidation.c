#include "http/caching.h"
#include "read.h"

/* The target a value names, seen from https://a.example/b/c/d?q; "none" if it names none. */
static struct str target_of(const char *value, char *out, size_t size)
{
    struct str target;
    if (!invalidation_target(str_of(value), true, STR("a.example"), STR("/b/c/d?q"), out, size, &target))
        return STR("none");
    return target;
}

Test(invalidation, rfc3986_5_4__references_are_resolved)
{
    static const struct {
        const char *value;
        const char *want;
    } rows[] = {
        { "g", "/b/c/g" },
        { "./g", "/b/c/g" },
        { "g/", "/b/c/g/" },
        { "/g", "/g" },
        { "//a.example", "/" },
        { "//a.example/x?y", "/x?y" },
        { "//a.example?y", "/?y" },
        { "?y", "/b/c/d?y" },
        { "?", "/b/c/d?" },
        { "g?y", "/b/c/g?y" },
        { "#s", "/b/c/d?q" },
        { "g#s", "/b/c/g" },
        { "g?y#s?t", "/b/c/g?y" },
        { ";x", "/b/c/;x" },
        { ".", "/b/c/" },
        { "./", "/b/c/" },
        { "..", "/b/" },
        { "../", "/b/" },
        { "../g", "/b/g" },
        { "../..", "/" },
        { "../../g", "/g" },
        { "../../../g", "/g" },
        { "/./g", "/g" },
        { "/../g", "/g" },
        { "g.", "/b/c/g." },
        { "..g", "/b/c/..g" },
        { "./../g", "/b/g" },
        { "./g/.", "/b/c/g/" },
        { "g/./h", "/b/c/g/h" },
        { "g/../h", "/b/c/h" },
        { "/a//../b", "/a/b" },
        { "g?y/../x", "/b/c/g?y/../x" },
        { "g?http://x/", "/b/c/g?http://x/" },
        { "/a:b", "/a:b" },
        { "./a:b", "/b/c/a:b" },
        { "/%2e%2E/x", "/%2e%2E/x" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[64];
        struct str got = target_of(rows[i].value, out, sizeof out);
        cr_expect(str_eq(got, str_of(rows[i].want)), "%s: %.*s", rows[i].value, STR_FMT(got));
    }
}

Test(invalidation, rfc9111_4_4__only_the_same_origin)
{
    static const struct {
        const char *value;
        const char *want;
    } rows[] = {
        { "https://a.example/x", "/x" },
        { "HTTPS://A.Example./x", "/x" },
        { "https://a.example:443/x", "/x" },
        { "https://a.example", "/" },
        { "https://a.example:444/x", "none" },
        { "http://a.example/x", "none" },
        { "http://a.example:443/x", "none" },
        { "https://b.example/x", "none" },
        { "https://user@a.example/x", "none" },
        { "https://a.example@b.example/x", "none" },
        { "https:///x", "none" },
        { "https:x", "none" },
        { "https:/x", "none" },
        { "//b.example/x", "none" },
        { "///x", "none" },
        { "ftp://a.example/x", "none" },
        { "mailto:x", "none" },
        { "a:b", "none" },
        { "", "none" },
        { "/a b", "none" },
        { "/a\xc3\xa4", "none" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[64];
        struct str got = target_of(rows[i].value, out, sizeof out);
        cr_expect(str_eq(got, str_of(rows[i].want)), "%s: %.*s", rows[i].value, STR_FMT(got));
    }
    struct str target;
    char out[64];
    cr_expect(invalidation_target(STR("http://[::1]:80/x"), false, STR("[::1]"), STR("/"), out, sizeof out,
                                  &target));
    cr_expect(invalidation_target(STR("http://a:8080/x"), false, STR("a:8080"), STR("/"), out, sizeof out,
                                  &target));
}

Test(invalidation, odd_bases_and_small_rooms_are_survived)
{
    char out[8];
    struct str target;
    cr_expect(str_eq(target_of("/1234567", out, sizeof out), STR("/1234567")));
    cr_expect(str_eq(target_of("/12345678", out, sizeof out), STR("none")));
    cr_expect(str_eq(target_of("/x", out, 0), STR("none")));
    cr_expect(invalidation_target(STR("x"), true, STR("a"), STR("/"), out, sizeof out, &target));
    assert_str(target, "/x");
    cr_expect(invalidation_target(STR("x"), true, STR("a"), STR("*"), out, sizeof out, &target));
    assert_str(target, "/x");
    cr_expect_not(invalidation_target(STR("?x"), true, STR("a"), STR("*"), out, sizeof out, &target));
}
