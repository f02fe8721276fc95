/* The names that group stored replies, so that many can be made stale at once: Cache-Tag and Surrogate-Key
 * (taken off before clients see them), Weir-Purge, and the groups of RFC 9875 (passed on).
 *
 * Knows how each list is written. Refuses to know what a name stands for, or whose it is. Everything is
 * bounded by the caller, and TAG_BYTES_MAX. Views into the message, unless said otherwise. Pure; any thread.
 */
#ifndef HTTP_CACHING_TAGS_H
#define HTTP_CACHING_TAGS_H

#include <stddef.h>

#include "base/str.h"
#include "http/message.h"

#define TAG_BYTES_MAX 256 /* of one tag or group */

/* The tags of a reply: members of Cache-Tag (separated by commas) and Surrogate-Key (by blanks), trimmed, in
 * their order, empty ones left out. Returns how many, or -1 if there are more than max or one is too long: a
 * reply whose tags are not all known could not be purged by them, so it must not be stored. */
int tags_read(const struct message *reply, struct str *out, int max);

/* The tags that a Weir-Purge of the app's names, separated by blanks. Like tags_read(). */
int purge_tags_read(const struct message *reply, struct str *out, int max);

/* RFC 9875 2 and 3: id is FIELD_CACHE_GROUPS or FIELD_CACHE_GROUP_INVALIDATION. A malformed field has none
 * (0). Names are unescaped into buffer, which must outlive out. Returns how many, or -1 if there are more
 * than max, one is too long, or they do not fit. (Section 2 wants room for 32 of 32 bytes at least.) */
int groups_read(const struct message *msg, enum field_id id, char *buffer, size_t size, struct str *out,
                int max);

#endif
