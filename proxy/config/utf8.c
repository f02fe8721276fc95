#include "config/utf8.h"

/* Length of the character at the front of s, 0 if it is none (RFC 3629: no surrogates, nothing overlong). */
static size_t char_len(struct str s)
{
    const unsigned char *c = (const unsigned char *)s.data;
    if (c[0] < 0x80)
        return 1;
    size_t len = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    if (c[0] < 0xc2 || c[0] > 0xf4 || s.len < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
        (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return len;
}

const char *utf8_check(struct str text, struct config_mark *out_mark)
{
    *out_mark = (struct config_mark){ 1, 1 };
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.data[i];
        size_t len = char_len(str_from(text, i));
        if (len == 0)
            return "not UTF-8";
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return "a control character: this is not a text file";
        i += len;
        out_mark->column++;
        if (c == '\n')
            *out_mark = (struct config_mark){ out_mark->line + 1, 1 };
    }
    return NULL;
}
