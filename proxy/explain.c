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

#define SERVED     0
#define REFUSED    1
#define NO_REQUEST 2

/* What is known of the request so far, in the order the corridor finds it out. */
struct explanation {
    const struct config *config;
    FILE *out;
    bool is_https;
    bool is_trusted;
    struct message msg;
    char authority[300];
    struct str host;
    struct tenant_claim claim;
    struct str tenant;
    const struct config_tenant *limits;
    struct str path; /* after tenant and version prefixes */
    struct version_choice choice;
    const struct config_route *route;
    const struct config_upstream *upstream;
};

static void say(const struct explanation *e, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(const struct explanation *e, const char *what, const char *format, ...)
{
    va_list args;
    fprintf(e->out, "%-10s ", what);
    va_start(args, format);
    vfprintf(e->out, format, args);
    va_end(args);
    fputc('\n', e->out);
}

static int refuse(const struct explanation *e, int err)
{
    say(e, "refused", "%d %s: %s", err_status(err), err_word(err), err_text(err));
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
        say(e, "peer",
            "a stranger: what it says in X-Forwarded-* and the like is not believed (--peer ADDRESS)");
        return true;
    }
    if (!parse_peer(peer, &addr)) {
        fprintf(stderr, "weir explain: --peer must be an IP address, not %s\n", peer);
        return false;
    }
    for (unsigned i = 0; i < e->config->trusted_peer_count; i++)
        e->is_trusted = e->is_trusted || cidr_has(&e->config->trusted_peers[i], (struct sockaddr *)&addr.sa);
    say(e, "peer", "%s, %s", peer, e->is_trusted ? "one of trusted_peers" : "not one of trusted_peers");
    return true;
}

static void read_authority(struct explanation *e)
{
    struct str proto = message_value(&e->msg, FIELD_X_FORWARDED_PROTO);
    if (e->is_trusted && proto.data)
        e->is_https = str_ieq(proto, STR("https"));
    size_t len = authority_normalise(e->msg.authority, e->is_https, e->authority, sizeof e->authority);
    e->host = authority_host(str_n(e->authority, len));
    say(e, "request", "%.*s %s://%.*s%.*s", STR_FMT(e->msg.method_name), e->is_https ? "https" : "http",
        (int)len, e->authority, STR_FMT(e->msg.target));
}

/* --- whose is it? --- */

static void print_source(const struct explanation *e, const char *what, const struct config_source *source,
                         const char *placeholder)
{
    switch (source->kind) {
    case SOURCE_HOST:
    case SOURCE_PATH:
    case SOURCE_ACCEPT:
        say(e, what, "named by its %s, as %.*s{%s}%.*s%s",
            source->kind == SOURCE_HOST   ? "host"
            : source->kind == SOURCE_PATH ? "path"
                                          : "Accept",
            STR_FMT(source->before), placeholder, STR_FMT(source->after),
            source->is_stripped ? " (the app does not see that prefix)" : "");
        break;
    case SOURCE_HEADER:
        say(e, what, "named by its header %.*s%s", STR_FMT(source->name),
            source->is_trusted_only ? ", believed from trusted_peers only" : "");
        break;
    case SOURCE_QUERY:
        say(e, what, "named by its query parameter %.*s", STR_FMT(source->name));
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
            say(e, "", "its header %.*s is not believed: the peer is none of trusted_peers",
                STR_FMT(one.from->name));
    }
    say(e, "", "%s",
        !all->is_given            ? "the config has no `tenants`"
        : all->is_unknown_default ? "no source names one: `unknown: default`"
                                  : "no source names one: `unknown: refuse`");
}

