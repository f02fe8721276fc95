/* Which API version is asked for, which rules hold, which servers can answer? */
#include "base/err.h"
#include "http/target.h"
#include "pipeline/client.h"
#include "pipeline/plugin.h"
#include "pipeline/request.h"

/* The version's supply, or its canary's: sticky by tenant, and at once what the admin address says. */
static struct supply *edition_supply(struct request *req)
{
    struct edition *edition = req->edition;
    struct canary *canary = atomic_load_explicit(&edition->canary, memory_order_acquire);
    if (canary && canary->supply) {
        struct str tenant = tenant_name(req->tenant->tenant);
        if (version_is_canary(edition->config, &canary->config, tenant)) {
            req->is_canary = true;
            return canary->supply;
        }
    }
    return edition->supply;
}

/* Takes the version's prefix off what the app sees; the tenant's is off already, if it is to be. */
static bool strip(struct request *req, const struct version_choice *choice)
{
    if (!choice->is_prefix_stripped || choice->prefix_bytes == 0)
        return true;
    /* path is a view into target behind the tenant's prefix: what the app still sees of that comes first. */
    struct str kept = str_n(req->target_out.data, (size_t)(req->path.data - req->target_out.data));
    struct str rest = str_from(req->target_out, kept.len + choice->prefix_bytes);
    req->target_out = arena_printf(&req->arena, "%.*s%.*s", STR_FMT(kept), STR_FMT(rest));
    return req->target_out.data != NULL;
}

/* "/v1" with its prefix off is "" (or "?q"): as a target that is "/". */
static bool root(struct request *req)
{
    if (req->path.len == 0)
        req->path = STR("/");
    if (req->target_out.len > 0 && req->target_out.data[0] != '?')
        return true;
    req->target_out = arena_printf(&req->arena, "/%.*s", STR_FMT(req->target_out));
    return req->target_out.data != NULL;
}

enum verdict stage_route(struct request *req)
{
    struct world *world = req->world;
    struct version_choice choice;

    int err = versions_choose(world->versions, &req->msg, req->path, req->tenant->rules->version, &choice);
    if (err)
        return request_fail(req, err);
    req->edition = &world->editions[choice.index];
    if (choice.version && version_is_gone(choice.version, loop_wall_ms(req->lane->loop) / 1000))
        return request_fail(req, ERR_VERSION_GONE);
    if (!strip(req, &choice))
        return request_fail(req, ERR_NO_MEMORY);
    req->path = str_from(req->path, choice.prefix_bytes);
    if (!root(req))
        return request_fail(req, ERR_NO_MEMORY);

    const struct config_route *route =
        routes_find(world->routes, authority_host(req->authority), req->path, req->msg.method_name);
    req->way = &world->ways[route ? (unsigned)(route - world->config->routes) : world->config->route_count];
    req->supply = req->way->supply ? req->way->supply : edition_supply(req);
    if (!req->supply)
        return request_fail(req, ERR_NO_ROUTE);
    if (req->supply->plugin_count > 0) {
        struct str assigned = plugins_assign(req, req->supply);
        struct supply *other = assigned.data ? world_supply(world, assigned) : NULL;
        if (assigned.data && !other)
            return request_fail(req, ERR_NO_ROUTE);
        if (other && other != req->supply) { /* its plugins begin anew */
            memset(req->plugin_values, 0, sizeof req->plugin_values);
            req->supply = other;
        }
    }

    const struct config_clients *clients = &world->config->clients;
    if (clients->body_max_bytes >= 0 && req->msg.framing == FRAMING_LENGTH &&
        req->msg.content_length > (uint64_t)clients->body_max_bytes)
        return request_fail(req, ERR_BODY_TOO_LARGE);
    return NEXT;
}
