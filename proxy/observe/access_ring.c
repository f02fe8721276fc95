#include "observe/access_ring.h"

#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "observe/access_log.h"

static uint32_t load(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

void access_ring_init(struct access_ring *ring, int wake_fd)
{
    memset(ring, 0, offsetof(struct access_ring, bytes));
    ring->wake_fd = wake_fd;
}

char *access_ring_reserve(struct access_ring *ring, uint32_t size)
{
    uint32_t taken = load(&ring->taken);
    ring->reserved_at = ring->put;
    ring->reserved = size;
    /* put == taken means empty: a line in front of the reader may not end where the reader stands. */
    if (ring->put >= taken && size > ACCESS_RING_BYTES - ring->put)
        ring->reserved_at = 0;
    uint32_t room = ring->reserved_at == ring->put && ring->put >= taken ? ACCESS_RING_BYTES - ring->put + 1
                                                                         : taken - ring->reserved_at;
    if (size < room)
        return ring->bytes + ring->reserved_at;
    ring->reserved = 0;
    __atomic_store_n(&ring->dropped, ring->dropped + 1, __ATOMIC_RELAXED);
    return NULL;
}

void access_ring_commit(struct access_ring *ring, uint32_t used)
{
    CHECK(used <= ring->reserved);
    ring->reserved = 0;
    if (used == 0)
        return;
    /* To the front: first where the lines at the back end, then that there is one at the front. */
    if (ring->reserved_at != ring->put)
        store(&ring->end, ring->put);
    store(&ring->put, ring->reserved_at + used);

    uint32_t taken = load(&ring->taken);
    uint32_t held = ring->put >= taken ? ring->put - taken : ACCESS_RING_BYTES - taken + ring->put;
    if (held < ACCESS_RING_BYTES / 2 || __atomic_exchange_n(&ring->is_woken, true, __ATOMIC_RELAXED))
        return;
    uint64_t one = 1;
    ssize_t n = write(ring->wake_fd, &one, sizeof one);
    (void)n; /* it looks by itself, a little later */
}

struct str access_ring_peek(struct access_ring *ring)
{
    uint32_t put = load(&ring->put);
    uint32_t taken = ring->taken;
    if (put < taken) {
        uint32_t end = load(&ring->end);
        if (taken < end)
            return str_n(ring->bytes + taken, end - taken);
        taken = 0;
        store(&ring->taken, 0);
    }
    return str_n(ring->bytes + taken, put - taken);
}

void access_ring_take(struct access_ring *ring, uint32_t bytes)
{
    store(&ring->taken, ring->taken + bytes);
}
