/* What servers said over time, and what follows from it. */
#include "servers_inside.h"

#include <stdlib.h>

#define SPACING_MS 10   /* samples closer to each other than this add nothing that is worth their place */
#define BACK_MS    1000 /* a sample that ended so long before the last began: the clock was set back */
#define ETA_MAX_S  60

static struct sample *sample_at(const struct server *server, unsigned index)
{
    return &server->ring[(server->first + index) % SAMPLES_MAX];
}

static struct position position_of(const struct sample *sample)
{
    return (struct position){ .value = sample->value, .epoch = sample->epoch, .is_known = true };
}

/* --- writing --- */

static void set_latest(struct server *server, struct position at)
{
    unsigned turn = atomic_load_explicit(&server->turn, memory_order_relaxed);

    atomic_store_explicit(&server->turn, turn + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&server->value, at.value, memory_order_relaxed);
    atomic_store_explicit(&server->epoch, at.epoch, memory_order_relaxed);
    atomic_store_explicit(&server->is_known, true, memory_order_relaxed);
    atomic_store_explicit(&server->turn, turn + 2, memory_order_release);
}

static void push(struct server *server, const struct sample *sample)
{
    if (!server->ring)
        server->ring = calloc(SAMPLES_MAX, sizeof *server->ring);
    if (!server->ring)
        return;
    if (server->count > 0) {
        const struct sample *newest = sample_at(server, server->count - 1);

        if (sample->after_ms + BACK_MS < newest->before_ms)
            server->count = 0;
        else if (sample->before_ms < newest->before_ms + SPACING_MS &&
                 newest->as_primary == sample->as_primary)
            return;
        else if (sample->before_ms < newest->before_ms)
            return;
    }
    if (server->count == SAMPLES_MAX) {
        server->first = (server->first + 1) % SAMPLES_MAX;
        server->count--;
    }
    *sample_at(server, server->count) = *sample;
    server->count++;
}

/* It was asked after it had said more: it was made anew from a backup, or follows another history. */
static void reset(struct server *server, int64_t after_ms)
{
    server->count = 0;
    server->as_of_ms = 0;
    atomic_store(&server->reset_ms, after_ms);
}

static bool take_in(struct server *server, const struct sample *sample)
{
    struct position at = position_of(sample);
    bool has_progress;
    int order;

    pthread_mutex_lock(&server->lock);
    order = position_order(at, server_latest(server));
    has_progress = order > 0;
    if (order < 0 && sample->before_ms > server->latest_after_ms) {
        reset(server, sample->after_ms);
        order = 0;
        server->latest_after_ms = sample->after_ms;
        set_latest(server, at);
    }
    if (order >= 0) {
        if (order > 0 || at.epoch) /* the same place may turn out to be of a known epoch */
            set_latest(server, at);
        if (server->latest_after_ms < sample->after_ms ||
            server->latest_after_ms > sample->after_ms + BACK_MS)
            server->latest_after_ms = sample->after_ms;
        push(server, sample);
    }
    pthread_mutex_unlock(&server->lock);
    return has_progress;
}

static void note_epoch(struct servers *servers, struct position at)
{
    pthread_mutex_lock(&servers->lock);
    if (at.epoch > servers->epoch) {
        servers->epoch = at.epoch;
        servers->epoch_from = at.value;
    }
    pthread_mutex_unlock(&servers->lock);
}

static void take_from(struct servers *servers, int slot, int64_t before_ms, int64_t after_ms,
                      struct position at, bool as_primary)
{
    struct server *server = servers->slots[slot];
    struct sample sample = {
        .before_ms = before_ms,
        .after_ms = after_ms,
        .value = at.value,
        .epoch = at.epoch,
        .as_primary = as_primary,
    };

    if (sample.as_primary && at.epoch)
        note_epoch(servers, at);
    atomic_store_explicit(&servers->knows, true, memory_order_relaxed);
    if (take_in(server, &sample) && servers->on_progress)
        servers->on_progress(servers->arg, false);
}

void servers_sample(struct servers *servers, struct weir_str address, int64_t before_ms, int64_t after_ms,
                    struct position at)
{
    int slot = servers_find(servers, address, 0);

    if (slot >= 0 && at.is_known)
        take_from(servers, slot, before_ms, after_ms, at, server_leads(servers->slots[slot]));
}

/* The server's own epoch at the last sample, or a newer one that it must have reached. */
static struct position complete(struct servers *servers, int slot, struct position at)
{
    struct position latest = server_latest(servers->slots[slot]);

