/* Who is primary, by what the databases say of themselves. */
#include "servers_inside.h"

bool server_leads(const struct server *server)
{
    int role = atomic_load_explicit(&server->role, memory_order_relaxed);

    if (role == SERVERS_ROLE_UNKNOWN)
        return atomic_load_explicit(&server->is_primary, memory_order_relaxed);
    return role == SERVERS_ROLE_PRIMARY;
}

enum servers_role servers_role_of(const struct servers *servers, int slot)
{
    return (enum servers_role)atomic_load_explicit(&servers->slots[slot]->role, memory_order_relaxed);
}

bool servers_is_pretender(const struct servers *servers, int slot)
{
    return atomic_load_explicit(&servers->slots[slot]->is_pretender, memory_order_relaxed);
}

/* Nobody who can be asked claims to be primary. One that cannot be asked keeps the role it was last known to
 * have: a probe that fails is no failover. */
static int without_claims(const struct servers *servers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct server *server = servers->slots[i];

        if (servers->primary_group == PRIMARY_AS_CONFIGURED && server->was_primary && !server->has_claim)
            return PRIMARY_AS_CONFIGURED;
        if (server->group == servers->primary_group && server->claims_primary)
            return servers->primary_group;
    }
    return PRIMARY_NONE;
}

/* The higher timeline wins. On the same one nobody does: both would take writes that the other loses. */
static int elect(const struct servers *servers, unsigned count)
{
    int group = PRIMARY_NONE;
    uint32_t timeline = 0;
    bool has_claimer = false;

    for (unsigned i = 0; i < count; i++) {
        const struct server *server = servers->slots[i];

        if (!server->has_claim || !server->claims_primary || server->is_silent)
            continue;
        if (!has_claimer || server->timeline > timeline) {
            group = server->group;
            timeline = server->timeline;
        } else if (server->timeline == timeline && server->group != group) {
            group = PRIMARY_NONE;
        }
        has_claimer = true;
    }
    return has_claimer ? group : without_claims(servers, count);
}

static enum servers_role role_under(const struct servers *servers, const struct server *server,
                                    bool is_as_configured)
{
    if (server->has_claim) {
        if (server->claims_primary && server->group == servers->primary_group)
            return SERVERS_ROLE_PRIMARY;
        return SERVERS_ROLE_REPLICA;
    }
    /* Nobody asks its database. When another than the configured one leads, that is what it follows. */
    return is_as_configured ? SERVERS_ROLE_UNKNOWN : SERVERS_ROLE_REPLICA;
}

/* Returns whether a role changed. */
static bool assign_roles(struct servers *servers, unsigned count)
{
    bool is_as_configured = servers->primary_group < 0;
    bool has_changed = false;

    for (unsigned i = 0; i < count; i++)
        if (servers->slots[i]->group == servers->primary_group && servers->slots[i]->was_primary)
            is_as_configured = true;
    for (unsigned i = 0; i < count; i++) {
        struct server *server = servers->slots[i];
        int role = SERVERS_ROLE_UNKNOWN;

        if (servers->primary_group != PRIMARY_AS_CONFIGURED || server->has_claim)
            role = (int)role_under(servers, server, is_as_configured);
        has_changed |= atomic_exchange(&server->role, role) != role;
        atomic_store(&server->is_pretender, servers->primary_group >= 0 && server->has_claim &&
                                                server->claims_primary && role == SERVERS_ROLE_REPLICA);
    }
    return has_changed;
}

static void settle(struct servers *servers, struct server *server, bool is_silent, bool is_primary,
                   uint32_t timeline)
{
    unsigned count = atomic_load(&servers->count);
    bool has_changed;

    pthread_mutex_lock(&servers->lock);
    for (unsigned i = 0; i < count; i++)
        if (!servers->slots[i]->has_claim && servers->primary_group == PRIMARY_AS_CONFIGURED)
            servers->slots[i]->was_primary = atomic_load(&servers->slots[i]->is_primary);
    server->is_silent = is_silent;
    if (!is_silent) {
        server->has_claim = true;
        server->claims_primary = is_primary;
        server->timeline = timeline;
    }
    servers->primary_group = elect(servers, count);
    has_changed = assign_roles(servers, count);
    pthread_mutex_unlock(&servers->lock);
    if (has_changed && servers->on_progress)
        servers->on_progress(servers->arg, true);
}

void servers_role(struct servers *servers, struct weir_str address, bool is_primary, uint32_t timeline)
{
    int slot = servers_find(servers, address, 0);

    if (slot >= 0)
        settle(servers, servers->slots[slot], false, is_primary, timeline);
}

void servers_silent(struct servers *servers, struct weir_str address)
{
    int slot = servers_find(servers, address, 0);

    if (slot >= 0)
        settle(servers, servers->slots[slot], true, false, 0);
}
