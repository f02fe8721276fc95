/* RFC 9651 4.2, one function for each of its parsing algorithms. */
#include "http/structured.h"

#include "http/chars.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower(ascii_lower(c));
}

/* The first byte, '\0' at the end: no field has that byte. */
static char peek(const struct str *rest)
{
    return rest->len > 0 ? rest->data[0] : '\0';
}

static void skip(struct str *rest, size_t count)
{
    *rest = str_from(*rest, count);
}

static bool take(struct str *rest, char c)
{
    if (peek(rest) != c)
        return false;
    skip(rest, 1);
    return true;
}

static size_t skip_spaces(struct str *rest)
{
    size_t count = 0;
    while (take(rest, ' '))
        count++;
    return count;
}

static struct str cut(struct str *rest, size_t len)
{
    struct str text = str_n(rest->data, len);
    skip(rest, len);
    return text;
}

/* 4.2.3.3: lower-case letters only, so a name in the wrong case breaks the field. */
static bool read_key(struct str *rest, struct str *out)
{
    size_t len = 0;
    if (!is_lower(peek(rest)) && peek(rest) != '*')
        return false;
    while (len < rest->len) {
        char c = rest->data[len];
        if (!is_lower(c) && !is_digit(c) && c != '_' && c != '-' && c != '.' && c != '*')
            break;
        len++;
    }
    *out = cut(rest, len);
    return true;
}

static size_t read_digits(struct str *rest, int64_t *value)
{
    size_t count = 0;
    for (; is_digit(peek(rest)); count++) {
        if (count < 15)
            *value = *value * 10 + (peek(rest) - '0');
        skip(rest, 1);
    }
    return count;
}

/* 4.2.4: at most 15 digits; a decimal 12 of them before its point, and one to three after it. */
static bool read_number(struct str *rest, struct structured_member *out)
{
    bool is_negative = take(rest, '-');
    int64_t value = 0;
    size_t whole = read_digits(rest, &value);
    out->type = STRUCTURED_INTEGER;
    out->integer = is_negative ? -value : value;
    if (whole == 0 || whole > 15)
        return false;
    if (!take(rest, '.'))
        return true;
    size_t fraction = read_digits(rest, &value);
    out->type = STRUCTURED_DECIMAL;
    return whole <= 12 && fraction >= 1 && fraction <= 3;
}

/* 4.2.5. */
static bool read_string(struct str *rest, struct structured_member *out)
{
    out->type = STRUCTURED_STRING;
    skip(rest, 1);
    for (size_t at = 0; at < rest->len; at++) {
        char c = rest->data[at];
        if (c == '"') {
            out->text = cut(rest, at);
            skip(rest, 1);
            return true;
        }
        if (c == '\\') {
            at++;
            if (at == rest->len || (rest->data[at] != '"' && rest->data[at] != '\\'))
                return false;
        } else if (c < 0x20 || c > 0x7e) {
            return false;
        }
    }
    return false;
}

/* 4.2.6. */
static bool read_token(struct str *rest, struct structured_member *out)
{
    size_t len = 1;
    while (len < rest->len &&
           (char_is(rest->data[len], CHAR_TOKEN) || rest->data[len] == ':' || rest->data[len] == '/'))
        len++;
    out->type = STRUCTURED_TOKEN;
    out->text = cut(rest, len);
    return true;
}

/* 4.2.7: padding may be missing, and bits behind the end may be set. */
static bool read_bytes(struct str *rest, struct structured_member *out)
{
    skip(rest, 1);
    out->type = STRUCTURED_BYTES;
    size_t data = 0;
    while (is_alpha(peek(rest)) || is_digit(peek(rest)) || peek(rest) == '+' || peek(rest) == '/') {
        skip(rest, 1);
        data++;
    }
    size_t padding = 0;
    while (take(rest, '='))
        padding++;
    bool is_sound = padding == 0 ? data % 4 != 1 : padding <= 2 && (data + padding) % 4 == 0;
    return is_sound && take(rest, ':');
}

/* 4.2.8. */
static bool read_boolean(struct str *rest, struct structured_member *out)
{
    skip(rest, 1);
    out->type = STRUCTURED_BOOLEAN;
    out->integer = peek(rest) == '1';
    return take(rest, '1') || take(rest, '0');
}

/* 4.2.9. */
static bool read_date(struct str *rest, struct structured_member *out)
{
    skip(rest, 1);
    bool is_whole = read_number(rest, out) && out->type == STRUCTURED_INTEGER;
    out->type = STRUCTURED_DATE;
    return is_whole;
}

struct utf8 {
    unsigned more;     /* continuation bytes still to come */
    unsigned char low; /* the next one's bounds: overlong forms and surrogates are none (RFC 3629 4) */
    unsigned char high;
};

