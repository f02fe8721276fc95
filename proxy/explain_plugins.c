/* The plugins' part of `weir explain`: which upstream takes a request, and does it read or write? They are
 * loaded as weir loads them, but none ticks, and asked with a request that is on no lane and in no world. */
#include <stdlib.h>

#include "base/err.h"
#include "http/target.h"
#include "pipeline/lane.h"
#include "pipeline/plugin.h"
#include "pipeline/own_cookie.h"
#include "pipeline/plugin_upstream.h"
#include "pipeline/request.h"

#include "explain_inside.h"

/* What a request is looked at with: only what plugins can ask about before a server is chosen. */
struct setting {
    struct request *req;
    struct tenant tenant;
    struct lane_tenant lane_tenant;
    struct edition edition;
    struct way way;
};

struct cast { /* an upstream and its plugins */
    struct supply supply;
    struct shared_supply shared;
};

/* --- upstreams --- */

static void cast_close(struct cast *cast)
{
    for (unsigned i = 0; i < cast->supply.plugin_count; i++)
        plugin_unref(cast->supply.plugins[i]);
    upstream_free(cast->supply.upstream);
    plugin_upstream_free(cast->shared.face);
}

/* What `weir check` would say: with such a config nobody gets anything. */
static int refuse_config(const struct explanation *e, struct config_mark mark, const char *why)
{
    fprintf(stderr, "%s:%d:%d: %s\n", e->config->file.data, mark.line, mark.column, why);
    return REFUSED;
}

/* Closed by its caller either way. */
static int cast_open(struct cast *cast, const struct explanation *e, const struct config_upstream *config)
{
    struct supply *supply = &cast->supply;
    char error[1536] = "out of memory";
    *cast = (struct cast){ .supply = { .shared = &cast->shared } };
    cast->shared.face = plugin_upstream_new();
    if (cast->shared.face)
        supply->upstream = upstream_new(config, NULL, error, sizeof error);
    if (!supply->upstream)
        return refuse_config(e, config->mark, error);
    plugin_upstream_set(cast->shared.face, supply->upstream);
    for (unsigned i = 0; i < config->plugin_count; i++) {
        const struct config_plugin *row = &config->plugins[i];
        if (i == PLUGINS_MAX)
            return refuse_config(e, row->mark, "the upstream has too many plugins");
        supply->plugins[i] =
            plugin_new(e->config, config, row, e->plugin_dir, cast->shared.face, error, sizeof error);
        if (!supply->plugins[i])
            return refuse_config(e, row->mark, error);
        supply->plugin_count++;
    }
    return SERVED;
}

/* --- the request --- */

/* weir's own cookies, which plugins get apart from the client's. */
static struct str own_cookie(struct request *req)
{
    struct own_cookies own = { .room = NULL };
    for (const struct field *field = message_field(&req->msg, FIELD_COOKIE); field;
         field = message_next(&req->msg, field)) {
        struct str rest = field->value;
        struct str pair;
        struct str value;
        while (str_split(&rest, ';', &pair)) {
            if (own_cookie_value(str_trim(pair), &value))
                own_cookies_add(&own, &req->arena, value);
        }
    }
    return own.joined;
}

static bool setting_open(struct setting *setting, const struct explanation *e)
{
    const struct config_version *version = e->choice.version;
    struct request *req = calloc(1, sizeof *req);
    *setting = (struct setting){ .req = req };
    if (!req)
        return false;
    memcpy(setting->tenant.name, e->claim.name, sizeof setting->tenant.name);
    setting->tenant.name_len = e->claim.name_len;
    setting->lane_tenant.tenant = &setting->tenant;
    setting->lane_tenant.rules = e->limits;
    setting->edition.name = version ? version->name : STR("");
    setting->way.config = e->route;
    req->tag = REQUEST_TAG;
    arena_init(&req->arena, req->arena_first, sizeof req->arena_first, REQUEST_ARENA_LIMIT);
    req->msg = e->msg;
    req->tenant = &setting->lane_tenant;
    req->edition = &setting->edition;
    req->way = &setting->way;
    req->path = e->path;
    req->is_peer_trusted = e->is_trusted;
    req->is_https = e->is_https;
    req->own_cookie = own_cookie(req);
    req->has_upload = explain_has_body(&e->msg);
    return true;
}

