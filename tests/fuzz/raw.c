/* http-parser alone, with none of proxy/http's help, and what must hold between the two. */
#include "fuzz.h"

#include <http_parser.h>

#include "http/head.h"
#include "http/writer.h"

struct raw {
    struct str name[FIELDS_MAX];
    struct str value[FIELDS_MAX];
    unsigned names;
    unsigned values;
    bool is_value_open;
    bool is_overfull;
    struct str url;
    unsigned flags;
    uint64_t content_length;
    bool is_done;
    /* bodies */
    bool is_in_body;
    char *text;
    char *trailers;
    size_t text_len;
    size_t trailers_len;
    size_t size;
};

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct raw *raw = parser->data;
    raw->url = str_n(raw->url.data ? raw->url.data : at, raw->url.len + len);
    return 0;
}

static void put(char *out, size_t *len, size_t size, const char *data, size_t n)
{
    CHECK(*len + n <= size);
    memcpy(out + *len, data, n);
    *len += n;
}

static int on_name(http_parser *parser, const char *at, size_t len)
{
    struct raw *raw = parser->data;
    if (raw->is_in_body) {
        if (raw->is_value_open)
            put(raw->trailers, &raw->trailers_len, raw->size, "\n", 1);
        raw->is_value_open = false;
        put(raw->trailers, &raw->trailers_len, raw->size, at, len);
        return 0;
    }
    raw->is_value_open = false;
    if (raw->names == FIELDS_MAX)
        return raw->is_overfull = true;
    raw->name[raw->names++] = str_n(at, len);
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct raw *raw = parser->data;
    if (raw->is_in_body) {
        if (!raw->is_value_open)
            put(raw->trailers, &raw->trailers_len, raw->size, ":", 1);
        raw->is_value_open = true;
        put(raw->trailers, &raw->trailers_len, raw->size, at, len);
        return 0;
    }
    if (raw->is_value_open) {
        raw->value[raw->values - 1].len = (size_t)(at + len - raw->value[raw->values - 1].data);
        return 0;
    }
    raw->is_value_open = true;
    raw->value[raw->values++] = str_n(at, len);
    return 0;
}

static int on_head(http_parser *parser)
{
    struct raw *raw = parser->data;
    raw->flags = parser->flags;
    raw->content_length = parser->content_length;
    if (raw->text) {
        raw->is_in_body = true;
        raw->is_value_open = false;
        return 0;
    }
    return 1;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct raw *raw = parser->data;
    put(raw->text, &raw->text_len, raw->size, at, len);
    return 0;
}

static int on_done(http_parser *parser)
{
    struct raw *raw = parser->data;
    if (raw->is_in_body && raw->is_value_open)
        put(raw->trailers, &raw->trailers_len, raw->size, "\n", 1);
    raw->is_done = true;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_done,
};

static bool same_fields(const struct raw *raw, const struct message *msg)
{
    if (raw->names != msg->field_count || raw->values != msg->field_count)
        return false;
    for (unsigned i = 0; i < msg->field_count; i++) {
        if (!str_eq(raw->name[i], msg->fields[i].name) ||
            !str_eq(str_trim(raw->value[i]), msg->fields[i].value))
            return false;
    }
    return true;
}

enum raw_verdict raw_head(const struct message *msg, struct str head, struct str raw_target)
{
    struct raw raw = { .names = 0 };
    http_parser parser;
    http_parser_init(&parser, msg->status ? HTTP_RESPONSE : HTTP_REQUEST);
    parser.data = &raw;
    if (!msg->status && msg->method == METHOD_OTHER) {
        CHECK(http_parser_execute(&parser, &settings, "POST", 4) == 4);
        head = str_from(head, msg->method_name.len);
    }
    size_t used = http_parser_execute(&parser, &settings, head.data, head.len);
    if (!raw.is_done || raw.is_overfull)
        return RAW_REFUSES;

    bool has_length = (raw.flags & F_CONTENTLENGTH) != 0;
    bool is_chunked = (raw.flags & F_CHUNKED) != 0;
    bool says_chunked = message_field(msg, FIELD_TRANSFER_ENCODING) && !msg->has_unknown_coding;
    bool agrees = used == head.len && same_fields(&raw, msg) && parser.http_major == 1 &&
                  parser.http_minor == msg->minor && has_length == msg->has_length &&
                  is_chunked == says_chunked && (!has_length || raw.content_length == msg->content_length);
    if (msg->status)
        agrees = agrees && (int)parser.status_code == msg->status;
    else
        agrees = agrees && str_eq(raw.url, raw_target);
    if (msg->is_keep_alive && !message_field(msg, FIELD_PROXY_CONNECTION))
        agrees =
            agrees && (msg->minor ? !(raw.flags & F_CONNECTION_CLOSE) : raw.flags & F_CONNECTION_KEEP_ALIVE);
    if (msg->has_upgrade)
        agrees = agrees && (raw.flags & F_UPGRADE) && (raw.flags & F_CONNECTION_UPGRADE);
    return agrees ? RAW_AGREES : RAW_DIFFERS;
}

