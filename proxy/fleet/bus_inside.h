/* The bus from the inside: bus.c is its door and its outbox, bus_link.c talks to Redis, bus_wait.c knows who
 * still waits for whom, bus_hint.c carries invalidations, bus_entry.c is what stands in Redis as bytes
 * (pure), bus_script.c the script. All on the bus' loop, but for the atomics. */
#ifndef FLEET_BUS_INSIDE_H
#define FLEET_BUS_INSIDE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "fleet/bus.h"
#include "fleet/epochs.h"
#include "fleet/journal.h"
#include "fleet/redis.h"
#include "net/loop.h"

/* --- bytes (bus_entry.c) --- */

#define BUS_ENTRY_MAX (32 + BUS_TENANT_MAX + BUS_WHAT_MAX)

/* How long entry_write()'s bytes will be; 0 when that is no purge an entry can hold. */
size_t bus_entry_size(const struct bus_purge *purge);
void bus_entry_write(const struct bus_purge *purge, char *out);
/* False on anything that bus_entry_write() would not have written. An entry that only opens an epoch is fine
 * and purges nothing: *out_is_opening. */
bool bus_entry_read(struct str bytes, struct bus_purge *out, bool *out_is_opening);
#define BUS_OPENING "Wo"

/* "<epoch>-<seq>" as a stream's ids are written. */
bool bus_id_read(struct str id, uint64_t *out_epoch, uint64_t *out_seq);

struct bus_news {
    enum {
        NEWS_ENTRIES, /* the journal grew, or an epoch began */
        NEWS_ACK,     /* node has applied epoch-seq */
        NEWS_HINTS    /* hints: what was invalidated at node, for bus_hint_next() */
    } kind;
    uint64_t node;
    uint64_t epoch;
    uint64_t seq;
    struct str hints;
};

bool bus_news_read(struct str payload, struct bus_news *out);
/* The start of a message of hints, and one more; false when memory is out. */
bool bus_hints_begin(struct buf *out, uint64_t node);
bool bus_hints_add(struct buf *out, struct str primary);
/* The next one. False at the end; *out_is_garbage says whether it was one. */
bool bus_hint_next(struct str *rest, struct str *out_primary, bool *out_is_garbage);

/* What the script answers. */
struct bus_reading {
    uint64_t epoch;
    uint64_t last;
    uint64_t term;
    int64_t age_ms; /* of the epoch */
    uint64_t mine;  /* the number of the first entry appended by this call */
    unsigned node_count;
    bool is_cut; /* there are more than BUS_NODES_MAX */
    struct bus_node {
        uint64_t id;
        uint64_t epoch;
        uint64_t applied;
    } nodes[BUS_NODES_MAX];
};

bool bus_reading_read(const struct redis_reply *reply, struct bus_reading *out);

/* --- the script (bus_script.c) --- */

/* KEYS: journal, nodes. ARGV: as enum below, then entries. Returns a flat array: epoch, last, term, age_ms,
 * mine, then id, epoch, applied of each lease. */
extern const char bus_script[];

enum {
    ARG_NODE,
    ARG_CHANNEL,
    ARG_EPOCH,   /* where the caller stands */
    ARG_APPLIED, /* and how far it has come there */
    ARG_LEASE,   /* ms; 0: give it up */
    ARG_FRESH,   /* the epoch to open, should one be needed */
    ARG_KEEP,    /* entries the journal keeps */
    ARG_SAY,     /* "1": tell the others how far we are */
    ARG_OPENING, /* the entry that opens an epoch */
    ARG_FIXED_COUNT
};

/* --- who waits (bus_wait.c) --- */

/* A purge somebody waits for. */
struct ticket {
    struct list link;      /* bus->waiting, or bus->ended */
    struct parcel *parcel; /* while it is not in the journal */
    bus_done_fn *fn;
    void *arg;
    int64_t deadline_ns;
    uint64_t seq; /* in bus->where.epoch; 0: not in the journal yet */
    enum bus_end end;
    unsigned nodes;
};

