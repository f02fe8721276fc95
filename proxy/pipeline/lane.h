/* One worker's lane of the corridor: what its requests share and nobody else touches.
 *
 * Owner and thread: the worker. The loop, connections to servers, free travellers, scratch memory for heads
 * and batches, counters, the tenants it met. */
#ifndef PIPELINE_LANE_H
#define PIPELINE_LANE_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/map.h"
#include "net/loop.h"
#include "observe/access_log.h"
#include "observe/series.h"
#include "pipeline/world.h"
#include "upstream/exchange.h"

#define LANE_READ_BYTES (64 * 1024) /* from clients, a read */
#define LANE_HEAD_BYTES (72 * 1024) /* a head on its way out: the head limits of both sides fit */
#define BATCH_IOV_MAX   64

/* A tenant as this lane met it in this world. */
struct lane_tenant {
    struct tenant *tenant;             /* holds a reference */
    const struct config_tenant *rules; /* of the world it was met in */
    unsigned label;
    uint32_t until_relabel; /* requests until the label is asked for again */
    uint32_t requests;      /* now in progress: not forgotten while there are any */
};

/* A world as long as this lane has requests in it. */
struct lane_world {
    struct world *world;
    uint64_t requests;
    struct map *tenants; /* name -> struct lane_tenant; bounded */
    struct lane_world *next;
};

/* What goes out in one writev: pieces gathered during a batch, and where small bits live meanwhile. One is
 * enough: a batch is written before another begins. */
struct batch {
    struct iovec iov[BATCH_IOV_MAX];
    int count;
    size_t bytes;
    size_t head_len; /* used of head */
    char head[LANE_HEAD_BYTES];
};

struct lane {
    unsigned index;
    struct loop *loop;
    struct city *city;
    struct lane_world *now;     /* new requests begin here */
    struct lane_world *earlier; /* worlds with requests still in them */
    struct pools *pools;
    struct tally *tally;
    struct access_ring *ring; /* NULL: access log off */
    struct list clients;      /* of struct client */
    unsigned client_count;
    struct list free_requests;
    unsigned free_request_count;
    struct list fetches; /* running, with or without a client */
    struct list free_fetches;
    unsigned free_fetch_count;
    uint64_t random[2];  /* xorshift128+, for ids and picks: never for secrets */
    int64_t since_check; /* hits since the leak sentinel looked at one */
    struct check *check; /* ... which it does one at a time; NULL: none */
    struct tier *tier;   /* the second tier; NULL: none */
    unsigned errands;    /* requests under way that no client waits for */
    bool is_draining;
    _Atomic uint64_t stats[32]; /* enum lane_stat; written by the lane alone */
    char read[LANE_READ_BYTES];
    char forward[LANE_HEAD_BYTES]; /* a request head on its way to a server */
    struct batch batch;
};

enum lane_stat {
    LANE_CACHE_HITS,
    LANE_CACHE_MISSES,
    LANE_CACHE_STALE,
    LANE_CACHE_COLLAPSED,
    LANE_CACHE_REVALIDATED, /* the app said that what is stored is still good */
    LANE_CACHE_REFRESHED,   /* fetches that no client waits for */
    LANE_CACHE_STOOD_IN,    /* a stored answer instead of an error */
    LANE_LEAK_SAME,         /* the leak sentinel's findings */
    LANE_LEAK_CHANGED,
    LANE_LEAK_UNSURE,
    LANE_LEAK_FOUND,
    LANE_TIER_HIT, /* what asking the second tier brought */
    LANE_TIER_MISS,
    LANE_TIER_TIMEOUT,
    LANE_TIER_ERROR,
    LANE_TIER_REFUSED,
    LANE_TIER_SKIPPED,
    LANE_CONNECTIONS,
    LANE_REQUESTS,
    LANE_STAT_COUNT
};
_Static_assert(LANE_STAT_COUNT <= 32, "a lane's row of counters");

static inline void lane_count(struct lane *lane, enum lane_stat stat, int64_t n)
{
    uint64_t value = atomic_load_explicit(&lane->stats[stat], memory_order_relaxed);
    atomic_store_explicit(&lane->stats[stat], value + (uint64_t)n, memory_order_relaxed);
}

struct lane *lane_new(unsigned index, struct city *city, struct world *world, struct tally *tally);
void lane_free(struct lane *lane); /* no client, no fetch left */

/* Ends what still runs for nobody: weir stops. Any thread, once no lane's loop turns any more. */
void lane_end_fetches(struct lane *lane);

/* From now on new requests begin in that world (takes a reference). */
void lane_enter_world(struct lane *lane, struct world *world);
/* A request begins in the present world; ends. */
struct lane_world *lane_world_take(struct lane *lane);
void lane_world_give(struct lane *lane, struct lane_world *world);

/* One more request of that tenant; give it back with lane_tenant_give(). NULL: unlisted and refused, or no
 * room
 * (*out_err says which). */
struct lane_tenant *lane_tenant_take(struct lane *lane, struct lane_world *world, struct str name,
                                     int *out_err);
void lane_tenant_give(struct lane_tenant *tenant);

/* The bucket's size in requests: what the config says, else one second's rate. */
static inline double tenant_burst(const struct config_tenant *rules)
{
    if (rules->burst > 0)
        return rules->burst;
    return rules->rate_per_s > 1 ? rules->rate_per_s : 1;
}

uint64_t lane_random(struct lane *lane);

#endif
