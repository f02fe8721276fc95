/* The meaning of bytes, pure: this is the door of http/.
 *
 * The room knows RFC 9110, 9111 and 9112: what a head says, where a body ends, what may be stored and
 * for how long, how a head is written. It refuses to know sockets, clocks, tenants and servers: bytes
 * and `now` come in, decisions and bytes go out. Nothing here allocates; what it returns are views
 * into the bytes it was given, which must outlive them. Any thread.
 *
 * Reading is strict where http-parser is lenient: head.c checks every byte of a head by RFC 9112
 * before http_parser sees it, and the two must agree. A doubt about framing is an error, never a
 * repair. Limits: the head's size, one line's, and FIELDS_MAX fields. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/fields.h"

#define FIELDS_MAX 128 /* hard cap of the arrays; the configured limit is at most this */

enum method {
    METHOD_OTHER, /* unknown ones are passed on, as unsafe and not idempotent */
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_PATCH,
    METHOD_CONNECT,
};

enum method method_of(struct str name);        /* case sensitive, RFC 9110 9.1 */
bool method_is_safe(enum method method);       /* RFC 9110 9.2.1 */
bool method_is_idempotent(enum method method); /* RFC 9110 9.2.2 */

enum framing {
    FRAMING_NONE,    /* no body: 204, 304, replies to HEAD, requests without length */
    FRAMING_LENGTH,  /* content_length bytes */
    FRAMING_CHUNKED, /* chunks, then trailers */
    FRAMING_CLOSE,   /* replies only: until the connection closes */
};

/* A head, read. All views point into the bytes that were read. */
struct message {
    /* requests */
    struct str method_name;
    enum method method;
    struct str target;    /* exactly as sent, but for absolute-form: then its path and query ("/" if none) */
    struct str path;      /* target up to "?" ("*" for OPTIONS *) */
    struct str query;     /* behind "?", data NULL if there is none */
    struct str authority; /* Host, or absolute-form's authority; as sent (any case); empty only in HTTP/1.0 */
    bool is_absolute_form;
    bool is_absolute_https; /* absolute-form's scheme was https */
    /* replies */
    int status;
    struct str reason;
    /* both */
    int minor; /* HTTP/1.minor: 0 or 1 */
    enum framing framing;
    uint64_t content_length;  /* FRAMING_LENGTH; for HEAD and 304: what was declared, see has_length */
    bool has_length;          /* a Content-Length field was there */
    bool has_unknown_coding;  /* replies: a transfer coding we cannot undo; never stored */
    bool is_keep_alive;       /* by version, Connection and framing */
    bool has_expect_continue; /* requests with a body: Expect: 100-continue in HTTP/1.1 */
    bool has_upgrade;         /* Connection: upgrade together with an Upgrade field */
    bool is_websocket;        /* has_upgrade, and it names websocket (alone); requests: a GET without body */
    unsigned field_count;
    uint8_t first[FIELD_COUNT];      /* 1 + index of the first field with that id, 0 if there is none */
    uint8_t next[FIELDS_MAX];        /* 1 + index of the next field with the same id (known ids only) */
    struct field fields[FIELDS_MAX]; /* in the order they came; those past field_count are undefined */
};

/* http-parser's, for `weir --version`. Static storage. */
const char *parser_library_version(void);

struct head_limits {
    size_t head_bytes; /* all of it, with the final empty line */
    size_t line_bytes; /* the request line, one field line */
    unsigned fields;
};

/* Finds the end of a head in bytes that are still arriving. *scanned (0 at first) is kept between
 * calls so that slow heads cost no rescans. Returns the head's length with its CRLFCRLF, 0 when more
 * bytes are needed, or an error at once for what can no longer become a head: over the limits, a bare
 * LF, a NUL. Empty lines (CRLF) before a request line are the caller's to skip (RFC 9112 2.2), see
 * head_skip_blank(). */
int head_find_end(struct str bytes, size_t *scanned, const struct head_limits *limits);

/* How many bytes of leading CRLFs may be skipped before a request line. */
size_t head_skip_blank(struct str bytes);

/* Reads a whole request head (as head_find_end() measured it). 0, or the code that says what is wrong
 * with it. On an error msg holds what was read so far (method and target may be there for the log). */
int message_read_request(struct message *msg, struct str head, const struct head_limits *limits);

/* Reads a whole reply head; to_method frames it (HEAD). 0, ERR_UPSTREAM_BAD_REPLY, or ERR_NO_MEMORY. */
int message_read_reply(struct message *msg, struct str head, enum method to_method,
                       const struct head_limits *limits);

/* The first field with that id, or NULL. */
static inline const struct field *message_field(const struct message *msg, enum field_id id)
{
    return msg->first[id] ? &msg->fields[msg->first[id] - 1] : (const struct field *)0;
}

/* The next one with the same id, or NULL. */
static inline const struct field *message_next(const struct message *msg, const struct field *field)
{
    unsigned at = msg->next[field - msg->fields];
    return at ? &msg->fields[at - 1] : (const struct field *)0;
}

/* The first value, or an empty str with data NULL. */
static inline struct str message_value(const struct message *msg, enum field_id id)
{
    const struct field *field = message_field(msg, id);
    return field ? field->value : (struct str){ (const char *)0, 0 };
}

/* The first field of that name, known or not, in any case; or NULL. */
const struct field *message_find(const struct message *msg, struct str name);

/* True if any field with that id has that member in its list (see str_list_has). */
bool message_list_has(const struct message *msg, enum field_id id, struct str member);

/* True if Connection names that field: it is hop-by-hop for this message (RFC 9110 7.6.1). Framing
 * fields, Host and Connection's own never count as named. */
bool message_is_named_in_connection(const struct message *msg, struct str name);

/* Appends a field to a message that is being put together by hand (a stored head, a test). The views
 * must outlive it. False when it is full. */
bool message_add(struct message *msg, struct str name, struct str value);

#endif