static int explain_tenant(struct explanation *e)
{
    int err = tenant_claim_read(&e->config->tenants, &e->msg, e->is_trusted, &e->claim);
    if (err) {
        say(e, "tenant", "none");
        explain_tenant_source(e);
        return refuse(e, err);
    }
    e->tenant = str_n(e->claim.name, e->claim.name_len);
    say(e, "tenant", "%.*s", STR_FMT(e->tenant));
    explain_tenant_source(e);

    struct tenant_rules *rules = tenant_rules_new(&e->config->tenants);
    e->limits = rules ? tenant_rules_find(rules, e->tenant) : NULL;
    tenant_rules_free(rules);
    if (!e->limits) {
        say(e, "", "not under `named`, and `unlisted: refuse`");
        return refuse(e, ERR_NO_TENANT);
    }
    say(e, "", "%s", e->limits->name.data ? "its row under `named` holds" : "the limits of `default` hold");
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
    say(e, "", "%s",
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
    say(e, "", "%s %s", what, text);
}

static int explain_version(struct explanation *e)
{
    const struct config_versions *config = &e->config->versions;
    struct versions *versions = versions_new(config);
    int err = versions ? versions_choose(versions, &e->msg, e->path, e->limits->version, &e->choice)
                       : ERR_NO_MEMORY;
    versions_free(versions);
    if (!config->is_given) {
        say(e, "version", "the only one: the config has no `versions`");
        return err ? refuse(e, err) : SERVED;
    }
    const struct config_version *version = e->choice.version;
    say(e, "version", "%.*s", STR_FMT(version ? version->name : STR("none")));
    explain_version_source(e);
    if (err)
        return refuse(e, err);
    if (version->deprecated_s)
        print_date(e, "deprecated since", version->deprecated_s);
    if (version->sunset_s)
        print_date(e, version->is_gone_after_sunset ? "gone from" : "sunset", version->sunset_s);
    if (version_is_gone(version, clock_wall_ns() / NS_PER_S))
        return refuse(e, ERR_VERSION_GONE);
    e->path = str_from(e->path, e->choice.prefix_bytes);
    return SERVED;
}

/* --- which rules, which servers? --- */

static void print_route(const struct explanation *e)
{
    const struct config_route *route = e->route;
    if (!route) {
        say(e, "route", "none names %.*s: the defaults hold", STR_FMT(e->path));
        return;
    }
    say(e, "route", "%.*s", STR_FMT(route->name));
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
        say(e, "upstream", "%.*s, as the route says", STR_FMT(e->route->upstream));
        return e->route->upstream;
    }
    if (version && version_is_canary(version, &version->canary, e->tenant)) {
        say(e, "upstream", "%.*s, the canary of %.*s (%g %% of tenants): this tenant is in it",
            STR_FMT(version->canary.upstream), STR_FMT(version->name), version->canary.percent);
        return version->canary.upstream;
    }
    if (version && version->upstream.data) {
        say(e, "upstream", "%.*s, as the version says%s", STR_FMT(version->upstream),
            version->canary.upstream.data ? "; this tenant is not in its canary" : "");
        return version->upstream;
    }
    if (e->config->upstream_count == 1) {
        say(e, "upstream", "%.*s, the only one", STR_FMT(e->config->upstreams[0].name));
        return e->config->upstreams[0].name;
    }
    return (struct str){ NULL, 0 };
}

static void print_servers(const struct explanation *e)
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
        return refuse(e, ERR_NO_MEMORY);
    e->route = routes_find(routes, e->host, e->path, e->msg.method_name);
    routes_free(routes);
    print_route(e);
    e->upstream = config_find_upstream(e->config, choose_upstream(e));
    if (!e->upstream)
        return refuse(e, ERR_NO_ROUTE);
    print_servers(e);
    int64_t body_max = e->config->clients.body_max_bytes;
    if (body_max >= 0 && e->msg.framing == FRAMING_LENGTH && e->msg.content_length > (uint64_t)body_max)
        return refuse(e, ERR_BODY_TOO_LARGE);
    return SERVED;
}

/* --- what may the cache do? --- */

static bool counts_as_credential(const struct config_cache_rule *rule, struct str name)
{
    if (name.len == 0 || str_eq(name, STR("weir_position")))
        return false;
    if (!rule || !rule->has_cookies)
        return true;
    for (unsigned i = 0; i < rule->cookie_count; i++) {
        if (str_eq(name, rule->cookies[i]))
            return true;
    }
    return false;
}

static bool has_credential_cookie(const struct explanation *e, const struct config_cache_rule *rule)
{
    for (const struct field *field = message_field(&e->msg, FIELD_COOKIE); field;
         field = message_next(&e->msg, field)) {
        struct str rest = field->value, pair;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            ptrdiff_t equals = str_find(pair, '=');
            if (counts_as_credential(rule, equals < 0 ? pair : str_n(pair.data, (size_t)equals)))
                return true;
        }
    }
    return false;
}

static const char *why_past_cache(const struct explanation *e, const struct cache_request *asks)
{
    const struct message *msg = &e->msg;
    if (e->config->cache.memory_bytes == 0)
        return "the cache is off (memory: 0)";
    if (msg->method != METHOD_GET && msg->method != METHOD_HEAD)
        return "only GET and HEAD are answered from it";
    if (msg->framing == FRAMING_CHUNKED || (msg->framing == FRAMING_LENGTH && msg->content_length > 0))
        return "the request has a body";
    if (msg->has_upgrade)
        return "the request asks for an upgrade";
    if (asks->control.is_no_store)
        return "the request says no-store";
    return NULL;
}

static const char *why_no_ttl(const struct explanation *e, const struct config_cache_rule *rule,
                              const struct cache_request *asks)
{
    if (!rule || rule->ttl_ms < 0)
        return "the route has no ttl";
    if (!path_is_plain(e->msg.path))
        return "the path has dot segments, \"//\", \";\", \"\\\" or an encoded separator";
    if (rule->share == SHARE_CREDENTIAL)
        return NULL;
    if (asks->has_authorization)
        return "the request carries Authorization";
    return has_credential_cookie(e, rule) ? "the request carries a cookie that counts as a credential" : NULL;
}

