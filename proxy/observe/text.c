#include "observe/text.h"

/* Length of the well-formed UTF-8 sequence at data (RFC 3629: no overlong forms, no surrogates), or 0. */
static size_t utf8_len(const unsigned char *data, size_t left)
{
    unsigned char first = data[0];
    size_t len = first >= 0xc2 && first <= 0xdf   ? 2
                 : (first & 0xf0) == 0xe0         ? 3
                 : first >= 0xf0 && first <= 0xf4 ? 4
                                                  : 0;
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((first == 0xe0 && data[1] < 0xa0) || (first == 0xed && data[1] > 0x9f))
        return 0;
    if ((first == 0xf0 && data[1] < 0x90) || (first == 0xf4 && data[1] > 0x8f))
        return 0;
    return len;
}

static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* What stands for the bytes at data that may not stand for themselves. Returns its length; *taken: of how
 * many. */
static size_t escape(const unsigned char *data, size_t left, char out[6], size_t *taken)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = data[0];
    *taken = 1;
    if (c >= 0x80) {
        size_t len = utf8_len(data, left);
        if (len > 0) {
            *taken = len;
            memcpy(out, data, len);
            return len;
        }
        memcpy(out, "\\ufffd", 6);
        return 6;
    }
    out[0] = '\\';
    out[1] = (char)(c == '"' || c == '\\' ? c : c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : 'u');
    if (out[1] != 'u')
        return 2;
    out[2] = out[3] = '0';
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

char *text_put_json(char *at, const char *end, struct str value)
{
    const unsigned char *data = (const unsigned char *)value.data;
    size_t i = 0;
    while (i < value.len) {
        size_t from = i;
        while (i < value.len && is_plain(data[i]))
            i++;
        if ((size_t)(end - at) < i - from)
            return NULL;
        if (i > from)
            memcpy(at, data + from, i - from);
        at += i - from;
        if (i == value.len)
            break;
        char out[6];
        size_t taken;
        size_t len = escape(data + i, value.len - i, out, &taken);
        if ((size_t)(end - at) < len)
            return NULL;
        memcpy(at, out, len);
        at += len;
        i += taken;
    }
    return at;
}
