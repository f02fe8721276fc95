/* POST /api/purge: what was stored goes, here and, if weirs share a fleet, everywhere. */
#include <stdlib.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "cache/key.h"
#include "http/target.h"
#include "net/loop.h"

#define KEY_BYTES_MAX (256 * 1024)

/* --- what is asked for --- */

struct wanted {
    struct str tenant; /* data NULL: none was named */
    struct str url;
    struct str tag;
    struct str prefix;
    bool is_all;
    bool is_soft;
    char name[TENANT_NAME_MAX + 1]; /* the tenant in lower case */
};

static bool is_tag(struct str tag)
{
    for (size_t i = 0; i < tag.len; i++) {
        unsigned char c = (unsigned char)tag.data[i];
        if (c <= ' ' || c == 0x7f || c == ',')
            return false;
    }
    return tag.len > 0 && tag.len <= CACHE_TAG_BYTES_MAX;
}

static bool read_tenant(struct wanted *out, struct reply *reply)
{
    if (!out->tenant.data)
        return true;
    if (!tenant_name_is_valid(out->tenant)) {
        reply_problem(reply, 400, err_word(ERR_BAD_TENANT), "\"tenant\" is no tenant's name");
        return false;
    }
    for (size_t i = 0; i < out->tenant.len; i++)
        out->name[i] = ascii_lower(out->tenant.data[i]);
    out->tenant = str_n(out->name, out->tenant.len);
    return true;
}

static bool read_wanted(json_t *body, struct wanted *out, struct reply *reply)
{
    if (!api_string(body, "tenant", &out->tenant, reply) || !api_string(body, "url", &out->url, reply) ||
        !api_string(body, "tag", &out->tag, reply) || !api_string(body, "prefix", &out->prefix, reply) ||
        !api_flag(body, "all", &out->is_all, reply) || !api_flag(body, "soft", &out->is_soft, reply))
        return false;
    unsigned ways =
        (out->url.data != NULL) + (out->tag.data != NULL) + (out->prefix.data != NULL) + out->is_all;
    if (ways != 1) {
        reply_problem(reply, 400, "bad-body", "say one of \"url\", \"tag\", \"prefix\" and \"all\": true");
        return false;
    }
    if (out->tag.data && !is_tag(out->tag)) {
        reply_problem(reply, 400, "bad-body",
                      "\"tag\" must be 1 to %d bytes without spaces, commas and control characters",
                      CACHE_TAG_BYTES_MAX);
        return false;
    }
    return read_tenant(out, reply);
}

/* An absolute URL as a client would have asked for it. */
static bool read_url(struct str url, struct key_parts *out, char *authority, size_t size)
{
    out->is_https = str_has_iprefix(url, STR("https://"));
    if (!out->is_https && !str_has_iprefix(url, STR("http://")))
        return false;
    struct str rest = str_from(url, out->is_https ? 8 : 7);
    size_t end = 0;
    while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?')
        end++;
    struct str named = str_n(rest.data, end);
    out->target = end == rest.len ? STR("/") : str_from(rest, end);
    if (!authority_is_valid(named) || !target_is_valid(out->target))
        return false;
    out->authority = str_n(authority, authority_normalise(named, out->is_https, authority, size));
    return out->authority.len > 0;
}

/* --- until everybody has done it --- */

/* One POST. It names no admin: that may be gone when the fleet answers. */
struct purging {
    struct reply *reply;
    unsigned open; /* purges that are not done, and one while they are still being asked for */
    bool is_soft;
    struct purge_result sum;
    char *what; /* for the log */
};

static void put_result(const struct purging *purging)
{
    const struct purge_result *sum = &purging->sum;
    struct reply *reply = purging->reply;
    json_t *json;
    if (sum->end == PURGE_IS_LOCAL || sum->end == PURGE_IS_DONE) {
        json = json_pack("{s:I, s:b}", "purged", (json_int_t)sum->count, "soft", (int)purging->is_soft);
        if (json && sum->end == PURGE_IS_DONE)
            json_object_set_new(json, "nodes", json_integer((json_int_t)sum->nodes));
        reply_json(reply, 200, json);
        return;
    }
    const char *detail = sum->end == PURGE_PARTLY
                             ? "not every weir of the fleet has said that it purged; here it is done"
                             : "the rest of the fleet cannot be told now; here it is done";
    reply_problem_with(reply, 503, "fleet-unreachable", detail, "purged",
                       json_integer((json_int_t)sum->count));
}

static void close_one(struct purging *purging)
{
    if (--purging->open > 0)
        return;
    log_info("admin: purged %llu%s: %s%s", (unsigned long long)purging->sum.count,
             purging->is_soft ? " (soft)" : "", purging->what ? purging->what : "?",
             purging->sum.end >= PURGE_PARTLY ? "; not the whole fleet knows" : "");
    put_result(purging);
    reply_ready(purging->reply);
    free(purging->what);
    free(purging);
}

static void on_purged(void *arg, const struct purge_result *result)
{
    struct purging *purging = arg;
    struct purge_result *sum = &purging->sum;
    sum->count += result->count;
    sum->nodes = result->nodes > sum->nodes ? result->nodes : sum->nodes;
    sum->end = result->end > sum->end ? result->end : sum->end;
    close_one(purging);
}

static void ask_for(struct admin *admin, struct purging *purging, const struct cache_purge *purge)
{
    purging->open++;
    if (admin->hooks.purge) {
        admin->hooks.purge(admin->hooks.arg, purge, on_purged, purging);
        return;
    }
    struct cache *cache = admin->hooks.city->cache;
    const struct purge_result result = {
        .count = cache ? cache_purge(cache, purge, loop_tick_ns(admin->loop), loop_wall_ms(admin->loop)) : 0,
        .nodes = 1,
        .end = PURGE_IS_LOCAL,
    };
    on_purged(purging, &result);
}

