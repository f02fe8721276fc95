/* The only user of http_parser.h: a second opinion on every head. Debian's build of it is lenient (it
 * takes bare LF, folded lines, blanks before colons), so it never decides what is accepted; it must
 * accept what head.c did, and find the same fields, length and connection options at the same bytes. */
#include <http_parser.h>

#include "http/head.h"

struct opinion {
    const struct message *msg;
    struct str raw_target; /* empty for replies */
    unsigned names;
    unsigned values;
    bool is_complete;
};

static int on_url(http_parser *parser, const char *at, size_t len)
{
    const struct opinion *op = parser->data;
    return !(at == op->raw_target.data && len == op->raw_target.len);
}

static int on_name(http_parser *parser, const char *at, size_t len)
{
    struct opinion *op = parser->data;
    if (op->names >= op->msg->field_count)
        return 1;
    const struct field *field = &op->msg->fields[op->names++];
    return !(at == field->name.data && len == field->name.len);
}

/* Plain bytes inside of a long value are not shown to http-parser: see reads_head(). */
#define VALUE_LONG  16
#define VALUE_SHOWN 4

/* The ones it reads itself. */
static bool is_interpreted(const struct field *field)
{
    switch (field->id) {
    case FIELD_CONNECTION:
    case FIELD_PROXY_CONNECTION:
    case FIELD_CONTENT_LENGTH:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

static bool is_shortened(const struct field *field)
{
    return field->value.len >= VALUE_LONG && !is_interpreted(field);
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct opinion *op = parser->data;
    /* The rest of a shortened one. */
    if (op->values == op->names && op->values > 0) {
        const struct field *field = &op->msg->fields[op->values - 1];
        return !(is_shortened(field) && at == field->value.data + field->value.len);
    }
    if (op->values >= op->names)
        return 1;
    /* It keeps blanks at the end of a value, and an empty one has no place. */
    const struct field *field = &op->msg->fields[op->values++];
    if (field->value.len == 0)
        return 0;
    return !(at == field->value.data && len >= (is_shortened(field) ? VALUE_SHOWN : field->value.len));
}

static bool agrees_on_connection(const http_parser *parser, const struct message *msg)
{
    unsigned flags = parser->flags;
    if (msg->has_upgrade && (!(flags & F_UPGRADE) || !(flags & F_CONNECTION_UPGRADE)))
        return false;
    /* It reads Proxy-Connection as Connection. We may say close where it does not, never the reverse. */
    if (!msg->is_keep_alive || message_field(msg, FIELD_PROXY_CONNECTION))
        return true;
    return msg->minor == 1 ? !(flags & F_CONNECTION_CLOSE) : (flags & F_CONNECTION_KEEP_ALIVE) != 0;
}

static int on_head(http_parser *parser)
{
    struct opinion *op = parser->data;
    const struct message *msg = op->msg;
    bool has_length = (parser->flags & F_CONTENTLENGTH) != 0;
    bool is_chunked = (parser->flags & F_CHUNKED) != 0;
    bool says_chunked = message_field(msg, FIELD_TRANSFER_ENCODING) && !msg->has_unknown_coding;
    if (op->names != msg->field_count || op->values != msg->field_count)
        return -1;
    if (parser->http_major != 1 || parser->http_minor != msg->minor)
        return -1;
    if (has_length != msg->has_length || is_chunked != says_chunked)
        return -1;
    if (has_length && parser->content_length != msg->content_length)
        return -1;
    op->is_complete = agrees_on_connection(parser, msg);
    return 1; /* do not wait for a body */
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
};

/* head_limits bound a head before it comes here; http-parser's own limit would only be a second one. */
__attribute__((constructor)) static void lift_limit(void)
{
    http_parser_set_max_header_size(INT32_MAX);
}

static bool reads(http_parser *parser, struct str bytes)
{
    return http_parser_execute(parser, &settings, bytes.data, bytes.len) == bytes.len &&
           HTTP_PARSER_ERRNO(parser) == HPE_OK;
}

/* http-parser reads a value byte by byte, about 1 ns each, which is most of a long head's time. Between
 * its first bytes and its end a value cannot change what the parser does next: scan_value() has seen that
 * there is no control byte in it, and the parser looks for nothing else unless it interprets the field.
 * So it sees every name, every line's start and end, every field that frames, and skips the middles. */
static bool reads_head(http_parser *parser, const struct message *msg, struct str head)
{
    const char *at = head.data;
    for (unsigned i = 0; i < msg->field_count; i++) {
        const struct field *field = &msg->fields[i];
        if (!is_shortened(field))
            continue;
        if (!reads(parser, str_n(at, (size_t)(field->value.data + VALUE_SHOWN - at))))
            return false;
        at = field->value.data + field->value.len;
    }
    return reads(parser, str_n(at, (size_t)(head.data + head.len - at)));
}

/* One past the LF of that field's line. */
static const char *line_end(const struct field *field)
{
    const char *at =
        field->value.len > 0 ? field->value.data + field->value.len : field->name.data + field->name.len;
    while (*at != '\n')
        at++;
    return at + 1;
}

/* Of a reply it is asked for framing alone: lines that it does not interpret are passed over whole. They are
 * lines to it as to us, since head.c lets no other line end through. */
static bool reads_framing(http_parser *parser, struct opinion *op, struct str head)
{
    const char *end = head.data + head.len;
    const char *at = head.data;
    for (unsigned i = 0; i < op->msg->field_count; i++) {
        const struct field *field = &op->msg->fields[i];
        /* It tells of an empty value only at the next line: that one it must see. */
        bool is_behind_empty = i > 0 && is_interpreted(field - 1) && field[-1].value.len == 0;
        if (is_interpreted(field) || is_behind_empty)
            continue;
        if (field->name.data > at && !reads(parser, str_n(at, (size_t)(field->name.data - at))))
            return false;
        op->names++;
        op->values++;
        at = line_end(field);
    }
    return reads(parser, str_n(at, (size_t)(end - at)));
}

/* What reads_framing() would show, side by side, and what we made of it. 0: more than fits. */
static size_t gather_framing(const struct message *msg, struct str head, char *out, size_t size)
{
    const char *at = head.data;
    size_t len = 0;
    out[len++] = (char)(msg->framing << 1 | msg->is_keep_alive);
    for (unsigned i = 0; i <= msg->field_count; i++) {
        const struct field *field = &msg->fields[i];
        const char *until = i < msg->field_count ? field->name.data : head.data + head.len;
        if (i < msg->field_count && is_interpreted(field))
            continue;
        size_t n = (size_t)(until - at);
        if (n > size - len)
            return 0;
        memcpy(out + len, at, n);
        len += n;
        if (i < msg->field_count)
            at = line_end(field);
    }
    return len;
}

/* The framing lines of most replies of an app are the same bytes again: its last yes is remembered, since the
 * same question has the same answer. */
#define MEMO_SIZE 160

struct memo {
    size_t len;
    char bytes[MEMO_SIZE];
};

static _Thread_local struct memo last_yes;

static bool is_method(const http_parser *parser, enum method method)
{
    static const int same[] = {
        [METHOD_OTHER] = HTTP_POST,      [METHOD_GET] = HTTP_GET,         [METHOD_HEAD] = HTTP_HEAD,
        [METHOD_POST] = HTTP_POST,       [METHOD_PUT] = HTTP_PUT,         [METHOD_DELETE] = HTTP_DELETE,
        [METHOD_TRACE] = HTTP_TRACE,     [METHOD_OPTIONS] = HTTP_OPTIONS, [METHOD_PATCH] = HTTP_PATCH,
        [METHOD_CONNECT] = HTTP_CONNECT,
    };
    return (int)parser->method == same[method];
}

bool parser_agrees_on_request(const struct message *msg, struct str head, struct str raw_target)
{
    struct opinion op = { .msg = msg, .raw_target = raw_target };
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &op;
    /* It refuses methods that it does not know; we pass them on. It reads a POST in their place. */
    if (msg->method == METHOD_OTHER) {
        if (!reads(&parser, STR("POST")))
            return false;
        head = str_from(head, msg->method_name.len);
    }
    return reads_head(&parser, msg, head) && op.is_complete && is_method(&parser, msg->method);
}

bool parser_agrees_on_reply(const struct message *msg, struct str head)
{
    struct opinion op = { .msg = msg };
    struct memo asked;
    http_parser parser;
    asked.len = gather_framing(msg, head, asked.bytes, sizeof asked.bytes);
    if (asked.len > 0 && asked.len == last_yes.len && memcmp(asked.bytes, last_yes.bytes, asked.len) == 0)
        return true;
    http_parser_init(&parser, HTTP_RESPONSE);
    parser.data = &op;
    if (!reads_framing(&parser, &op, head) || !op.is_complete || (int)parser.status_code != msg->status)
        return false;
    if (asked.len > 0)
        last_yes = asked;
    return true;
}

const char *parser_library_version(void)
{
#define TEXT(x)    #x
#define VERSION(x) TEXT(x)
    return VERSION(HTTP_PARSER_VERSION_MAJOR) "." VERSION(HTTP_PARSER_VERSION_MINOR) "." VERSION(
        HTTP_PARSER_VERSION_PATCH);
}
