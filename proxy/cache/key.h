/* What selects a stored reply. Made in one place, so that two tenants' requests can never meet: the
 * tenant's name is the first part of the bytes that are compared, and no part may hold the separator. */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct key {
    struct str primary;  /* tenant \0 scheme \0 authority \0 target */
    struct str selector; /* version \0 upstream \0 method class \0 credential */
    uint64_t hash;       /* of primary, keyed; picks shard and slot */
    uint64_t select;     /* of selector, keyed; a quick no before the bytes are compared */
};

struct key_parts {
    struct str tenant; /* [a-z0-9_-]{1,63}; "" only for scope: all_tenants */
    bool is_https;
    struct str authority; /* normalised */
    struct str target;    /* exact bytes */
    struct str version;
    struct str upstream;
    struct str method_class;  /* "GET" for GET and HEAD */
    struct str authorization; /* data NULL: not part of it */
    struct str cookie;        /* the cookies that count, data NULL: not part of it */
};

/* Writes both byte strings into the arena. False when out of memory, or when a part holds a NUL, which the
 * corridor never lets through. About 40 ns. */
bool key_make(struct key *key, const struct key_parts *parts, struct arena *arena);

/* A copy that lives in that arena. False when out of memory. */
bool key_copy(struct key *out, const struct key *key, struct arena *arena);

struct str key_tenant(const struct key *key);

#endif
