/* Words at marked places: the patterns of `from`, cut at {tenant} or {version}, held against what a
 * request says. Only for this room. Pure; what comes out are views into what went in. */
#ifndef POLICY_PATTERN_H
#define POLICY_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "config/config.h"
#include "http/message.h"

/* The word where the pattern has its placeholder, and how many bytes of the path the pattern took: all
 * but its closing "/", so that what follows starts with "/" or is empty ("/t/{tenant}/" takes "/t/acme" of
 * "/t/acme/items" and of "/t/acme"). The word is one segment or a part of one, and never empty. */
bool pattern_path(const struct config_source *source, struct str path, struct str *out_word,
                  size_t *out_bytes);

/* The word in a host, in any case, with or without the root's dot at the end. */
bool pattern_host(const struct config_source *source, struct str host, struct str *out_word);

/* True if a media type without parameters has the pattern's shape, with some word. In any case; a "*" before
 * the placeholder stands for one or more bytes. Types over 255 bytes have no shape (RFC 6838 4.2 allows 127 +
 * 127). */
bool pattern_media(const struct config_source *source, struct str type);

/* True if of such a type the bytes from start to where the part behind the placeholder begins may be the
 * word. */
bool pattern_media_word(const struct config_source *source, struct str type, size_t start);

/* The value of all fields of a name that a request may carry once: false if it is absent or empty;
 * *out_is_clear is false when two of them differ. */
bool pattern_field(const struct config_source *source, const struct message *request, struct str *out_value,
                   bool *out_is_clear);

#endif
