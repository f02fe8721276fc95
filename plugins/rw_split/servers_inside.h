/* The inside of servers.h: for servers.c, samples.c, bounds.c and roles.c only. */
#ifndef RW_SPLIT_SERVERS_INSIDE_H
#define RW_SPLIT_SERVERS_INSIDE_H

#include "servers.h"

#include <pthread.h>
#include <stdatomic.h>

#include "succession.h"

#define SAMPLES_MAX  512
#define ADDRESS_SIZE 128

struct sample {
    int64_t before_ms;
    int64_t after_ms;
    uint64_t value;
    uint32_t epoch;
    bool as_primary; /* it was the primary then */
    bool is_open;    /* its epoch is the least that it may have been */
};

/* Who says how far a server has come. */
enum voice {
    VOICE_PROBE,
    VOICE_APP,
    VOICES
};

struct said {
    struct position at;
    int64_t after_ms;
};

struct server {
    struct server *next_retired;
    char address[ADDRESS_SIZE];
    size_t address_len;
    uint32_t tag;
    atomic_bool is_primary; /* weir says */
    atomic_uint named;      /* the round in which it last said so */
    atomic_bool is_lost;    /* nobody knows how far it is since the probe's connection to it broke */
    atomic_int_least64_t gone_since_ms; /* its database is not to be had, monotonic; 0: it is there */

    /* The newest position: written behind the lock, read without, between two even turns that are equal. */
    atomic_uint turn;
    atomic_uint_least64_t value;
    atomic_uint_least32_t epoch;
    atomic_bool is_known;
    atomic_int_least64_t reset_ms; /* when its position has gone back, or may have; 0: never */
    atomic_int_least64_t lag_ms;
    atomic_int_least64_t said_lag_ms;

    pthread_mutex_t lock; /* for what follows */
    struct sample *ring;  /* oldest first from first on; positions and before_ms never fall */
    unsigned first, count;
    int64_t latest_after_ms;  /* by then it had come to the newest position */
    struct said said[VOICES]; /* the last word of each */
    bool is_heard;            /* its probe works: then apps' words are no samples */
    bool was_lost;            /* and was not heard since */
    int64_t lost_ms;          /* when; 0: never */
    int64_t as_of_ms;         /* it is known to have had all that was written until then; 0: never */

    /* What the probe found, behind the lock of struct servers. */
    bool was_primary; /* before anybody was asked */
    bool has_claim, claims_primary, is_silent;
    int64_t silent_ms; /* since when, monotonic */
    bool is_expected;  /* a probe asks its database */
    bool is_awaited;   /* which neither answered nor failed so far */
    char *database;    /* as struct succession knows it; NULL: nobody asks */
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
    atomic_bool is_unsettled;      /* somebody is awaited */
    int primary_group;             /* or one of the two above */
    uint32_t timeline;             /* the newest that anybody was ever found on */
    struct succession *succession; /* what outlives this instance; NULL: nobody is asked */
    bool is_heir;                  /* it began with a leader, and has not heard of anybody since */
    bool is_confirmed;             /* whom that one said that he still leads */
    /* The newest epoch that a primary was seen in, and where it was then; written behind the lock, in this
     * order, and read the other way round. */
    atomic_uint_least32_t epoch;
    atomic_uint_least64_t epoch_from;
    int64_t epoch_ms; /* when it was asked; behind the lock */
    struct server *_Atomic slots[SERVERS_MAX];
    atomic_bool is_full;    /* somebody found no place */
    struct server *retired; /* their places were given to others, somebody may still look at them */
    atomic_uint turns;      /* of servers_measure() */
    /* The clock; the lock is for the first two. */
    int64_t mono_ms;                                    /* when it was last looked at; 0: never */
    int64_t offset_ms;                                  /* the wall clock's, against the monotonic one */
    atomic_int_least64_t doubt_from_ms, doubt_until_ms; /* times that there were twice; 0: none */
};

/* Is it the primary, as far as known? */
bool server_leads(const struct server *server);
struct position server_latest(const struct server *server);

struct sample *sample_at(const struct server *server, unsigned index);
struct position sample_position(const struct sample *sample);
/* The clock was set back not long ago: was that time before or after? */
bool servers_doubt(const struct servers *servers, int64_t at_ms);

#endif
