/* What the leak sentinel (sentinel.h) found out about a route: kept as long as the route's cache rule says
 * the same, over reloads. The door to it for the admin address is world.h's. The control thread's; the watch
 * itself is atomics, any thread. */
#ifndef PIPELINE_WATCH_H
#define PIPELINE_WATCH_H

#include "pipeline/world.h"

/* The old world's for the same rule, or a new one; a reference. route NULL: what no route names. NULL when
 * out of memory. */
struct watch *watch_for(const struct config_route *route, const struct world *old);
void watch_unref(struct watch *watch); /* NULL is fine */

#endif
