#include "http/writer.h"

#include "base/err.h"
#include "http/chars.h"

void writer_put_u64(struct writer *w, uint64_t value)
{
    char digits[20];
    writer_put(w, str_n(digits, str_put_u64(digits, value)));
}

/* The length of the well-formed UTF-8 sequence at the front (RFC 3629 4), 0 if there is none. */
static size_t utf8_len(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    size_t len = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                 : (p[0] & 0xf0) == 0xe0        ? 3
                 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || len > s.len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool is_surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool is_too_high = p[0] == 0xf4 && p[1] > 0x8f;
    return is_overlong || is_surrogate || is_too_high ? 0 : len;
}

void writer_put_json(struct writer *w, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    while (s.len > 0) {
        unsigned char c = (unsigned char)s.data[0];
        size_t len = 1;
        if (c == '"' || c == '\\') {
            char escaped[2] = { '\\', (char)c };
            writer_put(w, str_n(escaped, 2));
        } else if (c < 0x20 || c == 0x7f) {
            char escaped[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
            writer_put(w, str_n(escaped, 6));
        } else if (c < 0x80) {
            while (len < s.len && (unsigned char)s.data[len] >= 0x20 && (unsigned char)s.data[len] < 0x7f &&
                   s.data[len] != '"' && s.data[len] != '\\')
                len++;
            writer_put(w, str_n(s.data, len));
        } else if ((len = utf8_len(s)) > 0) {
            writer_put(w, str_n(s.data, len));
        } else {
            /* JSON must be UTF-8 (RFC 8259 8.1), a client's bytes need not be. */
            len = 1;
            writer_put(w, STR("\\ufffd"));
        }
        s = str_from(s, len);
    }
}

void writer_request_line(struct writer *w, struct str method, struct str target)
{
    writer_put(w, method);
    writer_put(w, STR(" "));
    writer_put(w, target);
    writer_put(w, STR(" HTTP/1.1\r\n"));
}

void writer_status_line(struct writer *w, int status, struct str reason)
{
    if (reason.len == 0)
        reason = status_reason(status);
    writer_put(w, STR("HTTP/1.1 "));
    writer_put_u64(w, (uint64_t)status);
    writer_put(w, STR(" "));
    writer_put(w, reason);
    writer_put(w, STR("\r\n"));
}

static void put_line(struct writer *w, struct str name, struct str value)
{
    size_t need = name.len + value.len + 4;
    if (need > w->size - w->len) {
        w->is_over = true;
        return;
    }
    char *at = w->data + w->len;
    memcpy(at, name.data, name.len);
    at += name.len;
    memcpy(at, ": ", 2);
    at += 2;
    if (value.len > 0)
        memcpy(at, value.data, value.len);
    memcpy(at + value.len, "\r\n", 2);
    w->len += need;
}

void writer_field(struct writer *w, struct str name, struct str value)
{
    /* Values also come from the config and from plugins: none may start a new line. */
    if (scan_value(value.data, value.data + value.len) == value.data + value.len)
        put_line(w, name, value);
    else
        w->is_over = true;
}

void writer_copy_field(struct writer *w, const struct field *field)
{
    put_line(w, field->name, field->value);
}

void writer_field_u64(struct writer *w, struct str name, uint64_t value)
{
    char digits[20];
    writer_field(w, name, str_n(digits, str_put_u64(digits, value)));
}

void writer_end(struct writer *w)
{
    writer_put(w, STR("\r\n"));
}

struct str status_reason(int status)
{
    switch (status) {
#define REASON(code, text) \
    case code:             \
        return STR(text)
        REASON(100, "Continue");
        REASON(101, "Switching Protocols");
        REASON(102, "Processing");
        REASON(103, "Early Hints");
        REASON(200, "OK");
        REASON(201, "Created");
        REASON(202, "Accepted");
        REASON(203, "Non-Authoritative Information");
        REASON(204, "No Content");
        REASON(205, "Reset Content");
        REASON(206, "Partial Content");
        REASON(207, "Multi-Status");
        REASON(208, "Already Reported");
        REASON(226, "IM Used");
        REASON(300, "Multiple Choices");
        REASON(301, "Moved Permanently");
        REASON(302, "Found");
        REASON(303, "See Other");
        REASON(304, "Not Modified");
        REASON(305, "Use Proxy");
        REASON(307, "Temporary Redirect");
        REASON(308, "Permanent Redirect");
        REASON(400, "Bad Request");
        REASON(401, "Unauthorized");
        REASON(402, "Payment Required");
        REASON(403, "Forbidden");
        REASON(404, "Not Found");
        REASON(405, "Method Not Allowed");
        REASON(406, "Not Acceptable");
        REASON(407, "Proxy Authentication Required");
        REASON(408, "Request Timeout");
        REASON(409, "Conflict");
        REASON(410, "Gone");
        REASON(411, "Length Required");
        REASON(412, "Precondition Failed");
        REASON(413, "Content Too Large");
        REASON(414, "URI Too Long");
        REASON(415, "Unsupported Media Type");
        REASON(416, "Range Not Satisfiable");
        REASON(417, "Expectation Failed");
        REASON(421, "Misdirected Request");
        REASON(422, "Unprocessable Content");
        REASON(423, "Locked");
        REASON(424, "Failed Dependency");
        REASON(425, "Too Early");
        REASON(426, "Upgrade Required");
        REASON(428, "Precondition Required");
        REASON(429, "Too Many Requests");
        REASON(431, "Request Header Fields Too Large");
        REASON(451, "Unavailable For Legal Reasons");
        REASON(500, "Internal Server Error");
        REASON(501, "Not Implemented");
        REASON(502, "Bad Gateway");
        REASON(503, "Service Unavailable");
        REASON(504, "Gateway Timeout");
        REASON(505, "HTTP Version Not Supported");
        REASON(506, "Variant Also Negotiates");
        REASON(507, "Insufficient Storage");
        REASON(508, "Loop Detected");
        REASON(511, "Network Authentication Required");
#undef REASON
    default:
        return STR("");
    }
}

size_t chunk_head(char out[18], uint64_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 1;
    while (digits < 16 && size >> (4 * digits))
        digits++;
    for (size_t i = 0; i < digits; i++)
        out[i] = hex[(size >> (4 * (digits - 1 - i))) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}

static void put_member(struct writer *w, struct str name, struct str value)
{
    writer_put(w, STR("\""));
    writer_put(w, name);
    writer_put(w, STR("\":\""));
    writer_put_json(w, value);
    writer_put(w, STR("\""));
}

void writer_problem(struct writer *w, int err, struct str detail, struct str request_id)
{
    struct str word = str_of(err_word(err));
    struct str title = str_of(err_text(err));
    writer_put(w, STR("{\"type\":\"urn:weir:problem:"));
    writer_put(w, word);
    writer_put(w, STR("\","));
    put_member(w, STR("title"), title);
    writer_put(w, STR(",\"status\":"));
    writer_put_u64(w, (uint64_t)err_status(err));
    writer_put(w, STR(","));
    put_member(w, STR("detail"), detail.len > 0 ? detail : title);
    writer_put(w, STR(","));
    put_member(w, STR("reason"), word);
    if (request_id.len > 0) {
        writer_put(w, STR(","));
        put_member(w, STR("request_id"), request_id);
    }
    writer_put(w, STR("}\n"));
}
