/* The read-your-writes token: a signed note to the client itself of when it last wrote, so that weir keeps no
 * sessions and any weir that has the key understands it.
 *
 *     v1.<domain>.<position, or ->.<issued, unix ms>.<HMAC-SHA256, base64url>
 *
 * The HMAC covers the tenant too, which is not written: another tenant's token looks like a forged one. Bytes
 * of the domain other than letters, digits, - and _ are written as %XX, so that the whole fits into a cookie
 * and splits at its dots. Pure: time is a parameter. Any thread. */
#ifndef RW_SPLIT_TOKEN_H
#define RW_SPLIT_TOKEN_H

#include <weir/plugin.h>

#define TOKEN_LIFE_MS (3600 * INT64_C(1000))
#define TOKEN_SIZE    512 /* longest token, NUL included */
#define KEY_SIZE      32
#define KEYS_MAX      8

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

/* Writes a token and a NUL to out, which has TOKEN_SIZE bytes. Returns its length; 0 if tenant or domain are
 * too long for one. */
size_t token_write(const struct keyring *ring, const struct token_scope *scope, int64_t issued_ms, char *out);

enum token_state {
    TOKEN_ABSENT,
    TOKEN_VALID,
    TOKEN_FORGED,  /* not a token, of another tenant, or signed by nobody we know */
    TOKEN_EXPIRED, /* or from too far in the future */
    TOKEN_FOREIGN, /* of another domain */
    TOKEN_STATES
};

/* Sets *out_issued_ms only if it returns TOKEN_VALID. */
enum token_state token_read(const struct keyring *ring, const struct token_scope *scope, struct weir_str text,
                            int64_t now_ms, int64_t *out_issued_ms);

#endif
