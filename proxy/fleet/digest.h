/* Hashes that are the same in every weir of a fleet, whatever its version and machine: they stand in Redis'
 * keys and values. No secret goes in, so tables that clients' bytes pick slots of use base/hash.h instead.
 * Pure; any thread. */
#ifndef FLEET_DIGEST_H
#define FLEET_DIGEST_H

#include <stdint.h>

#include "base/str.h"

#define DIGEST_HEX_LEN 32

/* XXH3 of 64 bits. */
uint64_t digest64(struct str bytes);

/* Several parts as one: their lengths go in, so that moving a byte from one to the next changes it. */
uint64_t digest64_of(const struct str *parts, unsigned count);

/* XXH3 of 128 bits in hexadecimal digits, not NUL-terminated. */
void digest128_hex(struct str bytes, char out[DIGEST_HEX_LEN]);

#endif
