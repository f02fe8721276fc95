#include "net/loop_int.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/wheel.h"

#define WALL_CHECK_NS (100 * NS_PER_MS)
#define WALL_TRIES    8
#define WALL_CLOSE_NS 5000

struct loop {
    struct event_base *base;
    int64_t now_ns;    /* 0: not asked in this turn */
    int64_t before_ns; /* the last known time before this turn's epoll_wait */
    int64_t wall_offset_ns;
    int64_t wall_checked_ns;

    struct event alarm; /* wakes the turn in which a slot of the wheel comes due */
    int64_t alarm_ns;   /* what it is set to, WHEEL_NEVER when it is not */

    struct list laters;
    void **freed; /* put off by loop_free_later() */
    size_t freed_count;
    size_t freed_size;

    struct event wake_event;
    struct event patience; /* loop_turn() with a bound */
    int wake_fd;
    struct wheel wheel;

    /* What other threads write, away from what this one reads all the time. */
    _Alignas(64) _Atomic(struct post *) mailbox; /* newest first */
    atomic_bool is_stopping;
};

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    /* Edge triggered: the counter is never read, every write to it is a new edge. */
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
}

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    loop->alarm_ns = WHEEL_NEVER;
}

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    /* No locks: one thread. No cached time: the wheel keeps the time, libevent has one timer to look at. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_NO_CACHE_TIME |
                                      EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (base && event_base_priority_init(base, LOOP_PRIORITIES) != 0) {
        event_base_free(base);
        return NULL;
    }
    return base;
}

struct loop *loop_new(void)
{
    struct loop *loop = aligned_alloc(64, sizeof *loop);
    if (!loop)
        return NULL;
    memset(loop, 0, sizeof *loop);
    loop->alarm_ns = WHEEL_NEVER;
    list_init(&loop->laters);
    wheel_init(&loop->wheel, clock_mono_ns());
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->base = base_new();
    if (loop->wake_fd < 0 || !loop->base)
        goto fail;

    event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, loop);
    event_assign(&loop->alarm, loop->base, -1, 0, on_alarm, loop);
    event_assign(&loop->patience, loop->base, -1, 0, on_patience, loop);
    if (event_add(&loop->wake_event, NULL) != 0)
        goto fail;
    return loop;

fail:
    loop_free(loop);
    return NULL;
}

static void free_put_off(struct loop *loop)
{
    for (size_t i = 0; i < loop->freed_count; i++)
        free(loop->freed[i]);
    loop->freed_count = 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    free_put_off(loop);
    free(loop->freed);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    free(loop);
}

/* --- time --- */

int64_t loop_tick_ns(struct loop *loop)
{
    return loop->now_ns = clock_mono_ns();
}

int64_t loop_blind_ns(struct loop *loop)
{
    return loop_now_ns(loop) - loop->before_ns;
}

int64_t loop_now_ns(struct loop *loop)
{
    return LIKELY(loop->now_ns != 0) ? loop->now_ns : loop_tick_ns(loop);
}

/* By how much the wall clock is ahead of the other one. Who is put aside between reading the two would get it
 * wrong by as much, for as long as it is kept: a reply would count as asked for later than it was, and as
 * knowing of a write that it does not know, or a purge as earlier. So the closest of some readings counts. */
static int64_t wall_offset_ns(void)
{
    int64_t offset_ns = 0;
    int64_t closest_ns = INT64_MAX;
    for (unsigned i = 0; i < WALL_TRIES && closest_ns > WALL_CLOSE_NS; i++) {
        int64_t before_ns = clock_mono_ns();
        int64_t wall_ns = clock_wall_ns();
        int64_t apart_ns = clock_mono_ns() - before_ns;
        if (apart_ns >= closest_ns)
            continue;
        closest_ns = apart_ns;
        offset_ns = wall_ns - before_ns - apart_ns / 2;
    }
    return offset_ns;
}

int64_t loop_wall_ms(struct loop *loop)
{
    int64_t now_ns = loop_now_ns(loop);
    /* The wall clock may be set at any time; a tenth of a second later is soon enough to notice. */
    if (loop->wall_checked_ns == 0 || now_ns - loop->wall_checked_ns > WALL_CHECK_NS) {
        loop->wall_offset_ns = wall_offset_ns();
        loop->wall_checked_ns = now_ns;
    }
    return (now_ns + loop->wall_offset_ns) / NS_PER_MS;
}

/* --- timers --- */

void timer_init(struct timer *timer, void (*fn)(void *arg), void *arg)
{
    *timer = (struct timer){ .fn = fn, .arg = arg };
    list_init(&timer->link);
}