/* Looks who has got what he waited for. */
void bus_wait_look(struct bus *bus);
/* Ends those whose patience is over; returns when the next one's is, INT64_MAX: nobody waits. */
int64_t bus_wait_expire(struct bus *bus);
void bus_wait_heard(struct bus *bus, uint64_t node, uint64_t epoch, uint64_t seq);
void bus_wait_new_epoch(struct bus *bus);
void bus_ticket_end(struct bus *bus, struct ticket *ticket, enum bus_end end, unsigned nodes);
void bus_wait_deliver(struct bus *bus);
/* At bus_free(): everybody's wait ends now. */
void bus_wait_end(struct bus *bus);
unsigned bus_wait_acked(const struct bus *bus, uint64_t seq);

/* --- what waits to be appended (bus.c) --- */

#define OUTBOX_MAX       65536
#define OUTBOX_BYTES_MAX (16u << 20)
#define BATCH_MAX        128
#define BATCH_BYTES_MAX  (256u << 10)
#define BATCHES_MAX      8

struct parcel {
    struct list link;
    struct ticket *ticket; /* NULL: nobody waits any more */
    bool is_soft;
    size_t len;
    char bytes[];
};

/* On its way to Redis. */
struct batch {
    struct bus *bus;
    struct list parcels;
    int64_t sent_ns;
};

void bus_outbox_flush(struct bus *bus);

/* --- invalidations (bus_hint.c) --- */

#define HINTS_MAX      4096
#define HINT_BYTES_MAX (64u << 10) /* of one message */

struct hint;

void bus_hints_flush(struct bus *bus);
void bus_hints_drop(struct bus *bus);

/* --- the bus --- */

struct bus {
    struct loop *loop;
    const struct bus_events *events;
    void *arg;
    int64_t lease_ms;
    int64_t patience_ms;
    bool is_alone;
    uint64_t id;
    char id_text[24];
    char keep_text[24];
    char journal_key[96];
    char nodes_key[96];
    char channel[96];

    struct redis *asks;
    struct redis *listener;
    struct timer beat_timer;
    struct later later;
    bool is_well;    /* the last thing asked of Redis worked */
    bool is_beating; /* a renewal is on its way */
    bool beat_again;
    bool says; /* the next renewal tells the others how far we are */
    int64_t beat_sent_ns;
    bool is_reading;
    bool read_again;
    unsigned reads_in_vain;

    struct epochs where;
    struct journal *journal;
    struct bus_reading reading;
    int64_t settled_ns; /* from then on its epoch is older than a lease */

    struct list outbox; /* of struct parcel, oldest first */
    unsigned outbox_count;
    size_t outbox_bytes;
    unsigned batch_count;
    unsigned flying_count; /* parcels in batches */
    struct list waiting;   /* of struct ticket, oldest first */
    struct list ended;     /* of struct ticket: to be told at the end of this turn */
    unsigned waiting_count;
    unsigned waiting_in_journal; /* those of them that are in it */

    struct list hints; /* of struct hint, oldest first */
    unsigned hint_count;
    atomic_uint hints_posted; /* still in the loop's mailbox */
    bool is_dead;             /* bus_free() was called; the last posted hint frees */

    _Atomic int64_t connected_until_ns;
    atomic_bool is_trusted;
    _Atomic int64_t distrusted_since_ms;
    _Atomic int64_t distrusted_before_ms;
    _Atomic uint64_t seq;
    _Atomic uint64_t epoch;
    _Atomic uint64_t applied;
    _Atomic uint64_t distrusts;
    _Atomic uint64_t garbage;
    _Atomic uint64_t dropped;
    _Atomic uint64_t errors;
    atomic_uint nodes;
    atomic_uint pending;
};

/* --- the talk with Redis (bus_link.c) --- */

bool bus_link_open(struct bus *bus, const struct redis_url *url);
void bus_link_close(struct bus *bus);
/* Renews the lease, if it may have one, and reads everybody's. */
void bus_beat(struct bus *bus);
/* Reads what the journal holds behind what was applied. */
void bus_read(struct bus *bus);
/* Sends one batch of entries. False when it could not be asked. */
bool bus_append(struct bus *bus, struct batch *batch);
/* The batch is in the journal from reading->mine on; or, reading NULL, it is not known to be. Frees it. */
void bus_batch_done(struct bus *bus, struct batch *batch, const struct bus_reading *reading);
/* Tells the atomics what is. */
void bus_publish(struct bus *bus);
void bus_count_garbage(struct bus *bus);

#endif
