/* Upstreams and their servers. Some of it is allowed and yet most likely not meant: that is a warning, which
 * `weir check` and the log tell. */
#include <netinet/in.h>

#include "base/check.h"
#include "config/checks.h"

/* The server's n-th address, primaries first. */
static const struct addr *server_at(const struct config_upstream *upstream, unsigned n)
{
    return n < upstream->primary_count ? &upstream->primaries[n]
                                       : &upstream->replicas[n - upstream->primary_count];
}

static void check_servers(struct reading *r, const struct config_upstream *upstream)
{
    unsigned count = upstream->primary_count + upstream->replica_count;
    for (unsigned i = 0; i < count; i++) {
        const struct addr *server = server_at(upstream, i);
        if (server->text[0] != '\0' && server->kind != ADDR_UNIX && server->port == 0)
            config_mistake(r->mistakes, reading_mark(r, server), "a server's port must be 1 to 65535");
        for (unsigned j = 0; j < i; j++) {
            if (!check_is_same_address(server, server_at(upstream, j)))
                continue;
            config_mistake(r->mistakes, reading_mark(r, server),
                           "%s is here twice; the first is on line %d: each server once, with one role",
                           server->text, reading_mark(r, server_at(upstream, j)).line);
            break;
        }
    }
}

/* --- weir before itself --- */

static bool is_wildcard(const struct addr *addr)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr->sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr->sa;
    if (addr->kind != ADDR_IP)
        return false;
    if (addr->sa.ss_family == AF_INET)
        return v4->sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

/* Is it surely weir itself that answers there? Which other addresses this machine has is not asked. */
static bool is_reached_by(const struct addr *listen, const struct addr *server)
{
    if (check_is_same_address(listen, server))
        return true;
    if (listen->kind == ADDR_UNIX || server->kind == ADDR_UNIX || listen->port == 0 ||
        listen->port != server->port)
        return false;
    bool is_local = addr_is_loopback(server) || is_wildcard(server);
    if (server->kind == ADDR_NAME)
        return is_local && (is_wildcard(listen) || addr_is_loopback(listen));
    bool is_family_same = listen->sa.ss_family == server->sa.ss_family;
    bool is_both = is_wildcard(listen) && listen->sa.ss_family == AF_INET6; /* it takes IPv4 too */
    if (is_wildcard(listen))
        return is_local && (is_family_same || is_both);
    return is_wildcard(server) && addr_is_loopback(listen) && is_family_same;
}

static void warn_of_loop(struct reading *r, const struct config_upstream *upstream)
{
    struct config *config = r->config;
    for (unsigned i = 0; i < upstream->primary_count + upstream->replica_count; i++) {
        const struct addr *server = server_at(upstream, i);
        for (unsigned j = 0; server->text[0] && j < config->listen_count; j++) {
            const struct addr *listen = &config->listens[j].address;
            if (!listen->text[0] || !is_reached_by(listen, server))
                continue;
            config_mistake(&config->warnings, reading_mark(r, server),
                           "upstream %.*s: %s is weir itself, which listens on %s: each request would go in "
                           "circles",
                           STR_FMT(upstream->name), server->text, listen->text);
            break;
        }
    }
}

/* --- one database behind several upstreams --- */

static bool has_plugin(const struct config_upstream *upstream, struct str name)
{
    for (unsigned i = 0; i < upstream->plugin_count; i++) {
        if (str_eq(upstream->plugins[i].name, name))
            return true;
    }
    return false;
}

/* `shard` hands its requests to other upstreams: nothing is written through one that has it. */
static void warn_of_unseen_writes(struct reading *r, const struct config_upstream *upstream)
{
    struct config *config = r->config;
    if (has_plugin(upstream, STR("rw_split")) || has_plugin(upstream, STR("shard")))
        return;
    for (unsigned i = 0; i < config->upstream_count; i++) {
        const struct config_upstream *other = &config->upstreams[i];
        if (!has_plugin(other, STR("rw_split")) || !str_eq(other->domain, upstream->domain))
            continue;
        struct config_mark said = reading_mark(r, &upstream->domain);
        config_mistake(
            &config->warnings, said.line > 0 ? said : upstream->mark,
            "upstream %.*s has no rw_split, and shares the domain \"%.*s\" with %.*s: writes through "
            "it give no token, and `consistency: strict` does not see them; give it `plugins: "
            "[rw_split]`, or a domain of its own",
            STR_FMT(upstream->name), STR_FMT(upstream->domain), STR_FMT(other->name));
        return;
    }
}

static void check_domain(struct reading *r, const struct config_upstream *upstream)
{
    if (upstream->domain.len > DOMAIN_MAX)
        config_mistake(r->mistakes, reading_mark(r, &upstream->domain),
                       "domain: it has %zu bytes; allowed: at most %d, it is a part of every token",
                       upstream->domain.len, DOMAIN_MAX);
}

static void check_plugins(struct reading *r, const struct config_upstream *upstream)
{
    for (unsigned i = 0; i < upstream->plugin_count; i++) {
        const struct config_plugin *plugin = &upstream->plugins[i];
        for (unsigned k = 0; k < i; k++) {
            if (plugin->name.data && str_eq(plugin->name, upstream->plugins[k].name))
                config_mistake(r->mistakes, plugin->mark,
                               "plugin %.*s is here twice; the first is on line %d", STR_FMT(plugin->name),
                               upstream->plugins[k].mark.line);
        }
    }
}

void check_upstreams(struct reading *r)
{
    for (unsigned i = 0; i < r->config->upstream_count; i++) {
        const struct config_upstream *upstream = &r->config->upstreams[i];
        check_servers(r, upstream);
        check_plugins(r, upstream);
        check_domain(r, upstream);
        warn_of_loop(r, upstream);
        warn_of_unseen_writes(r, upstream);
    }
}
