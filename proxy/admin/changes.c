/* POST: what an operator changes in a running weir. Each change is one line in the log. */
#include <math.h>
#include <stdlib.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "cache/key.h"
#include "http/target.h"
#include "net/loop.h"

/* --- purge --- */

struct purge {
    struct str tenant; /* data NULL: none was named */
    struct str url;
    struct str tag;
    struct str prefix;
    bool is_all;
    bool is_soft;
    char name[TENANT_NAME_MAX + 1]; /* the tenant in lower case */
};

static bool read_purge(json_t *body, struct purge *out, struct reply *reply)
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
    if (out->tag.data || out->prefix.data || out->is_soft) {
        reply_problem(reply, 501, "not-built", "purging by %s is not built yet; \"url\" and \"all\" are",
                      out->tag.data      ? "\"tag\""
                      : out->prefix.data ? "\"prefix\""
                                         : "\"soft\": true");
        return false;
    }
    if (out->tenant.data && !tenant_name_is_valid(out->tenant)) {
        reply_problem(reply, 400, err_word(ERR_BAD_TENANT), "\"tenant\" is no tenant's name");
        return false;
    }
    for (size_t i = 0; i < out->tenant.len; i++)
        out->name[i] = ascii_lower(out->tenant.data[i]);
    if (out->tenant.data)
        out->tenant = str_n(out->name, out->tenant.len);
    return true;
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

/* The primary key of one tenant, or (name "") of what a route shares between all of them. */
static bool purge_key(struct admin *admin, const struct key_parts *url, struct str tenant, uint64_t *count)
{
    struct key_parts parts = *url;
    struct arena arena;
    struct key key;
    parts.tenant = tenant;
    parts.method_class = STR("GET");
    arena_init(&arena, NULL, 0, 256 * 1024);
    bool ok = key_make(&key, &parts, &arena);
    if (ok)
        *count += cache_invalidate(admin->hooks.city->cache, &key, loop_tick_ns(admin->loop));
    arena_fini(&arena);
    return ok;
}

static bool purge_url(struct admin *admin, const struct purge *purge, uint64_t *count, struct reply *reply)
{
    const struct config_tenants *tenants = &admin_world(admin)->config->tenants;
    struct str tenant = purge->tenant.data ? purge->tenant : STR("default");
    struct key_parts url = { 0 };
    char authority[300];
    if (!read_url(purge->url, &url, authority, sizeof authority)) {
        reply_problem(reply, 400, "bad-body",
                      "\"url\" must be absolute, as in http://api.example.com/items?page=2");
        return false;
    }
    if (tenants->is_given && !purge->tenant.data) {
        reply_problem(reply, 400, "bad-body", "\"url\" needs a \"tenant\": each has its own answers");
        return false;
    }
    if (!purge_key(admin, &url, tenant, count) || !purge_key(admin, &url, STR(""), count)) {
        reply->is_broken = true;
        return false;
    }
    admin->purged_by_url += *count;
    return true;
}

void post_purge(struct admin *admin, const struct call *call, struct reply *reply)
{
    struct cache *cache = admin->hooks.city->cache;
    struct purge purge = { .is_all = false };
    uint64_t count = 0;
    if (!read_purge(call->body, &purge, reply))
        return;
    if (purge.url.data) {
        if (!purge_url(admin, &purge, &count, reply))
            return;
    } else if (purge.tenant.data) {
        count = cache_purge_tenant(cache, purge.tenant, loop_tick_ns(admin->loop));
    } else {
        count = cache_purge_all(cache, loop_tick_ns(admin->loop));
    }
    log_info("admin: purged %llu of %.*s: %.*s", (unsigned long long)count,
             STR_FMT(purge.tenant.data ? purge.tenant : STR("everyone")),
             STR_FMT(purge.url.data ? purge.url : STR("all")));
    reply_json(reply, 200, json_pack("{s:I}", "purged", (json_int_t)count));
}

/* --- reload and drain --- */

static json_t *json_of_lines(const char *text)
{
    json_t *lines = json_array();
    struct str rest = str_of(text), line;
    while (str_split(&rest, '\n', &line)) {
        if (line.len > 0)
            json_array_append_new(lines, json_of_str(line));
    }
    return lines;
}

