/* The candidates for one request, sorted by what they are good for. choose.c decides by it. */
#ifndef RW_SPLIT_SCAN_H
#define RW_SPLIT_SCAN_H

#include "split.h"

#define CANDIDATES_MAX 64

struct scan {
    unsigned primary;       /* the first usable one not tried yet */
    unsigned tried_primary; /* the first usable one that was */
    unsigned primaries;     /* usable and not tried yet */
    bool has_primary, has_tried_primary;
    bool has_deposed;   /* one is up that is no primary any more, though weir takes it for one */
    bool has_lost;      /* one is up, but its database is not to be had */
    unsigned replicas;  /* in the config, usable or not */
    unsigned usable;    /* replicas that are up and were not tried */
    unsigned fit_count; /* of those: they show all of it */
    unsigned others;    /* of those: in the read set, but not known to be there yet */
    unsigned behind;    /* of the others: known to have come somewhere */
    /* Not zeroed: the counts above say how many there are. */
    unsigned fit[CANDIDATES_MAX];
    int other_slots[CANDIDATES_MAX];
    unsigned other_indexes[CANDIDATES_MAX];
};

/* seen: what is to be shown; NULL: nobody asks how far servers are. A write needs no replica that shows it:
 * for that only the primary is looked at. */
void scan_for_read(const struct rw_split *self, struct scan *scan, const struct weir_candidate *candidates,
                   unsigned count, const struct seen *seen);
void scan_for_write(const struct rw_split *self, struct scan *scan, const struct weir_candidate *candidates,
                    unsigned count, const struct seen *seen);

#endif
