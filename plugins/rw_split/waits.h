/* Who waits in choose, and when it is worth waking them. weir wakes all or none, and each who is woken is
 * asked again: so nobody is woken by progress that does not reach the least position anybody waits for, and
 * after many were woken it is some time before they are again. A server that comes further costs the same
 * whether ten wait or ten thousand.
 *
 * Those who wait are counted by turns: a wake ends one, and who waits on says so anew. Who gave up meanwhile
 * is counted until then. Knows positions and slots, refuses to know requests. Owned by the plugin's instance;
 * any thread, behind one short lock, which nobody takes while nobody waits. */
#ifndef RW_SPLIT_WAITS_H
#define RW_SPLIT_WAITS_H

#include <pthread.h>
#include <stdatomic.h>

#include "servers.h"

struct waits {
    pthread_mutex_t lock;
    atomic_bool is_there; /* somebody waits: read without the lock */
    bool wants_any;       /* somebody waits for what is no position */
    struct position least;
    uint64_t slots[SERVERS_MAX / 64]; /* whose progress may help one of them; bits */
    unsigned turn, count;             /* who waits in this turn */
    int64_t not_before_ms;            /* monotonic: the next wake */
    bool is_owed;                     /* it would have been earlier */
};

void waits_init(struct waits *waits);
void waits_fini(struct waits *waits);

/* One waits for that, until one of the servers at these slots shows it; wants_any: for something else as well
 * that progress may bring. *io_turn: the waiter's own, 0 at first. Returns how soon it should look again by
 * itself. Look at the figures once more afterwards: what came before it is told to nobody. */
int64_t waits_add(struct waits *waits, const struct seen *seen, const int *slots, unsigned count,
                  bool wants_any, unsigned *io_turn);

/* Somebody has come further. True: wake them. */
bool waits_progressed(struct waits *waits, const struct servers *servers, int64_t now_ms);
/* Is a wake due that came too early? True: wake them. From tick. */
bool waits_due(struct waits *waits, int64_t now_ms);
/* They are woken in any case. */
void waits_woken(struct waits *waits, int64_t now_ms);

#endif
