/* Bytes and time: this is the door of net/.
 *
 * The room knows sockets, readiness, TLS records, timers and how one thread wakes another. It is the
 * only user of libevent and of OpenSSL's streams. It refuses to know HTTP: bytes come out of a stream
 * and go into it. Nothing in it blocks. One thread is one loop; whatever was made on a loop belongs to
 * its thread, but for loop_post() and loop_stop(), which any thread may call.
 *
 * The loop is a libevent base without locks, made to turn by us, one epoll_wait a turn:
 *
 *     wait -> callbacks of ready streams -> posted messages -> timers that are due -> what was put off
 *
 * Nothing is freed under its own callback: what is closed in a turn is freed at its end. Timers sit in
 * one coarse wheel (10 ms), so that setting one costs a few stores and no system call. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;

struct loop *loop_new(void);       /* NULL when descriptors or memory are out */
void loop_free(struct loop *loop); /* not running; frees what was put off; NULL is fine */

/* Turns until loop_stop(). */
void loop_run(struct loop *loop);
/* One turn, waiting at most wait_ms (for tests; -1: until something happens). */
void loop_turn(struct loop *loop, int wait_ms);
void loop_stop(struct loop *loop); /* any thread */

/* Monotonic nanoseconds, read once per turn (at the first question). */
int64_t loop_now_ns(struct loop *loop);
/* The same, read anew: at the stage boundaries of the histogram. Later loop_now_ns() see it too. */
int64_t loop_tick_ns(struct loop *loop);
/* For how long at most nobody may have looked at the sockets: since before this turn's wait began. */
int64_t loop_blind_ns(struct loop *loop);
/* Wall clock in milliseconds, derived once per turn. */
int64_t loop_wall_ms(struct loop *loop);

/* libevent's, for `weir --version`. */
const char *loop_library_version(void);

/* --- timers: embedded in their owner --- */

struct timer {
    struct list link;
    int64_t deadline_ns; /* 0: not set */
    void (*fn)(void *arg);
    void *arg;
};

void timer_init(struct timer *timer, void (*fn)(void *arg), void *arg);
/* Calls fn once, at the earliest after delay_ms, at most some 20 ms late. Setting again moves it; moving it
 * later (the usual case: an idle timeout on every request) is one store. */
void timer_set(struct loop *loop, struct timer *timer, int64_t delay_ms);
void timer_cancel(struct timer *timer); /* fine when not set */
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->deadline_ns != 0;
}

/* --- messages from other threads --- */

/* Embedded in what is sent; must stay alive until fn ran, on the loop's thread. */
struct post {
    struct post *next;
    void (*fn)(struct post *post);
};

/* Any thread. One system call only if the loop's mailbox was empty. Order from one sender is kept. */
void loop_post(struct loop *loop, struct post *post);

/* --- put off to the end of this turn --- */

struct later {
    struct list link; /* list_init() it once; in no list: not put off */
    void (*fn)(void *arg);
    void *arg;
};

void later_init(struct later *later, void (*fn)(void *arg), void *arg);
/* Runs fn at the end of this turn; if called from a later, at the end of the next one, which then does not
 * wait. Putting off twice is once. */
void loop_later(struct loop *loop, struct later *later);
void later_cancel(struct later *later);

/* free(memory) at the end of this turn, when no callback of it can be on the stack any more. */
void loop_free_later(struct loop *loop, void *memory);

#endif
