/* Fetches that wait for a plugin's wake(): one list per upstream. Added and removed by their workers, woken
 * by any thread; a fetch that was woken is out of the list and its post is on the way, never both. */
#include <pthread.h>
#include <stdlib.h>

#include "pipeline/fetch.h"
#include "pipeline/plugin.h"

struct held {
    pthread_mutex_t lock;
    struct list fetches;
    uint64_t wakes; /* so that one between a plugin's answer and held_add() is not lost */
};

struct held *held_new(void)
{
    struct held *held = calloc(1, sizeof *held);
    if (!held)
        return NULL;
    pthread_mutex_init(&held->lock, NULL);
    list_init(&held->fetches);
    return held;
}

void held_free(struct held *held)
{
    if (!held)
        return;
    pthread_mutex_destroy(&held->lock);
    free(held);
}

uint64_t held_wakes(struct held *held)
{
    return __atomic_load_n(&held->wakes, __ATOMIC_ACQUIRE);
}

bool held_add(struct held *held, struct fetch *fetch, uint64_t wakes)
{
    pthread_mutex_lock(&held->lock);
    bool is_current = held->wakes == wakes;
    if (is_current)
        list_push_back(&held->fetches, &fetch->held_link);
    pthread_mutex_unlock(&held->lock);
    return is_current;
}

bool held_remove(struct held *held, struct fetch *fetch)
{
    pthread_mutex_lock(&held->lock);
    bool is_there = !list_is_empty(&fetch->held_link);
    list_remove(&fetch->held_link);
    pthread_mutex_unlock(&held->lock);
    return is_there;
}

static _Thread_local uint64_t own_wakes;

uint64_t held_own_wakes(void)
{
    return own_wakes;
}

void held_wake(struct held *held, bool is_own)
{
    own_wakes += is_own;
    pthread_mutex_lock(&held->lock);
    __atomic_store_n(&held->wakes, held->wakes + 1, __ATOMIC_RELEASE);
    while (!list_is_empty(&held->fetches)) {
        struct fetch *fetch = LIST_ENTRY(held->fetches.next, struct fetch, held_link);
        list_remove(&fetch->held_link);
        loop_post(fetch->lane->loop, &fetch->held_post);
    }
    pthread_mutex_unlock(&held->lock);
}
