#include "policy/line.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "policy/fair.h"

/* How many are inside and how many wait stand in one word, so that "nobody waits" and "there is a place" are
 * one question. Without the mutex it changes only while nobody waits: who enters or leaves then needs one
 * compare-and-swap, which fails as soon as a waiter has been counted. Waiters are counted, and places handed
 * over, only under the mutex. So a leaver either sees the waiter or the waiter sees the place. */
#define INSIDE_ONE  1ull
#define WAITING_ONE (1ull << 32)
#define QUEUE_MAX   INT32_MAX

enum waiter_state {
    WAITER_OUT,
    WAITER_WAITING,
    WAITER_TURN
};

struct line {
    _Alignas(64) _Atomic uint64_t counts;
    _Atomic int64_t limit; /* INT64_MAX: unlimited; written under the mutex */
    _Alignas(64) pthread_mutex_t mutex;
    int64_t queue;
    struct fair fair;
};

static int64_t inside_of(uint64_t counts)
{
    return (int64_t)(counts & (WAITING_ONE - 1));
}

static int64_t waiting_of(uint64_t counts)
{
    return (int64_t)(counts >> 32);
}

static int64_t limit_now(const struct line *line)
{
    return atomic_load_explicit(&line->limit, memory_order_relaxed);
}

static uint64_t counts_now(const struct line *line)
{
    return atomic_load_explicit(&line->counts, memory_order_relaxed);
}

static void store_limits(struct line *line, int64_t limit, int64_t queue)
{
    atomic_store_explicit(&line->limit, limit < 0 ? INT64_MAX : limit, memory_order_relaxed);
    line->queue = queue < 0 ? 0 : min_i64(queue, QUEUE_MAX);
}

struct line *line_new(int64_t limit, int64_t queue)
{
    struct line *line = aligned_alloc(64, sizeof *line);
    if (!line)
        return NULL;
    memset(line, 0, sizeof *line);
    pthread_mutex_init(&line->mutex, NULL);
    store_limits(line, limit, queue);
    if (!fair_init(&line->fair)) {
        line_free(line);
        return NULL;
    }
    return line;
}

void line_free(struct line *line)
{
    if (!line)
        return;
    CHECK(counts_now(line) == 0);
    fair_fini(&line->fair);
    pthread_mutex_destroy(&line->mutex);
    free(line);
}

/* Gives free places to waiters. Under the mutex; turns collects who is to be told once it is released. */
static void hand_over(struct line *line, struct list *turns)
{
    int64_t limit = limit_now(line);
    for (;;) {
        uint64_t counts = counts_now(line);
        if (waiting_of(counts) == 0 || inside_of(counts) >= limit)
            return;
        struct line_waiter *waiter = fair_next(&line->fair);
        CHECK(waiter != NULL);
        waiter->state = WAITER_TURN;
        list_push_back(turns, &waiter->link);
        /* With a waiter counted nobody else changes the word: this add is the first that shows the place. */
        atomic_fetch_add_explicit(&line->counts, INSIDE_ONE - WAITING_ONE, memory_order_acq_rel);
    }
}

/* After on_turn the waiter is its owner's again. */
static void tell(struct list *turns)
{
    while (!list_is_empty(turns)) {
        struct line_waiter *waiter = LIST_ENTRY(turns->next, struct line_waiter, link);
        list_remove(&waiter->link);
        waiter->on_turn(waiter);
    }
}

void line_set(struct line *line, int64_t limit, int64_t queue)
{
    struct list turns;
    list_init(&turns);
    pthread_mutex_lock(&line->mutex);
    store_limits(line, limit, queue);
    hand_over(line, &turns);
    pthread_mutex_unlock(&line->mutex);
    tell(&turns);
}

