/* The fields that tell a client about its rate: RateLimit and RateLimit-Policy as in
 * draft-ietf-httpapi-ratelimit-headers-11, and Retry-After. Pure formatting.
 *
 * A policy is written as q requests in w whole seconds: q is the bucket's size and w the time it takes to
 * fill, so that {rate: 500/s, burst: 1000} reads q=1000;w=2. A bucket that fills within a second is written
 * as one second's rate, since w cannot be less and q over w must not promise less than the rate. */
#ifndef POLICY_RATELIMIT_H
#define POLICY_RATELIMIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "policy/bucket.h"

#define RATELIMIT_SIZE 160 /* enough for a name of 63 bytes */

/* "name";q=1000;w=2 into size bytes, not terminated. Returns the length; 0 if it does not fit. name needs no
 * escapes: it is a word of ours ("tenant", "address"). */
size_t ratelimit_policy_format(char *out, size_t size, struct str name, double rate_per_s, double burst);

/* "name";r=50;t=30: what is left, and the seconds until the bucket is full again; after a refusal
 * r=0 and the seconds until the next request may pass, since Retry-After should not lie before t. */
size_t ratelimit_format(char *out, size_t size, struct str name, const struct bucket_answer *answer);

/* Whole seconds to wait after a refusal, rounded up, at least 1. */
int64_t ratelimit_retry_after_s(const struct bucket_answer *answer);

/* The same in digits, for the field. */
size_t ratelimit_retry_after_format(char *out, size_t size, const struct bucket_answer *answer);

#endif
