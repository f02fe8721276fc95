/* What follows from the samples: bounds of what was seen and shown, lags, how long a wait may take. */
#include "servers_inside.h"

#define SILENCE_MS 1000 /* the primary's database has said nothing for so long while others have */
#define ETA_MAX_S  60

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
        if (low < server->count) {
            found = sample_position(sample_at(server, low));
            found.is_open = sample_at(server, low)->is_open; /* it may have shown more than that */
        }
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

bool servers_may_be_past(const struct servers *servers, struct position at, struct position reached)
{
    uint64_t from;

    if (!at.is_open)
        return false;
    from = atomic_load_explicit(&servers->epoch_from, memory_order_acquire);
    return at.value >= from && reached.epoch &&
           reached.epoch < atomic_load_explicit(&servers->epoch, memory_order_relaxed);
}

/* Of an open epoch, and seen before the newest one was found out: there was less of that by then. If it is of
 * an earlier one that went further it was lost with it, and nobody will ever come that far again. */
static void leave_lost_tail(struct servers *servers, struct seen *seen)
{
    int64_t until_ms = seen->until_ms + (seen->clock == servers->clock ? 0 : CLOCK_SKEW_MS);

    pthread_mutex_lock(&servers->lock);
    if (seen->at.epoch < servers->epoch && seen->at.value > servers->epoch_from && seen->until_ms > 0 &&
        until_ms < servers->epoch_ms)
        seen->at =
            (struct position){ .is_known = true, .epoch = servers->epoch, .value = servers->epoch_from };
    pthread_mutex_unlock(&servers->lock);
}

void servers_resolve(struct servers *servers, struct seen *seen, int64_t now_ms)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);
    struct position least = { 0 };
    int64_t at_ms = seen->at_ms;

    if (seen->at.is_open)
        leave_lost_tail(servers, seen);
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

/* Of one that was the primary and is none any more: what it had written then it may not have shown. */
static bool was_deposed(const struct server *server, const struct sample *sample)
{
    return sample->as_primary && !server_leads(server);
}

struct position servers_lower(struct servers *servers, int slot, int64_t sent_ms)
{
    struct server *server = servers->slots[slot];
    struct position found = { 0 };
    int64_t since_ms = INT64_MIN; /* what was before does not count */

    /* By the clock before it was set back that is later than it says. */
    if (servers_doubt(servers, sent_ms))
        return found;
    pthread_mutex_lock(&server->lock);
    if (server->lost_ms && sent_ms > server->lost_ms)
        since_ms = server->lost_ms;
    if (server->latest_after_ms < sent_ms && server->latest_after_ms > since_ms &&
        (server->count == 0 || !was_deposed(server, sample_at(server, server->count - 1))))
        found = server_latest(server);
    for (unsigned i = server->count; i > 0 && !found.is_known; i--) {
        const struct sample *sample = sample_at(server, i - 1);

        if (sample->before_ms <= since_ms || was_deposed(server, sample))
            break;
        if (sample->after_ms < sent_ms)
            found = sample_position(sample);
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

/* What the samples of primaries say. */
struct word {
    int64_t as_of_ms;  /* when the newest that is no further than some position was begun; 0: none is */
    int64_t newest_ms; /* when the last of them all was; 0: there is none */
    int64_t oldest_ms; /* and the first */
};

static void hear_primary(struct server *server, struct position at, struct word *word)
{
    bool is_found = false;

    pthread_mutex_lock(&server->lock);
    for (unsigned i = server->count; i > 0 && !is_found; i--) {
        const struct sample *sample = sample_at(server, i - 1);

        if (!sample->as_primary)
            continue;
        if (sample->before_ms > word->newest_ms)
            word->newest_ms = sample->before_ms;
        if (word->oldest_ms == 0 || sample->before_ms < word->oldest_ms)
            word->oldest_ms = sample->before_ms;
        is_found = position_order(sample_position(sample), at) <= 0;
        /* What was written in that very millisecond may have come after it. */
        if (is_found && sample->before_ms - 1 > word->as_of_ms)
            word->as_of_ms = sample->before_ms - 1;
    }
    pthread_mutex_unlock(&server->lock);
}

static struct word hear_primaries(struct servers *servers, struct position at)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);
    struct word word = { 0 };

    for (unsigned i = 0; i < count; i++)
        if (server_leads(servers->slots[i]))
            hear_primary(servers->slots[i], at, &word);
    return word;
}

int64_t servers_as_of(struct servers *servers, struct position at)
{
    struct word word = { 0 };

    if (at.is_known)
        word = hear_primaries(servers, at);
    return word.as_of_ms == 0 && word.newest_ms > 0 ? 1 : word.as_of_ms;
}

/* Measured against the primary's last word, not against now: while the primary is gone nobody falls behind.
 * Unless a replica goes on talking and says itself that it has not replayed what it received: its own word is
 * by commits' times, too large wherever they are rare, so it counts only then, and when it is behind all that
 * is remembered of the primary. */
static int64_t measure(struct servers *servers, struct server *server)
{
    struct position at = server_latest(server);
    struct word word = hear_primaries(servers, at);
    int64_t said_ms = atomic_load_explicit(&server->said_lag_ms, memory_order_relaxed);
    int64_t lag_ms;

    if (word.newest_ms == 0 || !at.is_known)
        return said_ms >= 0 ? said_ms : atomic_load_explicit(&server->lag_ms, memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    if (word.as_of_ms > server->as_of_ms)
        server->as_of_ms = word.as_of_ms;
    if (server->as_of_ms == 0) {
        server->as_of_ms = word.oldest_ms - 1;
        if (said_ms > word.newest_ms - word.oldest_ms)
            server->as_of_ms = word.newest_ms - 1 - said_ms;
    }
    lag_ms = word.newest_ms - 1 - server->as_of_ms;
    if (server->count > 0 && said_ms > lag_ms &&
        sample_at(server, server->count - 1)->before_ms > word.newest_ms + SILENCE_MS)
        lag_ms = said_ms;
    pthread_mutex_unlock(&server->lock);
    return lag_ms > 0 ? lag_ms : 0;
}

void servers_measure(struct servers *servers)
{
    unsigned count = atomic_load_explicit(&servers->count, memory_order_acquire);

    atomic_fetch_add_explicit(&servers->turns, 1, memory_order_relaxed);
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
