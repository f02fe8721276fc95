#include "pipeline/plugin_upstream.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/tally.h"
#include "upstream/server.h"

#define LAG_MS_MAX (INT64_MAX / NS_PER_MS)

/* What one thread counted. */
struct counted {
    _Atomic uint64_t counts[PLUGIN_EVENTS_MAX];
};

struct face {
    _Atomic int holds; /* its worlds' one, and its plugins' */
    struct held *held;
    pthread_mutex_t lock;
    struct server *servers[SERVERS_MAX]; /* a reference each */
    unsigned count;
    _Atomic(const char *) events[PLUGIN_EVENTS_MAX];
    struct counted counted[TALLY_LINES];
};

struct face *plugin_upstream_new(void)
{
    struct face *face = calloc(1, sizeof *face);
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

struct face *plugin_upstream_hold(struct face *face)
{
    if (face)
        atomic_fetch_add_explicit(&face->holds, 1, memory_order_relaxed);
    return face;
}

void plugin_upstream_drop(struct face *face)
{
    if (!face || atomic_fetch_sub_explicit(&face->holds, 1, memory_order_acq_rel) > 1)
        return;
    held_free(face->held);
    pthread_mutex_destroy(&face->lock);
    free(face);
}

/* Puts these servers in the place of those it had. */
static void replace_servers(struct face *face, struct server *const *servers, unsigned count)
{
    struct server *before[SERVERS_MAX];
    pthread_mutex_lock(&face->lock);
    unsigned before_count = face->count;
    memcpy(before, face->servers, before_count * sizeof(struct server *));
    for (unsigned i = 0; i < count; i++)
        face->servers[i] = server_ref(servers[i]);
    face->count = count;
    pthread_mutex_unlock(&face->lock);
    for (unsigned k = 0; k < before_count; k++)
        server_unref(before[k]);
}

void plugin_upstream_free(struct face *face)
{
    if (!face)
        return;
    replace_servers(face, NULL, 0);
    plugin_upstream_drop(face);
}

struct held *plugin_upstream_held(const struct face *face)
{
    return face->held;
}

void plugin_upstream_set(struct face *face, const struct upstream *upstream)
{
    replace_servers(face, upstream->servers, upstream->server_count);
}

unsigned plugin_upstream_servers(struct face *face, struct weir_server *out, unsigned max)
{
    int64_t now_ns = clock_mono_ns();
    uint32_t size = max > 0 ? out->size : 0;
    pthread_mutex_lock(&face->lock);
    unsigned count = face->count;
    for (unsigned i = 0; i < count && i < max; i++) {
        const struct server *server = face->servers[i];
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

static void apply(struct server *server, const struct weir_report *report)
{
    if (report->has_role)
        atomic_store_explicit(&server->role_now, report->role == WEIR_PRIMARY ? ROLE_PRIMARY : ROLE_REPLICA,
                              memory_order_relaxed);
    if (report->has_lag)
        atomic_store_explicit(&server->lag_ns,
                              report->lag_ms < 0 ? -1 : min_i64(report->lag_ms, LAG_MS_MAX) * NS_PER_MS,
                              memory_order_relaxed);
    if (report->position.data && report->position.len <= POSITION_MAX)
        server_set_position(server, str_n(report->position.data, report->position.len));
}

bool plugin_upstream_report(struct face *face, struct str address, const struct weir_report *report)
{
    bool is_there = false;
    if (!WEIR_HAS(report, position))
        return false;
    pthread_mutex_lock(&face->lock);
    for (unsigned i = 0; i < face->count; i++) {
        if (!str_eq(str_of(face->servers[i]->addr.text), address))
            continue;
        is_there = true;
        apply(face->servers[i], report);
    }
    pthread_mutex_unlock(&face->lock);
    return is_there;
}

/* --- events --- */

/* The word's place; PLUGIN_EVENTS_MAX: there is none left. The same literal comes again and again: its
 * address says which it is, but another plugin may have one that reads the same. */
static unsigned find_event(struct face *face, const char *event)
{
    const char *word;
    for (unsigned i = 0; i < PLUGIN_EVENTS_MAX; i++) {
        word = atomic_load_explicit(&face->events[i], memory_order_acquire);
        if (word == event)
            return i;
        if (!word)
            break;
    }
    for (unsigned i = 0; i < PLUGIN_EVENTS_MAX; i++) {
        word = NULL;
        if (atomic_compare_exchange_strong(&face->events[i], &word, event) || strcmp(word, event) == 0)
            return i;
    }
    return PLUGIN_EVENTS_MAX;
}

void plugin_upstream_count(struct face *face, const char *event)
{
    unsigned place = find_event(face, event);
    unsigned line = tally_line();
    if (place < PLUGIN_EVENTS_MAX)
        tally_add(&face->counted[line].counts[place], line, 1);
}

const char *plugin_upstream_event(const struct face *face, unsigned n, uint64_t *out_count)
{
    if (n >= PLUGIN_EVENTS_MAX)
        return NULL;
    *out_count = 0;
    for (unsigned i = 0; i < TALLY_LINES; i++)
        *out_count += atomic_load_explicit(&face->counted[i].counts[n], memory_order_relaxed);
    return atomic_load_explicit(&face->events[n], memory_order_acquire);
}
