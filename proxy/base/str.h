/* A borrowed view of bytes: pointer and length. It never owns and is never NUL-terminated.
 * Case folding is ASCII only, as HTTP's is. Pure; any thread. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *data;
    size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
/* For static tables, where a compound literal is no constant. */
#define STR_INIT(literal)              \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }
/* printf("%.*s", STR_FMT(s)) */
#define STR_FMT(s) (int)(s).len, (s).data

static inline struct str str_of(const char *c_string)
{
    return (struct str){ c_string, c_string ? strlen(c_string) : 0 };
}

static inline struct str str_n(const char *data, size_t len)
{
    return (struct str){ data, len };
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline char ascii_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool str_ieq(struct str a, struct str b);
int str_cmp(struct str a, struct str b);
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
bool str_has_iprefix(struct str s, struct str prefix);

/* The bytes from start on; empty when start is past the end. */
struct str str_from(struct str s, size_t start);

/* Without spaces and tabs at both ends (HTTP's OWS). */
struct str str_trim(struct str s);

/* Position of c, or -1. */
ptrdiff_t str_find(struct str s, char c);

/* Cuts the part before sep off *rest and moves *rest behind sep. False once nothing is left.
 * An empty part between two separators is returned as such. */
bool str_split(struct str *rest, char sep, struct str *out_part);

/* The next member of an HTTP list (comma separated, OWS trimmed, empty members skipped, commas in
 * quoted strings kept: RFC 9110 5.6.1). False at the end. */
bool str_next_member(struct str *rest, struct str *out_member);

/* True if the HTTP list has that member, compared without case, parameters not cut. */
bool str_list_has(struct str list, struct str member);

/* Plain decimal digits only, no sign, no blanks. False on anything else or overflow. */
bool str_to_u64(struct str s, uint64_t *out);

/* Copies at most size-1 bytes and terminates. Returns the length copied. */
size_t str_copy(struct str s, char *out, size_t size);

/* malloc'd and NUL-terminated; NULL when out of memory. */
char *str_dup(struct str s);

/* Writes decimal digits, returns how many (at most 20). No terminator. */
size_t str_put_u64(char *out, uint64_t value);

#endif
