/* The last writes of each tenant that went through this process: what anybody's read in that tenant must
 * show by `consistency: strict`, and what a write's token must not fall behind.
 *
 * There is ONE table for the process. Upstreams of one domain (versions, canaries) write to one database, and
 * a write that an instance of before a reload acknowledges is as binding as one of the new instance's: so all
 * instances share it, and each holds it for as long as it lives. It is keyed by domain, since positions of
 * two databases can't be compared, and then by the tenant's hash into a fixed number of places: where two
 * tenants share one both wait for the later write, which is only stricter. Memory is bounded too in time and
 * in domains, and what had to be forgotten is replaced by something stricter, never by nothing:
 *   - positions older than TENANTS_LIFE_MS by the time of the last of them ("as the primary was then"), so
 *     that one wrong position does not block a tenant for ever;
 *   - a domain past the TENANTS_DOMAINS-th by "as the primary is now".
 * (A plugin file that was replaced before a reload is another library with a table of its own.)
 *
 * Any thread, behind short locks. */
#ifndef RW_SPLIT_TENANTS_H
#define RW_SPLIT_TENANTS_H

#include <weir/plugin.h>

#include "position.h"

#define TENANTS_DOMAINS 256
#define TENANTS_LIFE_MS (3600 * INT64_C(1000)) /* no token is older */

/* One instance's share in the table. */
struct tenants;

/* Whose writes these are. */
struct tenants_key {
    struct weir_str domain;
    struct weir_str tenant;
};

/* clock: the process's, as in struct seen. What was written before since_ms by anybody counts as not known:
 * this upstream may have been without the plugin until then. NULL: out of memory. */
struct tenants *tenants_new(uint32_t clock, int64_t since_ms);
void tenants_free(struct tenants *tenants);

void tenants_wrote(struct tenants *tenants, const struct tenants_key *key, const struct seen *seen,
                   int64_t now_ms);
/* Merges what the tenant's next reader must see into *io_seen; returns when the last write was. */
int64_t tenants_last(struct tenants *tenants, const struct tenants_key *key, int64_t now_ms,
                     struct seen *io_seen);
/* Merges into *io_seen what was acknowledged at since_ms or later, if anything was. It may be more than that:
 * the position of the tenant's writes before, and of a write whose position nobody knows its time. */
void tenants_since(struct tenants *tenants, const struct tenants_key *key, int64_t since_ms,
                   struct seen *io_seen);

#endif
