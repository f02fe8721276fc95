#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define SIZE_FIRST 512

void buf_fini(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){ 0 };
}

char *buf_reserve(struct buf *buf, size_t n)
{
    if (buf->start == buf->end)
        buf->start = buf->end = 0;
    if (n <= buf->size - buf->end)
        return buf->data + buf->end;
    size_t len = buf->end - buf->start;
    if (buf->start > 0 && len + n <= buf->size && buf->start >= len) {
        memcpy(buf->data, buf->data + buf->start, len);
        buf->start = 0;
        buf->end = len;
        return buf->data + buf->end;
    }
    if (n > SIZE_MAX / 2 - len)
        return NULL;
    size_t size = buf->size ? buf->size : SIZE_FIRST;
    while (size < len + n)
        size *= 2;
    char *data = malloc(size);
    if (!data)
        return NULL;
    if (len > 0)
        memcpy(data, buf->data + buf->start, len);
    free(buf->data);
    *buf = (struct buf){ .data = data, .start = 0, .end = len, .size = size };
    return data + len;
}

void buf_added(struct buf *buf, size_t n)
{
    CHECK(n <= buf->size - buf->end);
    buf->end += n;
}

bool buf_append(struct buf *buf, const void *data, size_t n)
{
    if (n == 0)
        return true;
    char *at = buf_reserve(buf, n);
    if (!at)
        return false;
    memcpy(at, data, n);
    buf->end += n;
    return true;
}

bool buf_append_str(struct buf *buf, struct str s)
{
    return buf_append(buf, s.data, s.len);
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *at = len < 0 ? NULL : buf_reserve(buf, (size_t)len + 1);
    if (!at)
        return false;
    va_start(args, format);
    vsnprintf(at, (size_t)len + 1, format, args);
    va_end(args);
    buf->end += (size_t)len;
    return true;
}

void buf_consume(struct buf *buf, size_t n)
{
    CHECK(n <= buf_len(buf));
    buf->start += n;
    if (buf->start == buf->end)
        buf->start = buf->end = 0;
}

void buf_shrink(struct buf *buf)
{
    if (buf->start == buf->end)
        buf_fini(buf);
}
