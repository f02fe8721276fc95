/* A worker: one thread, one loop, one lane of the corridor, its own listening sockets. The control thread
 * makes it, sends it worlds, asks it to drain, and joins it. */
#ifndef WORKER_H
#define WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "pipeline/lane.h"

#define GATES_MAX 64

struct worker;

/* tally and ring (may be NULL) are its own to write. NULL when out of memory or descriptors. */
struct worker *worker_new(unsigned index, struct city *city, struct world *world, struct tally *tally,
                          struct access_ring *ring);
/* fds[i] accepts for the world's gates[i]. */
bool worker_start(struct worker *worker, const int *fds);
/* A new world; on_over runs on the worker's thread once new requests begin in it. */
bool worker_enter_world(struct worker *worker, struct world *world, const int *fds,
                        void (*on_over)(void *arg), void *arg);
/* Connections end after their reply; accepting goes on for a moment, and then what had shaken hands is taken
 * in. on_deaf runs on the worker's thread when its sockets may be closed, on_over when no connection is left
 * or patience_ms are over. */
void worker_drain(struct worker *worker, int64_t patience_ms, void (*on_deaf)(void *arg),
                  void (*on_over)(void *arg), void *arg);
/* Ends its loop and joins its thread. NULL is fine. */
void worker_join(struct worker *worker);
/* Ends what still runs and frees; only when all workers were joined, for they post to each other. NULL is
 * fine. */
void worker_end(struct worker *worker);
void worker_free(struct worker *worker);
struct lane *worker_lane(struct worker *worker);

#endif
