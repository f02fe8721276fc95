/* Numbers written as text, several for each request: printf would cost more than all else of a hook. Each
 * returns where the text ends, and ends it with a NUL. Pure. */
#ifndef RW_SPLIT_DIGITS_H
#define RW_SPLIT_DIGITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGITS_SIZE 21 /* the longest that 64 bits make, NUL included */

static inline char *put_digits(char *out, const char *first, const char *end)
{
    size_t len = (size_t)(end - first);

    memcpy(out, first, len);
    out[len] = '\0';
    return out + len;
}

static inline char *put_decimal(char *out, uint64_t value)
{
    char text[DIGITS_SIZE];
    char *at = text + sizeof text;

    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put_digits(out, at, text + sizeof text);
}

/* In small letters; width: at least so many digits, with zeros before. */
static inline char *put_hex(char *out, uint64_t value, unsigned width)
{
    char text[DIGITS_SIZE];
    char *at = text + sizeof text;

    do {
        *--at = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value > 0 || at > text + sizeof text - width);
    return put_digits(out, at, text + sizeof text);
}

/* Times before 1970 are nobody's: 0. */
static inline char *put_ms(char *out, int64_t ms)
{
    return put_decimal(out, ms > 0 ? (uint64_t)ms : 0);
}

#endif
