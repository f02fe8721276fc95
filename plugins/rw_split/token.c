#include "token.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAC_TEXT_SIZE 44  /* 32 bytes in base64url without padding, and a NUL */
#define SCOPE_MAX     128 /* bytes of a tenant's or a domain's name */
#define DIGITS_MAX    15
#define ITEMS_MAX     8 /* of one header or cookie that are looked at */

enum part {
    PART_FORM,
    PART_DOMAIN,
    PART_POSITION,
    PART_ISSUED,
    PART_MAC,
    PARTS
};

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

/* Signs text for the tenant. A tenant's name has no NUL, so no two pairs make the same bytes. False: too
 * long. */
static bool sign(const struct keyring *ring, unsigned key, struct weir_str tenant, struct weir_str text,
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

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* False: the name is too long. */
static bool put_domain(struct weir_str domain, char out[DOMAIN_TEXT_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";
    char *at = out;

    if (domain.len > SCOPE_MAX)
        return false;
    for (size_t i = 0; i < domain.len; i++) {
        unsigned char c = (unsigned char)domain.data[i];

        if (is_plain(c)) {
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

/* domain: as written. */
static size_t write_one(const struct keyring *ring, struct weir_str tenant, const char *domain,
                        const struct token *token, char out[TOKEN_SIZE])
{
    char seen[SEEN_TEXT_SIZE];
    char mac[MAC_TEXT_SIZE];
    int len;

    seen_put(&token->seen, seen);
    len = snprintf(out, TOKEN_SIZE, "v1.%s.%s.%" PRId64, domain, seen, token->issued_ms);
    if (!sign(ring, 0, tenant, (struct weir_str){ out, (size_t)len }, mac))
        return 0;
    len += snprintf(out + len, TOKEN_SIZE - (size_t)len, ".%s", mac);
    return (size_t)len;
}

size_t tokens_write(const struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                    char *out)
{
    char domain[DOMAIN_TEXT_SIZE];
    size_t len;

    if (!put_domain(scope->domain, domain))
        return 0;
    len = write_one(ring, scope->tenant, domain, &tokens->own, out);
    for (unsigned i = 0; i < tokens->other_count && len > 0; i++) {
        const struct token *other = &tokens->others[i];

        out[len++] = '~';
        len += write_one(ring, scope->tenant, other->domain, other, out + len);
    }
    return len;
}

/* Cuts text at its dots. False unless there are exactly PARTS parts. */
static bool split(struct weir_str text, struct weir_str parts[PARTS])
{
    unsigned count = 0;
    size_t from = 0;

    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.data[i] != '.')
            continue;
        if (count == PARTS)
            return false;
        parts[count++] = (struct weir_str){ text.data + from, i - from };
        from = i + 1;
    }
    return count == PARTS;
}

static bool read_ms(struct weir_str digits, int64_t *out)
{
    int64_t value = 0;

    if (digits.len == 0 || digits.len > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        value = value * 10 + (digits.data[i] - '0');
    }
    *out = value;
    return true;
}

/* In a time that does not depend on where they differ. */
static bool is_same_secret(const char *a, const char *b, size_t len)
{
    unsigned char difference = 0;

    for (size_t i = 0; i < len; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

static bool is_signed(const struct keyring *ring, struct weir_str tenant, struct weir_str text,
                      struct weir_str mac)
{
    struct weir_str head = { text.data, text.len - mac.len - 1 };
    char want[MAC_TEXT_SIZE];

    if (mac.len != MAC_TEXT_SIZE - 1)
        return false;
    for (unsigned key = 0; key < ring->count; key++)
        if (sign(ring, key, tenant, head, want) && is_same_secret(want, mac.data, mac.len))
            return true;
    return false;
}

static enum token_state read_one(const struct keyring *ring, const struct token_scope *scope,
                                 const char *domain, struct weir_str text, int64_t now_ms, struct token *out)
{
    struct weir_str parts[PARTS];
    struct weir_str theirs;

    *out = (struct token){ 0 };
    if (text.len >= TOKEN_SIZE || !split(text, parts))
        return TOKEN_FORGED;
    theirs = parts[PART_DOMAIN];
    if (parts[PART_FORM].len != 2 || memcmp(parts[PART_FORM].data, "v1", 2) != 0 ||
        theirs.len >= DOMAIN_TEXT_SIZE)
        return TOKEN_FORGED;
    if (!read_ms(parts[PART_ISSUED], &out->issued_ms) ||
        !seen_parse(parts[PART_POSITION], out->issued_ms, &out->seen) ||
        !is_signed(ring, scope->tenant, text, parts[PART_MAC]))
        return TOKEN_FORGED;

    /* From here on it is ours. Another weir's clock may be ahead of ours, so a token of the near future
     * counts. */
    if (now_ms - out->issued_ms >= TOKEN_LIFE_MS || out->issued_ms - now_ms >= TOKEN_LIFE_MS)
        return TOKEN_EXPIRED;
    if (theirs.len == strlen(domain) && memcmp(theirs.data, domain, theirs.len) == 0)
        return TOKEN_VALID;
    memcpy(out->domain, theirs.data, theirs.len);
    out->domain[theirs.len] = '\0';
    return TOKEN_FOREIGN;
}

/* Forward only: neither of the two is forgotten. */
static void merge(struct token *into, const struct token *more)
{
    seen_merge(&into->seen, &more->seen);
    if (into->issued_ms < more->issued_ms)
        into->issued_ms = more->issued_ms;
}

/* In its place among the others: the newest are kept. */
static void keep_other(struct tokens *tokens, const struct token *token)
{
    struct token kept = *token;
    unsigned at = 0;

    for (unsigned i = 0; i < tokens->other_count; i++) {
        if (strcmp(tokens->others[i].domain, token->domain) != 0)
            continue;
        merge(&kept, &tokens->others[i]);
        tokens->other_count--;
        memmove(&tokens->others[i], &tokens->others[i + 1],
                (tokens->other_count - i) * sizeof tokens->others[0]);
        break;
    }
    while (at < tokens->other_count && tokens->others[at].issued_ms >= kept.issued_ms)
        at++;
    if (at == TOKENS_MAX - 1)
        return;
    if (tokens->other_count == TOKENS_MAX - 1)
        tokens->other_count--;
    memmove(&tokens->others[at + 1], &tokens->others[at],
            (tokens->other_count - at) * sizeof tokens->others[0]);
    tokens->others[at] = kept;
    tokens->other_count++;
}

static struct weir_str trim(struct weir_str text)
{
    while (text.len && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = (struct weir_str){ text.data + 1, text.len - 1 };
    while (text.len && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static void take_in(struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                    const char *domain, struct weir_str text, int64_t now_ms)
{
    struct token token;
    enum token_state state;

    if (text.len == 0)
        return;
    state = read_one(ring, scope, domain, text, now_ms, &token);
    tokens->states[state]++;
    if (state == TOKEN_VALID)
        merge(&tokens->own, &token);
    else if (state == TOKEN_FOREIGN)
        keep_other(tokens, &token);
}

void tokens_read(struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                 struct weir_str text, int64_t now_ms)
{
    char domain[DOMAIN_TEXT_SIZE];
    size_t from = 0;
    unsigned items = 0;

    if (!text.data || !put_domain(scope->domain, domain))
        return;
    for (size_t i = 0; i <= text.len && items < ITEMS_MAX; i++) {
        if (i < text.len && text.data[i] != '~' && text.data[i] != ',')
            continue;
        take_in(tokens, ring, scope, domain, trim((struct weir_str){ text.data + from, i - from }), now_ms);
        from = i + 1;
        items++;
    }
}