/* --- from what is asked for to what the cache knows --- */

/* What a tenant's answer is made of may also be in what a route shares between all of them (tenant ""). */
static void ask_both(struct admin *admin, struct purging *purging, struct cache_purge *purge)
{
    ask_for(admin, purging, purge);
    if (purge->tenant.data) {
        purge->tenant = STR("");
        ask_for(admin, purging, purge);
    }
}

static void purge_key(struct admin *admin, struct purging *purging, const struct key_parts *parts)
{
    struct arena arena;
    struct key key;
    arena_init(&arena, NULL, 0, KEY_BYTES_MAX);
    const struct cache_purge purge = {
        .kind = PURGE_URL, .tenant = parts->tenant, .key = &key, .is_soft = purging->is_soft
    };
    if (key_make(&key, parts, &arena))
        ask_for(admin, purging, &purge);
    else
        purging->reply->is_broken = true;
    arena_fini(&arena);
}

static bool purge_url(struct admin *admin, struct purging *purging, const struct wanted *wanted)
{
    const struct config_tenants *tenants = &admin_world(admin)->config->tenants;
    struct key_parts parts = { .method_class = STR("GET") };
    char authority[300];
    if (!read_url(wanted->url, &parts, authority, sizeof authority)) {
        reply_problem(purging->reply, 400, "bad-body",
                      "\"url\" must be absolute, as in http://api.example.com/items?page=2");
        return false;
    }
    if (tenants->is_given && !wanted->tenant.data) {
        reply_problem(purging->reply, 400, "bad-body",
                      "\"url\" needs a \"tenant\": each has its own answers");
        return false;
    }
    parts.tenant = wanted->tenant.data ? wanted->tenant : STR("default");
    purge_key(admin, purging, &parts);
    parts.tenant = STR("");
    purge_key(admin, purging, &parts);
    return true;
}

/* "/path" of any origin, or an absolute one in the form that the keys have. */
static bool purge_prefix(struct admin *admin, struct purging *purging, const struct wanted *wanted)
{
    struct cache_purge purge = {
        .kind = PURGE_PREFIX, .tenant = wanted->tenant, .what = wanted->prefix, .is_soft = wanted->is_soft
    };
    struct key_parts parts = { 0 };
    char authority[300];
    bool is_path = str_has_prefix(wanted->prefix, STR("/")) && target_is_valid(wanted->prefix);
    if (!is_path && !read_url(wanted->prefix, &parts, authority, sizeof authority)) {
        reply_problem(purging->reply, 400, "bad-body",
                      "\"prefix\" must be a path or an absolute URL, as in /items/ or "
                      "http://api.example.com/items/");
        return false;
    }
    struct buf absolute;
    buf_init(&absolute);
    if (!is_path) {
        if (!buf_printf(&absolute, "http%s://%.*s%s%.*s", parts.is_https ? "s" : "", STR_FMT(parts.authority),
                        parts.target.data[0] == '/' ? "" : "/", STR_FMT(parts.target)))
            purging->reply->is_broken = true;
        purge.what = buf_str(&absolute);
    }
    if (!purging->reply->is_broken)
        ask_both(admin, purging, &purge);
    buf_fini(&absolute);
    return true;
}

static bool purge_wanted(struct admin *admin, struct purging *purging, const struct wanted *wanted)
{
    if (wanted->url.data)
        return purge_url(admin, purging, wanted);
    if (wanted->prefix.data)
        return purge_prefix(admin, purging, wanted);
    struct cache_purge purge = {
        .kind = wanted->tag.data      ? PURGE_TAG
                : wanted->tenant.data ? PURGE_TENANT
                                      : PURGE_ALL,
        .tenant = wanted->tenant,
        .what = wanted->tag,
        .is_soft = wanted->is_soft,
    };
    if (wanted->tag.data)
        ask_both(admin, purging, &purge);
    else
        ask_for(admin, purging, &purge);
    return true;
}

/* What operators read in the log; NULL when out of memory. */
static char *describe(const struct wanted *wanted)
{
    struct str what = wanted->url.data      ? wanted->url
                      : wanted->tag.data    ? wanted->tag
                      : wanted->prefix.data ? wanted->prefix
                                            : STR("all");
    struct buf text;
    buf_init(&text);
    bool ok = buf_printf(&text, "%s%.*s of %.*s",
                         wanted->tag.data      ? "tag "
                         : wanted->prefix.data ? "below "
                                               : "",
                         STR_FMT(what), STR_FMT(wanted->tenant.data ? wanted->tenant : STR("everyone")));
    char *line = ok ? str_dup(buf_str(&text)) : NULL;
    buf_fini(&text);
    return line;
}

void post_purge(struct admin *admin, const struct call *call, struct reply *reply)
{
    struct wanted wanted = { .is_all = false };
    if (!read_wanted(call->body, &wanted, reply))
        return;
    struct purging *purging = calloc(1, sizeof *purging);
    if (!purging) {
        reply->is_broken = true;
        return;
    }
    *purging =
        (struct purging){ .reply = reply, .open = 1, .is_soft = wanted.is_soft, .what = describe(&wanted) };
    if (!purge_wanted(admin, purging, &wanted)) { /* and nothing was asked for */
        CHECK(purging->open == 1);
        free(purging->what);
        free(purging);
        return;
    }
    reply->is_later = true;
    close_one(purging);
}
