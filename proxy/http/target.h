/* Request targets and authorities. Pure; any thread. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* True if every byte may stand in an origin-form target (RFC 9112 3.2.1): visible ASCII without
 * controls, blanks, "#", high bytes; starts with "/". */
bool target_is_valid(struct str target);

/* True for host[:port] as Host may carry it (RFC 9110 7.2): a reg-name, IPv4 or [IPv6] literal, an
 * optional port up to 65535; no userinfo, path, query, fragment, comma, blank. */
bool authority_is_valid(struct str authority);

/* Lower-cased, without a trailing dot of the name and without the scheme's default port (RFC 9110
 * 4.2.3). Writes at most size bytes, returns the length, or 0 if it does not fit. */
size_t authority_normalise(struct str authority, bool is_https, char *out, size_t size);

/* The host without port and brackets, as a view. */
struct str authority_host(struct str authority);

/* False for a path with dot segments, "//", ";", "\" or an encoded "/", "." or "\": two parsers may
 * read such a path differently, so no route's ttl is ever applied to it. */
bool path_is_plain(struct str path);

/* The value of a query parameter (first occurrence, exact name, not decoded). False if absent. */
bool query_find(struct str query, struct str name, struct str *out_value);

#endif
