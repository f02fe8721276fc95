/* What each byte may be, and fast scans over runs of allowed bytes. Inside http/ only. Pure; any thread. */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    CHAR_TOKEN = 1,  /* RFC 9110 5.6.2 */
    CHAR_FOLD = 2,   /* a token byte that CGI-like apps cannot tell from "-": neither letter, digit nor "-" */
    CHAR_VALUE = 4,  /* RFC 9110 5.5: visible, obs-text, space, tab */
    CHAR_TARGET = 8, /* visible ASCII but "#" */
    CHAR_NAME = 16,  /* of a host: RFC 3986's unreserved */
    CHAR_HEX = 32,
    CHAR_DIGIT = 64,
};

extern const uint8_t char_class[256];

static inline bool char_is(char c, unsigned classes)
{
    return (char_class[(unsigned char)c] & classes) != 0;
}

/* True for a token: one byte at least. */
static inline bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!char_is(s.data[i], CHAR_TOKEN))
            return false;
    }
    return s.len > 0;
}

/* The first byte that may not stand in a field value (a control other than tab), or end. */
static inline const char *scan_value(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i low_max = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, low_max), bytes);
        __m128i is_bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), is_low), _mm_cmpeq_epi8(bytes, del));
        unsigned mask = (unsigned)_mm_movemask_epi8(is_bad);
        if (mask)
            return at + __builtin_ctz(mask);
        at += 16;
    }
#endif
    while (at < end && char_is(*at, CHAR_VALUE))
        at++;
    return at;
}

#endif
