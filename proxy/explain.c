#include "explain.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/caching.h"
#include "http/message.h"
#include "http/target.h"
#include "policy/route.h"
#include "policy/tenant.h"
#include "policy/version.h"

#include "explain_inside.h"

void explain_say(const struct explanation *e, const char *what, const char *format, ...)
{
    va_list args;
    fprintf(e->out, "%-10s ", what);
    va_start(args, format);
    vfprintf(e->out, format, args);
    va_end(args);
    fputc('\n', e->out);
}

int explain_refuse(const struct explanation *e, int err)
{
    explain_say(e, "refused", "%d %s: %s", err_status(err), err_word(err), err_text(err));
    return REFUSED;
}

/* --- the request --- */

struct asked {
    bool is_https;
    struct str authority; /* data NULL: the URL is a path */
    struct str target;
};

static struct asked read_url(struct str url)
{
    struct asked asked = { .target = url };
    asked.is_https = str_has_iprefix(url, STR("https://"));
    if (!asked.is_https && !str_has_iprefix(url, STR("http://")))
        return asked;
    struct str rest = str_from(url, asked.is_https ? 8 : 7);
    size_t end = 0;
    while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?')
        end++;
    asked.authority = str_n(rest.data, end);
    asked.target = end == rest.len ? STR("/") : str_from(rest, end);
    return asked;
}

static bool is_named(struct str line, struct str name)
{
    return str_has_iprefix(line, name) && line.len > name.len && line.data[name.len] == ':';
}

static bool write_head(struct buf *head, const char *method, const struct asked *asked,
                       const struct str *headers, unsigned header_count)
{
    bool has_host = false;
    for (unsigned i = 0; i < header_count; i++)
        has_host = has_host || is_named(headers[i], STR("Host"));
    bool ok = buf_printf(head, "%s %.*s HTTP/1.1\r\n", method, STR_FMT(asked->target));
    if (!has_host) {
        struct str host = asked->authority.data ? asked->authority : STR("localhost");
        ok = ok && buf_printf(head, "Host: %.*s\r\n", STR_FMT(host));
    }
    for (unsigned i = 0; i < header_count; i++)
        ok = ok && buf_append_str(head, headers[i]) && buf_append(head, "\r\n", 2);
    return ok && buf_append(head, "\r\n", 2);
}

/* The limits that a client's head meets. */
static int read_head(struct explanation *e, struct str head)
{
    const struct config_clients *clients = &e->config->clients;
    size_t bytes = (size_t)clients->head_max_bytes;
    const struct head_limits limits = {
        .head_bytes = bytes,
        .line_bytes = bytes < 8192 ? bytes : 8192,
        .fields = clients->fields_max < FIELDS_MAX ? (unsigned)clients->fields_max : FIELDS_MAX,
    };
    size_t scanned = 0;
    int len = head_find_end(head, &scanned, &limits);
    if (len < 0)
        return len;
    if ((size_t)len != head.len)
        return ERR_BAD_FIELD; /* an empty header ended it early */
    return message_read_request(&e->msg, head, &limits);
}

/* An address alone, or with its port. */
static bool parse_peer(const char *peer, struct addr *out)
{
    char text[160];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(text, sizeof text, i == 0 ? "[%s]:1" : "%s:1", peer);
        if (addr_parse(str_of(text), out) && out->kind == ADDR_IP)
            return true;
    }
    return addr_parse(str_of(peer), out) && out->kind == ADDR_IP;
}

static bool read_peer(struct explanation *e, const char *peer)
{
    struct addr addr;
    if (!peer) {
        explain_say(
            e, "peer",
            "a stranger: what it says in X-Forwarded-* and the like is not believed (--peer ADDRESS)");
        return true;
    }
    if (!parse_peer(peer, &addr)) {
        fprintf(stderr, "weir explain: --peer must be an IP address, not %s\n", peer);
        return false;
    }
    for (unsigned i = 0; i < e->config->trusted_peer_count; i++)
        e->is_trusted = e->is_trusted || cidr_has(&e->config->trusted_peers[i], (struct sockaddr *)&addr.sa);
    explain_say(e, "peer", "%s, %s", peer,
                e->is_trusted ? "one of trusted_peers" : "not one of trusted_peers");
    return true;
}

