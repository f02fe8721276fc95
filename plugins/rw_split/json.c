#include "json.h"

#include <string.h>

#include "utf8.h"

struct reader {
    const char *at;
    const char *end;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(const struct reader *reader)
{
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && is_blank(*reader->at))
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool skip_word(struct reader *reader, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, word, len) != 0)
        return false;
    reader->at += len;
    return true;
}

static bool skip_digits(struct reader *reader)
{
    if (!is_digit(reader))
        return false;
    while (is_digit(reader))
        reader->at++;
    return true;
}

static bool skip_number(struct reader *reader)
{
    take(reader, '-');
    if (!take(reader, '0') && !skip_digits(reader))
        return false;
    if (take(reader, '.') && !skip_digits(reader))
        return false;
    if (!take(reader, 'e') && !take(reader, 'E'))
        return true;
    if (!take(reader, '+'))
        take(reader, '-');
    return skip_digits(reader);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four digits; -1 if they are not there. */
static int take_hex(struct reader *reader)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = reader->at < reader->end ? hex_digit(*reader->at++) : -1;

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static bool skip_string(struct reader *reader)
{
    if (!take(reader, '"'))
        return false;
    while (reader->at < reader->end) {
        unsigned char c = (unsigned char)*reader->at;

        if (c == '"') {
            reader->at++;
            return true;
        }
        if (c < 0x20)
            return false;
        if (c == '\\') {
            reader->at++;
            if (reader->at == reader->end || !strchr("\"\\/bfnrtu", *reader->at) || !*reader->at)
                return false;
            if (*reader->at++ == 'u' && take_hex(reader) < 0)
                return false;
        } else {
            size_t len = utf8_length(reader->at, reader->end);

            if (len == 0)
                return false;
            reader->at += len;
        }
    }
    return false;
}

static bool skip_scalar(struct reader *reader)
{
    switch (*reader->at) {
    case '"':
        return skip_string(reader);
    case 't':
        return skip_word(reader, "true");
    case 'f':
        return skip_word(reader, "false");
    case 'n':
        return skip_word(reader, "null");
    default:
        return skip_number(reader);
    }
}

/* A member's name and colon, within an object. */
static bool skip_name(struct reader *reader, bool is_object)
{
    skip_blanks(reader);
    if (!is_object)
        return true;
    if (!skip_string(reader))
        return false;
    skip_blanks(reader);
    return take(reader, ':');
}

/* Closes whatever ends behind a value. False: neither that nor a comma. */
static bool skip_ends(struct reader *reader, const char *closers, unsigned *depth)
{
    for (skip_blanks(reader); *depth > 0; skip_blanks(reader)) {
        if (take(reader, ','))
            return skip_name(reader, closers[*depth - 1] == '}');
        if (!take(reader, closers[*depth - 1]))
            return false;
        --*depth;
    }
    return true;
}

/* One value with all that is in it. No recursion: what is open stands in closers. */
static bool skip_value(struct reader *reader)
{
    char closers[JSON_DEPTH_MAX];
    unsigned depth = 0;

    do {
        skip_blanks(reader);
        if (reader->at == reader->end)
            return false;
        if (*reader->at == '{' || *reader->at == '[') {
            bool is_object = *reader->at++ == '{';

            if (depth == JSON_DEPTH_MAX)
                return false;
            skip_blanks(reader);
            closers[depth++] = is_object ? '}' : ']';
            if (reader->at < reader->end && *reader->at != closers[depth - 1]) {
                if (!skip_name(reader, is_object))
                    return false;
                continue;
            }
        } else if (!skip_scalar(reader)) {
            return false;
        }
        if (!skip_ends(reader, closers, &depth))
            return false;
    } while (depth > 0);
    return true;
}

bool json_is_valid(struct weir_str text)
{
    struct reader reader = { text.data, text.data + text.len };

    if (!text.data || !skip_value(&reader))
        return false;
    skip_blanks(&reader);
    return reader.at == reader.end;
}

static struct weir_str trimmed(struct weir_str value)
{
    while (value.len > 0 && is_blank(value.data[0]))
        value = (struct weir_str){ value.data + 1, value.len - 1 };
    while (value.len > 0 && is_blank(value.data[value.len - 1]))
        value.len--;
    return value;
}

enum json_kind json_kind(struct weir_str value)
{
    value = trimmed(value);
    switch (value.len > 0 ? value.data[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* --- walking --- */

struct json_walk json_walk(struct weir_str value)
{
    struct json_walk walk = { 0 };

    value = trimmed(value);
    if (value.len < 2 || (value.data[0] != '{' && value.data[0] != '['))
        return walk;
    walk.is_object = value.data[0] == '{';
    walk.rest = (struct weir_str){ value.data + 1, value.len - 2 };
    return walk;
}

bool json_next(struct json_walk *walk)
{
    struct reader reader = { walk->rest.data, walk->rest.data + walk->rest.len };
    const char *begin;

    if (!walk->rest.data)
        return false;
    skip_blanks(&reader);
    take(&reader, ',');
    skip_blanks(&reader);
    begin = reader.at;
    if (begin == reader.end || !skip_name(&reader, walk->is_object))
        return false;
    if (walk->is_object) {
        const char *quote = memrchr(begin, '"', (size_t)(reader.at - begin));

        walk->name = (struct weir_str){ begin + 1, (size_t)(quote - begin) - 1 };
    }
    skip_blanks(&reader);
    begin = reader.at;
    if (!skip_value(&reader))
        return false;
    walk->value = trimmed((struct weir_str){ begin, (size_t)(reader.at - begin) });
    walk->rest = (struct weir_str){ reader.at, (size_t)(reader.end - reader.at) };
    return true;
}

/* --- texts --- */

/* Behind \u. False: half a pair. */
static bool take_character(struct reader *reader, char **out)
{
    int32_t code = take_hex(reader);

    if (code >= 0xd800 && code < 0xdc00) {
        int32_t low = skip_word(reader, "\\u") ? take_hex(reader) : -1;

        if (low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
    }
    if (code < 0 || (code >= 0xdc00 && code < 0xe000))
        return false;
    *out += utf8_put((uint32_t)code, *out);
    return true;
}

static bool take_escape(struct reader *reader, char **out)
{
    static const char letters[] = "bfnrt", means[] = "\b\f\n\r\t";
    char c = reader->at < reader->end ? *reader->at++ : '\0';
    const char *letter = c ? strchr(letters, c) : NULL;

    if (c == 'u')
        return take_character(reader, out);
    *(*out)++ = letter ? means[letter - letters] : c;
    return true;
}

bool json_text(struct weir_str value, char *out, size_t *out_len)
{
    struct reader reader;
    char *begin = out;

    value = trimmed(value);
    if (value.len < 2 || value.data[0] != '"')
        return false;
    reader = (struct reader){ value.data + 1, value.data + value.len - 1 };
    while (reader.at < reader.end) {
        if (*reader.at != '\\')
            *out++ = *reader.at++;
        else if (reader.at++, !take_escape(&reader, &out))
            return false;
    }
    *out_len = (size_t)(out - begin);
    return true;
}

struct weir_str json_find(struct weir_str text, const char *path)
{
    struct weir_str value = trimmed(text);

    if (!json_is_valid(text))
        return (struct weir_str){ 0 };
    while (*path && value.data) {
        size_t len = strcspn(path, ".");
        struct json_walk walk = json_walk(value);

        value = (struct weir_str){ 0 };
        while (walk.is_object && json_next(&walk))
            if (walk.name.len == len && memcmp(walk.name.data, path, len) == 0)
                value = walk.value;
        path += len + (path[len] == '.');
    }
    return value;
}