static void setting_close(struct setting *setting)
{
    if (setting->req)
        arena_fini(&setting->req->arena);
    free(setting->req);
}

/* --- what they say --- */

/* plugins_assign() tells what they say, not who: one more of them is asked each time. */
static struct str ask_assign(struct request *req, unsigned *out_index)
{
    struct supply first = *req->supply;
    struct str name = { NULL, 0 };
    for (unsigned i = 0; i < req->supply->plugin_count && !name.data; i++) {
        first.plugin_count = i + 1;
        name = plugins_assign(req, &first);
        *out_index = i;
    }
    return name;
}

/* other: opened if another upstream takes the request. */
static int explain_assign(struct explanation *e, struct request *req, struct cast *other)
{
    unsigned index = 0;
    struct str name = ask_assign(req, &index);
    if (!name.data)
        return SERVED;
    explain_say(e, "upstream", "%.*s, as plugin %.*s of %.*s says for tenant %.*s", STR_FMT(name),
                STR_FMT(plugin_name(req->supply->plugins[index])), STR_FMT(e->upstream->name),
                STR_FMT(e->tenant));
    const struct config_upstream *upstream = config_find_upstream(e->config, name);
    if (!upstream)
        return explain_refuse(e, ERR_NO_ROUTE);
    if (upstream == e->upstream)
        return SERVED;
    e->upstream = upstream;
    memset(req->plugin_values, 0, sizeof req->plugin_values); /* the other's plugins begin anew */
    req->supply = &other->supply;
    return cast_open(other, e, upstream);
}

static void explain_kind(struct explanation *e, struct request *req)
{
    static const char *const consistencies[] = {
        [CONSISTENCY_OF_NONE] = "none",
        [CONSISTENCY_OF_WINDOW] = "window",
        [CONSISTENCY_OF_POSITION] = "position",
        [CONSISTENCY_OF_STRICT] = "strict",
    };
    enum config_consistency consistency = e->route ? e->route->consistency : CONSISTENCY_OF_UPSTREAM;

    plugins_inspect(req);
    e->is_write = req->is_write;
    e->bypasses_cache = req->bypasses_cache;
    /* Who wants to see the whole body of what it takes for a write may change its mind then. */
    explain_say(e, "kind", "%s",
                !req->is_write              ? "read"
                : req->keep_body_bytes == 0 ? "write"
                                            : "write, unless its body says otherwise");
    if (consistency != CONSISTENCY_OF_UPSTREAM)
        explain_say(e, "", "consistency %s, as the route says", consistencies[consistency]);
    if (req->not_before_ms > 0 || req->position.data)
        explain_say(e, "", "what is stored is used only if it shows what its position token asks for");
}

int explain_plugins(struct explanation *e)
{
    struct setting setting;
    struct cast own = { 0 };
    struct cast other = { 0 };
    int code = REFUSED;

    if (e->upstream->plugin_count == 0) {
        explain_servers(e);
        return SERVED;
    }
    if (!setting_open(&setting, e)) {
        code = explain_refuse(e, ERR_NO_MEMORY);
    } else if (cast_open(&own, e, e->upstream) == SERVED) {
        setting.req->supply = &own.supply;
        code = explain_assign(e, setting.req, &other);
        if (code == SERVED)
            explain_servers(e);
        if (code == SERVED && setting.req->supply->plugin_count > 0)
            explain_kind(e, setting.req);
    }
    cast_close(&other);
    cast_close(&own);
    setting_close(&setting);
    return code;
}
