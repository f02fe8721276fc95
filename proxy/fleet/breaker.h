/* When not to ask: after five failures in a row nobody is asked for a second, then one trial; each trial that
 * fails doubles the pause, up to ten seconds. So a dead second tier costs its budget a few times and then
 * nothing.
 *
 * Embedded; one thread. Pure: now is a parameter. */
#ifndef FLEET_BREAKER_H
#define FLEET_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES     5
#define BREAKER_MOMENT_MS    4 /* failures closer together are one: many were asked, one thing happened */
#define BREAKER_PAUSE_MS     1000
#define BREAKER_PAUSE_MS_MAX 10000

enum breaker_state {
    BREAKER_CLOSED,   /* ask */
    BREAKER_OPEN,     /* do not */
    BREAKER_HALF_OPEN /* one is asking */
};

struct breaker {
    enum breaker_state state;
    unsigned failures; /* in a row */
    int64_t failed_ns; /* the last one that counted */
    int64_t pause_ms;
    int64_t until_ns; /* OPEN: the pause's end. HALF_OPEN: when a trial that nobody reported is forgotten */
};

void breaker_init(struct breaker *breaker);

/* May one more be asked? Whoever is told yes reports how it went, or breaker_forget(). */
bool breaker_may(struct breaker *breaker, int64_t now_ns);

void breaker_worked(struct breaker *breaker);
void breaker_failed(struct breaker *breaker, int64_t now_ns);
/* It was called off: nothing was learned, and the next one may try. */
void breaker_forget(struct breaker *breaker, int64_t now_ns);

/* Opens at once, for what will not be better the next moment: full, read-only. */
void breaker_trip(struct breaker *breaker, int64_t now_ns);

#endif
