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

/* What the control thread lends. All calls on its thread. */
struct admin_hooks {
    void *arg;
    struct city *city;
    struct world *(*world)(void *arg);       /* the present one; no reference */
    struct lane *const *(*lanes)(void *arg); /* of all workers: only their atomics and tallies are read */
    unsigned lane_count;
    struct tally *const *tallies;
    struct access_log *log; /* NULL: off */
    /* 0 and nothing, or a malloc'd text of mistakes: the old config stays. */
    bool (*reload)(void *arg, char **out_mistakes);
    void (*drain)(void *arg);
};

/* Listens. The address may change with a reload only by a restart. NULL and an errno in *out_errno. bound:
 * what a port 0 became. */
struct admin *admin_new(struct loop *loop, const struct config_admin *config, const struct admin_hooks *hooks,
                        struct addr *out_bound, int *out_errno);
void admin_free(struct admin *admin); /* NULL is fine */

#endif