bool raw_chunked(struct str body, char *out_text, size_t *out_len, char *out_trailers,
                 size_t *out_trailers_len, size_t out_size, size_t *out_used)
{
    static const struct str head = STR_INIT("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    struct raw raw = { .text = out_text, .trailers = out_trailers, .size = out_size };
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &raw;
    CHECK(http_parser_execute(&parser, &settings, head.data, head.len) == head.len);
    *out_used = http_parser_execute(&parser, &settings, body.data, body.len);
    *out_len = raw.text_len;
    *out_trailers_len = raw.trailers_len;
    return raw.is_done;
}

/* head.c calls these through the linker's --wrap: exactly when it has accepted a head itself. The quick
 * reading of parser.c, which skips the middles of long values, must come to what the whole reading says:
 * accepted by both and the same, or refused. (They do differ where a tab ends "chunked" or "close":
 * http-parser does not take it for a blank. Such heads are refused.) */
bool __real_parser_agrees_on_request(const struct message *msg, struct str head, struct str raw_target);
bool __wrap_parser_agrees_on_request(const struct message *msg, struct str head, struct str raw_target);
bool __real_parser_agrees_on_reply(const struct message *msg, struct str head);
bool __wrap_parser_agrees_on_reply(const struct message *msg, struct str head);

static bool checked(bool quick, enum raw_verdict whole)
{
    CHECK(quick == (whole == RAW_AGREES));
    return quick;
}

bool __wrap_parser_agrees_on_request(const struct message *msg, struct str head, struct str raw_target)
{
    return checked(__real_parser_agrees_on_request(msg, head, raw_target), raw_head(msg, head, raw_target));
}

bool __wrap_parser_agrees_on_reply(const struct message *msg, struct str head)
{
    /* Of a reply it is only shown the lines that frame, so it may agree where a whole reading would have
     * taken the end of some other name ("ContenConnection") for one of its own; never the other way round. */
    bool quick = __real_parser_agrees_on_reply(msg, head);
    CHECK(quick || raw_head(msg, head, STR("")) != RAW_AGREES);
    return quick;
}

static void check_view(struct str view, struct str head)
{
    CHECK(view.len == 0 || (view.data >= head.data && view.data + view.len <= head.data + head.len));
    for (size_t i = 0; i < view.len; i++) {
        unsigned char c = (unsigned char)view.data[i];
        CHECK((c >= 0x20 && c != 0x7f) || c == '\t');
    }
}

void check_message(const struct message *msg, struct str head)
{
    CHECK(msg->field_count <= fuzz_limits.fields);
    unsigned chained = 0;
    unsigned known = 0;
    for (unsigned i = 0; i < msg->field_count; i++) {
        const struct field *field = &msg->fields[i];
        CHECK(field->name.len > 0);
        CHECK(field->value.data != NULL);
        check_view(field->name, head);
        check_view(field->value, head);
        CHECK(str_eq(str_trim(field->value), field->value));
        CHECK(field->id == field_id_of(field->name));
        CHECK(field->is_ambiguous == field_name_is_ambiguous(field->name));
        known += field->id != FIELD_UNKNOWN;
    }
    for (int id = 1; id < (int)FIELD_COUNT; id++) {
        const struct field *field = message_field(msg, (enum field_id)id);
        for (; field; field = message_next(msg, field)) {
            CHECK(field->id == (enum field_id)id);
            chained++;
        }
    }
    CHECK(chained == known);
    CHECK(!(message_field(msg, FIELD_TRANSFER_ENCODING) && message_field(msg, FIELD_CONTENT_LENGTH)));
    CHECK(!(msg->has_length && message_next(msg, message_field(msg, FIELD_CONTENT_LENGTH))));
    CHECK(msg->content_length <= INT64_MAX);
    CHECK(!msg->is_websocket || msg->has_upgrade);
}

int find_in_steps(struct str bytes, size_t step)
{
    size_t scanned = 0;
    size_t have = 0;
    while (have < bytes.len) {
        have = bytes.len - have < step ? bytes.len : have + step;
        int found = head_find_end(str_n(bytes.data, have), &scanned, &fuzz_limits);
        if (found)
            return found;
        CHECK(scanned <= have);
    }
    return 0;
}
