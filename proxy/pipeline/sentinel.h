/* The leak sentinel: does an answer that weir shares by its own rule really say the same to everybody?
 *
 * A route's ttl (with share public or tenant) and guessed freshness rest on somebody's word that answers do
 * not depend on who asks. Of their hits a sample (cache.leak_sample: every n-th) is asked for again as the
 * present caller, past the cache. Where the app's answer differs from what is stored, the request that
 * the stored answer was fetched with (its witness) is put again too, and both once more:
 *
 *     both callers get the same now                 it changed since it was stored: no leak
 *     each his own, and the same one twice          a leak: the route is quarantined
 *     anything else (it differs each time, errors)  nothing can be said
 *
 * A quarantined route shares nothing but what the app itself declares fresh, until its rule changes or the
 * admin address lifts it. One check at a time on each lane. Owner and thread: the lane's. */
#ifndef PIPELINE_SENTINEL_H
#define PIPELINE_SENTINEL_H

#include "pipeline/request.h"

/* A hit is being served; the sampling itself. */
void sentinel_saw_hit(struct request *req, struct object *object);

/* Keeps what the answer was asked for with, if it is one that may be checked. */
void sentinel_witness(struct request *req, struct object *object);

/* The lane ends: so does its check. */
void sentinel_stop(struct lane *lane);

#endif
