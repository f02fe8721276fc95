#include "cache/key.h"

#include "base/hash.h"

/* What an object keeps of a length. No head is that long; a key that were is refused. */
#define KEY_BYTES_MAX UINT16_MAX

static char *put(char *at, struct str part)
{
    if (part.len > 0)
        memcpy(at, part.data, part.len);
    return at + part.len;
}

static char *put_end(char *at, struct str part)
{
    at = put(at, part);
    *at = '\0';
    return at + 1;
}

/* Absent and empty differ, also in the bytes. */
static char *put_credential(char *at, struct str part)
{
    if (part.data)
        *at++ = '=';
    return put_end(at, part);
}

static bool has_nul(struct str part)
{
    return part.len > 0 && memchr(part.data, '\0', part.len);
}

/* With a NUL inside a part, bytes could move from one part into the next: "a\0b","c" and "a","b\0c". */
static bool is_clean(const struct key_parts *parts)
{
    return !has_nul(parts->tenant) && !has_nul(parts->authority) && !has_nul(parts->target) &&
           !has_nul(parts->version) && !has_nul(parts->upstream) && !has_nul(parts->method_class) &&
           !has_nul(parts->authorization) && !has_nul(parts->cookie);
}

bool key_make(struct key *key, const struct key_parts *parts, struct arena *arena)
{
    struct str scheme = parts->is_https ? STR("https") : STR("http");
    size_t primary_len = parts->tenant.len + scheme.len + parts->authority.len + parts->target.len + 3;
    size_t selector_len = parts->version.len + parts->upstream.len + parts->method_class.len + 3 +
                          parts->authorization.len + parts->cookie.len + 4;
    if (primary_len > KEY_BYTES_MAX || selector_len > KEY_BYTES_MAX || !is_clean(parts))
        return false;
    char *bytes = arena_alloc(arena, primary_len + selector_len);
    if (!bytes)
        return false;

    char *at = put_end(bytes, parts->tenant);
    at = put_end(at, scheme);
    at = put_end(at, parts->authority);
    char *selector = put(at, parts->target);

    at = put_end(selector, parts->version);
    at = put_end(at, parts->upstream);
    at = put_end(at, parts->method_class);
    at = put_credential(at, parts->authorization);
    at = put_credential(at, parts->cookie);

    key->primary = str_n(bytes, (size_t)(selector - bytes));
    key->selector = str_n(selector, (size_t)(at - selector));
    key->hash = hash_bytes(key->primary.data, key->primary.len);
    key->select = hash_bytes(key->selector.data, key->selector.len);
    return true;
}

bool key_copy(struct key *out, const struct key *key, struct arena *arena)
{
    char *bytes = arena_alloc(arena, key->primary.len + key->selector.len);
    if (!bytes)
        return false;
    char *selector = put(bytes, key->primary);
    put(selector, key->selector);
    *out = *key;
    out->primary.data = bytes;
    out->selector.data = selector;
    return true;
}

struct str key_tenant(const struct key *key)
{
    const char *end = memchr(key->primary.data, '\0', key->primary.len);
    return str_n(key->primary.data, end ? (size_t)(end - key->primary.data) : 0);
}
