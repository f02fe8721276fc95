/* The read-your-writes token: a signed note to the client itself of what it must not fall behind, so that
 * weir keeps no sessions and any weir that has the key understands it.
 *
 *     v1.<domain>.<seen>[!<age>].<issued, unix ms>.<HMAC-SHA256, base64url>
 *
 * seen is "-" (only the time is known) or as seen_put() writes it, with its time as the issued one. The HMAC
 * covers the tenant too, which is not written: another tenant's token looks like a forged one. Bytes of the
 * domain other than letters, digits, - and _ are written as %XX, so that the whole fits into a cookie and
 * splits at its dots. A client that writes to several domains has one for each, joined by "~"; in a header
 * commas will do too.
 *
 * The tag is a few bits of the tenant's hash: where one browser goes to several tenants of a host it brings
 * the tokens of all of them in one cookie. Those of another tag cost no HMAC. They are of no use here and
 * never trusted, but go back with the next token, unread, or rewriting the cookie would take them away.
 * Without that part (older tokens) the HMAC tells.
 *
 * Replies to reads give tokens too, and who goes by the clock must not take reading for writing. So the age
 * says how many ms before it was issued the client last wrote; "!" without digits: not at all that we know
 * of, or longer ago than a token lives. Without that part the token is a write's own: its time is the
 * write's. Pure: time is a parameter. Any thread. */
#ifndef RW_SPLIT_TOKEN_H
#define RW_SPLIT_TOKEN_H

#include <weir/plugin.h>

#include "position.h"

#define TOKEN_LIFE_MS    (3600 * INT64_C(1000))
#define TOKEN_SIZE       544 /* longest token, NUL included */
#define TOKENS_MAX       4   /* domains that one client's tokens are kept for */
#define STRAYS_MAX       4   /* another tenant's, that are carried along */
#define STRAYS_BYTES     960 /* and what they may have together: a cookie ends at 4096 */
#define TOKENS_SIZE      (TOKENS_MAX * TOKEN_SIZE + STRAYS_BYTES + 1)
#define DOMAIN_TEXT_SIZE 385 /* a domain as written, NUL included */
#define KEY_SIZE         32
#define KEYS_MAX         8
#define VAIN_HMACS_MAX   (2 * KEYS_MAX)
#define TOKENS_COUNTED   16 /* valid ones of one request that are looked at, too */

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
    int64_t wrote_ms;  /* the client's last write, never after issued_ms; 0: none */
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
    struct weir_str strays; /* joined by "~"; from tokens_strays() */
    /* while reading */
    struct stray {
        struct weir_str text; /* in the text that was read */
        int64_t issued_ms;
    } met[STRAYS_MAX];
    unsigned met_count;
    unsigned states[TOKEN_STATES]; /* how many of each were met, up to TOKENS_COUNTED */
    unsigned vain_hmacs;           /* what forged ones have cost so far */
};

/* Adds what stands in text, a cookie's value or a header's, from its end on: the newest stand last. The text
 * must last until tokens_strays(). Of one request in all: work on forged tokens ends
 * after VAIN_HMACS_MAX signatures, which is after the second one where KEYS_MAX keys are tried for each, and
 * after more of them where a client may well bring some: two tenants' cookies in one browser. What has not
 * even the form of a token costs next to nothing, and takes nobody's place: a neighbouring domain that sets
 * such cookies must not make the true one disappear. */
void tokens_read(struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                 struct weir_str text, int64_t now_ms);

/* Joins the strays that were met; the newest that there is room for. Returns the length; out has
 * STRAYS_BYTES. */
size_t tokens_strays(const struct tokens *tokens, char *out);

/* Writes them all and a NUL to out, which has TOKENS_SIZE bytes. Returns the length; 0 if tenant or domain
 * are too long for one. */
size_t tokens_write(const struct tokens *tokens, const struct keyring *ring, const struct token_scope *scope,
                    char *out);

#endif
