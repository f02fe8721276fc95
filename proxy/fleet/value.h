/* A stored answer as bytes in Redis, and reading such bytes back from somebody who is not trusted.
 *
 * It carries its format's version, a checksum (against accidents, not against forgers), the whole key it was
 * stored by, how it ages, its head and its body. value_read() refuses whatever is not consistent in each
 * byte: a head that it lets through can be sent to a client as it is. Limits: VALUE_HEAD_MAX and its siblings
 * below; the body's is the tier's. Pure; any thread. */
#ifndef FLEET_VALUE_H
#define FLEET_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/str.h"

#define VALUE_KEY_MAX  65536 /* primary, selector, vary_key */
#define VALUE_HEAD_MAX 65536
#define VALUE_WORD_MAX 8192 /* validators, vary, domain, position */
#define VALUE_TAGS_MAX 64
#define VALUE_TAG_MAX  256

enum value_flag {
    VALUE_MUST_REVALIDATE = 1,
    VALUE_ALWAYS_REVALIDATE = 2,
    VALUE_ALLOWS_AUTHORIZATION = 4,
    VALUE_IS_BY_TTL = 8,
    VALUE_IS_GUESSED = 16,
    VALUE_FLAGS = 31,
};

/* On reading, the views point into the bytes that were read. */
struct value {
    struct str primary;
    struct str selector;
    int status; /* 200 to 599; 0: a signpost, which has a vary but neither head nor body */
    unsigned flags;
    uint64_t seq; /* which purges its fetch knew: the bus's stamp; the tier only hands it on */
    int64_t stored_wall_ms;
    int64_t fetched_wall_ms;
    int64_t lifetime_ms;
    int64_t initial_age_ms;
    int64_t stale_while_revalidate_ms; /* -1: not said */
    int64_t stale_if_error_ms;
    struct str etag;          /* data NULL: none */
    struct str last_modified; /* data NULL: none */
    struct str vary;          /* canonical list, "" for none */
    struct str vary_key;
    struct str tags; /* each ended by NUL */
    struct str domain;
    struct str position;
    struct str head; /* status line and stored field lines, each with CRLF, without an empty line */
    struct str body;
    /* For writing alone: the body in pieces, used instead of body when there are some. */
    const struct iovec *pieces;
    unsigned piece_count;
};

/* How many bytes it takes; 0: a part is over its limit. */
size_t value_bytes(const struct value *value);

/* Writes value_bytes() bytes. Times beyond 2^52 ms are written as that. */
void value_write(const struct value *value, char *out);

/* False for everything that value_write() would not have written. */
bool value_read(struct str bytes, struct value *out);

#endif
