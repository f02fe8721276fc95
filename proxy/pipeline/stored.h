/* What a stored answer may do for a request: answer it, be validated for it, or stand in for an error.
 *
 * http/caching knows RFC 9111; this knows what else there is to it here: whom the answer may be handed to,
 * what the client wrote a moment ago, whether purges may have been missed, and whether asking the app has
 * just failed. One worker's thread. */
#ifndef PIPELINE_STORED_H
#define PIPELINE_STORED_H

#include "pipeline/request.h"

/* The request's forwarded and cache_detail say why, unless it is fresh; is_ageing whether it will not be for
 * long. */
enum use_verdict stored_judge(struct request *req, const struct object *object);

/* May this request be handed that answer at all, whatever its age? */
bool stored_is_for(const struct request *req, const struct object_meta *meta);

/* Asking for it has failed a moment ago. */
bool stored_is_resting(const struct lane *lane, const struct object *object);

/* Opens req->reader on a stored answer; false if its front is gone. */
bool stored_serve(struct request *req, struct object *object);

/* What a request whose fetch failed with err gets: a stored answer if there is one that may stand in (RFC
 * 5861 4, RFC 9111 4.2.4; the route's brownout age where a limit refused it), else weir's error. Returns
 * ANSWER. status: what the app said, 0 if it said nothing. */
enum verdict stored_or_fail(struct request *req, int err, int status);

/* May something stand in, should the app answer with that status? */
bool stored_stands_in_for(const struct request *req, int status);

#endif
