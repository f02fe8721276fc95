/* Reading tokens: what is ours, what is another tenant's, and what strangers made up. */
#include "token_inside.h"

#include <stdio.h>
#include <string.h>

#define DIGITS_MAX 15

enum part {
    PART_FORM,
    PART_DOMAIN,
    PART_POSITION,
    PART_ISSUED,
    PART_MAC,
    PARTS
};

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

    for (unsigned key = 0; key < ring->count; key++)
        if (token_sign(ring, key, tenant, head, want) && is_same_secret(want, mac.data, mac.len))
            return true;
    return false;
}

/* The end of *text from mark on; data NULL: there is no mark. */
static struct weir_str cut_from(struct weir_str *text, char mark)
{
    const char *at = text->len ? memchr(text->data, mark, text->len) : NULL;
    struct weir_str end = { 0 };

    if (!at)
        return end;
    end = (struct weir_str){ at + 1, text->len - (size_t)(at + 1 - text->data) };
    text->len = (size_t)(at - text->data);
    return end;
}

/* What a token claims to be, before anybody has looked at its signature. */
struct claim {
    struct weir_str domain;
    struct weir_str tag; /* data NULL: none */
    struct weir_str mac;
};

/* "<seen>[!<age>][@<tag>]". */
static bool read_seen(struct weir_str text, struct token *out, struct claim *claim)
{
    struct weir_str age;
    int64_t age_ms = 0;

    claim->tag = cut_from(&text, '@');
    age = cut_from(&text, '!');
    if (!seen_parse(text, out->issued_ms, &out->seen) || (age.len && !read_ms(age, &age_ms)) ||
        age_ms > out->issued_ms || (claim->tag.data && claim->tag.len != TAG_SIZE))
        return false;
    out->wrote_ms = age.data && age.len == 0 ? 0 : out->issued_ms - age_ms;
    return true;
}

static bool has_form(struct weir_str text, struct token *out, struct claim *claim)
{
    struct weir_str parts[PARTS];

    if (text.len < MAC_TEXT_SIZE || text.len >= TOKEN_SIZE || !split(text, parts))
        return false;
    *out = (struct token){ 0 };
    claim->domain = parts[PART_DOMAIN];
    claim->mac = parts[PART_MAC];
    return parts[PART_FORM].len == 2 && memcmp(parts[PART_FORM].data, "v1", 2) == 0 &&
           claim->domain.len < DOMAIN_TEXT_SIZE && claim->mac.len == MAC_TEXT_SIZE - 1 &&
           read_ms(parts[PART_ISSUED], &out->issued_ms) && read_seen(parts[PART_POSITION], out, claim);
}

/* Another weir's clock may be ahead of ours, so a token of the near future counts. */
static bool is_alive(const struct token *token, int64_t now_ms)
{
    return now_ms - token->issued_ms < TOKEN_LIFE_MS && token->issued_ms - now_ms < TOKEN_LIFE_MS;
}

static bool is_of_another_tenant(const struct claim *claim, struct weir_str tenant)
{
    char tag[TAG_SIZE + 1];

    snprintf(tag, sizeof tag, "%0*x", TAG_SIZE, token_tag(tenant));
    return claim->tag.data && memcmp(claim->tag.data, tag, TAG_SIZE) != 0;
}

/* Nobody verifies it here, and it goes into a cookie again: only what our own have. */
static bool is_clean(struct weir_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!token_is_plain((unsigned char)text.data[i]) && !strchr(".%*!@", text.data[i]))
            return false;
    return true;
}

/* In its place among those that were met, the newest first. */
static void keep_stray(struct tokens *tokens, struct weir_str text, int64_t issued_ms)
{
    unsigned at = 0;

    for (unsigned i = 0; i < tokens->met_count; i++)
        if (tokens->met[i].text.len == text.len && memcmp(tokens->met[i].text.data, text.data, text.len) == 0)
            return;
    while (at < tokens->met_count && tokens->met[at].issued_ms >= issued_ms)
        at++;
    if (at == STRAYS_MAX)
        return;
    if (tokens->met_count == STRAYS_MAX)
        tokens->met_count--;
    memmove(&tokens->met[at + 1], &tokens->met[at], (tokens->met_count - at) * sizeof tokens->met[0]);
    tokens->met[at] = (struct stray){ text, issued_ms };
    tokens->met_count++;
}

size_t tokens_strays(const struct tokens *tokens, char *out)
{
    size_t len = 0;

    for (unsigned i = 0; i < tokens->met_count; i++) {
        struct weir_str text = tokens->met[i].text;

        if (len + 1 + text.len >= STRAYS_BYTES)
            continue;
        if (len)
            out[len++] = '~';
        memcpy(out + len, text.data, text.len);
        len += text.len;
    }
    return len;
}

static enum token_state read_one(struct tokens *tokens, const struct keyring *ring,
                                 const struct token_scope *scope, const char *domain, struct weir_str text,
                                 int64_t now_ms, struct token *out)
{
    struct claim claim;

    if (!has_form(text, out, &claim))
        return TOKEN_FORGED;
    if (is_of_another_tenant(&claim, scope->tenant)) {
        if (is_alive(out, now_ms) && is_clean(text))
            keep_stray(tokens, text, out->issued_ms);
        return TOKEN_FORGED;
    }
    if (!is_signed(ring, scope->tenant, text, claim.mac)) {
        tokens->vain_hmacs += ring->count;
        return TOKEN_FORGED;
    }
    /* From here on it is ours. */
    if (!is_alive(out, now_ms))
        return TOKEN_EXPIRED;
    if (claim.domain.len == strlen(domain) && memcmp(claim.domain.data, domain, claim.domain.len) == 0)
        return TOKEN_VALID;
    memcpy(out->domain, claim.domain.data, claim.domain.len);
    out->domain[claim.domain.len] = '\0';
    return TOKEN_FOREIGN;
}

/* Forward only: neither of the two is forgotten. */
static void merge(struct token *into, const struct token *more)
{
    seen_merge(&into->seen, &more->seen);
    if (into->issued_ms < more->issued_ms)
        into->issued_ms = more->issued_ms;
    if (into->wrote_ms < more->wrote_ms)
        into->wrote_ms = more->wrote_ms;
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

static bool is_enough(const struct tokens *tokens)
{
    return tokens->vain_hmacs >= VAIN_HMACS_MAX || tokens->states[TOKEN_VALID] >= TOKENS_COUNTED ||
           tokens->states[TOKEN_FOREIGN] >= TOKENS_COUNTED || tokens->states[TOKEN_EXPIRED] >= TOKENS_COUNTED;
}

static void take_in(struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                    const char *domain, struct weir_str text, int64_t now_ms)
{
    struct token token;
    enum token_state state;

    if (text.len == 0)
        return;
    state = read_one(tokens, ring, scope, domain, text, now_ms, &token);
    if (tokens->states[state] < TOKENS_COUNTED)
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
    size_t end = text.len;

    if (!text.data || !token_put_domain(scope->domain, domain))
        return;
    for (size_t i = text.len + 1; i > 0 && !is_enough(tokens); i--) {
        size_t from = i - 1; /* of what may be an item's begin */

        if (from > 0 && text.data[from - 1] != '~' && text.data[from - 1] != ',')
            continue;
        take_in(tokens, ring, scope, domain, trim((struct weir_str){ text.data + from, end - from }), now_ms);
        end = from - (from > 0);
    }
}
