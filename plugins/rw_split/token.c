#include "token_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AGE_TEXT_SIZE 24  /* "!", its digits, NUL */
#define SCOPE_MAX     128 /* bytes of a tenant's or a domain's name */

_Static_assert(DOMAIN_TEXT_SIZE == 3 * SCOPE_MAX + 1, "every byte of a domain may take three");

bool keyring_add(struct keyring *ring, struct weir_str secret)
{
    static const char purpose[] = "weir position token, v1";

    if (ring->count == KEYS_MAX)
        return false;
    /* One step of derivation gives every key the same size, and lets a secret that is used elsewhere too sign
     * nothing there that would pass here. */
    ring->host->hmac(secret, (struct weir_str){ purpose, sizeof purpose - 1 }, ring->keys[ring->count]);
    ring->count++;
    return true;
}

/* RFC 4648 5, without padding: there is exactly one text for each MAC, so comparing texts is enough. */
static void put_base64url(const unsigned char in[32], char out[MAC_TEXT_SIZE])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;

    for (unsigned i = 0; i < 32; i++) {
        bits = bits << 8 | in[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            out[used++] = letters[bits >> held & 63];
        }
    }
    if (held)
        out[used++] = letters[bits << (6 - held) & 63];
    out[used] = '\0';
}

bool token_sign(const struct keyring *ring, unsigned key, struct weir_str tenant, struct weir_str text,
                char out[MAC_TEXT_SIZE])
{
    char bytes[SCOPE_MAX + 1 + TOKEN_SIZE];
    unsigned char mac[32];

    if (tenant.len > SCOPE_MAX || text.len > TOKEN_SIZE)
        return false;
    if (tenant.len)
        memcpy(bytes, tenant.data, tenant.len);
    bytes[tenant.len] = '\0';
    memcpy(bytes + tenant.len + 1, text.data, text.len);
    ring->host->hmac((struct weir_str){ (const char *)ring->keys[key], KEY_SIZE },
                     (struct weir_str){ bytes, tenant.len + 1 + text.len }, mac);
    put_base64url(mac, out);
    return true;
}

bool token_is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool token_put_domain(struct weir_str domain, char out[DOMAIN_TEXT_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";
    char *at = out;

    if (domain.len > SCOPE_MAX)
        return false;
    for (size_t i = 0; i < domain.len; i++) {
        unsigned char c = (unsigned char)domain.data[i];

        if (token_is_plain(c)) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    *at = '\0';
    return true;
}

/* FNV-1a, folded. */
unsigned token_tag(struct weir_str tenant)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < tenant.len; i++)
        hash = (hash ^ (unsigned char)tenant.data[i]) * 16777619u;
    return (hash ^ hash >> 16) & 0xffff;
}

/* "", "!" or "!<age>". */
static void put_age(const struct token *token, char out[AGE_TEXT_SIZE])
{
    int64_t age_ms = token->issued_ms - token->wrote_ms;

    out[0] = '\0';
    if (token->wrote_ms && age_ms <= 0)
        return;
    if (token->wrote_ms && age_ms < TOKEN_LIFE_MS)
        snprintf(out, AGE_TEXT_SIZE, "!%" PRId64, age_ms);
    else
        memcpy(out, "!", 2);
}

/* domain: as written. */
static size_t write_one(const struct keyring *ring, struct weir_str tenant, const char *domain,
                        const struct token *token, char out[TOKEN_SIZE])
{
    char seen[SEEN_TEXT_SIZE];
    char age[AGE_TEXT_SIZE];
    char mac[MAC_TEXT_SIZE];
    int len;

    seen_put(&token->seen, seen);
    put_age(token, age);
    len = snprintf(out, TOKEN_SIZE, "v1.%s.%s%s@%0*x.%" PRId64, domain, seen, age, TAG_SIZE,
                   token_tag(tenant), token->issued_ms);
    if (!token_sign(ring, 0, tenant, (struct weir_str){ out, (size_t)len }, mac))
        return 0;
    len += snprintf(out + len, TOKEN_SIZE - (size_t)len, ".%s", mac);
    return (size_t)len;
}

size_t tokens_write(const struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                    char *out)
{
    char domain[DOMAIN_TEXT_SIZE];
    size_t len;

    if (!token_put_domain(scope->domain, domain))
        return 0;
    len = write_one(ring, scope->tenant, domain, &tokens->own, out);
    for (unsigned i = 0; i < tokens->other_count && len > 0; i++) {
        const struct token *other = &tokens->others[i];

        out[len++] = '~';
        len += write_one(ring, scope->tenant, other->domain, other, out + len);
    }
    if (len == 0 || tokens->strays.len == 0 || tokens->strays.len >= STRAYS_BYTES)
        return len;
    out[len++] = '~';
    memcpy(out + len, tokens->strays.data, tokens->strays.len);
    len += tokens->strays.len;
    out[len] = '\0';
    return len;
}
