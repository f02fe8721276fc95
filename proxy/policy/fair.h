/* Whose turn it is: start-time fair queueing (Goyal, Vin and Cheng 1996) over flows, inside of strict
 * priority classes. Only the order; the counting and the locking are line.c's. Pure, one thread at a time.
 *
 * Every flow has a tag, the virtual time at which its next waiter's turn is due; a turn moves it on by
 * 1/weight. The smallest tag is next, and virtual time is the tag of the last turn. A flow that comes anew
 * starts at virtual time, not in the past, so nobody saves up turns; one that ran empty is remembered until
 * virtual time has passed its tag, so nobody gains by coming back with one waiter at a time. What is
 * remembered is bounded.
 *
 * It also knows who has to make room in a full queue: the flow with the most waiters for its weight, so that
 * one that sends too much fills the queue at its own cost. */
#ifndef POLICY_FAIR_H
#define POLICY_FAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "policy/line.h"

#define FAIR_CLASSES  3    /* enum config_priority */
#define FAIR_IDLE_MAX 1024 /* flows remembered without waiters, a class */

struct map;

/* Flows by (tag, order), the smallest first; or by their waiters for their weight, the most first. */
struct fair_heap {
    bool is_by_length;
    struct line_flow **items;
    unsigned count;
    unsigned size;
};

struct fair_class {
    struct map *flows;        /* by name */
    struct fair_heap due;     /* those with waiters */
    struct fair_heap longest; /* the same ones */
    struct fair_heap idle;    /* those without, whose tag lies ahead */
    uint64_t now;             /* virtual time */
    uint64_t order;           /* first come, first served among equal tags */
};

struct fair {
    struct fair_class classes[FAIR_CLASSES];
};

bool fair_init(struct fair *fair); /* false when out of memory */
void fair_fini(struct fair *fair); /* nobody waits; NULL and a half-built one are fine */

/* The waiter's priority picks its class. False when out of memory. */
bool fair_add(struct fair *fair, struct str name, unsigned weight, struct line_waiter *waiter);
void fair_remove(struct fair *fair, struct line_waiter *waiter);
/* Takes the next waiter out; NULL if nobody waits. */
struct line_waiter *fair_next(struct fair *fair);

/* The newest waiter of the flow that should make room for one more of that flow in that class: in a lower
 * class, or with more waiters for its weight. NULL: nobody should. */
struct line_waiter *fair_victim(const struct fair *fair, struct str name, unsigned weight, uint8_t priority);

unsigned fair_flow_count(const struct fair *fair);

#endif
