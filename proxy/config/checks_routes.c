#include "base/check.h"
#include "config/checks.h"

static bool is_same_text(struct str a, struct str b)
{
    return (a.data == NULL) == (b.data == NULL) && str_eq(a, b);
}

/* No path is every path. */
static struct str path_of(const struct config_route *route)
{
    return route->path.data ? route->path : STR("/**");
}

/* A route for some methods is more exact than one for any: those two are no twins. */
static bool do_methods_meet(const struct config_route *a, const struct config_route *b)
{
    if (a->method_count == 0 || b->method_count == 0)
        return a->method_count == b->method_count;
    for (unsigned i = 0; i < a->method_count; i++) {
        for (unsigned j = 0; j < b->method_count; j++) {
            if (a->methods[i].data && str_eq(a->methods[i], b->methods[j]))
                return true;
        }
    }
    return false;
}

/* True if a wrong value stands in for what would tell routes apart. */
static bool is_spoiled(struct reading *r, const struct config_route *route)
{
    return (!route->path.data && reading_has(r, &route->path)) ||
           (!route->host.data && reading_has(r, &route->host));
}

static void check_twins(struct reading *r, const struct config_route *route)
{
    for (const struct config_route *other = r->config->routes; other < route; other++) {
        if (is_spoiled(r, route) || is_spoiled(r, other))
            continue;
        if (is_same_text(route->host, other->host) && str_eq(path_of(route), path_of(other)) &&
            do_methods_meet(route, other)) {
            config_mistake(
                r->mistakes, route->mark,
                "this route matches what the one on line %d matches; allowed: another host, path or "
                "methods",
                other->mark.line);
            return;
        }
        if (route->name.data && reading_has(r, &route->name) && str_eq(route->name, other->name)) {
            config_mistake(r->mistakes, route->mark,
                           "route name \"%.*s\" is here twice; the first is on line %d", STR_FMT(route->name),
                           other->mark.line);
            return;
        }
    }
}

void check_routes(struct reading *r)
{
    const struct config *config = r->config;
    for (unsigned i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        check_twins(r, route);
        check_upstream_name(r, "upstream", &route->upstream);
        if (route->cache.is_for_all_tenants && route->cache.share == SHARE_TENANT)
            config_mistake(
                r->mistakes, reading_mark(r, &route->cache.is_for_all_tenants),
                "scope: all_tenants and share: tenant contradict each other; take one of them away");
    }
}

static bool is_catch_all(const struct config_route *route)
{
    return !route->host.data && route->method_count == 0 && str_eq(path_of(route), STR("/**"));
}

/* True if a route with an upstream of its own takes whatever no other route takes. */
static bool has_catch_all(const struct config *config)
{
    for (unsigned i = 0; i < config->route_count; i++) {
        if (is_catch_all(&config->routes[i]) && config->routes[i].upstream.data)
            return true;
    }
    return false;
}

/* A request goes to its route's upstream, else its version's, else the only one. With several, each of
 * those ways must end at a name. */
void check_ways(struct reading *r)
{
    const struct config *config = r->config;
    unsigned nameless = 0; /* versions that leave it to the routes */
    if (config->upstream_count < 2)
        return;
    for (unsigned i = 0; i < config->versions.known_count; i++)
        nameless += !reading_has(r, &config->versions.known[i].upstream);
    if (config->versions.known_count > 0 && nameless == 0)
        return;
    if (has_catch_all(config)) {
        for (unsigned i = 0; i < config->route_count; i++) {
            const struct config_route *route = &config->routes[i];
            if (!reading_has(r, &route->upstream))
                config_mistake(r->mistakes, route->mark,
                               "there are %u upstreams, and neither this route nor every version names one",
                               config->upstream_count);
        }
        return;
    }
    for (unsigned i = 0; i < config->versions.known_count; i++) {
        const struct config_version *version = &config->versions.known[i];
        if (!reading_has(r, &version->upstream))
            config_mistake(r->mistakes, reading_mark(r, version),
                           "there are %u upstreams, and this version names none; add `upstream`",
                           config->upstream_count);
    }
    if (config->versions.known_count == 0)
        config_mistake(r->mistakes, reading_mark(r, &config->upstreams),
                       "there are %u upstreams, and nothing says who gets what; add versions with an "
                       "`upstream` each, or a route {path: /**, upstream: ...}",
                       config->upstream_count);
}
