#include "http/body_in.h"

#include "base/check.h"
#include "base/err.h"
#include "http/chars.h"
#include "http/head.h"

#define EXTENSION_BYTES_MAX 4096 /* RFC 9112 7.1.1 asks for a limit; a body, not a chunk */
#define SIZE_DIGITS_MAX     16

enum state {
    STATE_PLAIN,     /* length or close */
    STATE_SIZE,      /* hex digits */
    STATE_BLANK,     /* blanks before an extension's ";" */
    STATE_EXTENSION, /* behind ";" */
    STATE_SIZE_LF,   /* behind the CR of a size line */
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_TRAILER,      /* at the start of a trailer line, or of the empty one */
    STATE_TRAILER_LINE, /* in it */
    STATE_TRAILER_LF,   /* behind its CR */
    STATE_END_LF,       /* behind the CR of the empty line */
    STATE_OVER,
    STATE_BROKEN,
};

void body_in_init(struct body_in *body, enum framing framing, uint64_t content_length, uint32_t trailer_limit)
{
    *body = (struct body_in){ .framing = framing, .trailer_limit = trailer_limit };
    switch (framing) {
    case FRAMING_NONE:
        body->state = STATE_OVER;
        break;
    case FRAMING_LENGTH:
        body->left = content_length;
        body->state = content_length > 0 ? STATE_PLAIN : STATE_OVER;
        break;
    case FRAMING_CHUNKED:
        body->state = STATE_SIZE;
        break;
    case FRAMING_CLOSE:
        body->state = STATE_PLAIN;
        body->left = UINT64_MAX;
        break;
    }
}

