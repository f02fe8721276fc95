/* Whom an answer may be handed to, and what is in its key. */
#include "pipeline/share.h"

#include "share_model.h"
#include "who.h"

/* --- who counts as showing a credential --- */

Test(share, what_counts_as_a_credential)
{
    static const struct {
        const char *fields;
        bool counts;        /* where the route lists no cookies: all do */
        bool counts_listed; /* where it lists `sid` and `t` */
    } rows[] = {
        { "", false, false },
        { "X-Cookie: sid=1\r\n", false, false },
        { "Authorization: x\r\n", true, true },
        { "Authorization:\r\n", true, true },
        { "aUTHORIZATION: x\r\n", true, true },
        { "Cookie:\r\n", false, false },
        { "Cookie: ;\r\n", false, false },
        { "Cookie:  ; ;; \t;\r\n", false, false },
        { "Cookie: sid=1\r\n", true, true },
        { "COOKIE: sid=1\r\n", true, true },
        { "Cookie: sid\r\n", true, true },
        { "Cookie: sid=\r\n", true, true },
        { "Cookie: sid =1\r\n", true, true },
        { "Cookie: sid\t = 1\r\n", true, true },
        { "Cookie: sid\t\r\n", true, true },
        { "Cookie: x=1;sid=1\r\n", true, true },
        { "Cookie: x=1;\tsid=1\r\n", true, true },
        { "Cookie: x=1;; sid=1;\r\n", true, true },
        { "Cookie: ;sid=1\r\n", true, true },
        { "Cookie: x=1\r\nCookie: t=1\r\n", true, true },
        { "Cookie:\r\nX: y\r\nCookie: t=1\r\n", true, true },
        { "Cookie: x=1\r\n", true, false },
        { "Cookie: xsid=1\r\n", true, false },
        { "Cookie: sidx=1\r\n", true, false },
        { "Cookie: si=sid\r\n", true, false },
        { "Cookie: =sid\r\n", true, false },
        { "Cookie: SID=1\r\n", true, false }, /* names of cookies have a case */
        { "Cookie: T=1; x=t\r\n", true, false },
    };
    struct who who;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (unsigned k = 0; k < 2; k++) {
            bool want = k ? rows[i].counts_listed : rows[i].counts;
            who_asks(&who, "/", rows[i].fields);
            if (k)
                list_cookies(&who);
            decide(&who);
            cr_expect_eq(who.shared.has_credential, want, "row %zu, %u", i, k);
            cr_expect_eq(who.shared.may_use_ttl, !want, "row %zu, %u", i, k);
            cr_expect_eq(who.shared.may_guess, !want, "row %zu, %u", i, k);
            arena_fini(&who.arena);
        }
    }
}

Test(share, a_route_that_lists_no_cookies_at_all_counts_none)
{
    struct who who;
    who_asks(&who, "/", "Cookie: sid=1\r\n");
    who.rule.has_cookies = true;
    decide(&who);
    cr_expect_not(who.shared.has_credential);
    arena_fini(&who.arena);
}

/* --- what weir's own word for freshness holds for --- */

Test(share, whom_a_ttl_is_for)
{
    static const struct {
        enum config_share share;
        bool has_credential;
        bool is_verified;
        bool want;
    } rows[] = {
        { SHARE_PUBLIC, false, false, true },     { SHARE_PUBLIC, true, false, false },
        { SHARE_PUBLIC, true, true, false },      { SHARE_TENANT, false, false, true },
        { SHARE_TENANT, true, false, false },     { SHARE_TENANT, true, true, true },
        { SHARE_CREDENTIAL, false, false, true }, { SHARE_CREDENTIAL, true, false, true },
        { SHARE_CREDENTIAL, true, true, true },
    };
    struct who who;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        who_asks(&who, "/", rows[i].has_credential ? "Authorization: x\r\n" : "");
        who.rule.share = rows[i].share;
        who.asker.is_verified = rows[i].is_verified;
        decide(&who);
        cr_expect_eq(who.shared.may_use_ttl, rows[i].want, "row %zu", i);
        cr_expect_eq(who.shared.may_guess, rows[i].want, "row %zu", i);
        cr_expect_eq(who.shared.is_apart, rows[i].share == SHARE_CREDENTIAL, "row %zu", i);
        arena_fini(&who.arena);
    }
}

