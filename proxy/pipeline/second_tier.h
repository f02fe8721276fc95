/* The second tier in the corridor: what memory does not know, Redis may (fleet/tier.h).
 *
 * Asked by who would otherwise fetch, within the tier's budget; filled with what was stored. What comes from
 * there is untrusted and was put there by another weir, in another moment: it is judged like everything that
 * is stored, and by the journal of purges. Without cache.redis all of this does nothing. Owner and thread:
 * the lane's. */
#ifndef PIPELINE_SECOND_TIER_H
#define PIPELINE_SECOND_TIER_H

#include "pipeline/fetch.h"

/* NEXT: there is nothing to ask; or WAIT, and the request looks again (RETRY) when the answer is here or the
 * budget is spent. stored: what memory has, or NULL. */
enum verdict second_tier_ask(struct request *req, const struct object *stored);

/* What the fetch stored is complete. */
void second_tier_store(struct fetch *fetch);

/* It is no longer true. */
void second_tier_forget(struct lane *lane, const struct key *key);

#endif
