/* Writing heads into memory that the caller gives: a cursor that notices when it runs over, so that
 * callers check once at the end. Nothing is ever relayed: what goes out is written from fields.
 * Pure; one thread. */
#ifndef HTTP_WRITER_H
#define HTTP_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "http/fields.h"

struct writer {
    char *data;
    size_t len;
    size_t size;
    bool is_over; /* something did not fit; what was written is then useless */
};

static inline void writer_init(struct writer *w, char *data, size_t size)
{
    *w = (struct writer){ .data = data, .size = size };
}

static inline struct str writer_str(const struct writer *w)
{
    return str_n(w->data, w->len);
}

static inline void writer_put(struct writer *w, struct str s)
{
    if (s.len > w->size - w->len) {
        w->is_over = true;
        return;
    }
    if (s.len > 0)
        memcpy(w->data + w->len, s.data, s.len);
    w->len += s.len;
}

void writer_put_u64(struct writer *w, uint64_t value);
/* In a quoted-string or JSON string: escapes what needs it. */
void writer_put_json(struct writer *w, struct str s);

void writer_request_line(struct writer *w, struct str method, struct str target);
/* "HTTP/1.1 200 OK"; an empty reason is taken from the table of known statuses. */
void writer_status_line(struct writer *w, int status, struct str reason);
void writer_field(struct writer *w, struct str name, struct str value);
/* A field that message_read_*() let through: its bytes were looked at already. */
void writer_copy_field(struct writer *w, const struct field *field);
void writer_field_u64(struct writer *w, struct str name, uint64_t value);
void writer_end(struct writer *w); /* the empty line */

/* The usual reason phrase; "" for unknown statuses. */
struct str status_reason(int status);

/* A chunk's size line ("1a\r\n"); returns its length, at most 18. */
size_t chunk_head(char out[18], uint64_t size);

/* The body of a problem (RFC 9457) for one of weir's own errors; request_id may be empty. */
void writer_problem(struct writer *w, int err, struct str detail, struct str request_id);

#endif