Test(share, without_a_rule_there_is_no_ttl_and_a_guess_is_for_those_who_show_nothing)
{
    struct who who;
    for (unsigned i = 0; i < 2; i++) {
        who_asks(&who, "/", i ? "Cookie: x=1\r\n" : "");
        who.asker.rule = NULL;
        who.asker.is_verified = true;
        decide(&who);
        cr_expect_not(who.shared.may_use_ttl);
        cr_expect_eq(who.shared.may_guess, i == 0);
        cr_expect_not(who.shared.is_apart);
        arena_fini(&who.arena);
    }
}

Test(share, a_route_may_have_no_ttl_or_no_guesses)
{
    struct who who;
    who_asks(&who, "/", "");
    who.rule.ttl_ms = NEVER;
    decide(&who);
    cr_expect_not(who.shared.may_use_ttl);
    cr_expect(who.shared.may_guess);
    who.rule.ttl_ms = 0;
    who.rule.is_heuristic_off = true;
    decide(&who);
    cr_expect(who.shared.may_use_ttl, "ttl: 0 is one");
    cr_expect_not(who.shared.may_guess);
    arena_fini(&who.arena);
}

Test(share, paths_that_apps_read_in_two_ways_get_neither)
{
    static const char *const targets[] = { "/a/../b", "/./a",   "/a/..",     "//a",    "/a//b",    "/a;x/b",
                                           "/a\\b",   "/a%2fb", "/%2E%2e/a", "/a%5Cb", "/a.css;/x" };
    struct who who;
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        who_asks(&who, targets[i], "");
        decide(&who);
        cr_expect_not(who.shared.may_use_ttl, "%s", targets[i]);
        cr_expect_not(who.shared.may_guess, "%s", targets[i]);
        arena_fini(&who.arena);
    }
    who_asks(&who, "/a.b/..c/d?x=../;//", "");
    decide(&who);
    cr_expect(who.shared.may_use_ttl, "what follows the path is no matter of it");
    arena_fini(&who.arena);
}

/* --- keys --- */

/* Do these two get one key, after each was changed? */
typedef void change_fn(struct who *who);

static bool have_one_key(const char *target, const char *fields, change_fn *change, const char *other_target,
                         const char *other_fields, change_fn *other_change)
{
    struct who a, b;
    who_asks(&a, target, fields);
    who_asks(&b, other_target, other_fields);
    if (change)
        change(&a);
    if (other_change)
        other_change(&b);
    decide(&a);
    decide(&b);
    bool is_one = keys_are_equal(&a.shared.key, &b.shared.key);
    arena_fini(&a.arena);
    arena_fini(&b.arena);
    return is_one;
}

static void other_tenant(struct who *who)
{
    who->asker.tenant = STR("acmf");
}

static void longer_tenant(struct who *who)
{
    who->asker.tenant = STR("acme-");
}

static void tls(struct who *who)
{
    who->asker.is_https = true;
}

static void other_host(struct who *who)
{
    who->asker.authority = STR("a:8080");
}

static void other_version(struct who *who)
{
    who->asker.version = STR("v1app");
    who->asker.upstream = STR("");
}

static void other_upstream(struct who *who)
{
    who->asker.upstream = STR("canary");
}

static void no_rule(struct who *who)
{
    who->asker.rule = NULL;
}

static void for_all_tenants(struct who *who)
{
    who->rule.is_for_all_tenants = true;
}

static void other_for_all_tenants(struct who *who)
{
    other_tenant(who);
    for_all_tenants(who);
}

static void listed_by_credential(struct who *who)
{
    share_by_credential(who);
    list_cookies(who);
}

static void sorted(struct who *who)
{
    who->rule.is_query_sorted = true;
}

