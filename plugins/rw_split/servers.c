/* The table of servers and their newest positions; their histories are in samples.c, their roles in roles.c.
 */
#include "servers_inside.h"

#include <stdlib.h>
#include <string.h>

struct servers *servers_new(uint32_t clock, servers_progress_fn *on_progress, void *arg)
{
    struct servers *servers = calloc(1, sizeof *servers);

    if (!servers)
        return NULL;
    servers->clock = clock;
    servers->on_progress = on_progress;
    servers->arg = arg;
    servers->primary_group = PRIMARY_AS_CONFIGURED;
    pthread_mutex_init(&servers->lock, NULL);
    return servers;
}

void servers_free(struct servers *servers)
{
    unsigned count;

    if (!servers)
        return;
    count = atomic_load(&servers->count);
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_destroy(&servers->slots[i]->lock);
        free(servers->slots[i]->ring);
        free(servers->slots[i]);
    }
    pthread_mutex_destroy(&servers->lock);
    free(servers);
}

/* FNV-1a. */
uint32_t servers_tag(struct weir_str address)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < address.len; i++)
        hash = (hash ^ (unsigned char)address.data[i]) * 16777619u;
    return hash == SOURCE_PRIMARY ? 1 : hash;
}

static bool is_at(const struct server *server, struct weir_str address)
{
    return server->address_len == address.len && memcmp(server->address, address.data, address.len) == 0;
}

static int look_up(const struct servers *servers, struct weir_str address)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);

    for (unsigned i = 0; i < count; i++)
        if (is_at(servers->slots[i], address))
            return (int)i;
    return -1;
}

static int add(struct servers *servers, struct weir_str address)
{
    unsigned count = atomic_load(&servers->count);
    struct server *server;

    if (count == SERVERS_MAX || !address.data || address.len == 0 || address.len >= ADDRESS_SIZE)
        return -1;
    server = calloc(1, sizeof *server);
    if (!server)
        return -1;
    memcpy(server->address, address.data, address.len);
    server->address_len = address.len;
    server->tag = servers_tag(address);
    server->group = (int)count;
    atomic_init(&server->lag_ms, -1);
    atomic_init(&server->said_lag_ms, -1);
    pthread_mutex_init(&server->lock, NULL);
    servers->slots[count] = server;
    atomic_store_explicit(&servers->count, count + 1, memory_order_release);
    return (int)count;
}

int servers_find(struct servers *servers, struct weir_str address, unsigned hint)
{
    int slot;

    if (hint < atomic_load_explicit(&servers->count, memory_order_acquire) &&
        is_at(servers->slots[hint], address))
        return (int)hint;
    slot = look_up(servers, address);
    if (slot >= 0)
        return slot;
    pthread_mutex_lock(&servers->lock);
    slot = look_up(servers, address);
    if (slot < 0)
        slot = add(servers, address);
    pthread_mutex_unlock(&servers->lock);
    return slot;
}

void servers_pair(struct servers *servers, struct weir_str address, struct weir_str same_as)
{
    int slot = servers_find(servers, address, 0);
    int same = servers_find(servers, same_as, 0);

    if (slot >= 0 && same >= 0)
        servers->slots[slot]->group = servers->slots[same]->group;
}

void servers_note_role(struct servers *servers, int slot, bool is_primary)
{
    struct server *server = servers->slots[slot];

    if (atomic_load_explicit(&server->is_primary, memory_order_relaxed) != is_primary)
        atomic_store_explicit(&server->is_primary, is_primary, memory_order_relaxed);
}

bool servers_know(const struct servers *servers)
{
    return atomic_load_explicit(&servers->knows, memory_order_relaxed);
}

struct position server_latest(const struct server *server)
{
    struct position at;
    unsigned turn;

    do {
        turn = atomic_load_explicit(&server->turn, memory_order_acquire);
        at.value = atomic_load_explicit(&server->value, memory_order_relaxed);
        at.epoch = atomic_load_explicit(&server->epoch, memory_order_relaxed);
        at.is_known = atomic_load_explicit(&server->is_known, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
    } while (turn % 2 || atomic_load_explicit(&server->turn, memory_order_relaxed) != turn);
    return at;
}

struct position servers_latest(const struct servers *servers, int slot)
{
    return server_latest(servers->slots[slot]);
}

int64_t servers_lag_ms(const struct servers *servers, int slot)
{
    return atomic_load_explicit(&servers->slots[slot]->lag_ms, memory_order_relaxed);
}

bool servers_covers(const struct servers *servers, int slot, const struct seen *seen)
{
    const struct server *server = servers->slots[slot];

    if (position_order(server_latest(server), seen->at) < 0)
        return false;
    if (!seen->has_source)
        return true;
    /* A server does not fall behind itself, unless it was made anew since. */
    return seen->source == server->tag &&
           atomic_load_explicit(&server->reset_ms, memory_order_relaxed) < seen->at_ms;
}
