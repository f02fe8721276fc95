/* The inside of token.h: for token.c, which writes tokens, and token_read.c only. */
#ifndef RW_SPLIT_TOKEN_INSIDE_H
#define RW_SPLIT_TOKEN_INSIDE_H

#include "token.h"

#define MAC_TEXT_SIZE 44 /* 32 bytes in base64url without padding, and a NUL */
#define TAG_SIZE      4  /* hexadecimal digits of a tenant's hash */

/* Signs text for the tenant. A tenant's name has no NUL, so no two pairs make the same bytes. False: too
 * long. */
bool token_sign(const struct keyring *ring, unsigned key, struct weir_str tenant, struct weir_str text,
                char out[MAC_TEXT_SIZE]);
/* A letter, a digit, - or _. */
bool token_is_plain(unsigned char c);
/* As it stands in a token. False: the name is too long. */
bool token_put_domain(struct weir_str domain, char out[DOMAIN_TEXT_SIZE]);
/* A few bits of the tenant's hash. */
unsigned token_tag(struct weir_str tenant);

#endif