/* Enters if nobody waits and there is a place. */
static bool try_enter(struct line *line, uint64_t *counts)
{
    int64_t limit = limit_now(line);
    while (waiting_of(*counts) == 0 && inside_of(*counts) < limit) {
        if (atomic_compare_exchange_weak_explicit(&line->counts, counts, *counts + INSIDE_ONE,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Under the mutex, with the queue full: true if somebody else had to leave it; the place in the queue,
 * counted as it is, is the newcomer's. on_refused is called here and now, so that once line_quit() has
 * returned nothing about that waiter is still to come. */
static bool push_out(struct line *line, struct str flow, unsigned weight, uint8_t priority)
{
    struct line_waiter *victim = fair_victim(&line->fair, flow, weight, priority);
    if (!victim || !victim->on_refused)
        return false;
    fair_remove(&line->fair, victim);
    victim->state = WAITER_OUT;
    victim->on_refused(victim);
    return true;
}

/* Under the mutex: counts the waiter, unless a place came free meanwhile. */
static enum line_answer enter_or_wait(struct line *line, struct str flow, unsigned weight,
                                      struct line_waiter *waiter)
{
    uint64_t counts = counts_now(line);
    for (;;) {
        if (try_enter(line, &counts))
            return LINE_ENTERED;
        if (waiting_of(counts) >= line->queue) {
            if (waiting_of(counts) == 0 || !push_out(line, flow, weight, waiter->priority))
                return LINE_FULL;
            break;
        }
        if (atomic_compare_exchange_weak_explicit(&line->counts, &counts, counts + WAITING_ONE,
                                                  memory_order_relaxed, memory_order_relaxed))
            break;
    }
    waiter->state = WAITER_WAITING;
    if (fair_add(&line->fair, flow, weight, waiter))
        return LINE_WAITING;
    atomic_fetch_sub_explicit(&line->counts, WAITING_ONE, memory_order_relaxed);
    return LINE_FULL;
}

enum line_answer line_enter(struct line *line, struct str flow, unsigned weight, struct line_waiter *waiter)
{
    uint64_t counts = counts_now(line);
    if (waiter)
        waiter->state = WAITER_TURN; /* unless it has to wait */
    if (LIKELY(try_enter(line, &counts)))
        return LINE_ENTERED;
    if (!waiter)
        return LINE_FULL;
    pthread_mutex_lock(&line->mutex);
    enum line_answer answer = enter_or_wait(line, flow, weight, waiter);
    if (answer == LINE_FULL)
        waiter->state = WAITER_OUT;
    pthread_mutex_unlock(&line->mutex);
    return answer;
}

bool line_quit(struct line *line, struct line_waiter *waiter)
{
    pthread_mutex_lock(&line->mutex);
    bool has_place = waiter->state == WAITER_TURN;
    if (waiter->state == WAITER_WAITING) {
        fair_remove(&line->fair, waiter);
        waiter->state = WAITER_OUT;
        atomic_fetch_sub_explicit(&line->counts, WAITING_ONE, memory_order_relaxed);
    }
    pthread_mutex_unlock(&line->mutex);
    return !has_place;
}

void line_leave(struct line *line)
{
    uint64_t counts = counts_now(line);
    while (waiting_of(counts) == 0) {
        CHECK(inside_of(counts) > 0);
        if (atomic_compare_exchange_weak_explicit(&line->counts, &counts, counts - INSIDE_ONE,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }

    struct list turns;
    list_init(&turns);
    pthread_mutex_lock(&line->mutex);
    counts = atomic_fetch_sub_explicit(&line->counts, INSIDE_ONE, memory_order_acq_rel);
    CHECK(inside_of(counts) > 0);
    hand_over(line, &turns);
    pthread_mutex_unlock(&line->mutex);
    tell(&turns);
}

int64_t line_inside(const struct line *line)
{
    return inside_of(counts_now(line));
}

int64_t line_waiting(const struct line *line)
{
    return waiting_of(counts_now(line));
}

int64_t line_limit(const struct line *line)
{
    int64_t limit = limit_now(line);
    return limit == INT64_MAX ? -1 : limit;
}
