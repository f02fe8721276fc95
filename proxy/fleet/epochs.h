/* Where this weir stands in the fleet's journal: which epoch it is in, how far it has applied, how far it
 * must come before it may be trusted, and until when its lease lets it call itself connected.
 *
 * Pure: no Redis, no clock (now is a parameter). Embedded in the bus; its thread. bus.h tells the story. */
#ifndef FLEET_EPOCHS_H
#define FLEET_EPOCHS_H

#include <stdbool.h>
#include <stdint.h>

struct epochs {
    int64_t lease_ms;
    uint64_t epoch;   /* 0: none was heard of yet */
    uint64_t applied; /* all up to here was applied */
    uint64_t last;    /* the newest that the journal was seen to hold */
    uint64_t goal;    /* applied must come here before what is stored may be trusted */
    uint64_t term;    /* of the lease; 0: none is held */
    int64_t sent_ns;  /* when the newest renewal that worked was sent */
    uint64_t behind_seq;
    int64_t behind_ns; /* since when behind_seq is known and not applied; 0: nothing is */
};

void epochs_init(struct epochs *where, int64_t lease_ms);

enum epochs_news {
    EPOCHS_SAME,
    EPOCHS_LAPSED, /* the lease had run out: what the journal holds by now must be applied first */
    EPOCHS_NEW,    /* another epoch: what was fetched before is not to be trusted */
};

/* Redis answered what was sent at sent_ns: the journal ends at last, and our lease has this term (0: we took
 * none). */
enum epochs_news epochs_read(struct epochs *where, uint64_t epoch, uint64_t last, uint64_t term,
                             int64_t sent_ns, int64_t now_ns);

enum epochs_step {
    EPOCHS_NEXT, /* the one that follows: apply it, then epochs_applied() */
    EPOCHS_GAP,  /* apply it, but those between are lost */
    EPOCHS_OLD,  /* had it, or of another epoch */
};

enum epochs_step epochs_step(const struct epochs *where, uint64_t epoch, uint64_t seq);
void epochs_applied(struct epochs *where, uint64_t seq, int64_t now_ns);

/* Entries that nobody manages to read for most of a lease: gives the lease up rather than making every purge
 * wait for us. True when it did so: from now on not trusted. */
bool epochs_give_up(struct epochs *where, int64_t now_ns);

/* The connection broke: whether the lease lives will be known when it is back. */
void epochs_cut(struct epochs *where);

static inline bool epochs_is_caught_up(const struct epochs *where)
{
    return where->applied >= where->goal;
}

/* Only who has caught up takes a lease: others would wait for somebody who does not trust himself anyway. */
static inline bool epochs_wants_lease(const struct epochs *where)
{
    return where->epoch != 0 && epochs_is_caught_up(where);
}

/* 0: not connected. */
int64_t epochs_connected_until_ns(const struct epochs *where);

#endif
