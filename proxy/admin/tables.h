/* What /api/status and /api/latency say, as text for a terminal, on stdout. Control characters of what came
 * over the wire are never printed. One thread. */
#ifndef ADMIN_TABLES_H
#define ADMIN_TABLES_H

#include <jansson.h>

void tables_head(const json_t *status);
void tables_upstreams(const json_t *status);
void tables_versions(const json_t *status);
void tables_latency(const json_t *latency); /* the busiest rows */

#endif
