/* Who is primary, by what the databases say of themselves.
 *
 * A timeline that anybody was ever found on has ended all lower ones: who claims to be the primary of one of
 * those has been taken over from, and writes there would be lost. That holds as well while the newer primary
 * does not answer, or is dead: then there is none. Nor does a reload make anybody forget it: succession.h. */
#include "servers_inside.h"

#include <stdlib.h>
#include <string.h>

#define CONTRADICTS_MS 10000 /* so long the word of one that is silent still counts against another's */

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

int64_t servers_lost_since_ms(const struct servers *servers, int slot)
{
    return atomic_load_explicit(&servers->slots[slot]->gone_since_ms, memory_order_acquire);
}

bool servers_roles_are_settled(const struct servers *servers)
{
    return !atomic_load_explicit(&servers->is_unsettled, memory_order_acquire);
}

void servers_expect(struct servers *servers, struct weir_str address)
{
    int slot = servers_find(servers, address, 0);

    if (slot < 0)
        return;
    pthread_mutex_lock(&servers->lock);
    servers->slots[slot]->is_expected = true;
    servers->slots[slot]->is_awaited = true;
    atomic_store_explicit(&servers->is_unsettled, true, memory_order_release);
    pthread_mutex_unlock(&servers->lock);
}

/* --- from the instance before a reload --- */

/* Behind the lock. Nobody has asked it here, but it said so a moment ago: as if it had answered, and then
 * nothing. */
static void inherit(struct servers *servers, unsigned count)
{
    servers->timeline = succession_raise(servers->succession, 0);
    for (unsigned i = 0; i < count; i++) {
        struct server *server = servers->slots[i];

        if (!server->database || !succession_leads(servers->succession, server->database))
            continue;
        server->has_claim = server->claims_primary = true;
        server->timeline = servers->timeline;
        servers->primary_group = server->group;
        servers->is_heir = true;
    }
}

bool servers_succeed(struct servers *servers, const struct servers_database *databases, unsigned count)
{
    const char **names = calloc(count ? count : 1, sizeof *names);
    bool is_fine = names != NULL;

    for (unsigned i = 0; i < count && is_fine; i++) {
        int slot = servers_find(servers, databases[i].address, 0);

        names[i] = databases[i].database;
        if (slot < 0)
            continue;
        pthread_mutex_lock(&servers->lock);
        free(servers->slots[slot]->database);
        servers->slots[slot]->database = strdup(names[i]);
        is_fine = servers->slots[slot]->database != NULL;
        pthread_mutex_unlock(&servers->lock);
    }
    if (is_fine)
        servers->succession = succession_join(names, count);
    free(names);
    if (!is_fine || !servers->succession)
        return false;
    pthread_mutex_lock(&servers->lock);
    inherit(servers, atomic_load(&servers->count));
    pthread_mutex_unlock(&servers->lock);
    return true;
}

/* Behind the lock, once somebody was elected here, or nobody. That another upstream's leader leads nobody
 * here is no news of him. */
static void bequeath(struct servers *servers, unsigned count)
{
    if (!servers->succession || servers->primary_group == PRIMARY_AS_CONFIGURED)
        return;
    for (unsigned i = 0; i < count; i++) {
        const struct server *server = servers->slots[i];
        bool leads = server->group == servers->primary_group;

        if (server->database && leads)
            succession_led(servers->succession, servers->timeline, server->database);
        else if (server->database && servers->primary_group == PRIMARY_NONE &&
                 succession_leads(servers->succession, server->database))
            succession_led(servers->succession, servers->timeline, NULL);
    }
}

/* --- who it is --- */

static bool claims_newest(const struct servers *servers, const struct server *server)
{
    return server->has_claim && server->claims_primary && server->timeline == servers->timeline;
}

/* Nobody claims to be the primary of the newest timeline, or not lately. Who did so last keeps that role: a
 * probe that fails is no failover. */
static int without_claims(const struct servers *servers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct server *server = servers->slots[i];

        if (servers->primary_group == PRIMARY_AS_CONFIGURED && server->was_primary && !server->has_claim)
            return PRIMARY_AS_CONFIGURED;
        if (server->group == servers->primary_group && claims_newest(servers, server))
            return servers->primary_group;
    }
    return PRIMARY_NONE;
}

/* The higher timeline wins. On the same one nobody does: both would take writes that the other loses. That
 * one of the two does not answer is no reason, it may take them all the same; when it is silent for long, as
 * it is once it was stopped on purpose, the other may lead. */
static int elect(const struct servers *servers, unsigned count)
{
    int group = PRIMARY_NONE;

    for (unsigned i = 0; i < count; i++) {
        const struct server *server = servers->slots[i];

        if (!claims_newest(servers, server))
            continue;
        if (server->is_silent && servers->mono_ms - server->silent_ms >= CONTRADICTS_MS)
            continue;
        if (group >= 0 && server->group != group)
            return PRIMARY_NONE;
        group = server->group;
    }
    return group >= 0 ? group : without_claims(servers, count);
}

