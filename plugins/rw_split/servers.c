/* The table of servers and their newest positions; their histories are in samples.c and bounds.c, their roles
 * in roles.c. */
#include "servers_inside.h"

#include <stdlib.h>
#include <string.h>

#define TURNS_A_ROUND 64 /* of servers_measure(), some seconds */
#define IDLE_ROUNDS   16 /* who was not named for so long is no server of this upstream any more */
#define READ_TRIES    1000

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

static void server_free(struct server *server)
{
    pthread_mutex_destroy(&server->lock);
    free(server->ring);
    free(server->database);
    free(server);
}

void servers_free(struct servers *servers)
{
    unsigned count;

    if (!servers)
        return;
    count = atomic_load(&servers->count);
    for (unsigned i = 0; i < count; i++)
        server_free(servers->slots[i]);
    while (servers->retired) {
        struct server *server = servers->retired;

        servers->retired = server->next_retired;
        server_free(server);
    }
    succession_leave(servers->succession);
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

static unsigned round_now(const struct servers *servers)
{
    return atomic_load_explicit(&servers->turns, memory_order_relaxed) / TURNS_A_ROUND;
}

/* The place of one that weir has not named for long, and no probe asks; -1: all are needed. */
static int idle_slot(const struct servers *servers)
{
    for (unsigned i = 0; i < SERVERS_MAX; i++) {
        const struct server *server = servers->slots[i];
        unsigned named = atomic_load_explicit(&server->named, memory_order_relaxed);

        if (!server->is_expected && !server->has_claim && round_now(servers) - named > IDLE_ROUNDS)
            return (int)i;
    }
    return -1;
}

/* Whoever found it a moment ago may still look at it: it is kept, without what makes it large. */
static void retire(struct servers *servers, struct server *server)
{
    pthread_mutex_lock(&server->lock);
    free(server->ring);
    server->ring = NULL;
    server->count = 0;
    pthread_mutex_unlock(&server->lock);
    server->next_retired = servers->retired;
    servers->retired = server;
}

static int add(struct servers *servers, struct weir_str address)
{
    unsigned count = atomic_load(&servers->count);
    int slot = count < SERVERS_MAX ? (int)count : idle_slot(servers);
    struct server *server;

    if (!address.data || address.len == 0 || address.len >= ADDRESS_SIZE)
        return -1;
    if (slot < 0) {
        atomic_store(&servers->is_full, true);
        return -1;
    }
    server = calloc(1, sizeof *server);
    if (!server)
        return -1;
    memcpy(server->address, address.data, address.len);
    server->address_len = address.len;
    server->tag = servers_tag(address);
    server->group = slot;
    atomic_init(&server->named, round_now(servers));
    atomic_init(&server->lag_ms, -1);
    atomic_init(&server->said_lag_ms, -1);
    pthread_mutex_init(&server->lock, NULL);
    if (count == SERVERS_MAX)
        retire(servers, servers->slots[slot]);
    atomic_store_explicit(&servers->slots[slot], server, memory_order_release);
    if (count < SERVERS_MAX)
        atomic_store_explicit(&servers->count, count + 1, memory_order_release);
    return slot;
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

    if (slot < 0 || same < 0)
        return;
    pthread_mutex_lock(&servers->lock);
    servers->slots[slot]->group = servers->slots[same]->group;
    servers->slots[slot]->is_expected = servers->slots[same]->is_expected = true;
    pthread_mutex_unlock(&servers->lock);
}

bool servers_are_full(const struct servers *servers)
{
    return atomic_load_explicit(&servers->is_full, memory_order_relaxed);
}

void servers_note_role(struct servers *servers, int slot, bool is_primary)
{
    struct server *server = servers->slots[slot];
    unsigned round = round_now(servers);

    if (atomic_load_explicit(&server->named, memory_order_relaxed) != round)
        atomic_store_explicit(&server->named, round, memory_order_relaxed);
    if (atomic_load_explicit(&server->is_primary, memory_order_relaxed) != is_primary)
        atomic_store_explicit(&server->is_primary, is_primary, memory_order_relaxed);
}

bool servers_know(const struct servers *servers)
{
    return atomic_load_explicit(&servers->knows, memory_order_relaxed);
}

/* Who writes may be put to sleep in the middle, by the system: a worker that reads does not spin until it is
 * woken. To whom it is not known how far a server is, it covers nothing: never wrong. */
struct position server_latest(const struct server *server)
{
    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        unsigned turn = atomic_load_explicit(&server->turn, memory_order_acquire);
        struct position at = { 0 };

        at.value = atomic_load_explicit(&server->value, memory_order_relaxed);
        at.epoch = atomic_load_explicit(&server->epoch, memory_order_relaxed);
        at.is_known = atomic_load_explicit(&server->is_known, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (turn % 2 == 0 && atomic_load_explicit(&server->turn, memory_order_relaxed) == turn)
            return at;
    }
    return (struct position){ 0 };
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
    /* Before its position: whoever takes the loss back has written the new one, so who sees it taken back
     * does not see the position of before the loss. */
    bool is_lost = atomic_load_explicit(&server->is_lost, memory_order_acquire);
    struct position latest = server_latest(server);

    if (is_lost && !seen_is_nothing(seen))
        return false;
    if (position_order(latest, seen->at) < 0 || servers_may_be_past(servers, seen->at, latest))
        return false;
    if (!seen->has_source)
        return true;
    /* A server does not fall behind itself, unless it was made anew since. */
    return seen->source == server->tag &&
           atomic_load_explicit(&server->reset_ms, memory_order_relaxed) < seen->at_ms;
}

bool servers_primary_is_stale(const struct servers *servers, int slot, const struct seen *seen)
{
    uint32_t epoch;

    if (!seen->at.is_known || seen->at.epoch == 0)
        return false;
    /* Alone: it is asked with each write, and "not known" for once would let one through. */
    epoch = atomic_load_explicit(&servers->slots[slot]->epoch, memory_order_relaxed);
    return epoch != 0 && epoch < seen->at.epoch;
}
