#include "fleet/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t digest64(struct str bytes)
{
    return XXH3_64bits(bytes.len > 0 ? bytes.data : "", bytes.len);
}

uint64_t digest64_of(const struct str *parts, unsigned count)
{
    uint64_t hash = count;
    for (unsigned i = 0; i < count; i++)
        hash = XXH3_64bits_withSeed(parts[i].len > 0 ? parts[i].data : "", parts[i].len, hash + parts[i].len);
    return hash;
}

void digest128_hex(struct str bytes, char out[DIGEST_HEX_LEN])
{
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t canonical; /* big-endian on every machine */
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.len > 0 ? bytes.data : "", bytes.len));
    for (unsigned i = 0; i < sizeof canonical.digest; i++) {
        *out++ = digits[canonical.digest[i] >> 4];
        *out++ = digits[canonical.digest[i] & 15];
    }
}
