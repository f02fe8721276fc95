/* The inside of servers.h: for servers.c, samples.c and roles.c only. */
#ifndef RW_SPLIT_SERVERS_INSIDE_H
#define RW_SPLIT_SERVERS_INSIDE_H

#include "servers.h"

#include <pthread.h>
#include <stdatomic.h>

#define SAMPLES_MAX  512
#define ADDRESS_SIZE 128

struct sample {
    int64_t before_ms;
    int64_t after_ms;
    uint64_t value;
    uint32_t epoch;
    bool as_primary; /* it was the primary then */
};

struct server {
    char address[ADDRESS_SIZE];
    size_t address_len;
    uint32_t tag;
    atomic_bool is_primary; /* weir says */

    /* The newest position: written behind the lock, read without, between two even turns that are equal. */
    atomic_uint turn;
    atomic_uint_least64_t value;
    atomic_uint_least32_t epoch;
    atomic_bool is_known;
    atomic_int_least64_t reset_ms; /* when its position was seen to have gone back; 0: never */
    atomic_int_least64_t lag_ms;
    atomic_int_least64_t said_lag_ms;

    pthread_mutex_t lock; /* for what follows */
    struct sample *ring;  /* oldest first from first on; positions and before_ms never fall */
    unsigned first, count;
    int64_t latest_after_ms;
    int64_t as_of_ms; /* it is known to have had all that was written until then; 0: never */

    /* What the probe found, behind the lock of struct servers. */
    bool was_primary; /* before anybody was asked */
    bool has_claim, claims_primary, is_silent;
    uint32_t timeline;
    int group; /* servers of one database have one number */
    atomic_int role;
    atomic_bool is_pretender;
};

enum {
    PRIMARY_AS_CONFIGURED = -2, /* no probe has an opinion */
    PRIMARY_NONE = -1
};

struct servers {
    uint32_t clock;
    servers_progress_fn *on_progress;
    void *arg;
    pthread_mutex_t lock;
    atomic_uint count;
    atomic_bool knows;
    int primary_group; /* or one of the two above */
    uint32_t epoch;    /* the newest that a primary was seen in, and where it was then */
    uint64_t epoch_from;
    struct server *slots[SERVERS_MAX];
};

/* Is it the primary, as far as known? */
bool server_leads(const struct server *server);
struct position server_latest(const struct server *server);

#endif
