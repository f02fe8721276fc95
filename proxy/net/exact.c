#include "net/exact.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop_int.h"

/* A descriptor of the kernel's: libevent's own timers count by a clock of 4 ms. */
struct exact {
    struct loop *loop;
    struct event event;
    int fd;
    int64_t deadline_ns; /* 0: not set */
    void (*fn)(void *arg);
    void *arg;
};

static void arm(struct exact *exact, int64_t deadline_ns)
{
    struct itimerspec when = { .it_value = { .tv_sec = deadline_ns / NS_PER_S,
                                             .tv_nsec = deadline_ns % NS_PER_S } };
    timerfd_settime(exact->fd, TFD_TIMER_ABSTIME, &when, NULL); /* cannot fail: the time is valid */
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct exact *exact = arg;
    uint64_t times;

    /* Nothing to read: it was moved after it had become readable. */
    if (read(fd, &times, sizeof times) < 0 || exact->deadline_ns == 0)
        return;
    exact->deadline_ns = 0;
    loop_tick_ns(exact->loop); /* the turn may have begun before */
    exact->fn(exact->arg);
}

struct exact *exact_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct exact *exact = calloc(1, sizeof *exact);
    if (!exact)
        return NULL;
    exact->loop = loop;
    exact->fn = fn;
    exact->arg = arg;
    exact->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (exact->fd < 0) {
        free(exact);
        return NULL;
    }
    event_assign(&exact->event, loop_base(loop), exact->fd, EV_READ | EV_PERSIST, on_due, exact);
    if (event_add(&exact->event, NULL) != 0) {
        close(exact->fd);
        free(exact);
        return NULL;
    }
    return exact;
}

void exact_free(struct exact *exact)
{
    if (!exact)
        return;
    event_del(&exact->event);
    close(exact->fd);
    loop_free_later(exact->loop, exact);
}

void exact_set(struct exact *exact, int64_t deadline_ns)
{
    if (exact->deadline_ns == deadline_ns)
        return;
    exact->deadline_ns = max_i64(deadline_ns, 1); /* 0 would switch it off */
    arm(exact, exact->deadline_ns);
}

void exact_cancel(struct exact *exact)
{
    if (exact->deadline_ns != 0)
        arm(exact, 0);
    exact->deadline_ns = 0;
}