    at.epoch = latest.is_known ? latest.epoch : 0;
    pthread_mutex_lock(&servers->lock);
    if (servers->epoch > at.epoch && at.value >= servers->epoch_from)
        at.epoch = servers->epoch;
    pthread_mutex_unlock(&servers->lock);
    return at;
}

struct position servers_complete(struct servers *servers, struct weir_str address, struct position at,
                                 bool has_epoch)
{
    int slot = servers_find(servers, address, 0);

    return has_epoch || slot < 0 ? at : complete(servers, slot, at);
}

void servers_told(struct servers *servers, struct weir_str address, int64_t before_ms, int64_t after_ms,
                  struct position at, bool has_epoch)
{
    int slot = servers_find(servers, address, 0);
    bool as_primary;

    if (slot < 0 || !at.is_known)
        return;
    /* Where a probe gives the roles they may have changed since the app was asked: its samples alone count
     * as the primary's. */
    as_primary = servers_role_of(servers, slot) == SERVERS_ROLE_UNKNOWN && server_leads(servers->slots[slot]);
    take_from(servers, slot, before_ms, after_ms, has_epoch ? at : complete(servers, slot, at), as_primary);
}

void servers_landed(struct servers *servers, struct weir_str address, int64_t after_ms, struct position at)
{
    int slot = servers_find(servers, address, 0);
    struct server *server;
    bool has_progress;

    if (slot < 0 || !at.is_known)
        return;
    server = servers->slots[slot];
    atomic_store_explicit(&servers->knows, true, memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    has_progress = position_order(at, server_latest(server)) > 0;
    if (has_progress) {
        set_latest(server, at);
        server->latest_after_ms = after_ms;
    }
    pthread_mutex_unlock(&server->lock);
    if (has_progress && servers->on_progress)
        servers->on_progress(servers->arg, false);
}

void servers_lag(struct servers *servers, struct weir_str address, int64_t lag_ms)
{
    int slot = servers_find(servers, address, 0);

    if (slot >= 0)
        atomic_store_explicit(&servers->slots[slot]->said_lag_ms, lag_ms, memory_order_relaxed);
}

/* --- questions --- */

/* What anybody can have seen of it until at_ms: its first sample begun after that. */
static struct position upper(struct server *server, int64_t at_ms, bool only_as_primary, int64_t now_ms)
{
    struct position found = { 0 };

    pthread_mutex_lock(&server->lock);
    /* A sample of the future: the clock was set back since, and none of them says anything about at_ms. */
    if (server->count > 0 && sample_at(server, server->count - 1)->before_ms <= now_ms &&
        atomic_load(&server->reset_ms) < at_ms) {
        unsigned low = 0, high = server->count;

        while (low < high) {
            unsigned middle = (low + high) / 2;

            if (sample_at(server, middle)->before_ms > at_ms)
                high = middle;
            else
                low = middle + 1;
        }
        while (low < server->count && only_as_primary && !sample_at(server, low)->as_primary)
            low++;
        if (low < server->count)
            found = position_of(sample_at(server, low));
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

void servers_resolve(struct servers *servers, struct seen *seen, int64_t now_ms)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);
    struct position least = { 0 };
    int64_t at_ms = seen->at_ms;

    if (!seen->has_source)
        return;
    if (seen->clock != servers->clock)
        at_ms += CLOCK_SKEW_MS;
    for (unsigned i = 0; i < count; i++) {
        struct server *server = servers->slots[i];
        bool is_source = server->tag == seen->source;
        struct position at;

        /* Whatever a replica showed, its primary had by then. */
        if (!is_source && !server_leads(server))
            continue;
        at = upper(server, at_ms, !is_source, now_ms);
        if (at.is_known && (!least.is_known || position_order(at, least) < 0))
            least = at;
    }
    if (!least.is_known)
        return;
    seen->at = position_later(seen->at, least);
    seen->has_source = false;
}

struct position servers_lower(struct servers *servers, int slot, int64_t sent_ms)
{
    struct server *server = servers->slots[slot];
    struct position found = { 0 };

    pthread_mutex_lock(&server->lock);
    if (server->latest_after_ms < sent_ms)
        found = server_latest(server);
    for (unsigned i = server->count; i > 0 && !found.is_known; i--)
        if (sample_at(server, i - 1)->after_ms < sent_ms)
            found = position_of(sample_at(server, i - 1));
    pthread_mutex_unlock(&server->lock);
    return found;
}

/* When the newest of a primary's samples that are no further than that was begun. The last: of them all. */
static int64_t primary_as_of(struct server *server, struct position at, int64_t *out_newest_ms)
{
    int64_t found_ms = 0;
    bool is_first = true;

    pthread_mutex_lock(&server->lock);
    for (unsigned i = server->count; i > 0 && found_ms == 0; i--) {
        const struct sample *sample = sample_at(server, i - 1);

        if (!sample->as_primary)
            continue;
        if (is_first && sample->before_ms > *out_newest_ms)
            *out_newest_ms = sample->before_ms;
        is_first = false;
        /* What was written in that very millisecond may have come after it. */
        if (position_order(position_of(sample), at) <= 0)
            found_ms = sample->before_ms - 1;
    }
    pthread_mutex_unlock(&server->lock);
    return found_ms;
}

static int64_t as_of(struct servers *servers, struct position at, int64_t *out_newest_ms)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);
    int64_t found_ms = 0;

    for (unsigned i = 0; i < count; i++) {
        int64_t one_ms;

        if (!server_leads(servers->slots[i]))
            continue;
        one_ms = primary_as_of(servers->slots[i], at, out_newest_ms);
        if (one_ms > found_ms)
            found_ms = one_ms;
    }
    return found_ms;
}

