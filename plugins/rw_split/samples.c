/* What servers said over time. What follows from it is in bounds.c.
 *
 * A probe's word and an app's are not of the same kind: a probe asks how far the database has written or
 * replayed, an app may say where it has inserted, which is further, or what it has flushed, which may be
 * less. Whether a server went back is judged within one kind. */
#include "servers_inside.h"

#include <stdlib.h>

#define SPACING_MS  10    /* samples closer to each other than this add nothing that is worth their place */
#define BACK_MS     1000  /* a sample that ended so long before the last began: the clock was set back */
#define STEP_MS     2     /* two clocks that are read one after the other differ by less */
#define IN_DOUBT_MS 60000 /* after the clock was set back: how old a request may be that was sent before */

struct sample *sample_at(const struct server *server, unsigned index)
{
    return &server->ring[(server->first + index) % SAMPLES_MAX];
}

/* What it had reached, for sure: an open epoch is none the less the least. */
struct position sample_position(const struct sample *sample)
{
    return (struct position){ .value = sample->value, .epoch = sample->epoch, .is_known = true };
}

static void set_latest(struct server *server, struct position at, int64_t after_ms)
{
    unsigned turn = atomic_load_explicit(&server->turn, memory_order_relaxed);

    atomic_store_explicit(&server->turn, turn + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&server->value, at.value, memory_order_relaxed);
    atomic_store_explicit(&server->epoch, at.epoch, memory_order_relaxed);
    atomic_store_explicit(&server->is_known, true, memory_order_relaxed);
    atomic_store_explicit(&server->turn, turn + 2, memory_order_release);
    server->latest_after_ms = after_ms;
}

static bool may_push(struct server *server, const struct sample *sample, enum voice voice)
{
    /* A probe asks one question at a time, while apps' replies may come in any order. */
    int64_t back_ms = voice == VOICE_PROBE ? 0 : BACK_MS;
    const struct sample *newest;

    if (server->count == 0)
        return true;
    newest = sample_at(server, server->count - 1);
    if (sample->after_ms + back_ms < newest->before_ms) {
        server->count = 0;
        return true;
    }
    if (sample->before_ms < newest->before_ms ||
        position_order(sample_position(sample), sample_position(newest)) < 0)
        return false;
    return sample->before_ms >= newest->before_ms + SPACING_MS || newest->as_primary != sample->as_primary;
}

