/* A growing byte buffer with a bound, for bytes on their way: what a peer has not read yet, half a
 * head that is still arriving. Consumed from the front. Embedded; memory is given back by buf_fini()
 * and by buf_shrink() once it is empty, so that an idle connection holds none. One thread. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include "base/str.h"

struct buf {
    char *data;
    size_t start; /* first byte not consumed */
    size_t end;   /* one past the last byte */
    size_t size;  /* allocated */
};

static inline void buf_init(struct buf *buf)
{
    *buf = (struct buf){ 0 };
}

static inline size_t buf_len(const struct buf *buf)
{
    return buf->end - buf->start;
}

static inline struct str buf_str(const struct buf *buf)
{
    return str_n(buf->data ? buf->data + buf->start : NULL, buf->end - buf->start);
}

/* Frees; the buffer is empty and usable again. NULL is fine. */
void buf_fini(struct buf *buf);

/* Room for n more bytes; returns where they go, NULL when out of memory. Say how many were
 * written with buf_added(). */
char *buf_reserve(struct buf *buf, size_t n);
void buf_added(struct buf *buf, size_t n);

/* False when out of memory; then nothing was added. */
bool buf_append(struct buf *buf, const void *data, size_t n);
bool buf_append_str(struct buf *buf, struct str s);
bool buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops n bytes from the front; n is at most buf_len(). */
void buf_consume(struct buf *buf, size_t n);

/* Gives the memory back if nothing is left in it. */
void buf_shrink(struct buf *buf);

#endif