static void explain_cache(const struct explanation *e)
{
    static const char *const shares[] = {
        [SHARE_PUBLIC] = "public",
        [SHARE_TENANT] = "tenant",
        [SHARE_CREDENTIAL] = "credential",
    };
    const struct config_cache_rule *rule = e->route && e->route->has_cache ? &e->route->cache : NULL;
    struct cache_request asks;
    cache_request_read(&e->msg, &asks);
    const char *past = why_past_cache(e, &asks);
    if (past) {
        say(e, "cache", "passed by: %s", past);
        return;
    }
    const char *no_ttl = why_no_ttl(e, rule, &asks);
    say(e, "cache", "answers with a freshness of their own are used%s",
        e->msg.method != METHOD_GET ? ", none is stored (HEAD)"
        : asks.has_range            ? ", none is stored (a range)"
                                    : " and stored");
    if (no_ttl)
        say(e, "", "others are not: %s", no_ttl);
    else
        say(e, "", "others for %g s by the route's ttl; share: %s", (double)rule->ttl_ms / 1000,
            shares[rule->share]);
    if (rule && rule->is_for_all_tenants)
        say(e, "", "shared by all tenants (scope: all_tenants)");
    if (asks.is_no_cache)
        say(e, "", "the request says no-cache: what is stored is validated first");
}

/* --- limits and times --- */

static void print_ms(const struct explanation *e, const char *name, int64_t ms, bool is_last)
{
    if (ms == NEVER)
        fprintf(e->out, "%s unlimited%s", name, is_last ? "\n" : ", ");
    else
        fprintf(e->out, "%s %g s%s", name, (double)ms / 1000, is_last ? "\n" : ", ");
}

static int64_t own_or(int64_t own, int64_t other)
{
    return own == INT64_MIN ? other : own;
}

static void explain_times(const struct explanation *e)
{
    struct config_timeouts t = e->upstream->timeouts;
    if (e->route) {
        t.connect_ms = own_or(e->route->timeouts.connect_ms, t.connect_ms);
        t.first_byte_ms = own_or(e->route->timeouts.first_byte_ms, t.first_byte_ms);
        t.idle_ms = own_or(e->route->timeouts.idle_ms, t.idle_ms);
        t.total_ms = own_or(e->route->timeouts.total_ms, t.total_ms);
    }
    fprintf(e->out, "%-10s ", "timeouts");
    print_ms(e, "connect", t.connect_ms, false);
    print_ms(e, "first byte", t.first_byte_ms, false);
    print_ms(e, "idle", t.idle_ms, false);
    print_ms(e, "total", t.total_ms, true);
}

static void explain_limits(const struct explanation *e)
{
    static const char *const priorities[] = {
        [PRIORITY_HIGH] = "high",
        [PRIORITY_NORMAL] = "normal",
        [PRIORITY_LOW] = "low",
    };
    const struct config_tenant *limits = e->limits;
    const struct config_upstream *upstream = e->upstream;
    double burst = limits->burst > 0 ? limits->burst : limits->rate_per_s > 1 ? limits->rate_per_s : 1;
    if (limits->rate_per_s < 0)
        say(e, "limits", "tenant: rate unlimited");
    else
        say(e, "limits", "tenant: rate %g/s, burst %g (then 429 tenant-rate)", limits->rate_per_s, burst);
    if (limits->concurrency >= 0)
        say(e, "", "tenant: %lld at once (then 429 tenant-concurrency)", (long long)limits->concurrency);
    if (e->config->clients.rate_per_s >= 0 && !e->is_trusted)
        say(e, "", "address: rate %g/s (then 429 address-rate)", e->config->clients.rate_per_s);
    if (upstream->limit_concurrency >= 0)
        say(e, "", "upstream: %lld at once, %lld more wait for at most %g s; weight %u, priority %s",
            (long long)upstream->limit_concurrency, (long long)upstream->limit_queue,
            (double)upstream->limit_queue_ms / 1000, limits->weight,
            priorities[e->route ? e->route->priority : PRIORITY_NORMAL]);
    else
        say(e, "", "upstream: unlimited");
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

int explain_request(struct config *config, const char *method, const char *url, const struct str *headers,
                    unsigned header_count, const char *peer, FILE *out)
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
        e->out = out;
        e->is_https = asked.is_https;
        int err = read_head(e, buf_str(&head));
        if (err) {
            say(e, "request", "%s %s", method, url);
            code = refuse(e, err);
        } else if (read_peer(e, peer)) {
            read_authority(e);
            code = walk(e);
        }
    }
    buf_fini(&head);
    free(e);
    return code;
}