static enum servers_role role_under(const struct servers *servers, const struct server *server,
                                    bool is_unsettled, bool is_as_configured)
{
    if (server->has_claim) {
        if (server->claims_primary && server->group == servers->primary_group)
            return SERVERS_ROLE_PRIMARY;
        /* Until all are heard somebody may be found on a newer timeline. */
        return is_unsettled && claims_newest(servers, server) ? SERVERS_ROLE_UNKNOWN : SERVERS_ROLE_REPLICA;
    }
    /* Nobody asks its database. When another than the configured one leads, that is what it follows. */
    return is_as_configured ? SERVERS_ROLE_UNKNOWN : SERVERS_ROLE_REPLICA;
}

/* Returns whether a role changed. */
static bool assign_roles(struct servers *servers, unsigned count, bool is_unsettled)
{
    bool is_as_configured = servers->primary_group < 0;
    bool has_changed = false;

    for (unsigned i = 0; i < count; i++) {
        const struct server *server = servers->slots[i];

        if (server->group == servers->primary_group && server->was_primary)
            is_as_configured = true;
    }
    for (unsigned i = 0; i < count; i++) {
        struct server *server = servers->slots[i];
        int role = SERVERS_ROLE_UNKNOWN;

        if (servers->primary_group != PRIMARY_AS_CONFIGURED || server->has_claim)
            role = (int)role_under(servers, server, is_unsettled, is_as_configured);
        has_changed |= atomic_exchange(&server->role, role) != role;
        atomic_store(&server->is_pretender,
                     role == SERVERS_ROLE_REPLICA && server->has_claim && server->claims_primary &&
                         (servers->primary_group >= 0 || server->timeline < servers->timeline));
    }
    return has_changed;
}

static bool is_anybody_awaited(const struct servers *servers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (servers->slots[i]->is_awaited)
            return true;
    return false;
}

/* What a server said, or that it said nothing. Behind the lock. */
static void note_claim(struct servers *servers, struct server *server, bool is_silent, bool is_primary,
                       uint32_t timeline)
{
    server->is_awaited = false;
    if (is_silent && !server->is_silent)
        server->silent_ms = servers->mono_ms;
    server->is_silent = is_silent;
    if (is_silent)
        return;
    server->has_claim = true;
    server->claims_primary = is_primary;
    server->timeline = timeline;
    if (timeline > servers->timeline)
        servers->timeline = timeline;
}

/* Behind the lock: who leads by what is known until now goes by the config, not by what weir made of it. */
static void note_configured(struct servers *servers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct server *one = servers->slots[i];

        if (servers->is_heir || (!one->has_claim && servers->primary_group == PRIMARY_AS_CONFIGURED))
            one->was_primary = atomic_load(&one->is_primary);
    }
    servers->is_heir = false;
}

static void settle(struct servers *servers, struct server *server, bool is_silent, bool is_primary,
                   uint32_t timeline)
{
    unsigned count = atomic_load(&servers->count);
    bool has_changed, was_unsettled, is_unsettled, is_settled_now;

    pthread_mutex_lock(&servers->lock);
    note_configured(servers, count);
    note_claim(servers, server, is_silent, is_primary, timeline);
    if (servers->succession) /* instances beside this one may know more */
        servers->timeline = succession_raise(servers->succession, servers->timeline);
    was_unsettled = atomic_load(&servers->is_unsettled);
    /* Before an election here only a former leader has a group. */
    if (!is_silent && server->group == servers->primary_group && claims_newest(servers, server))
        servers->is_confirmed = true;
    is_unsettled = was_unsettled && !servers->is_confirmed && is_anybody_awaited(servers, count);
    is_settled_now = was_unsettled && !is_unsettled;
    if (!is_unsettled) {
        servers->primary_group = elect(servers, count);
        bequeath(servers, count);
    } else if (servers->primary_group >= 0) {
        servers->primary_group = without_claims(servers, count); /* the former leader may be none any more */
    }
    has_changed = assign_roles(servers, count, is_unsettled);
    pthread_mutex_unlock(&servers->lock);
    if (has_changed && servers->on_progress)
        servers->on_progress(servers->arg, true);
    if (!is_settled_now)
        return;
    /* Not before weir was told: who sees that they are settled must find the new roles. */
    atomic_store_explicit(&servers->is_unsettled, false, memory_order_release);
    if (servers->on_progress)
        servers->on_progress(servers->arg, false);
}

/* Who waits for it is told when it is back. */
static void note_gone(struct servers *servers, struct server *server, int64_t since_ms)
{
    bool was_gone = atomic_exchange(&server->gone_since_ms, since_ms) != 0;

    if (was_gone && since_ms == 0 && servers->on_progress)
        servers->on_progress(servers->arg, false);
}

void servers_gone(struct servers *servers, struct weir_str address, int64_t since_ms)
{
    int slot = servers_find(servers, address, 0);

    if (slot >= 0)
        note_gone(servers, servers->slots[slot], since_ms);
}

void servers_role(struct servers *servers, struct weir_str address, bool is_primary, uint32_t timeline)
{
    int slot = servers_find(servers, address, 0);

    if (slot < 0)
        return;
    settle(servers, servers->slots[slot], false, is_primary, timeline);
    note_gone(servers, servers->slots[slot],
              0); /* it may have come back as something else: that goes first */
}

void servers_silent(struct servers *servers, struct weir_str address)
{
    int slot = servers_find(servers, address, 0);
    struct server *server;

    if (slot < 0)
        return;
    server = servers->slots[slot];
    pthread_mutex_lock(&server->lock);
    server->is_heard = false;
    pthread_mutex_unlock(&server->lock);
    settle(servers, server, true, false, 0);
}