static void read_authority(struct explanation *e)
{
    struct str proto = message_value(&e->msg, FIELD_X_FORWARDED_PROTO);
    if (e->is_trusted && proto.data)
        e->is_https = str_ieq(proto, STR("https"));
    size_t len = authority_normalise(e->msg.authority, e->is_https, e->authority, sizeof e->authority);
    e->host = authority_host(str_n(e->authority, len));
    explain_say(e, "request", "%.*s %s://%.*s%.*s", STR_FMT(e->msg.method_name),
                e->is_https ? "https" : "http", (int)len, e->authority, STR_FMT(e->msg.target));
}

/* --- whose is it? --- */

static void print_source(const struct explanation *e, const char *what, const struct config_source *source,
                         const char *placeholder)
{
    switch (source->kind) {
    case SOURCE_HOST:
    case SOURCE_PATH:
    case SOURCE_ACCEPT:
        explain_say(e, what, "named by its %s, as %.*s{%s}%.*s%s",
                    source->kind == SOURCE_HOST   ? "host"
                    : source->kind == SOURCE_PATH ? "path"
                                                  : "Accept",
                    STR_FMT(source->before), placeholder, STR_FMT(source->after),
                    source->is_stripped ? " (the app does not see that prefix)" : "");
        break;
    case SOURCE_HEADER:
        explain_say(e, what, "named by its header %.*s%s", STR_FMT(source->name),
                    source->is_trusted_only ? ", believed from trusted_peers only" : "");
        break;
    case SOURCE_QUERY:
        explain_say(e, what, "named by its query parameter %.*s", STR_FMT(source->name));
        break;
    }
}

/* Each source alone: the first that names a tenant, or refuses, is the one that did. */
static void explain_tenant_source(const struct explanation *e)
{
    const struct config_tenants *all = &e->config->tenants;
    struct tenant_claim claim;
    for (unsigned i = 0; all->is_given && i < all->from_count; i++) {
        struct config_tenants one = *all;
        one.from = &all->from[i];
        one.from_count = 1;
        one.is_unknown_default = false;
        int err = tenant_claim_read(&one, &e->msg, e->is_trusted, &claim);
        if (err != ERR_NO_TENANT) {
            print_source(e, "", one.from, "tenant");
            return;
        }
        /* The usual surprise: it is there, and nobody listens. */
        if (one.from->is_trusted_only && !e->is_trusted && message_find(&e->msg, one.from->name))
            explain_say(e, "", "its header %.*s is not believed: the peer is none of trusted_peers",
                        STR_FMT(one.from->name));
    }
    explain_say(e, "", "%s",
                !all->is_given            ? "the config has no `tenants`"
                : all->is_unknown_default ? "no source names one: `unknown: default`"
                                          : "no source names one: `unknown: refuse`");
}

static int explain_tenant(struct explanation *e)
{
    int err = tenant_claim_read(&e->config->tenants, &e->msg, e->is_trusted, &e->claim);
    if (err) {
        explain_say(e, "tenant", "none");
        explain_tenant_source(e);
        return explain_refuse(e, err);
    }
    e->tenant = str_n(e->claim.name, e->claim.name_len);
    explain_say(e, "tenant", "%.*s", STR_FMT(e->tenant));
    explain_tenant_source(e);

    struct tenant_rules *rules = tenant_rules_new(&e->config->tenants);
    e->limits = rules ? tenant_rules_find(rules, e->tenant) : NULL;
    tenant_rules_free(rules);
    if (!e->limits) {
        explain_say(e, "", "not under `named`, and `unlisted: refuse`");
        return explain_refuse(e, ERR_NO_TENANT);
    }
    explain_say(e, "", "%s",
                e->limits->name.data ? "its row under `named` holds" : "the limits of `default` hold");
    e->path = str_from(e->msg.path, e->claim.prefix_bytes);
    return SERVED;
}

