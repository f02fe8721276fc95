/* The last write of each tenant that went through this process, for `consistency: strict`: what anybody's
 * read in that tenant must show. A table of fixed size by the tenant's hash: where two share a place both
 * wait for the later write, which is only stricter. Owned by the instance; any thread, behind short locks. */
#ifndef RW_SPLIT_TENANTS_H
#define RW_SPLIT_TENANTS_H

#include <weir/plugin.h>

#include "position.h"

struct tenants;

/* What was written before since_ms by anybody counts as not known. */
struct tenants *tenants_new(uint32_t clock, int64_t since_ms);
void tenants_free(struct tenants *tenants);

void tenants_wrote(struct tenants *tenants, struct weir_str tenant, const struct seen *seen, int64_t now_ms);
/* Merges what the tenant's next reader must see into *io_seen; returns when the last write was. */
int64_t tenants_last(struct tenants *tenants, struct weir_str tenant, struct seen *io_seen);

#endif