int64_t servers_as_of(struct servers *servers, struct position at)
{
    int64_t newest_ms = 0;

    return at.is_known ? as_of(servers, at, &newest_ms) : 0;
}

/* Measured against the primary's last word, not against now: while the primary is gone nobody falls behind.
 */
static int64_t measure(struct servers *servers, struct server *server)
{
    struct position at = server_latest(server);
    int64_t newest_ms = 0;
    int64_t known_ms = as_of(servers, at, &newest_ms);
    int64_t lag_ms;

    if (newest_ms == 0 || !at.is_known) {
        lag_ms = atomic_load_explicit(&server->said_lag_ms, memory_order_relaxed);
        return lag_ms >= 0 ? lag_ms : atomic_load_explicit(&server->lag_ms, memory_order_relaxed);
    }
    pthread_mutex_lock(&server->lock);
    if (known_ms > server->as_of_ms)
        server->as_of_ms = known_ms;
    if (server->as_of_ms == 0) /* it is behind all we remember, so it is from now on that we count */
        server->as_of_ms = newest_ms - 1;
    lag_ms = newest_ms - 1 - server->as_of_ms;
    pthread_mutex_unlock(&server->lock);
    return lag_ms > 0 ? lag_ms : 0;
}

void servers_measure(struct servers *servers)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);

    for (unsigned i = 0; i < count; i++) {
        struct server *server = servers->slots[i];
        int64_t lag_ms = server_leads(server) ? 0 : measure(servers, server);

        atomic_store_explicit(&server->lag_ms, lag_ms, memory_order_relaxed);
    }
}

/* By the speed of the samples we remember. */
static int64_t eta_ms(struct server *server, struct position at)
{
    struct position latest = server_latest(server);
    int64_t lag_ms = atomic_load_explicit(&server->lag_ms, memory_order_relaxed);
    double gap, came = 0;
    int64_t span_ms = 0;

    if (!latest.is_known || !at.is_known || latest.epoch != at.epoch || latest.value >= at.value)
        return lag_ms;
    gap = (double)(at.value - latest.value);
    pthread_mutex_lock(&server->lock);
    if (server->count > 1) {
        const struct sample *oldest = sample_at(server, 0);
        const struct sample *newest = sample_at(server, server->count - 1);

        span_ms = newest->before_ms - oldest->before_ms;
        if (oldest->epoch == newest->epoch)
            came = (double)(newest->value - oldest->value);
    }
    pthread_mutex_unlock(&server->lock);
    if (came <= 0 || span_ms <= 0)
        return lag_ms;
    gap = gap * (double)span_ms / came;
    return gap > ETA_MAX_S * 1000.0 ? ETA_MAX_S * 1000 : (int64_t)gap;
}

int64_t servers_eta_s(struct servers *servers, const int *slots, unsigned count, struct position at)
{
    int64_t least_ms = -1;
    int64_t seconds;

    for (unsigned i = 0; i < count; i++) {
        int64_t one_ms = slots[i] < 0 ? -1 : eta_ms(servers->slots[slots[i]], at);

        if (one_ms >= 0 && (least_ms < 0 || one_ms < least_ms))
            least_ms = one_ms;
    }
    seconds = (least_ms + 999) / 1000;
    return seconds < 1 ? 1 : seconds > ETA_MAX_S ? ETA_MAX_S : seconds;
}
