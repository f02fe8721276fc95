/* By what names besides its URL a stored answer may be purged: the app's Cache-Tag and Surrogate-Key, the
 * route's tags, and the cache groups of its origin (RFC 9875). And what a write makes stale: its target,
 * where it says something came to be, the tags and groups it names.
 *
 * Tags belong to a tenant, groups to an origin of a tenant. Owner and thread: the fetch's. */
#ifndef PIPELINE_TAGS_H
#define PIPELINE_TAGS_H

#include "pipeline/fetch.h"

#define TAGS_BYTES_MAX 8192 /* of all tags of one answer */

/* All of them, each ended by NUL, into out[TAGS_BYTES_MAX]. False: too many, or one too long: it is not
 * stored, since it could not be purged by them all. */
bool tags_of_reply(const struct request *req, const struct message *reply, char *out, struct str *out_tags);

/* Of an answer's tags: what its Weir-Cache-Control said, which no client sees and a renewal needs (data NULL:
 * nothing); and the app's own, as Cache-Tag and Surrogate-Key write them, in the request's arena (false: no
 * memory). */
struct str tags_control(struct str tags);
bool tags_of_app(struct request *req, struct str tags, struct str *out_tags, struct str *out_keys);

/* The app answered a request: what is stored and no longer true goes (RFC 9111 4.4, RFC 9875 3, Weir-Purge).
 * is_asked: a plugin says so. */
void tags_after_write(struct fetch *fetch, const struct message *reply, bool is_asked);

#endif
