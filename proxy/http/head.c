/* The strict reading of heads: RFC 9112 2 to 5, byte by byte, before http-parser sees them. */
#include "http/head.h"

#include "base/err.h"
#include "http/chars.h"

size_t head_skip_blank(struct str bytes)
{
    size_t at = 0;
    while (bytes.len - at >= 2 && bytes.data[at] == '\r' && bytes.data[at + 1] == '\n')
        at += 2;
    return at;
}

static int bad_byte_at(struct str bytes, size_t at)
{
    return memchr(bytes.data, '\n', at) ? ERR_BAD_FIELD : ERR_BAD_REQUEST_LINE;
}

/* No end was found in bytes: can there still be one within the limits? */
static int more_or_too_large(struct str bytes, size_t scanned, const struct head_limits *limits)
{
    /* Asked only when the limit is passed, and at the end. */
    bool is_past_line = bytes.len > limits->line_bytes + 2 && scanned <= limits->line_bytes + 2;
    bool is_full = bytes.len >= limits->head_bytes;
    if (!is_past_line && !is_full)
        return 0;
    size_t len = bytes.len < limits->line_bytes + 2 ? bytes.len : limits->line_bytes + 2;
    if (!memchr(bytes.data, '\n', len))
        return ERR_TARGET_TOO_LONG;
    return is_full ? ERR_HEAD_TOO_LARGE : 0;
}

int head_find_end(struct str bytes, size_t *scanned, const struct head_limits *limits)
{
    size_t before = *scanned;
    const char *start = bytes.data;
    const char *end = start + (bytes.len < limits->head_bytes ? bytes.len : limits->head_bytes);
    const char *at = start + before;
    while (at < end) {
        at = scan_value(at, end);
        if (at == end)
            break;
        /* RFC 9112 2.2: a bare CR is invalid, and we take no bare LF for a line's end either. */
        if (*at == '\r') {
            if (at + 1 == end)
                break;
            if (at[1] != '\n')
                return bad_byte_at(bytes, (size_t)(at - start));
            at++;
        } else if (*at != '\n' || at == start || at[-1] != '\r') {
            return bad_byte_at(bytes, (size_t)(at - start));
        }
        if (at - start >= 3 && at[-2] == '\n')
            return (int)(at + 1 - start);
        at++;
    }
    *scanned = (size_t)(at - start);
    return more_or_too_large(bytes, before, limits);
}