/* --- which version? --- */

/* As with tenants. Without a default only a source can name one; with one only an unknown name is an error.
 */
static void explain_version_source(const struct explanation *e)
{
    const struct config_versions *all = &e->config->versions;
    for (unsigned i = 0; all->known_count > 0 && i < all->from_count; i++) {
        struct version_choice choice;
        struct str none = { NULL, 0 };
        struct config_versions one = *all;
        one.from = &all->from[i];
        one.from_count = 1;
        one.fallback = none;
        struct versions *alone = versions_new(&one);
        if (!alone)
            return;
        bool is_named = versions_choose(alone, &e->msg, e->path, none, &choice) == 0;
        bool is_unknown = versions_choose(alone, &e->msg, e->path, all->known[0].name, &choice) != 0;
        versions_free(alone);
        if (is_named || is_unknown) {
            print_source(e, "", one.from, "version");
            return;
        }
    }
    bool is_tenants =
        e->limits->version.data && e->choice.version && str_eq(e->limits->version, e->choice.version->name);
    explain_say(e, "", "%s",
                is_tenants          ? "no source names one: this tenant's own `version`"
                : e->choice.version ? "no source names one: `default`"
                                    : "no source names one, and there is no `default`");
}

static void print_date(const struct explanation *e, const char *what, int64_t seconds)
{
    char text[16];
    time_t at = (time_t)seconds;
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(text, sizeof text, "%Y-%m-%d", &tm);
    explain_say(e, "", "%s %s", what, text);
}

static int explain_version(struct explanation *e)
{
    const struct config_versions *config = &e->config->versions;
    struct versions *versions = versions_new(config);
    int err = versions ? versions_choose(versions, &e->msg, e->path, e->limits->version, &e->choice)
                       : ERR_NO_MEMORY;
    versions_free(versions);
    if (!config->is_given) {
        explain_say(e, "version", "the only one: the config has no `versions`");
        return err ? explain_refuse(e, err) : SERVED;
    }
    const struct config_version *version = e->choice.version;
    explain_say(e, "version", "%.*s", STR_FMT(version ? version->name : STR("none")));
    explain_version_source(e);
    if (err)
        return explain_refuse(e, err);
    if (version->deprecated_s)
        print_date(e, "deprecated since", version->deprecated_s);
    if (version->sunset_s)
        print_date(e, version->is_gone_after_sunset ? "gone from" : "sunset", version->sunset_s);
    if (version_is_gone(version, clock_wall_ns() / NS_PER_S))
        return explain_refuse(e, ERR_VERSION_GONE);
    e->path = str_from(e->path, e->choice.prefix_bytes);
    return SERVED;
}

/* --- which rules, which servers? --- */

static void print_route(const struct explanation *e)
{
    const struct config_route *route = e->route;
    if (!route) {
        explain_say(e, "route", "none names %.*s: the defaults hold", STR_FMT(e->path));
        return;
    }
    explain_say(e, "route", "%.*s", STR_FMT(route->name));
    fprintf(e->out, "%-10s the longest that fits %.*s:", "", STR_FMT(e->path));
    if (route->host.data)
        fprintf(e->out, " host %.*s", STR_FMT(route->host));
    if (route->path.data)
        fprintf(e->out, " path %.*s", STR_FMT(route->path));
    for (unsigned i = 0; i < route->method_count; i++)
        fprintf(e->out, "%s%.*s", i == 0 ? " methods " : ",", STR_FMT(route->methods[i]));
    fputc('\n', e->out);
}

