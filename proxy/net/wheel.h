/* A hierarchical timer wheel: six levels of 64 slots, 10 ms a tick, some 20 years far. A timer lies in the
 * lowest level whose current lap still holds its tick, so that the lowest level in use always holds the
 * next slot. Moved later, a timer stays where it is: when its slot comes due it is only filed anew.
 *
 * Pure: time is a parameter. Embedded in its loop; one thread. */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include <stdint.h>

#include "base/list.h"

struct timer;

#define WHEEL_LEVELS  6
#define WHEEL_SLOTS   64
#define WHEEL_TICK_NS 10000000LL
#define WHEEL_NEVER   INT64_MAX

struct wheel {
    int64_t tick;                /* every slot that begins at or before it is empty */
    uint64_t used[WHEEL_LEVELS]; /* a bit per slot that may hold timers */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, int64_t now_ns);

/* Sets the timer's deadline, which must lie after every now_ns the wheel has seen. */
void wheel_set(struct wheel *wheel, struct timer *timer, int64_t deadline_ns);

/* When wheel_advance() may have something to do next, or WHEEL_NEVER. */
int64_t wheel_next_ns(const struct wheel *wheel);

/* Calls what is due. The callbacks may set and cancel any timer. */
void wheel_advance(struct wheel *wheel, int64_t now_ns);

#endif
