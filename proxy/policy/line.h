/* The waiting line in front of an upstream: at most so many requests inside, a bounded number waiting,
 * fair among tenants by weight, strict by priority class. Work-conserving: what one tenant leaves idle
 * others use. Inside one tenant first come, first served.
 *
 * Shared by all workers. Entering below the limit and leaving while nobody waits is one atomic each; the
 * mutex is touched only at the limit. No clock: a waiter's owner keeps the deadline and calls
 * line_quit(). */
#ifndef POLICY_LINE_H
#define POLICY_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct line;
struct line_flow;

/* Embedded in who waits. */
struct line_waiter {
    struct list link;
    struct line_flow *flow;
    uint8_t priority; /* enum config_priority */
    uint8_t state;
    /* Called once if the waiter gets its turn, on the thread of whoever left, with no lock held: it must only
     * post. The place inside is then the waiter's, to be given back with line_leave(). Until it was called
     * the waiter may not be freed or used again, also when line_quit() came too late. */
    void (*on_turn)(struct line_waiter *waiter);
    /* Called once, instead of on_turn, if the queue was full and somebody came whose turn it rather was: a
     * higher class, or a tenant with fewer waiters for its weight. Then the waiter is out, as after
     * LINE_FULL. On the thread of whoever came, under the line's lock: it must only post, and never call the
     * line. NULL: is not pushed out; then one tenant may fill the queue, and others get LINE_FULL. */
    void (*on_refused)(struct line_waiter *waiter);
};

enum line_answer {
    LINE_ENTERED,
    LINE_WAITING,
    LINE_FULL
};

/* limit, queue: counts; limit < 0: unlimited. NULL when out of memory. */
struct line *line_new(int64_t limit, int64_t queue);
void line_free(struct line *line); /* nobody inside or waiting */
/* A reload, or the adaptive limit later. Raising it lets waiters in. */
void line_set(struct line *line, int64_t limit, int64_t queue);

/* flow names the tenant, weight is its share (1..1000). waiter may be NULL: then never LINE_WAITING. */
enum line_answer line_enter(struct line *line, struct str flow, unsigned weight, struct line_waiter *waiter);
/* Stops waiting. True: it has no place; on_turn will not be called, on_refused was or will not be. False: it
 * already had its turn (on_turn was or is being called), the place inside must be given back. */
bool line_quit(struct line *line, struct line_waiter *waiter);
/* Gives a place back; the next waiter, if any, gets its turn. */
void line_leave(struct line *line);

int64_t line_inside(const struct line *line);
int64_t line_waiting(const struct line *line);
int64_t line_limit(const struct line *line); /* -1: unlimited */

#endif