void post_reload(struct admin *admin, const struct call *call, struct reply *reply)
{
    char *mistakes = NULL;
    (void)call;
    if (admin->hooks.reload(admin->hooks.arg, &mistakes)) {
        reply_json(reply, 200, json_pack("{s:I}", "generation", (json_int_t)admin_world(admin)->generation));
    } else {
        json_t *lines = json_of_lines(mistakes);
        for (size_t i = 0; i < json_array_size(lines); i++)
            log_error("admin: not reloaded: %s", json_string_value(json_array_get(lines, i)));
        reply_problem_with(reply, 422, "bad-config", "the new config was not taken, the old one stays",
                           "mistakes", lines);
    }
    free(mistakes);
}

void post_drain(struct admin *admin, const struct call *call, struct reply *reply)
{
    (void)call;
    log_info("admin: drain");
    admin->hooks.drain(admin->hooks.arg);
    reply_json(reply, 202, json_pack("{s:b}", "draining", 1));
}

/* --- servers --- */

static struct server *find_server(const struct supply *supply, struct str address)
{
    for (unsigned i = 0; i < supply->upstream->server_count; i++) {
        if (str_eq(str_of(supply->upstream->servers[i]->addr.text), address))
            return supply->upstream->servers[i];
    }
    return NULL;
}

void post_server(struct admin *admin, const struct call *call, struct reply *reply)
{
    static const struct {
        const char *word;
        enum server_admin state;
    } states[] = { { "up", SERVER_ADMIN_UP },
                   { "drain", SERVER_ADMIN_DRAIN },
                   { "down", SERVER_ADMIN_DOWN } };
    const struct supply *supply = world_supply(admin_world(admin), call->parts[0]);
    struct server *server = supply ? find_server(supply, call->parts[1]) : NULL;
    struct str word;
    if (!server) {
        reply_problem(reply, 404, "not-found",
                      supply ? "this upstream has no such server" : "no such upstream");
        return;
    }
    if (!api_string(call->body, "state", &word, reply))
        return;
    for (unsigned i = 0; i < COUNT_OF(states); i++) {
        if (!str_eq(word, str_of(states[i].word)))
            continue;
        atomic_store(&server->admin, (int)states[i].state);
        log_info("admin: server %s of %.*s: %s", server->addr.text, STR_FMT(supply->upstream->name),
                 states[i].word);
        reply_json(reply, 200,
                   json_pack("{s:o, s:o, s:s}", "upstream", json_of_str(supply->upstream->name), "server",
                             json_of_str(str_of(server->addr.text)), "state", states[i].word));
        return;
    }
    reply_problem(reply, 400, "bad-body", "\"state\" must be \"drain\", \"up\" or \"down\"");
}

/* --- versions --- */

static const struct edition *find_edition(const struct world *world, struct str name)
{
    for (unsigned i = 0; i < world->edition_count; i++) {
        if (world->editions[i].config && str_eq(world->editions[i].name, name))
            return &world->editions[i];
    }
    return NULL;
}

void post_version(struct admin *admin, const struct call *call, struct reply *reply)
{
    struct world *world = admin_world(admin);
    struct str name = call->parts[0];
    struct str upstream;
    json_t *canary = json_object_get(call->body, "canary");
    const struct edition *edition = find_edition(world, name);
    if (!edition) {
        reply_problem(reply, 404, "not-found", "the config has no such version");
        return;
    }
    if (!json_is_object(canary)) {
        reply_problem(reply, 400, "bad-body", "\"canary\" must be an object with a \"percent\"");
        return;
    }
    json_t *percent = json_object_get(canary, "percent");
    double share = json_number_value(percent);
    if (!api_keys_are_known(canary, "percent upstream", reply) ||
        !api_string(canary, "upstream", &upstream, reply))
        return;
    if (!json_is_number(percent) || !isfinite(share) || share < 0 || share > 100) {
        reply_problem(reply, 400, "bad-body", "\"percent\" must be a number from 0 to 100");
        return;
    }
    if (upstream.data && !world_supply(world, upstream)) {
        reply_problem(reply, 400, "bad-body", "\"upstream\": there is no upstream of that name");
        return;
    }
    if (!world_set_canary(world, name, share, upstream)) {
        reply_problem(reply, 400, "bad-body", "this version has no canary yet: say its \"upstream\"");
        return;
    }
    const struct canary *now = atomic_load_explicit(&edition->canary, memory_order_acquire);
    log_info("admin: canary of %.*s: %g %%", STR_FMT(name), share);
    reply_json(reply, 200,
               json_pack("{s:o, s:{s:o, s:f}}", "version", json_of_str(name), "canary", "upstream",
                         json_of_word(now->config.upstream), "percent", now->config.percent));
}
