/* Whom an answer may be handed to, and that no two who must not share get one key. */
#include "pipeline/share.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "http/target.h"
#include "share_model.h"

static const struct head_limits limits = { 65536, 65536, FIELDS_MAX };
static const struct str listed[] = { STR_INIT("sid"), STR_INIT("t") };

/* Somebody with a head of his own. */
struct who {
    struct asker asker;
    struct config_cache_rule rule;
    struct message msg;
    struct shared shared;
    struct arena arena;
    char head[1024];
};

static void who_asks(struct who *who, const char *target, const char *fields)
{
    int len = snprintf(who->head, sizeof who->head, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, fields);
    cr_assert(len < (int)sizeof who->head);
    cr_assert_eq(message_read_request(&who->msg, str_of(who->head), &limits), 0, "%s", who->head);
    who->rule = (struct config_cache_rule){ .ttl_ms = 1000, .share = SHARE_PUBLIC };
    who->asker = (struct asker){
        .tenant = STR("acme"),
        .authority = STR("a"),
        .target = who->msg.target,
        .path = who->msg.path,
        .version = STR("v1"),
        .upstream = STR("app"),
        .msg = &who->msg,
        .rule = &who->rule,
    };
    arena_init(&who->arena, NULL, 0, 1 << 20);
}

static void decide(struct who *who)
{
    cr_assert(share_decide(&who->asker, &who->arena, &who->shared));
}

static void list_cookies(struct who *who)
{
    who->rule.has_cookies = true;
    who->rule.cookies = (struct str *)(uintptr_t)listed;
    who->rule.cookie_count = COUNT_OF(listed);
}

static void share_by_credential(struct who *who)
{
    who->rule.share = SHARE_CREDENTIAL;
}

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
    static const char *const targets[] = { "/a/../b", "/./a", "/a/..", "//a",     "/a//b",   "/a;x/b",
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
    static change_fn *const changes[] = { other_tenant,  longer_tenant, tls, other_host,
                                          other_version, other_upstream };
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
    static const char *const same[] = { "Cookie: sid=a; t=b\r\n",
                                        "Cookie: sid=a;t=b\r\n",
                                        "Cookie: sid=a\r\nCookie: t=b\r\n",
                                        "Cookie: x=1; sid=a; y=2; t=b; z\r\n",
                                        "cookie:\t;; sid=a ;\tt=b;\r\nX: y\r\n" };
    for (size_t i = 0; i < COUNT_OF(same); i++)
        cr_expect(
            have_one_key("/", same[0], listed_by_credential, "/", same[i], listed_by_credential), "%zu", i);
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

/* --- what goes wrong --- */

Test(share, a_NUL_makes_no_key)
{
    static const struct str evil = STR_INIT("a\0b");
    struct who who;
    who_asks(&who, "/", "");
    struct str *const places[] = { &who.asker.tenant, &who.asker.authority, &who.asker.target,
                                   &who.asker.version, &who.asker.upstream };
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        struct str was = *places[i];
        *places[i] = evil;
        cr_expect_not(share_decide(&who.asker, &who.arena, &who.shared), "place %zu", i);
        *places[i] = was;
    }
    decide(&who);
    who.rule.share = SHARE_CREDENTIAL;
    cr_assert(message_add(&who.msg, STR("Cookie"), evil));
    cr_expect_not(share_decide(&who.asker, &who.arena, &who.shared));
    cr_expect_not(share_key_for(&who.asker, STR("/"), true, &who.arena, &who.shared.key));
    arena_fini(&who.arena);
    who_asks(&who, "/", "");
    who.rule.share = SHARE_CREDENTIAL;
    cr_assert(message_add(&who.msg, STR("Authorization"), evil));
    cr_expect_not(share_decide(&who.asker, &who.arena, &who.shared));
    arena_fini(&who.arena);
}

Test(share, a_key_too_long_is_none)
{
    static char target[70000];
    struct who who;
    memset(target, 'a', sizeof target);
    target[0] = '/';
    who_asks(&who, "/", "");
    who.asker.target = str_n(target, sizeof target);
    cr_expect_not(share_decide(&who.asker, &who.arena, &who.shared));
    who.asker.target = str_n(target, 65000);
    cr_expect(share_decide(&who.asker, &who.arena, &who.shared));
    arena_fini(&who.arena);
}

Test(share, out_of_memory_is_told_wherever_it_runs_out)
{
    static const char fields[] = "Authorization: abc\r\nCookie: sid=0123456789; x=1\r\nCookie: t=2\r\n";
    struct who who, rich;
    who_asks(&rich, "/x?b=1&a=2", fields);
    who_asks(&who, "/x?b=1&a=2", fields);
    rich.rule.share = who.rule.share = SHARE_CREDENTIAL;
    rich.rule.is_query_sorted = who.rule.is_query_sorted = true;
    decide(&rich);
    unsigned refusals[2] = { 0, 0 };
    for (unsigned part = 0; part < 2; part++) {
        bool is_made = false;
        for (size_t n = 0; n < 1024 && !is_made; n++, refusals[part] += !is_made) {
            _Alignas(16) char room[1024];
            struct arena arena;
            arena_init(&arena, room, n, 0);
            is_made = part ? share_key_for(&who.asker, who.asker.target, false, &arena, &who.shared.key)
                           : share_decide(&who.asker, &arena, &who.shared);
            cr_expect(!is_made || keys_are_equal(&who.shared.key, &rich.shared.key));
            arena_fini(&arena);
        }
        cr_assert(is_made);
        cr_expect_gt(refusals[part], 64u);
    }
    arena_fini(&rich.arena);
    arena_fini(&who.arena);
}

