/* Keyed hashing of bytes that a client chooses, with a secret drawn at start, so that nobody can
 * aim at one bucket. The only user of xxhash. Any thread after hash_init_secret(). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash128 {
    uint64_t low;
    uint64_t high;
};

/* Draws the secret; called once by main() before threads start. Until then a fixed one is used,
 * which tests rely on. Returns false if the system has no randomness to give. */
bool hash_init_secret(void);

uint64_t hash_bytes(const void *data, size_t len);
struct hash128 hash_bytes128(const void *data, size_t len);

/* The same for bytes that come in pieces: equal bytes give equal digests, however they were cut. Not for what
 * leaves this process, and not equal to hash_bytes(). */
struct hash_stream {
    _Alignas(8) unsigned char state[88];
};
void hash_stream_start(struct hash_stream *stream);
void hash_stream_add(struct hash_stream *stream, const void *data, size_t len);
uint64_t hash_stream_end(const struct hash_stream *stream);

/* Of xxhash, as 801 for 0.8.1. */
unsigned hash_library_version(void);

/* Fills out with the system's randomness (getrandom). False on failure. */
bool random_fill(void *out, size_t len);

#endif
