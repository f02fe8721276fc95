/* The route table: longest path wins. Work per request grows with the path's length, not with the
 * number of routes. Immutable; built from a config that must outlive it. */
#ifndef POLICY_ROUTE_H
#define POLICY_ROUTE_H

#include <stdint.h>

#include "base/str.h"
#include "config/config.h"

struct routes;

struct routes *routes_new(const struct config_route *routes, unsigned count);
void routes_free(struct routes *routes); /* NULL is fine */

/* The route for a request, or NULL when none names it: that is no error, it gets the defaults. host is lower
 * case without port; path is after tenant and version prefixes; method as sent. A route with a host beats one
 * without; then the longest path (literal segments beat "*", which beats "**"); then one with methods. */
const struct config_route *routes_find(const struct routes *routes, struct str host, struct str path,
                                       struct str method);

#endif
