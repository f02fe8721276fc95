#include "base/hash.h"

#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t seed = 0x9e3779b97f4a7c15u;
static unsigned char secret[XXH3_SECRET_SIZE_MIN + 56];
static bool has_secret;

bool random_fill(void *out, size_t len)
{
    unsigned char *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

bool hash_init_secret(void)
{
    if (!random_fill(&seed, sizeof seed) || !random_fill(secret, sizeof secret))
        return false;
    has_secret = true;
    return true;
}

uint64_t hash_bytes(const void *data, size_t len)
{
    return has_secret ? XXH3_64bits_withSecret(data, len, secret, sizeof secret)
                      : XXH3_64bits_withSeed(data, len, seed);
}

struct hash128 hash_bytes128(const void *data, size_t len)
{
    XXH128_hash_t h = has_secret ? XXH3_128bits_withSecret(data, len, secret, sizeof secret)
                                 : XXH3_128bits_withSeed(data, len, seed);
    return (struct hash128){ h.low64, h.high64 };
}

/* --- in pieces --- */

_Static_assert(sizeof(XXH64_state_t) <= sizeof((struct hash_stream *)0)->state, "room for xxhash's state");

void hash_stream_start(struct hash_stream *stream)
{
    XXH64_reset((XXH64_state_t *)(void *)stream->state, seed);
}

void hash_stream_add(struct hash_stream *stream, const void *data, size_t len)
{
    if (len > 0)
        XXH64_update((XXH64_state_t *)(void *)stream->state, data, len);
}

uint64_t hash_stream_end(const struct hash_stream *stream)
{
    return XXH64_digest((const XXH64_state_t *)(const void *)stream->state);
}

unsigned hash_library_version(void)
{
    return XXH_versionNumber();
}
