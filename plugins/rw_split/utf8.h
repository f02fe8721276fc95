/* Characters as bytes (RFC 3629). Pure. */
#ifndef RW_SPLIT_UTF8_H
#define RW_SPLIT_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* How many bytes the character at `at` has; 0: what stands there is none, or cut by end. Longer forms than
 * needed and surrogates are none: two readers would differ about them. */
static inline size_t utf8_length(const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at;
    size_t left = (size_t)(end - at), len;

    if (left == 0)
        return 0;
    if (byte[0] < 0x80)
        return 1;
    len = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
    if (byte[0] < 0xc2 || byte[0] > 0xf4 || left < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
    if ((byte[0] == 0xe0 && byte[1] < 0xa0) || (byte[0] == 0xed && byte[1] > 0x9f) ||
        (byte[0] == 0xf0 && byte[1] < 0x90) || (byte[0] == 0xf4 && byte[1] > 0x8f))
        return 0;
    return len;
}

/* Writes a character, at most four bytes; returns how many. */
static inline size_t utf8_put(uint32_t code, char *out)
{
    unsigned shift = code < 0x80 ? 0 : code < 0x800 ? 6 : code < 0x10000 ? 12 : 18;
    size_t len = shift / 6 + 1;

    if (shift == 0) {
        out[0] = (char)code;
        return 1;
    }
    *out++ = (char)((0xf00u >> len & 0xff) | code >> shift);
    while (shift > 0) {
        shift -= 6;
        *out++ = (char)(0x80 | (code >> shift & 0x3f));
    }
    return len;
}

#endif
