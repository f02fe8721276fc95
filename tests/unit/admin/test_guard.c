#include <criterion/criterion.h>

#include "admin/guard.h"
#include "base/check.h"

Test(guard, host_is_an_address_localhost_or_the_configured_name)
{
    static const struct {
        const char *authority;
        bool is_ours;
    } rows[] = {
        { "127.0.0.1", true },
        { "127.0.0.1:9900", true },
        { "10.1.2.3:1", true },
        { "[::1]", true },
        { "[2001:db8::1]:9900", true },
        { "localhost", true },
        { "LocalHost:9900", true },
        { "localhost.", true },
        { "weir.internal:9900", true },
        { "WEIR.internal", true },
        { "evil.example", false },
        { "127.0.0.1.evil.example", false },
        { "localhost.evil.example", false },
        { "evil-localhost", false },
        { "1.2.3", false },
        { "127.1", false },
        { "0x7f000001", false },
        { "2130706433", false },
        { "", false },
        { ":9900", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(guard_is_our_host(str_of(rows[i].authority), STR("weir.internal")), rows[i].is_ours,
                     "row %zu: %s", i, rows[i].authority);
    cr_expect_not(guard_is_our_host(STR("weir.internal"), str_n(NULL, 0)), "only when the config names it");
}

Test(guard, an_origin_is_own_if_host_and_port_are_the_same)
{
    static const struct {
        const char *origin;
        const char *authority;
        bool is_own;
    } rows[] = {
        { "http://127.0.0.1:9900", "127.0.0.1:9900", true },
        { "HTTP://LOCALHOST:9900", "localhost:9900", true },
        { "http://localhost", "localhost:80", true },
        { "https://localhost", "localhost:443", true },
        { "http://[::1]:9900", "[::1]:9900", true },
        { "http://127.0.0.1:9901", "127.0.0.1:9900", false },
        { "http://localhost:9900", "127.0.0.1:9900", false },
        { "http://evil.example", "127.0.0.1:9900", false },
        { "null", "127.0.0.1:9900", false },
        { "", "127.0.0.1:9900", false },
        { "http://", "127.0.0.1:9900", false },
        { "127.0.0.1:9900", "127.0.0.1:9900", false },
        { "file://127.0.0.1:9900", "127.0.0.1:9900", false },
        { "http://127.0.0.1:9900/", "127.0.0.1:9900", false },
        { "http://user@127.0.0.1:9900", "127.0.0.1:9900", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(guard_is_own_origin(str_of(rows[i].origin), str_of(rows[i].authority)), rows[i].is_own,
                     "row %zu: %s", i, rows[i].origin);
}

Test(guard, json_is_what_a_foreign_form_cannot_send)
{
    cr_expect(guard_is_json(STR("application/json")));
    cr_expect(guard_is_json(STR("Application/JSON; charset=utf-8")));
    cr_expect(guard_is_json(STR("application/json ;x=y")));
    cr_expect_not(guard_is_json(STR("text/plain")));
    cr_expect_not(guard_is_json(STR("text/plain; application/json")));
    cr_expect_not(guard_is_json(STR("application/json-patch+json")));
    cr_expect_not(guard_is_json(str_n(NULL, 0)));
}

Test(guard, the_whole_token_counts)
{
    cr_expect(guard_is_right_bearer(STR("Bearer s3cret"), STR("s3cret")));
    cr_expect(guard_is_right_bearer(STR("bearer s3cret"), STR("s3cret")), "RFC 9110 11.1: any case");
    cr_expect_not(guard_is_right_bearer(STR("Bearer s3cre"), STR("s3cret")));
    cr_expect_not(guard_is_right_bearer(STR("Bearer s3crets3cret"), STR("s3cret")));
    cr_expect_not(guard_is_right_bearer(STR("Bearer "), STR("s3cret")));
    cr_expect_not(guard_is_right_bearer(STR("Basic s3cret"), STR("s3cret")));
    cr_expect_not(guard_is_right_bearer(STR("s3cret"), STR("s3cret")));
    cr_expect_not(guard_is_same_secret(STR(""), STR("")), "no secret is no key");
}
