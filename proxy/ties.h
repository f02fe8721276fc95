/* What ties this weir to its fleet: the purge bus, and how purges get from there to the cache and back.
 *
 * Made by the control thread when the config names a Redis, and its alone. */
#ifndef TIES_H
#define TIES_H

#include "admin/admin.h"
#include "pipeline/world.h"

struct ties;

/* Joins the fleet and sets city->bus. NULL when out of memory, or the url is none: then *why says so. */
struct ties *ties_new(struct loop *loop, struct city *city, const struct config_redis *config,
                      const char **why);
void ties_free(struct ties *ties); /* no lane runs any more; purges that wait are answered; NULL is fine */

/* The admin address' hooks. */
void ties_purge(struct ties *ties, const struct cache_purge *purge, purge_done_fn *done, void *done_arg);
void ties_state(const struct ties *ties, struct fleet_state *out);

#endif
