/* No two who must not share get one key, whoever they are, and whatever goes wrong. */
#include "pipeline/share.h"

#include "share_model.h"
#include "who.h"

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
            cr_expect(who.shared.has_credential && !who.shared.may_use_ttl && !who.shared.may_guess, "%zu",
                      n);
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
    static const char *const values[] = { "",       "=",  "=1",     "=2",     "=1 2", "= 1",
                                          "=\"1\"", "==", "=sid=1", "=1,t=2", "=1t",  "=1t=1" };
    static const char *const ends[] = { "; ", ";", " ;\t", ";;", "\r\nCookie: ", "\r\nX: y\r\ncookie:" };
    size_t len = (size_t)snprintf(out, size, "Cookie: ");
    for (unsigned i = 0, n = below(4); i <= n; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s%s", i ? ANY(ends) : "", ANY(names), ANY(values));
    snprintf(out + len, size - len, "\r\n");
}

static void anybody(struct who *who)
{
    static const char *const targets[] = {
        "/",        "/x",           "/x?",          "/x?a=1&b=2",   "/x?b=2&a=1", "/x?a&b",
        "/x?b&a",   "/x?b=2&b=1&a", "/x?b=1&a&b=2", "/x?a&b=1&b=2", "/x?a&b&",    "/x?a&a=1",
        "/x?a=1&a", "/y//z",        "/y/../x",      "/x%2Fy?a&b",   "/x;y"
    };
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