static bool utf8_add(struct utf8 *state, unsigned char byte)
{
    if (state->more > 0) {
        if (byte < state->low || byte > state->high)
            return false;
        *state = (struct utf8){ state->more - 1, 0x80, 0xbf };
        return true;
    }
    *state = (struct utf8){ 0, 0x80, 0xbf };
    if (byte < 0x80)
        return true;
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    state->more = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte == 0xe0 || byte == 0xf0)
        state->low = byte == 0xe0 ? 0xa0 : 0x90;
    if (byte == 0xed || byte == 0xf4)
        state->high = byte == 0xed ? 0x9f : 0x8f;
    return true;
}

static int hex_of(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 4.2.10: UTF-8, with percent signs in lower-case hex. */
static bool read_display(struct str *rest, struct structured_member *out)
{
    struct utf8 state = { 0 };
    skip(rest, 1);
    out->type = STRUCTURED_DISPLAY;
    if (!take(rest, '"'))
        return false;
    while (rest->len > 0) {
        char c = peek(rest);
        skip(rest, 1);
        if (c == '"')
            return state.more == 0;
        if (c < 0x20 || c > 0x7e)
            return false;
        unsigned char byte = (unsigned char)c;
        if (c == '%') {
            int high = rest->len >= 2 ? hex_of(rest->data[0]) : -1;
            int low = rest->len >= 2 ? hex_of(rest->data[1]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (unsigned char)(high * 16 + low);
            skip(rest, 2);
        }
        if (!utf8_add(&state, byte))
            return false;
    }
    return false;
}

/* 4.2.3.1. */
static bool read_bare_item(struct str *rest, struct structured_member *out)
{
    char c = peek(rest);
    if (c == '-' || is_digit(c))
        return read_number(rest, out);
    if (c == '*' || is_alpha(c))
        return read_token(rest, out);
    switch (c) {
    case '"':
        return read_string(rest, out);
    case ':':
        return read_bytes(rest, out);
    case '?':
        return read_boolean(rest, out);
    case '@':
        return read_date(rest, out);
    case '%':
        return read_display(rest, out);
    default:
        return false;
    }
}

/* 4.2.3.2. */
static bool skip_parameters(struct str *rest)
{
    while (take(rest, ';')) {
        struct structured_member value;
        struct str key;
        skip_spaces(rest);
        if (!read_key(rest, &key) || (take(rest, '=') && !read_bare_item(rest, &value)))
            return false;
    }
    return true;
}

/* 4.2.1.2. */
static bool skip_inner_list(struct str *rest)
{
    skip(rest, 1);
    size_t spaces = skip_spaces(rest);
    bool is_first = true;
    while (!take(rest, ')')) {
        struct structured_member item;
        if ((!is_first && spaces == 0) || !read_bare_item(rest, &item) || !skip_parameters(rest))
            return false;
        is_first = false;
        spaces = skip_spaces(rest);
    }
    return true;
}

static bool read_value(struct str *rest, struct structured_member *out)
{
    if (peek(rest) == '(') {
        out->type = STRUCTURED_INNER_LIST;
        return skip_inner_list(rest) && skip_parameters(rest);
    }
    return read_bare_item(rest, out) && skip_parameters(rest);
}

static bool read_entry(struct str *rest, struct structured_member *out)
{
    if (!read_key(rest, &out->key))
        return false;
    if (take(rest, '='))
        return read_value(rest, out);
    out->type = STRUCTURED_BOOLEAN;
    out->integer = 1;
    return skip_parameters(rest);
}

/* A comma, and something behind it: 4.2.1 and 4.2.2 refuse one at the end. */
static bool skip_comma(struct str *rest)
{
    *rest = str_trim(*rest);
    if (rest->len == 0)
        return true;
    if (!take(rest, ','))
        return false;
    *rest = str_trim(*rest);
    return rest->len > 0;
}

static enum structured_step next(struct str *rest, struct structured_member *out, bool is_dictionary)
{
    *out = (struct structured_member){ .type = STRUCTURED_BOOLEAN };
    *rest = str_trim(*rest);
    if (rest->len == 0)
        return STRUCTURED_END;
    bool is_read = is_dictionary ? read_entry(rest, out) : read_value(rest, out);
    return is_read && skip_comma(rest) ? STRUCTURED_MEMBER : STRUCTURED_BROKEN;
}

enum structured_step structured_next_entry(struct str *rest, struct structured_member *out)
{
    return next(rest, out, true);
}

enum structured_step structured_next_item(struct str *rest, struct structured_member *out)
{
    return next(rest, out, false);
}

size_t structured_unescape(struct str text, char *out)
{
    size_t len = 0;
    for (size_t at = 0; at < text.len; at++) {
        if (text.data[at] == '\\' && at + 1 < text.len)
            at++;
        out[len++] = text.data[at];
    }
    return len;
}