static void push(struct server *server, const struct sample *sample, enum voice voice)
{
    if (!server->ring)
        server->ring = calloc(SAMPLES_MAX, sizeof *server->ring);
    if (!server->ring || !may_push(server, sample, voice))
        return;
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

/* An app had said more of it than is true. It never was there, so nobody saw it there. */
static void correct(struct server *server, struct position at, int64_t after_ms)
{
    while (server->count > 0 && position_order(sample_position(sample_at(server, server->count - 1)), at) > 0)
        server->count--;
    set_latest(server, at, after_ms);
}

/* What this voice said last; returns whether it now says less of what it was asked later. */
static bool went_back(struct server *server, const struct sample *sample, enum voice voice)
{
    struct said *said = &server->said[voice];
    struct position at = sample_position(sample);
    bool is_less = said->at.is_known && position_order(at, said->at) < 0;
    bool is_back = is_less && sample->before_ms > said->after_ms;

    if (is_less && !is_back)
        return false;
    said->at = at;
    if (is_back || said->after_ms < sample->after_ms || said->after_ms > sample->after_ms + BACK_MS)
        said->after_ms = sample->after_ms;
    return is_back;
}

/* Behind the lock. leads: it may be further than the probe can see. */
static bool take_position(struct server *server, const struct sample *sample, enum voice voice, bool leads)
{
    struct position at = sample_position(sample), latest = server_latest(server);
    int order = position_order(at, latest);
    bool is_judge = voice == VOICE_PROBE || !server->is_heard;
    bool is_back = is_judge && went_back(server, sample, voice);
    bool comes_again = atomic_load(&server->is_lost);

    if (is_back || (comes_again && order < 0)) {
        reset(server, sample->after_ms);
        set_latest(server, at, sample->after_ms);
    } else if (order > 0 || (order == 0 && at.epoch && !latest.epoch)) {
        set_latest(server, at, sample->after_ms);
    } else if (order < 0 && voice == VOICE_PROBE && !leads && sample->before_ms > server->latest_after_ms) {
        correct(server, at, sample->after_ms);
    }
    if (order >= 0 && server->latest_after_ms > sample->after_ms + BACK_MS)
        server->latest_after_ms = sample->after_ms;
    if (is_judge)
        push(server, sample, voice);
    atomic_store(&server->is_lost, false);
    return order > 0 || comes_again;
}

static bool take_in(struct server *server, const struct sample *sample, enum voice voice, bool leads)
{
    bool has_progress = false;

    pthread_mutex_lock(&server->lock);
    if (voice == VOICE_PROBE) {
        server->is_heard = true;
        server->was_lost = false;
    }
    /* What it was asked before it went says nothing of what came back. */
    if (!atomic_load(&server->is_lost) || sample->before_ms > server->lost_ms)
        has_progress = take_position(server, sample, voice, leads);
    pthread_mutex_unlock(&server->lock);
    return has_progress;
}

static void note_epoch(struct servers *servers, const struct sample *sample)
{
    pthread_mutex_lock(&servers->lock);
    if (sample->epoch > atomic_load(&servers->epoch)) {
        servers->epoch_ms = sample->before_ms;
        atomic_store(&servers->epoch, sample->epoch);
        atomic_store(&servers->epoch_from, sample->value);
    }
    pthread_mutex_unlock(&servers->lock);
}

static void take_from(struct servers *servers, int slot, const struct sample *sample, enum voice voice)
{
    struct server *server = servers->slots[slot];

    if (sample->as_primary && sample->epoch)
        note_epoch(servers, sample);
    atomic_store_explicit(&servers->knows, true, memory_order_relaxed);
    if (take_in(server, sample, voice, server_leads(server)) && servers->on_progress)
        servers->on_progress(servers->arg, false);
}

void servers_sample(struct servers *servers, struct weir_str address, int64_t before_ms, int64_t after_ms,
                    struct position at)
{
    int slot = servers_find(servers, address, 0);
    struct sample sample = {
        .before_ms = before_ms, .after_ms = after_ms, .value = at.value, .epoch = at.epoch
    };

    if (slot < 0 || !at.is_known)
        return;
    /* Before the roles are settled the configured primary may be an old one. */
    sample.as_primary = servers_roles_are_settled(servers) && server_leads(servers->slots[slot]);
    take_from(servers, slot, &sample, VOICE_PROBE);
}

/* The server's own epoch at the last sample is the least that it can be of: it may have been promoted, or
 * have followed a failover, and nobody has told yet. Where epochs are not known at all none is. */
static struct position complete(const struct servers *servers, int slot, struct position at)
{
    struct position latest = server_latest(servers->slots[slot]);

    at.epoch = latest.is_known ? latest.epoch : 0;
    at.is_open = at.epoch > 0 || atomic_load_explicit(&servers->epoch, memory_order_relaxed) > 0;
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
    struct sample sample = { .before_ms = before_ms, .after_ms = after_ms };

    if (slot < 0 || !at.is_known || before_ms > after_ms || servers_doubt(servers, before_ms))
        return;
    if (!has_epoch)
        at = complete(servers, slot, at);
    sample.value = at.value;
    sample.epoch = at.epoch;
    sample.is_open = at.is_open;
    /* Where a probe gives the roles they may have changed since the app was asked: its samples alone count
     * as the primary's. */
    sample.as_primary = servers_roles_are_settled(servers) &&
                        servers_role_of(servers, slot) == SERVERS_ROLE_UNKNOWN &&
                        server_leads(servers->slots[slot]);
    take_from(servers, slot, &sample, VOICE_APP);
}

void servers_landed(struct servers *servers, struct weir_str address, int64_t after_ms, struct position at)
{
    int slot = servers_find(servers, address, 0);
    struct server *server;
    bool has_progress;

    if (slot < 0 || !at.is_known)
        return;
    server = servers->slots[slot];
    at.is_open = false; /* it is there at least, in that epoch or a later one */
    atomic_store_explicit(&servers->knows, true, memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    has_progress = position_order(at, server_latest(server)) > 0;
    if (has_progress)
        set_latest(server, at, after_ms);
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

/* A primary shows what it acknowledged, before a crash and after. A replica may open for reads further back
 * than it was. */
void servers_lost(struct servers *servers, struct weir_str address, int64_t now_ms)
{
    int slot = servers_find(servers, address, 0);
    struct server *server;
    bool leads;

    if (slot < 0)
        return;
    server = servers->slots[slot];
    leads = server_leads(server);
    pthread_mutex_lock(&server->lock);
    server->is_heard = false;
    /* Once, until it is heard again: an app may know meanwhile how far it is. */
    if (!leads && !server->was_lost) {
        server->was_lost = true;
        server->lost_ms = now_ms;
        atomic_store(&server->reset_ms, now_ms);
        atomic_store(&server->is_lost, true);
    }
    pthread_mutex_unlock(&server->lock);
}

/* --- the clock --- */

bool servers_doubt(const struct servers *servers, int64_t at_ms)
{
    return at_ms <= atomic_load_explicit(&servers->doubt_until_ms, memory_order_relaxed) &&
           at_ms >= atomic_load_explicit(&servers->doubt_from_ms, memory_order_relaxed);
}

/* Its times as they would have been by the clock as it is now. reset_ms stays: tokens of before it may have
 * a time by the old clock. */
static void shift(struct server *server, int64_t by_ms)
{
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->count; i++) {
        sample_at(server, i)->before_ms -= by_ms;
        sample_at(server, i)->after_ms -= by_ms;
    }
    for (unsigned i = 0; i < VOICES; i++)
        server->said[i].after_ms -= by_ms;
    server->latest_after_ms -= by_ms;
    server->lost_ms -= by_ms;
    if (server->as_of_ms > by_ms)
        server->as_of_ms -= by_ms;
    pthread_mutex_unlock(&server->lock);
}

/* Set back, all that is remembered goes back with it: what was seen from now on is compared with it as it
 * must be, and a token of before counts as one of later, which asks for more than it need. Set forward,
 * nothing has to be done: what is remembered only seems older. */
void servers_clock(struct servers *servers, int64_t wall_ms, int64_t mono_ms)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);
    int64_t back_ms;

    pthread_mutex_lock(&servers->lock);
    back_ms = servers->mono_ms ? servers->offset_ms - (wall_ms - mono_ms) : 0;
    servers->mono_ms = mono_ms;
    if (back_ms > 0 && back_ms <= STEP_MS) {
        pthread_mutex_unlock(&servers->lock);
        return;
    }
    servers->offset_ms = wall_ms - mono_ms;
    if (back_ms > 0) {
        int64_t until_ms = wall_ms + back_ms;

        atomic_store(&servers->doubt_from_ms, back_ms < IN_DOUBT_MS ? wall_ms : until_ms - IN_DOUBT_MS);
        atomic_store(&servers->doubt_until_ms, until_ms);
        servers->epoch_ms -= back_ms;
        for (unsigned i = 0; i < count; i++)
            shift(servers->slots[i], back_ms);
    }
    pthread_mutex_unlock(&servers->lock);
}