/* The route's, else the version's (or its canary's), else the only one. */
static struct str choose_upstream(const struct explanation *e)
{
    const struct config_version *version = e->choice.version;
    if (e->route && e->route->upstream.data) {
        explain_say(e, "upstream", "%.*s, as the route says", STR_FMT(e->route->upstream));
        return e->route->upstream;
    }
    if (version && version_is_canary(version, &version->canary, e->tenant)) {
        explain_say(e, "upstream", "%.*s, the canary of %.*s (%g %% of tenants): this tenant is in it",
                    STR_FMT(version->canary.upstream), STR_FMT(version->name), version->canary.percent);
        return version->canary.upstream;
    }
    if (version && version->upstream.data) {
        explain_say(e, "upstream", "%.*s, as the version says%s", STR_FMT(version->upstream),
                    version->canary.upstream.data ? "; this tenant is not in its canary" : "");
        return version->upstream;
    }
    if (e->config->upstream_count == 1) {
        explain_say(e, "upstream", "%.*s, the only one", STR_FMT(e->config->upstreams[0].name));
        return e->config->upstreams[0].name;
    }
    return (struct str){ NULL, 0 };
}

void explain_servers(const struct explanation *e)
{
    const struct config_upstream *upstream = e->upstream;
    fprintf(e->out, "%-10s primary", "");
    for (unsigned i = 0; i < upstream->primary_count; i++)
        fprintf(e->out, " %s", upstream->primaries[i].text);
    for (unsigned i = 0; i < upstream->replica_count; i++)
        fprintf(e->out, "%s%s", i == 0 ? ", replicas " : " ", upstream->replicas[i].text);
    for (unsigned i = 0; i < upstream->plugin_count; i++)
        fprintf(e->out, "%s%.*s", i == 0 ? "; plugins " : ", ", STR_FMT(upstream->plugins[i].name));
    fputc('\n', e->out);
}

static int explain_route(struct explanation *e)
{
    if (e->path.len == 0)
        e->path = STR("/");
    struct routes *routes = routes_new(e->config->routes, e->config->route_count);
    if (!routes)
        return explain_refuse(e, ERR_NO_MEMORY);
    e->route = routes_find(routes, e->host, e->path, e->msg.method_name);
    routes_free(routes);
    print_route(e);
    e->upstream = config_find_upstream(e->config, choose_upstream(e));
    if (!e->upstream)
        return explain_refuse(e, ERR_NO_ROUTE);
    int code = explain_plugins(e);
    if (code != SERVED)
        return code;
    int64_t body_max = e->config->clients.body_max_bytes;
    if (body_max >= 0 && e->msg.framing == FRAMING_LENGTH && e->msg.content_length > (uint64_t)body_max)
        return explain_refuse(e, ERR_BODY_TOO_LARGE);
    return SERVED;
}

/* --- all of it --- */

static int walk(struct explanation *e)
{
    int code = explain_tenant(e);
    if (code == SERVED)
        code = explain_version(e);
    if (code == SERVED)
        code = explain_route(e);
    if (code != SERVED)
        return code;
    explain_cache(e);
    explain_times(e);
    explain_limits(e);
    return SERVED;
}

int explain_request(struct config *config, const char *plugin_dir, const char *method, const char *url,
                    const struct str *headers, unsigned header_count, const char *peer, FILE *out)
{
    struct asked asked = read_url(str_of(url));
    struct explanation *e = calloc(1, sizeof *e);
    struct buf head;
    int code = NO_REQUEST;

    buf_init(&head);
    if (!e || !write_head(&head, method, &asked, headers, header_count)) {
        fprintf(stderr, "weir explain: out of memory\n");
    } else {
        e->config = config;
        e->plugin_dir = plugin_dir;
        e->out = out;
        e->is_https = asked.is_https;
        int err = read_head(e, buf_str(&head));
        if (err) {
            explain_say(e, "request", "%s %s", method, url);
            code = explain_refuse(e, err);
        } else if (read_peer(e, peer)) {
            read_authority(e);
            code = walk(e);
        }
    }
    buf_fini(&head);
    free(e);
    return code;
}
