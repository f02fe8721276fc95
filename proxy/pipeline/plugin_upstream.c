#include "pipeline/plugin_upstream.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/server.h"

#define POSITION_MAX 255

struct reported {
    struct server *server; /* a reference */
    uint8_t position_len;
    char position[POSITION_MAX];
};

struct weir_upstream {
    _Atomic int holds; /* its worlds' one, and its plugins' */
    struct held *held;
    pthread_mutex_t lock;
    struct reported rows[SERVERS_MAX];
    unsigned count;
    _Atomic bool has_positions;
    struct {
        _Atomic(const char *) word;
        _Atomic uint64_t count;
    } events[PLUGIN_EVENTS_MAX];
};

struct weir_upstream *plugin_upstream_new(void)
{
    struct weir_upstream *face = calloc(1, sizeof *face);
    if (!face)
        return NULL;
    face->held = held_new();
    if (!face->held) {
        free(face);
        return NULL;
    }
    pthread_mutex_init(&face->lock, NULL);
    atomic_init(&face->holds, 1);
    return face;
}

struct weir_upstream *plugin_upstream_hold(struct weir_upstream *face)
{
    if (face)
        atomic_fetch_add_explicit(&face->holds, 1, memory_order_relaxed);
    return face;
}

void plugin_upstream_drop(struct weir_upstream *face)
{
    if (!face || atomic_fetch_sub_explicit(&face->holds, 1, memory_order_acq_rel) > 1)
        return;
    held_free(face->held);
    pthread_mutex_destroy(&face->lock);
    free(face);
}

/* Puts these servers in the place of those it had; what is known of one that stays stays. */
static void replace_servers(struct weir_upstream *face, struct server *const *servers, unsigned count)
{
    struct reported rows[SERVERS_MAX];
    struct server *before[SERVERS_MAX];
    pthread_mutex_lock(&face->lock);
    unsigned before_count = face->count;
    for (unsigned k = 0; k < before_count; k++)
        before[k] = face->rows[k].server;
    for (unsigned i = 0; i < count; i++) {
        rows[i] = (struct reported){ .server = servers[i] };
        for (unsigned k = 0; k < before_count; k++) {
            if (before[k] == servers[i])
                rows[i] = face->rows[k];
        }
        server_ref(servers[i]);
    }
    face->count = count;
    memcpy(face->rows, rows, count * sizeof *rows);
    pthread_mutex_unlock(&face->lock);
    for (unsigned k = 0; k < before_count; k++)
        server_unref(before[k]);
}

void plugin_upstream_free(struct weir_upstream *face)
{
    if (!face)
        return;
    replace_servers(face, NULL, 0);
    plugin_upstream_drop(face);
}

struct held *plugin_upstream_held(const struct weir_upstream *face)
{
    return face->held;
}

void plugin_upstream_set(struct weir_upstream *face, const struct upstream *upstream)
{
    replace_servers(face, upstream->servers, upstream->server_count);
}

unsigned plugin_upstream_servers(struct weir_upstream *face, struct weir_server *out, unsigned max)
{
    int64_t now_ns = clock_mono_ns();
    uint32_t size = max > 0 ? out->size : 0;
    pthread_mutex_lock(&face->lock);
    unsigned count = face->count;
    for (unsigned i = 0; i < count && i < max; i++) {
        const struct server *server = face->rows[i].server;
        struct weir_server row = {
            .size = size,
            .role = server_role(server) == ROLE_PRIMARY ? WEIR_PRIMARY : WEIR_REPLICA,
            .is_usable = server_is_usable(server, now_ns),
        };
        size_t len = strlen(server->addr.text);
        memcpy(row.address, server->addr.text, len < sizeof row.address ? len : sizeof row.address - 1);
        memcpy((char *)out + (size_t)i * size, &row, size < sizeof row ? size : sizeof row);
    }
    pthread_mutex_unlock(&face->lock);
    return count;
}

static void apply(struct weir_upstream *face, struct reported *row, const struct weir_report *report)
{
    if (report->has_role)
        atomic_store_explicit(&row->server->role_now,
                              report->role == WEIR_PRIMARY ? ROLE_PRIMARY : ROLE_REPLICA,
                              memory_order_relaxed);
    if (report->has_lag)
        atomic_store_explicit(&row->server->lag_ns, report->lag_ms < 0 ? -1 : report->lag_ms * NS_PER_MS,
                              memory_order_relaxed);
    if (report->position.data && report->position.len <= POSITION_MAX) {
        memcpy(row->position, report->position.data, report->position.len);
        row->position_len = (uint8_t)report->position.len;
        atomic_store_explicit(&face->has_positions, true, memory_order_relaxed);
    }
}

bool plugin_upstream_report(struct weir_upstream *face, struct str address, const struct weir_report *report)
{
    bool is_there = false;
    if (!WEIR_HAS(report, position))
        return false;
    pthread_mutex_lock(&face->lock);
    for (unsigned i = 0; i < face->count; i++) {
        if (!str_eq(str_of(face->rows[i].server->addr.text), address))
            continue;
        is_there = true;
        apply(face, &face->rows[i], report);
    }
    pthread_mutex_unlock(&face->lock);
    return is_there;
}

bool plugin_upstream_has_positions(const struct weir_upstream *face)
{
    return atomic_load_explicit(&face->has_positions, memory_order_relaxed);
}

size_t plugin_upstream_position(struct weir_upstream *face, const struct server *server, char out[256])
{
    size_t len = 0;
    pthread_mutex_lock(&face->lock);
    for (unsigned i = 0; i < face->count; i++) {
        if (face->rows[i].server != server)
            continue;
        len = face->rows[i].position_len;
        memcpy(out, face->rows[i].position, len);
    }
    pthread_mutex_unlock(&face->lock);
    return len;
}

/* --- events --- */

void plugin_upstream_count(struct weir_upstream *face, const char *event)
{
    for (unsigned i = 0; i < PLUGIN_EVENTS_MAX; i++) {
        const char *word = atomic_load_explicit(&face->events[i].word, memory_order_acquire);
        if (!word && !atomic_compare_exchange_strong(&face->events[i].word, &word, event) && !word)
            continue;
        word = atomic_load_explicit(&face->events[i].word, memory_order_acquire);
        if (word != event && strcmp(word, event) != 0)
            continue;
        atomic_fetch_add_explicit(&face->events[i].count, 1, memory_order_relaxed);
        return;
    }
}

const char *plugin_upstream_event(const struct weir_upstream *face, unsigned n, uint64_t *out_count)
{
    if (n >= PLUGIN_EVENTS_MAX)
        return NULL;
    *out_count = atomic_load_explicit(&face->events[n].count, memory_order_relaxed);
    return atomic_load_explicit(&face->events[n].word, memory_order_acquire);
}
