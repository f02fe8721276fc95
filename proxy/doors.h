/* The listening sockets: one for each listen entry and worker, made once and kept over reloads, since closing
 * one of a SO_REUSEPORT group resets what waits in it. Owner and thread: control. */
#ifndef DOORS_H
#define DOORS_H

#include <stdbool.h>

#include "config/config.h"
#include "worker.h"

struct door_set { /* one listen entry's sockets */
    char text[128];
    unsigned nth; /* of that text: two entries with port 0 are two doors */
    struct addr bound;
    int *fds; /* one per worker */
    bool is_wanted;
};

struct doors {
    struct door_set rows[GATES_MAX];
    unsigned count;
    unsigned worker_count;
};

/* Makes sure that every listen entry has its sockets. 0, or an errno, with the address in *out_which. */
int doors_open(struct doors *doors, const struct config *config, const struct addr **out_which);
/* Which are wanted from now on; the others may be closed once no worker uses them. */
void doors_want(struct doors *doors, const struct config *config);
void doors_close_unwanted(struct doors *doors);
void doors_close(struct doors *doors);

/* The sockets of one worker, in the order of the config's listen entries. */
void doors_fds(const struct doors *doors, const struct config *config, unsigned worker, int *out);
/* What an entry's address became: a port 0 is chosen by the kernel. */
const struct addr *doors_bound(const struct doors *doors, const struct config *config, unsigned index);

#endif