void body_in_fini(struct body_in *body)
{
    if (body)
        buf_fini(&body->trailer);
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* Takes up to left bytes as one piece. */
static void take_piece(struct body_in *body, struct str *in, struct str *out)
{
    size_t len = in->len < body->left ? in->len : (size_t)body->left;
    *out = str_n(in->data, len);
    *in = str_from(*in, len);
    body->total += len;
    if (body->framing != FRAMING_CLOSE)
        body->left -= len;
}

/* One byte of a size line: 1*HEXDIG *( BWS ";" ... ) CRLF (RFC 9112 7.1). 0 or an error. */
static int size_byte(struct body_in *body, char c)
{
    switch (body->state) {
    case STATE_SIZE:
        if (char_is(c, CHAR_HEX)) {
            if (++body->digits > SIZE_DIGITS_MAX)
                return ERR_BAD_CHUNK;
            body->left = body->left << 4 | hex_value(c);
            return 0;
        }
        if (body->digits == 0)
            return ERR_BAD_CHUNK;
        break;
    case STATE_BLANK:
        /* Blanks stand only between the size and ";". */
        if (c == '\r')
            return ERR_BAD_CHUNK;
        break;
    case STATE_EXTENSION:
        break;
    default: /* STATE_SIZE_LF */
        if (c != '\n' || body->left > INT64_MAX - body->total)
            return ERR_BAD_CHUNK;
        body->state = body->left > 0 ? STATE_DATA : STATE_TRAILER;
        return 0;
    }
    if (c == '\r') {
        body->state = STATE_SIZE_LF;
        return 0;
    }
    if (++body->extension_bytes > EXTENSION_BYTES_MAX)
        return ERR_BAD_CHUNK;
    if (body->state == STATE_EXTENSION)
        return char_is(c, CHAR_VALUE) ? 0 : ERR_BAD_CHUNK;
    if (c != ';' && c != ' ' && c != '\t')
        return ERR_BAD_CHUNK;
    body->state = c == ';' ? STATE_EXTENSION : STATE_BLANK;
    return 0;
}

/* All trailer lines are there: are they fields? */
static int check_trailer(const struct body_in *body)
{
    struct str section = buf_str(&body->trailer);
    const char *end = section.data + section.len;
    struct field field;
    for (const char *at = section.data; at < end - 2;) {
        if (!field_line_read(&at, end, &field))
            return ERR_BAD_FIELD;
    }
    return 0;
}

/* One byte of the trailer section. 0, or an error. */
static int trailer_byte(struct body_in *body, char c)
{
    switch (body->state) {
    case STATE_TRAILER:
        body->state = c == '\r' ? STATE_END_LF : STATE_TRAILER_LINE;
        return c == '\r' || char_is(c, CHAR_TOKEN) ? 0 : ERR_BAD_FIELD;
    case STATE_TRAILER_LINE:
        if (c == '\r')
            body->state = STATE_TRAILER_LF;
        return c == '\r' || char_is(c, CHAR_VALUE) ? 0 : ERR_BAD_FIELD;
    case STATE_TRAILER_LF:
        body->state = STATE_TRAILER;
        return c == '\n' ? 0 : ERR_BAD_FIELD;
    default: /* STATE_END_LF */
        body->state = STATE_OVER;
        return c == '\n' ? 0 : ERR_BAD_FIELD;
    }
}

/* Reads the trailer section as far as it has come, and keeps it. */
static int take_trailer(struct body_in *body, struct str *in)
{
    /* Almost always there is none, and then nothing needs to be kept. */
    if (body->state == STATE_TRAILER && buf_len(&body->trailer) == 0 && str_has_prefix(*in, STR("\r\n"))) {
        *in = str_from(*in, 2);
        body->state = STATE_OVER;
        return 0;
    }
    int err = 0;
    size_t len = 0;
    while (len < in->len && body->state != STATE_OVER && !err)
        err = trailer_byte(body, in->data[len++]);
    if (err)
        return err;
    if (buf_len(&body->trailer) + len > (size_t)body->trailer_limit + 2)
        return ERR_HEAD_TOO_LARGE;
    if (!buf_append(&body->trailer, in->data, len))
        return ERR_NO_MEMORY;
    *in = str_from(*in, len);
    return body->state == STATE_OVER ? check_trailer(body) : 0;
}

static int chunked_next(struct body_in *body, struct str *in, struct str *out_piece)
{
    while (in->len > 0) {
        int err = 0;
        switch (body->state) {
        case STATE_DATA:
            take_piece(body, in, out_piece);
            if (body->left == 0)
                body->state = STATE_DATA_CR;
            return BODY_PIECE;
        case STATE_DATA_CR:
        case STATE_DATA_LF:
            if (in->data[0] != (body->state == STATE_DATA_CR ? '\r' : '\n'))
                return ERR_BAD_CHUNK;
            body->state = body->state == STATE_DATA_CR ? STATE_DATA_LF : STATE_SIZE;
            body->digits = 0;
            *in = str_from(*in, 1);
            break;
        case STATE_TRAILER:
        case STATE_TRAILER_LINE:
        case STATE_TRAILER_LF:
        case STATE_END_LF:
            err = take_trailer(body, in);
            break;
        case STATE_OVER:
            return BODY_END;
        default:
            err = size_byte(body, in->data[0]);
            *in = str_from(*in, 1);
            break;
        }
        if (err)
            return err;
    }
    return body->state == STATE_OVER ? BODY_END : BODY_MORE;
}

int body_in_next(struct body_in *body, struct str *in, struct str *out_piece)
{
    if (body->state == STATE_OVER)
        return BODY_END;
    if (body->state == STATE_BROKEN)
        return ERR_BAD_CHUNK;
    if (body->framing == FRAMING_CHUNKED) {
        int event = chunked_next(body, in, out_piece);
        if (event < 0)
            body->state = STATE_BROKEN;
        return event;
    }
    if (in->len == 0)
        return BODY_MORE;
    take_piece(body, in, out_piece);
    if (body->left == 0)
        body->state = STATE_OVER;
    return BODY_PIECE;
}

bool body_in_eof(const struct body_in *body)
{
    return body->state == STATE_OVER || body->framing == FRAMING_CLOSE;
}

bool body_in_is_over(const struct body_in *body)
{
    return body->state == STATE_OVER;
}

/* RFC 9110 6.5.1: what controls framing, routing, authentication or caching counts in a head alone. What
 * weir itself sets, reads or takes off there has no business here either. */
static bool may_pass(const struct field *field)
{
    const unsigned dropped =
        FIELD_NO_TRAILER | FIELD_HOP_BY_HOP | FIELD_FRAMING | FIELD_OURS | FIELD_APP_ONLY | FIELD_IDENTITY;
    return !field->is_ambiguous && !(field_traits(field->id) & dropped);
}

bool body_in_trailer(const struct body_in *body, size_t *at, struct str *out_name, struct str *out_value)
{
    if (body->state != STATE_OVER || buf_len(&body->trailer) < 4)
        return false;
    struct str section = buf_str(&body->trailer);
    const char *end = section.data + section.len;
    const char *p = section.data + *at;
    struct field field;
    while (p < end - 2 && field_line_read(&p, end, &field)) {
        *at = (size_t)(p - section.data);
        if (may_pass(&field)) {
            *out_name = field.name;
            *out_value = field.value;
            return true;
        }
    }
    return false;
}
