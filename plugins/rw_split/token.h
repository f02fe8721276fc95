/* The read-your-writes token: a signed note to the client itself of what it must not fall behind, so that
 * weir keeps no sessions and any weir that has the key understands it.
 *
 *     v1.<domain>.<seen>.<issued, unix ms>.<HMAC-SHA256, base64url>
 *
 * seen is "-" (only the time is known) or as seen_put() writes it, with its time as the issued one. The HMAC
 * covers the tenant too, which is not written: another tenant's token looks like a forged one. Bytes of the
 * domain other than letters, digits, - and _ are written as %XX, so that the whole fits into a cookie and
 * splits at its dots. A client that writes to several domains has one for each, joined by "~"; in a header
 * commas will do too. Pure: time is a parameter. Any thread. */
#ifndef RW_SPLIT_TOKEN_H
#define RW_SPLIT_TOKEN_H

#include <weir/plugin.h>

#include "position.h"

#define TOKEN_LIFE_MS    (3600 * INT64_C(1000))
#define TOKEN_SIZE       544 /* longest token, NUL included */
#define TOKENS_MAX       4   /* domains that one client's tokens are kept for */
#define TOKENS_SIZE      (TOKENS_MAX * TOKEN_SIZE)
#define DOMAIN_TEXT_SIZE 385 /* a domain as written, NUL included */
#define KEY_SIZE         32
#define KEYS_MAX         8

/* The first key signs, all of them verify: a new key is put in front, the old one goes an hour later. */
struct keyring {
    const struct weir_host *host;
    unsigned char keys[KEYS_MAX][KEY_SIZE];
    unsigned count;
};

/* Adds a key made from secret, which may have any length. False: the ring is full. */
bool keyring_add(struct keyring *ring, struct weir_str secret);

/* What a token is bound to. */
struct token_scope {
    struct weir_str tenant;
    struct weir_str domain;
};

struct token {
    char domain[DOMAIN_TEXT_SIZE]; /* as written; "" in a token of the scope's own */
    struct seen seen;
    int64_t issued_ms; /* 0: there is none */
};

enum token_state {
    TOKEN_ABSENT,
    TOKEN_VALID,
    TOKEN_FORGED,  /* not a token, of another tenant, or signed by nobody we know */
    TOKEN_EXPIRED, /* or from too far in the future */
    TOKEN_FOREIGN, /* of another domain */
    TOKEN_STATES
};

/* All that a request brings, merged: forward only, domain by domain. Zeroed before the first tokens_read().
 */
struct tokens {
    struct token own;
    struct token others[TOKENS_MAX - 1]; /* newest first */
    unsigned other_count;
    unsigned states[TOKEN_STATES]; /* how many of each were met */
};

/* Adds what stands in text, a cookie's value or a header's. */
void tokens_read(struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                 struct weir_str text, int64_t now_ms);

/* Writes them all and a NUL to out, which has TOKENS_SIZE bytes. Returns the length; 0 if tenant or domain
 * are too long for one. */
size_t tokens_write(const struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                    char *out);

#endif
