#include "postgres_loss.h"

#include <string.h>

#define LATE_TIMES    3
#define LATE_MS       1000

#define PAUSE_MIN_MS  100
#define PAUSE_MAX_MS  2000
#define PAUSE_GONE_MS 250   /* the most for one that is gone: somebody may be waiting for it */
#define GONE_MS       30000 /* but not for longer than this */

void loss_answered(struct loss *loss)
{
    *loss = (struct loss){ .was_there = true, .pause_ms = loss->pause_ms };
}

/* A session may end by itself: an operator ended it, or a proxy that restarts. If the next one does not come
 * about either it was the database, since then. */
static bool is_gone(struct loss *loss, enum failure failure, bool had_session, int64_t now_ms)
{
    bool has_ended = loss->ended_ms > 0;

    if (failure == FAILURE_LATE) {
        if (loss->late++ == 0)
            loss->late_ms = now_ms;
        return has_ended || (loss->late >= LATE_TIMES && now_ms - loss->late_ms >= LATE_MS);
    }
    if (!has_ended)
        loss->ended_ms = now_ms;
    return failure == FAILURE_STOPPED || has_ended || !had_session;
}

void loss_failed(struct loss *loss, enum failure failure, bool had_session, int64_t now_ms)
{
    if (!loss->was_there)
        return;
    if (failure == FAILURE_SPOKE)
        loss_answered(loss);
    else if (is_gone(loss, failure, had_session, now_ms) && loss->since_ms == 0)
        loss->since_ms = loss->ended_ms ? loss->ended_ms : now_ms;
}

/* One that was there until a moment ago is tried at once: whether its session ended or the whole database is
 * known then. */
int64_t loss_pause_ms(struct loss *loss, bool was_steady, bool is_broken, int64_t now_ms)
{
    bool is_watched = loss->since_ms && now_ms - loss->since_ms < GONE_MS;
    int64_t most_ms = is_watched ? PAUSE_GONE_MS : PAUSE_MAX_MS;

    if (was_steady && is_broken)
        loss->pause_ms = 0;
    else if (was_steady || loss->pause_ms == 0)
        loss->pause_ms = PAUSE_MIN_MS;
    else
        loss->pause_ms = loss->pause_ms < most_ms / 2 ? 2 * loss->pause_ms : most_ms;
    return loss->pause_ms;
}

enum failure failure_by_state(const char *state)
{
    /* admin_shutdown, crash_shutdown, cannot_connect_now */
    static const char *const stopped[] = { "57P01", "57P02", "57P03" };

    for (unsigned i = 0; i < sizeof stopped / sizeof stopped[0]; i++)
        if (strcmp(state, stopped[i]) == 0)
            return FAILURE_STOPPED;
    return state[0] ? FAILURE_SPOKE : FAILURE_CLOSED;
}
