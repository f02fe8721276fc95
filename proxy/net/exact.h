/* A timer kept to a millisecond, for the few waits of that size: a budget of 5 ms is nothing to the wheel of
 * loop.h, whose timers come up to 20 ms late and cost next to nothing. This one costs a descriptor, and a
 * system call whenever it is set: one for many waits, set to the earliest of them. Owner: whoever made it, on
 * its loop's thread. */
#ifndef NET_EXACT_H
#define NET_EXACT_H

#include <stdint.h>

struct loop;
struct exact;

/* NULL when descriptors or memory are out. */
struct exact *exact_new(struct loop *loop, void (*fn)(void *arg), void *arg);
void exact_free(struct exact *exact); /* also from within fn; NULL is fine */

/* Calls fn once, at that time of loop_now_ns() or up to a millisecond after it (never before). Setting again
 * moves it. A time that has passed: in the next turn. */
void exact_set(struct exact *exact, int64_t deadline_ns);
void exact_cancel(struct exact *exact);

#endif
