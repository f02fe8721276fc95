/* Two requests of any shape: may one be handed what was stored for the other? What pipeline/share.h decides
 * is held against the slower way of ../unit/pipeline/share_model.h. The first three bytes say under which
 * rules they ask, then come two heads. */
#include "fuzz.h"

#include "http/target.h"
#include "pipeline/share.h"
#include "share_model.h"

#define HEADS(options, a, b)                                                                          \
    STR_INIT(options "GET " a "\r\nAuthorization: x\r\nCookie: sid=1; u=2\r\nCookie: t\r\n\r\nGET " b \
                     "\r\nAuthorization: x\r\nCookie: sid=1;u=3\r\ncookie: t\r\n\r\n")

const struct str fuzz_seeds[] = {
    HEADS("BB ", "/x?b=1&a=2&b=3 HTTP/1.1\r\nHost: a", "/x?a=2&b=1&b=3 HTTP/1.1\r\nHost: a"),
    HEADS("NN ", "/x?b=1&a=2 HTTP/1.1\r\nHost: a", "/x?b=1&a=2 HTTP/1.1\r\nHost: a"),
    HEADS("JNA", "/x/./y?a HTTP/1.1\r\nHost: a:80", "/x;y/%2f HTTP/1.1\r\nHost: A"),
    HEADS("~^@", "http://a/x?&&b&a HTTP/1.1\r\nHost: a", "/x?b&&&a HTTP/1.1\r\nHost: a"),
    HEADS("FF@", "/x?b=1&a&b=2 HTTP/1.1\r\nHost: a", "/x?a&b=2&b=1 HTTP/1.1\r\nHost: a"),
    STR_INIT("JJ@GET / HTTP/1.1\r\nHost: a\r\nCookie: sid=1; t=2\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nCookie: "
             "sid=1t=2\r\n\r\n"),
    STR_INIT("JJ@GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1\tsid=2\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nCookie: "
             "x=1\tsid=3\r\n\r\n"),
    HEADS("ar\007", "/ HTTP/1.1\r\nHost: a\r\nAuthorization: y", "/ HTTP/1.0\r\nCookie: sid =1"),
};
const size_t fuzz_seed_count = COUNT_OF(fuzz_seeds);

struct side {
    struct message msg;
    struct config_cache_rule rule;
    struct asker asker;
    struct shared shared;
    struct model model;
    struct arena arena;
};

static bool read_side(struct side *side, struct str *bytes, uint8_t options)
{
    static const struct str cookies[] = { STR_INIT("sid"), STR_INIT("t") };
    size_t scanned = 0;
    int len = head_find_end(*bytes, &scanned, &fuzz_limits);
    if (len <= 0 || message_read_request(&side->msg, str_n(bytes->data, (size_t)len), &fuzz_limits) != 0)
        return false;
    *bytes = str_from(*bytes, (size_t)len);
    side->rule = (struct config_cache_rule){
        .share = (enum config_share)((options & 3) % 3),
        .is_query_sorted = options & 4,
        .has_cookies = options & 8,
        .is_for_all_tenants = options & 16,
        .is_heuristic_off = options & 32,
        .ttl_ms = options & 64 ? 1000 : NEVER,
        .cookies = (struct str *)(uintptr_t)cookies,
        .cookie_count = options & 8 ? COUNT_OF(cookies) : 0,
    };
    side->asker = (struct asker){
        .tenant = STR("acme"),
        .authority = side->msg.authority,
        .target = side->msg.target,
        .path = side->msg.path,
        .version = STR("v1"),
        .upstream = STR("app"),
        .msg = &side->msg,
        .rule = options & 128 ? NULL : &side->rule,
    };
    return true;
}

static void set_apart(struct side *a, struct side *b, uint8_t options)
{
    a->asker.is_verified = options & 1;
    b->asker.is_verified = options & 2;
    if (options & 4)
        b->asker.tenant = STR("acm");
    if (options & 8)
        b->asker.is_https = true;
    if (options & 16)
        b->asker.version = STR("v");
    if (options & 32)
        b->asker.upstream = STR("canary");
    if (options & 64)
        b->rule = a->rule;
    if (options & 128)
        b->asker.target = a->asker.target;
}

static void decide(struct side *side)
{
    struct key again;
    arena_init(&side->arena, NULL, 0, 1 << 18);
    CHECK(share_decide(&side->asker, &side->arena, &side->shared));
    model_init(&side->model, &side->asker);
    model_check_one(&side->asker, &side->model, &side->shared);
    CHECK(share_key_for(&side->asker, side->asker.target, false, &side->arena, &again));
    CHECK(keys_are_equal(&again, &side->shared.key));
    CHECK(share_key_for(&side->asker, side->asker.target, true, &side->arena, &again));
    CHECK(str_eq(again.primary, side->shared.key.primary));
    CHECK(!str_eq(again.selector, side->shared.key.selector));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct side a, b;
    struct str bytes = str_n((const char *)data, size);
    if (size < 3)
        return 0;
    bytes = str_from(bytes, 3);
    if (!read_side(&a, &bytes, data[0]) || !read_side(&b, &bytes, data[1]))
        return 0;
    set_apart(&a, &b, data[2]);
    decide(&a);
    decide(&b);
    model_check_two(&a.model, &a.shared.key, &b.model, &b.shared.key);
    bool has_one_tenant = str_eq(a.asker.tenant, b.asker.tenant);
    bool is_for_all = a.asker.rule && a.rule.is_for_all_tenants && b.asker.rule && b.rule.is_for_all_tenants;
    CHECK(has_one_tenant || is_for_all || !str_eq(a.shared.key.primary, b.shared.key.primary));
    arena_fini(&a.arena);
    arena_fini(&b.arena);
    return 0;
}
