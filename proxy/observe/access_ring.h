/* A worker's lines on their way to the writer: one thread puts, one takes, no locks. Only for this room.
 *
 * A line lies in one piece, so that the bytes can be written from where they are: when the rest of the ring
 * is too short for it, the rest is left and the line starts at the front. Lines end with a line feed. */
#ifndef OBSERVE_ACCESS_RING_H
#define OBSERVE_ACCESS_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define ACCESS_RING_BYTES (256u << 10)

struct access_ring {
    /* the worker's */
    _Alignas(64) uint32_t put; /* where the next line goes */
    uint32_t reserved_at;      /* of the line being written */
    uint32_t reserved;
    uint64_t dropped;
    int wake_fd; /* told when the ring is half full */
    /* the writer's */
    _Alignas(64) uint32_t taken; /* where the next line to be written is */
    uint32_t partial;            /* bytes of that line which are out already */
    /* Behind the last line when put has gone to the front and taken has not; between them nothing lies. */
    _Alignas(64) uint32_t end;
    bool is_woken; /* asked for already; the writer takes it back */
    _Alignas(64) char bytes[ACCESS_RING_BYTES];
};

void access_ring_init(struct access_ring *ring, int wake_fd);

/* The writer's: the next run of whole lines, empty if there is none; and how much of it is done with. */
struct str access_ring_peek(struct access_ring *ring);
void access_ring_take(struct access_ring *ring, uint32_t bytes);

#endif