Test(share, everything_that_selects_an_answer_is_in_its_key)
{
    static change_fn *const changes[] = { other_tenant, longer_tenant, tls,
                                          other_host,   other_version, other_upstream };
    cr_expect(have_one_key("/x", "", NULL, "/x", "", NULL));
    for (size_t i = 0; i < COUNT_OF(changes); i++)
        cr_expect_not(have_one_key("/x", "", NULL, "/x", "", changes[i]), "change %zu", i);
    cr_expect_not(have_one_key("/x", "", NULL, "/y", "", NULL));
    cr_expect_not(have_one_key("/x", "", NULL, "/x?", "", NULL));
    cr_expect_not(have_one_key("/x", "", NULL, "/X", "", NULL));
    cr_expect_not(have_one_key("/%61", "", NULL, "/a", "", NULL));
}

Test(share, only_all_tenants_is_for_all_tenants)
{
    cr_expect(have_one_key("/x", "", for_all_tenants, "/x", "", other_for_all_tenants));
    cr_expect_not(have_one_key("/x", "", for_all_tenants, "/x", "", other_tenant));
    cr_expect_not(have_one_key("/x", "", for_all_tenants, "/y", "", other_for_all_tenants));
}

Test(share, credentials_are_in_the_key_only_where_the_route_says_so)
{
    cr_expect(have_one_key("/x", "Authorization: a\r\n", NULL, "/x", "Cookie: b=1\r\n", NULL));
    cr_expect(have_one_key("/x", "Authorization: a\r\n", no_rule, "/x", "", NULL));
    cr_expect(have_one_key("/x", "", share_by_credential, "/x", "", NULL), "none shown, none kept apart");
    cr_expect(have_one_key("/x", "Cookie: ;\r\n", share_by_credential, "/x", "", NULL));
}

Test(share, different_credentials_are_kept_apart)
{
    static const char *const rows[] = {
        "",
        "Authorization:\r\n",
        "Authorization: a\r\n",
        "Authorization: A\r\n",
        "Authorization: a=\r\n",
        "Authorization: =a\r\n",
        "Authorization: a\r\nAuthorization: b\r\n",
        "Authorization: a\r\nAuthorization: c\r\n",
        "Authorization: b\r\nAuthorization: a\r\n",
        "Authorization: a, b\r\n",
        "Cookie: sid=a\r\n",
        "Cookie: sid=b\r\n",
        "Cookie: sid\r\n",
        "Cookie: sid=\r\n",
        "Cookie: sid==\r\n",
        "Cookie: sid=a b\r\n",
        "Cookie: sid=a c\r\n",
        "Cookie: sid=a,t=1\r\n",
        "Cookie: sid=a,t=2\r\n",
        "Cookie: t=a\r\n",
        "Cookie: sid=a; t=a\r\n",
        "Cookie: sid=at=a\r\n",
        "Cookie: sid=a; sid=b\r\n",
        "Cookie: sid=b; sid=a\r\n",
        "Cookie: sid=a; sid=a\r\n",
        "Cookie: sid=a\r\nAuthorization: a\r\n",
        "Cookie: sid=a\r\nAuthorization: \r\n",
        "Authorization: sid=a;\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t k = 0; k < COUNT_OF(rows); k++) {
            cr_expect_eq(have_one_key("/", rows[i], share_by_credential, "/", rows[k], share_by_credential),
                         i == k, "%zu and %zu", i, k);
            cr_expect_eq(have_one_key("/", rows[i], listed_by_credential, "/", rows[k], listed_by_credential),
                         i == k, "%zu and %zu, cookies listed", i, k);
        }
    }
}

Test(share, what_does_not_count_keeps_nobody_apart)
{
    static const char *const same[] = { "Cookie: sid=a; t=b\r\n", "Cookie: sid=a;t=b\r\n",
                                        "Cookie: sid=a\r\nCookie: t=b\r\n",
                                        "Cookie: x=1; sid=a; y=2; t=b; z\r\n",
                                        "cookie:\t;; sid=a ;\tt=b;\r\nX: y\r\n" };
    for (size_t i = 0; i < COUNT_OF(same); i++)
        cr_expect(have_one_key("/", same[0], listed_by_credential, "/", same[i], listed_by_credential), "%zu",
                  i);
    cr_expect_not(have_one_key("/", same[0], share_by_credential, "/", same[3], share_by_credential),
                  "where none is listed all count");
}