/* Cookies that could not be read for want of memory must not look like none. */
Test(share, without_memory_for_its_cookies_nobody_is_taken_for_somebody_without)
{
    struct who who;
    who_asks(&who, "/", "Cookie: sid=1\r\n");
    for (size_t n = 0; n < 512; n++) {
        _Alignas(16) char room[512];
        struct arena arena;
        arena_init(&arena, room, n, 0);
        if (share_decide(&who.asker, &arena, &who.shared))
            cr_expect(who.shared.has_credential && !who.shared.may_use_ttl && !who.shared.may_guess, "%zu", n);
        arena_fini(&arena);
    }
    arena_fini(&who.arena);
}

/* --- any askers at all --- */

static uint64_t state;

static unsigned below(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 20) % n;
}

#define ANY(words) (words)[below(COUNT_OF(words))]

static void any_cookies(char *out, size_t size)
{
    static const char *const names[] = { "sid", "t", "u", "SID", "", "sid ", " t\t" };
    static const char *const values[] = { "", "=", "=1", "=2", "=1 2", "= 1", "=\"1\"", "==", "=sid=1", "=1,t=2" };
    static const char *const ends[] = { "; ", ";", " ;\t", ";;", "\r\nCookie: ", "\r\nX: y\r\ncookie:" };
    size_t len = (size_t)snprintf(out, size, "Cookie: ");
    for (unsigned i = 0, n = below(4); i <= n; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s%s", i ? ANY(ends) : "", ANY(names), ANY(values));
    snprintf(out + len, size - len, "\r\n");
}

static void anybody(struct who *who)
{
    static const char *const targets[] = { "/",      "/x",       "/x?",        "/x?a=1&b=2", "/x?b=2&a=1",
                                           "/x?a&b", "/x?b&a",   "/x?a&b&",    "/x?a&a=1",   "/x?a=1&a",
                                           "/y//z",  "/y/../x",  "/x%2Fy?a&b", "/x;y" };
    static const char *const tokens[] = { "", "a", "b", "a b", "a, b" };
    static const struct str tenants[] = { STR_INIT("a"), STR_INIT("ab"), STR_INIT("b") };
    static const struct str hosts[] = { STR_INIT("a"), STR_INIT("b"), STR_INIT("a:81"), STR_INIT("") };
    static const struct str names[] = { STR_INIT(""), STR_INIT("v1"), STR_INIT("v") };
    char fields[700] = "";
    size_t len = 0;
    for (unsigned n = below(3); n > 0; n--)
        len += (size_t)snprintf(fields + len, sizeof fields - len, "Authorization: %s\r\n", ANY(tokens));
    if (below(3))
        any_cookies(fields + len, sizeof fields - len);
    who_asks(who, ANY(targets), fields);
    who->rule.ttl_ms = below(3) ? 1000 : NEVER;
    who->rule.share = (enum config_share)below(3);
    if (below(2))
        list_cookies(who);
    who->rule.cookie_count = who->rule.has_cookies ? below(3) : 0;
    who->rule.is_for_all_tenants = below(4) == 0;
    who->rule.is_query_sorted = below(2);
    who->rule.is_heuristic_off = below(4) == 0;
    who->asker.rule = below(8) ? &who->rule : NULL;
    who->asker.tenant = ANY(tenants);
    who->asker.is_https = below(4) == 0;
    who->asker.authority = ANY(hosts);
    who->asker.version = ANY(names);
    who->asker.upstream = ANY(names);
    who->asker.is_verified = below(3) == 0;
}

/* What is often equal makes equal keys likely. */
static void make_alike(struct who *who, const struct who *other)
{
    if (below(2))
        who->asker.tenant = other->asker.tenant;
    if (below(4))
        who->asker.is_https = other->asker.is_https;
    if (below(4))
        who->asker.authority = other->asker.authority;
    if (below(4))
        who->asker.version = other->asker.version;
    if (below(4))
        who->asker.upstream = other->asker.upstream;
    if (below(4)) {
        who->asker.target = other->asker.target;
        who->asker.path = other->asker.path;
    }
    if (below(4))
        who->rule = other->rule;
    if (below(3))
        who->asker.msg = other->asker.msg;
}

Test(share, of_any_two_askers_only_those_who_may_share_get_one_key)
{
    static struct who a, b;
    static struct model models[2];
    unsigned equal = 0;
    state = 0x5eed5eed5eed5eedu;
    for (unsigned round = 0; round < 60000; round++) {
        anybody(&a);
        anybody(&b);
        make_alike(&b, &a);
        decide(&a);
        decide(&b);
        model_init(&models[0], &a.asker);
        model_init(&models[1], &b.asker);
        model_check_one(&a.asker, &models[0], &a.shared);
        model_check_one(&b.asker, &models[1], &b.shared);
        model_check_two(&models[0], &a.shared.key, &models[1], &b.shared.key);
        equal += keys_are_equal(&a.shared.key, &b.shared.key);
        arena_fini(&a.arena);
        arena_fini(&b.arena);
    }
    cr_expect_gt(equal, 2000u, "both cases were seen: %u", equal);
}