void timer_set(struct loop *loop, struct timer *timer, int64_t delay_ms)
{
    int64_t delay_ns = delay_ms > 0 ? min_i64(delay_ms, INT64_MAX / 4 / NS_PER_MS) * NS_PER_MS : 1;
    wheel_set(&loop->wheel, timer, loop_now_ns(loop) + delay_ns);
}

void timer_cancel(struct timer *timer)
{
    timer->deadline_ns = 0;
    list_remove(&timer->link);
}

/* Only ever moved earlier: one that fires too early costs an empty turn, and setting it on every change of
 * the wheel would cost more. */
static void alarm_set(struct loop *loop)
{
    int64_t next_ns = wheel_next_ns(&loop->wheel);
    if (LIKELY(next_ns >= loop->alarm_ns))
        return;
    /* The end of the millisecond, for epoll_wait() counts in them. */
    int64_t wait_us = max_i64(next_ns - clock_mono_ns(), 0) / 1000 + 1000;
    struct timeval tv = { .tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000 };
    if (event_add(&loop->alarm, &tv) == 0)
        loop->alarm_ns = next_ns;
}

/* --- messages --- */

static void wake(struct loop *loop)
{
    eventfd_write(loop->wake_fd, 1); /* cannot fail before 2^64 of them */
}

void loop_post(struct loop *loop, struct post *post)
{
    struct post *head = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
    do {
        post->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &head, post, memory_order_release,
                                                    memory_order_relaxed));
    if (!head)
        wake(loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->is_stopping, true, memory_order_release);
    wake(loop);
}

static void run_posts(struct loop *loop)
{
    if (LIKELY(!atomic_load_explicit(&loop->mailbox, memory_order_relaxed)))
        return;
    struct post *newest = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);
    struct post *oldest = NULL;
    while (newest) {
        struct post *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct post *post = oldest;
        oldest = post->next; /* before fn, which may free it */
        post->fn(post);
    }
}

/* --- put off --- */

void later_init(struct later *later, void (*fn)(void *arg), void *arg)
{
    *later = (struct later){ .fn = fn, .arg = arg };
    list_init(&later->link);
}

void loop_later(struct loop *loop, struct later *later)
{
    if (list_is_empty(&later->link))
        list_push_back(&loop->laters, &later->link);
}

void later_cancel(struct later *later)
{
    list_remove(&later->link);
}

static void run_laters(struct loop *loop)
{
    struct list batch;
    list_init(&batch);
    list_take_all(&batch, &loop->laters);
    while (!list_is_empty(&batch)) {
        struct later *later = LIST_ENTRY(batch.next, struct later, link);
        list_remove(&later->link);
        later->fn(later->arg);
    }
}

void loop_free_later(struct loop *loop, void *memory)
{
    if (!memory)
        return;
    if (loop->freed_count == loop->freed_size) {
        size_t size = loop->freed_size ? loop->freed_size * 2 : 64;
        void **freed = realloc(loop->freed, size * sizeof *freed);
        /* A leak, rather than freeing what may still be on the stack. */
        if (!freed)
            return;
        loop->freed = freed;
        loop->freed_size = size;
    }
    loop->freed[loop->freed_count++] = memory;
}

/* --- turning --- */

static void finish_turn(struct loop *loop)
{
    run_posts(loop);
    int64_t next_ns = wheel_next_ns(&loop->wheel);
    if (next_ns != WHEEL_NEVER && loop_now_ns(loop) >= next_ns)
        wheel_advance(&loop->wheel, loop_now_ns(loop));
    if (!list_is_empty(&loop->laters))
        run_laters(loop);
    if (loop->freed_count > 0)
        free_put_off(loop);
}

void loop_turn(struct loop *loop, int wait_ms)
{
    int flags = EVLOOP_ONCE;
    if (wait_ms == 0 || !list_is_empty(&loop->laters))
        flags |= EVLOOP_NONBLOCK;
    else
        alarm_set(loop);

    struct timeval tv = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };
    if (wait_ms > 0)
        event_add(&loop->patience, &tv);
    if (loop->now_ns)
        loop->before_ns = loop->now_ns;
    loop->now_ns = 0;
    event_base_loop(loop->base, flags);
    if (wait_ms > 0)
        event_del(&loop->patience);

    finish_turn(loop);
}

void loop_run(struct loop *loop)
{
    while (!atomic_load_explicit(&loop->is_stopping, memory_order_acquire))
        loop_turn(loop, -1);
    /* What was posted before the stop is not lost. */
    finish_turn(loop);
    atomic_store_explicit(&loop->is_stopping, false, memory_order_relaxed);
}

const char *loop_library_version(void)
{
    return event_get_version();
}