Test(share, a_sorted_query_is_one_key_for_all_orders_of_its_names)
{
    static const struct {
        const char *a;
        const char *b;
        bool want;
    } rows[] = {
        { "/x?a=1&b=2", "/x?b=2&a=1", true },
        { "/x?c&b&a", "/x?a&c&b", true },
        { "/x?aa=1&a=2", "/x?a=2&aa=1", true },
        { "/x?a=1&b=1&b=2", "/x?b=1&a=1&b=2", true },
        { "/x?a=1&b=1&b=2", "/x?a=1&b=2&b=1", false }, /* what comes first may count */
        { "/x?a&a=1", "/x?a=1&a", false },
        { "/x?a=1&b=2", "/x?a=2&b=1", false },
        { "/x?a=1&b=2", "/x?a=1&b=2&", false },
        { "/x?a=1&b=2", "/x?&a=1&b=2", false },
        { "/x?&a=1&b=2", "/x?a=1&b=2&", true },
        { "/x?a=1&b=2", "/x?a=1&b=2&b=2", false },
        { "/x?a=1&b=2", "/y?a=1&b=2", false },
        { "/x?a=1", "/x?a=1&", false },
        { "/x?", "/x", false },
        { "/x?&", "/x?", false },
        { "/x?a=1?b=2", "/x?b=2?a=1", false },
        { "/a&b", "/b&a", false },
        { "/x?%61=1&b", "/x?b&a=1", false },
        { "/x?B&a", "/x?b&a", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(have_one_key(rows[i].a, "", sorted, rows[i].b, "", sorted), rows[i].want, "row %zu", i);
        cr_expect_not(have_one_key(rows[i].a, "", NULL, rows[i].b, "", NULL), "row %zu as it is", i);
    }
}

Test(share, a_query_of_many_parameters_is_taken_as_it_is)
{
    static char targets[4][600];
    for (unsigned n = 64; n <= 65; n++) {
        char *up = targets[2 * (n - 64)], *down = targets[2 * (n - 64) + 1];
        size_t at = (size_t)sprintf(up, "/x?p10"), back = (size_t)sprintf(down, "/x?p%u", 9 + n);
        for (unsigned i = 1; i < n; i++) {
            at += (size_t)sprintf(up + at, "&p%u", 10 + i);
            back += (size_t)sprintf(down + back, "&p%u", 9 + n - i);
        }
    }
    cr_expect(have_one_key(targets[0], "", sorted, targets[1], "", sorted));
    cr_expect_not(have_one_key(targets[2], "", sorted, targets[3], "", sorted));
}

Test(share, keys_of_other_targets_and_parts_keep_the_same_walls)
{
    struct who a, b;
    struct key keys[4];
    who_asks(&a, "/x?b&a", "Authorization: a\r\nCookie: sid=1\r\n");
    who_asks(&b, "/y", "Authorization: a\r\nCookie: sid=2\r\n");
    a.rule.share = b.rule.share = SHARE_CREDENTIAL;
    a.rule.is_query_sorted = true;
    decide(&a);
    decide(&b);
    cr_assert(share_key_for(&a.asker, STR("/x?a&b"), false, &a.arena, &keys[0]));
    cr_expect(keys_are_equal(&keys[0], &a.shared.key));
    cr_assert(share_key_for(&a.asker, STR("/x?a&b"), true, &a.arena, &keys[1]));
    cr_expect(str_eq(keys[1].primary, a.shared.key.primary), "purged together");
    cr_expect_not(str_eq(keys[1].selector, a.shared.key.selector), "never taken for the whole");
    cr_assert(share_key_for(&a.asker, STR("/y"), false, &a.arena, &keys[2]));
    cr_expect(str_eq(keys[2].primary, b.shared.key.primary));
    cr_expect_not(str_eq(keys[2].selector, b.shared.key.selector), "his own credentials");
    b.asker.tenant = STR("other");
    cr_assert(share_key_for(&b.asker, STR("/x?a&b"), false, &b.arena, &keys[3]));
    cr_expect_not(str_eq(keys[3].primary, a.shared.key.primary));
    arena_fini(&a.arena);
    arena_fini(&b.arena);
}
