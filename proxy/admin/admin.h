/* The admin address: this is the door of admin/.
 *
 * The room knows how operators ask: a small HTTP server on the control thread's loop, JSON in and out,
 * Prometheus text. It refuses to know how requests travel: it reads what workers publish (tallies, atomics,
 * the world) and asks the control thread for changes through `struct admin_hooks`. Whoever can reach it can
 * change weir: Host is checked against DNS rebinding, POST needs application/json and no foreign Origin, a
 * token is Bearer (A4). Owner and thread: control. */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/addr.h"
#include "pipeline/lane.h"
#include "pipeline/world.h"

struct access_log;
struct admin;

enum purge_end {       /* from good to bad */
    PURGE_IS_LOCAL,    /* no fleet: nobody else had to be told */
    PURGE_IS_DONE,     /* every connected weir did it */
    PURGE_PARTLY,      /* some did not say so in time */
    PURGE_UNREACHABLE, /* the fleet could not be told; here it is done */
};

struct purge_result {
    uint64_t count; /* objects, here */
    unsigned nodes; /* weirs that did it, this one included */
    enum purge_end end;
};

/* Called once for each purge, while it is being asked for or later, on the control thread. */
typedef void purge_done_fn(void *arg, const struct purge_result *result);

/* How the weirs that share a Redis get along; as this one sees it. */
struct fleet_state {
    bool is_usable;     /* the second tier is asked: its breaker is closed */
    bool is_connected;  /* to the others */
    bool is_trusted;    /* no purge was missed: what is stored may be used unvalidated */
    unsigned nodes;     /* connected weirs, this one included */
    uint64_t sequence;  /* of the last purge that was done here */
    uint64_t pending;   /* purges that the others were not told yet */
    uint64_t errors;    /* Redis refused, or did not answer in time */
    uint64_t dropped;   /* invalidations that found no room on their way to the others */
    uint64_t distrusts; /* times that everything stored had to be validated */
};

/* What the control thread lends. All calls on its thread. */
struct admin_hooks {
    void *arg;
    struct city *city;
    struct world *(*world)(void *arg);       /* the present one; no reference */
    struct lane *const *(*lanes)(void *arg); /* of all workers: only their atomics and tallies are read */
    unsigned lane_count;
    struct tally *const *tallies;
    struct access_log *log; /* NULL: off */
    /* Malloc'd lines, or NULL: warnings, or where it was not taken mistakes. Then the old config stays. */
    bool (*reload)(void *arg, char **out_lines);
    void (*drain)(void *arg);
    /* False: there is no fleet. NULL: the same. */
    bool (*fleet)(void *arg, struct fleet_state *out);
    /* Purges here and in the fleet; purge is borrowed for the call. NULL: here alone, by cache_purge(). */
    void (*purge)(void *arg, const struct cache_purge *purge, purge_done_fn *done, void *done_arg);
};

/* Listens. The address may change with a reload only by a restart. NULL and an errno in *out_errno. bound:
 * what a port 0 became. */
struct admin *admin_new(struct loop *loop, const struct config_admin *config, const struct admin_hooks *hooks,
                        struct addr *out_bound, int *out_errno);
void admin_free(struct admin *admin); /* NULL is fine */

#endif
