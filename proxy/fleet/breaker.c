#include "fleet/breaker.h"

#include "base/check.h"
#include "base/clock.h"

void breaker_init(struct breaker *breaker)
{
    *breaker = (struct breaker){ .state = BREAKER_CLOSED };
}

bool breaker_may(struct breaker *breaker, int64_t now_ns)
{
    if (LIKELY(breaker->state == BREAKER_CLOSED))
        return true;
    if (now_ns < breaker->until_ns)
        return false;
    breaker->state = BREAKER_HALF_OPEN;
    breaker->until_ns = now_ns + BREAKER_PAUSE_MS * NS_PER_MS;
    return true;
}

void breaker_worked(struct breaker *breaker)
{
    /* While it is open, an answer that was asked for before says nothing about now. */
    if (breaker->state != BREAKER_OPEN)
        breaker_init(breaker);
}

static void open_up(struct breaker *breaker, int64_t now_ns)
{
    breaker->pause_ms =
        breaker->pause_ms == 0 ? BREAKER_PAUSE_MS : min_i64(breaker->pause_ms * 2, BREAKER_PAUSE_MS_MAX);
    breaker->until_ns = now_ns + breaker->pause_ms * NS_PER_MS;
    breaker->state = BREAKER_OPEN;
    breaker->failures = 0;
}

void breaker_failed(struct breaker *breaker, int64_t now_ns)
{
    /* While it is open, those that were asked before it are still failing: one pause for all of them. */
    if (breaker->state == BREAKER_OPEN)
        return;
    if (breaker->state == BREAKER_HALF_OPEN) {
        open_up(breaker, now_ns);
        return;
    }
    /* With a hundred in flight one hiccup makes a hundred of them late: that is not five in a row. */
    if (breaker->failures > 0 && now_ns - breaker->failed_ns < BREAKER_MOMENT_MS * NS_PER_MS)
        return;
    breaker->failed_ns = now_ns;
    if (++breaker->failures >= BREAKER_FAILURES)
        open_up(breaker, now_ns);
}

void breaker_forget(struct breaker *breaker, int64_t now_ns)
{
    if (breaker->state == BREAKER_HALF_OPEN)
        breaker->until_ns = now_ns;
}

void breaker_trip(struct breaker *breaker, int64_t now_ns)
{
    if (breaker->state != BREAKER_OPEN)
        open_up(breaker, now_ns);
}