bool field_line_read(const char **at, const char *end, struct field *out)
{
    const char *name = *at;
    const char *p = name;
    unsigned seen = 0;
    unsigned classes;
    while ((classes = char_class[(unsigned char)*p]) & CHAR_TOKEN) {
        seen |= classes;
        p++;
    }
    /* RFC 9112 5.1: no whitespace before the colon. 5.2, 2.2: none before the name, so no obs-fold. */
    if (p == name || *p != ':')
        return false;
    out->name = str_n(name, (size_t)(p - name));
    do
        p++;
    while (*p == ' ' || *p == '\t');
    const char *value = p;
    p = scan_value(p, end);
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return false;
    *at = p + 2;
    while (p > value && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    out->value = str_n(value, (size_t)(p - value));
    out->id = field_id_of(out->name);
    out->is_ambiguous = (seen & CHAR_FOLD) && field_name_is_ambiguous(out->name);
    return true;
}

/* Puts the field that stands at index into the chain of its id. */
static void link_field(struct message *msg, unsigned index)
{
    enum field_id id = msg->fields[index].id;
    msg->next[index] = 0;
    if (id == FIELD_UNKNOWN)
        return;
    if (!msg->first[id]) {
        msg->first[id] = (uint8_t)(index + 1);
        return;
    }
    unsigned last = msg->first[id] - 1u;
    while (msg->next[last])
        last = msg->next[last] - 1u;
    msg->next[last] = (uint8_t)(index + 1);
}

bool message_add(struct message *msg, struct str name, struct str value)
{
    if (msg->field_count >= FIELDS_MAX)
        return false;
    unsigned index = msg->field_count++;
    msg->fields[index] = (struct field){
        .name = name,
        .value = value,
        .id = field_id_of(name),
        .is_ambiguous = field_name_is_ambiguous(name),
    };
    link_field(msg, index);
    return true;
}

/* All field lines from at to the empty line that ends at end. */
static int read_fields(struct message *msg, const char *at, const char *end, const struct head_limits *limits)
{
    unsigned max = limits->fields < FIELDS_MAX ? limits->fields : FIELDS_MAX;
    const char *last = end - 2;
    while (at < last) {
        const char *line = at;
        if (msg->field_count >= max)
            return ERR_TOO_MANY_FIELDS;
        if (!field_line_read(&at, end, &msg->fields[msg->field_count]))
            return ERR_BAD_FIELD;
        if ((size_t)(at - line) > limits->line_bytes + 2)
            return ERR_HEAD_TOO_LARGE;
        link_field(msg, msg->field_count++);
    }
    return at == last ? 0 : ERR_BAD_FIELD;
}

/* "HTTP/1.0" or "HTTP/1.1" at p, which has 8 bytes: its minor. -1: another version. -2: no version. */
static int read_version(const char *p)
{
    if (memcmp(p, "HTTP/", 5) != 0 || !char_is(p[5], CHAR_DIGIT) || p[6] != '.' || !char_is(p[7], CHAR_DIGIT))
        return -2;
    if (p[5] != '1' || p[7] > '1')
        return -1;
    return p[7] - '0';
}

static void split_target(struct message *msg)
{
    ptrdiff_t mark = str_find(msg->target, '?');
    msg->path = mark < 0 ? msg->target : str_n(msg->target.data, (size_t)mark);
    msg->query = mark < 0 ? (struct str){ NULL, 0 } : str_from(msg->target, (size_t)mark + 1);
}

/* RFC 9112 3.2: which of the four forms the target has. The authority of absolute-form goes to *authority. */
static int read_target_form(struct message *msg, struct str *authority)
{
    struct str target = msg->target;
    if (msg->method == METHOD_CONNECT)
        return ERR_METHOD_REFUSED;
    if (target.data[0] == '*') {
        if (target.len != 1 || msg->method != METHOD_OPTIONS)
            return ERR_BAD_TARGET;
    } else if (target.data[0] != '/') {
        size_t skip = str_has_iprefix(target, STR("http://"))    ? 7
                      : str_has_iprefix(target, STR("https://")) ? 8
                                                                 : 0;
        if (!skip)
            return ERR_BAD_TARGET;
        struct str rest = str_from(target, skip);
        size_t len = 0;
        while (len < rest.len && rest.data[len] != '/' && rest.data[len] != '?')
            len++;
        /* A query behind an empty path would need a "/" between them that is not in the bytes. */
        if (len < rest.len && rest.data[len] == '?')
            return ERR_BAD_TARGET;
        *authority = str_n(rest.data, len);
        msg->is_absolute_form = true;
        msg->is_absolute_https = skip == 8;
        /* 3.2.4: OPTIONS for an empty path asks about the server as a whole. */
        msg->target = len < rest.len                  ? str_from(rest, len)
                      : msg->method == METHOD_OPTIONS ? STR("*")
                                                      : STR("/");
    }
    split_target(msg);
    return 0;
}

/* method SP request-target SP HTTP-version CRLF (RFC 9112 3); no other blank anywhere. */
static int read_request_line(struct message *msg, const char **at, const char *end, size_t line_bytes)
{
    const char *line = *at;
    const char *p = line;
    while (char_is(*p, CHAR_TOKEN))
        p++;
    if (p == line || *p != ' ')
        return ERR_BAD_REQUEST_LINE;
    msg->method_name = str_n(line, (size_t)(p - line));
    msg->method = method_of(msg->method_name);

    const char *target = ++p;
    while (char_is(*p, CHAR_TARGET))
        p++;
    msg->target = str_n(target, (size_t)(p - target));
    if ((size_t)(p - line) > line_bytes)
        return ERR_TARGET_TOO_LONG;
    if (p == target || *p == '\r')
        return ERR_BAD_REQUEST_LINE;
    if (*p != ' ')
        return ERR_BAD_TARGET;
    p++;
    if (end - p < 10)
        return ERR_BAD_REQUEST_LINE;
    int minor = read_version(p);
    if (minor == -2 || p[8] != '\r' || p[9] != '\n')
        return ERR_BAD_REQUEST_LINE;
    if (minor < 0)
        return ERR_BAD_VERSION;
    if ((size_t)(p + 8 - line) > line_bytes)
        return ERR_TARGET_TOO_LONG;
    msg->minor = minor;
    *at = p + 10;
    return 0;
}

/* Everything but the arrays that are filled as fields come. */
static void message_clear(struct message *msg)
{
    memset(msg, 0, offsetof(struct message, next));
}

/* The scans below stop at the final CRLFCRLF, so it must be there. */
static bool has_end(struct str head)
{
    return head.len >= 4 && memcmp(head.data + head.len - 4, "\r\n\r\n", 4) == 0;
}

int message_read_request(struct message *msg, struct str head, const struct head_limits *limits)
{
    message_clear(msg);
    if (!has_end(head))
        return ERR_BAD_REQUEST_LINE;
    if (head.len > limits->head_bytes)
        return ERR_HEAD_TOO_LARGE;
    const char *at = head.data;
    const char *end = head.data + head.len;
    struct str authority = { NULL, 0 };
    int err = read_request_line(msg, &at, end, limits->line_bytes);
    if (err)
        return err;
    struct str raw_target = msg->target;
    if ((err = read_target_form(msg, &authority)) != 0)
        return err;
    if ((err = read_fields(msg, at, end, limits)) != 0)
        return err;
    if ((err = framing_of_request(msg, authority)) != 0)
        return err;
    return parser_agrees_on_request(msg, head, raw_target) ? 0 : ERR_BAD_FRAMING;
}

/* HTTP-version SP status-code SP reason CRLF (RFC 9112 4). The blank behind the code may be missing: many
 * servers without a reason leave it out, and nothing can be read two ways. */
static bool read_status_line(struct message *msg, const char **at, const char *end)
{
    const char *p = *at;
    if (end - p < 14)
        return false;
    msg->minor = read_version(p);
    if (msg->minor < 0 || p[8] != ' ')
        return false;
    p += 9;
    for (unsigned i = 0; i < 3; i++) {
        if (!char_is(p[i], CHAR_DIGIT))
            return false;
        msg->status = msg->status * 10 + (p[i] - '0');
    }
    p += 3;
    if (msg->status < 100 || msg->status > 599 || (*p != ' ' && *p != '\r'))
        return false;
    const char *reason = *p == ' ' ? p + 1 : p;
    p = scan_value(reason, end);
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return false;
    msg->reason = str_n(reason, (size_t)(p - reason));
    *at = p + 2;
    return true;
}

int message_read_reply(struct message *msg, struct str head, enum method to_method,
                       const struct head_limits *limits)
{
    message_clear(msg);
    const char *at = head.data;
    const char *end = head.data + head.len;
    if (!has_end(head) || head.len > limits->head_bytes || !read_status_line(msg, &at, end) ||
        read_fields(msg, at, end, limits) != 0 || framing_of_reply(msg, to_method) != 0 ||
        !parser_agrees_on_reply(msg, head))
        return ERR_UPSTREAM_BAD_REPLY;
    return 0;
}
