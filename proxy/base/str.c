#include "base/str.h"

#include <stdlib.h>

bool str_ieq(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    }
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int diff = len ? memcmp(a.data, b.data, len) : 0;
    if (diff != 0)
        return diff;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_n(s.data, prefix.len), prefix);
}

bool str_has_suffix(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_eq(str_from(s, s.len - suffix.len), suffix);
}

bool str_has_iprefix(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_ieq(str_n(s.data, prefix.len), prefix);
}

struct str str_from(struct str s, size_t start)
{
    if (start >= s.len)
        return str_n(s.data ? s.data + s.len : NULL, 0);
    return str_n(s.data + start, s.len - start);
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = str_n(s.data + 1, s.len - 1);
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *at = s.len ? memchr(s.data, c, s.len) : NULL;
    return at ? at - s.data : -1;
}

bool str_split(struct str *rest, char sep, struct str *out_part)
{
    if (rest->data == NULL)
        return false;
    ptrdiff_t at = str_find(*rest, sep);
    if (at < 0) {
        *out_part = *rest;
        *rest = (struct str){ NULL, 0 };
        return true;
    }
    *out_part = str_n(rest->data, (size_t)at);
    *rest = str_n(rest->data + at + 1, rest->len - (size_t)at - 1);
    return true;
}

bool str_next_member(struct str *rest, struct str *out_member)
{
    while (rest->len > 0) {
        bool is_quoted = false;
        size_t i = 0;
        for (; i < rest->len; i++) {
            char c = rest->data[i];
            if (is_quoted && c == '\\' && i + 1 < rest->len)
                i++;
            else if (c == '"')
                is_quoted = !is_quoted;
            else if (c == ',' && !is_quoted)
                break;
        }
        struct str member = str_trim(str_n(rest->data, i));
        *rest = str_from(*rest, i < rest->len ? i + 1 : i);
        if (member.len > 0) {
            *out_member = member;
            return true;
        }
    }
    return false;
}

bool str_list_has(struct str list, struct str member)
{
    struct str part;
    while (str_next_member(&list, &part)) {
        if (str_ieq(part, member))
            return true;
    }
    return false;
}

bool str_to_u64(struct str s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';
        if (digit > 9)
            return false;
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

size_t str_copy(struct str s, char *out, size_t size)
{
    size_t len = s.len < size - 1 ? s.len : size - 1;
    if (len > 0)
        memcpy(out, s.data, len);
    out[len] = '\0';
    return len;
}

char *str_dup(struct str s)
{
    char *copy = malloc(s.len + 1);
    if (!copy)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

size_t str_put_u64(char *out, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}
