/* Reads replies as they arrive, in pieces of any size: status, framing, number of body bytes.
 *
 * One reader per connection, embedded by it. It keeps no body and copies a head only when it
 * came in pieces. It checks what a proxy must get right to be counted: the status line, one
 * framing (Content-Length or chunked), no byte missing and none too many.
 */
#ifndef BENCH_REPLY_H
#define BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REPLY_HEAD_MAX = 16384,
    REPLY_START_MAX = 8
};

enum reply_state {
    REPLY_HEAD,
    REPLY_BODY,
    REPLY_CHUNK_SIZE,
    REPLY_CHUNK,
    REPLY_TRAILER,
    REPLY_DONE
};

struct reply {
    enum reply_state state;
    int status;
    bool is_last;                /* the server closes after it */
    int64_t left;                /* of the body or of the chunk */
    int64_t body_bytes;          /* seen so far */
    char start[REPLY_START_MAX]; /* of the body */
    char *head;                  /* REPLY_HEAD_MAX bytes, made when a head comes in pieces */
    size_t head_have;
    char line[32]; /* chunk size or trailer line, its first bytes */
    size_t line_have;
};

/* Ready for the next reply; zeroed memory is ready for the first. */
void reply_next(struct reply *reply);
void reply_fini(struct reply *reply);

/* Takes bytes until the reply is whole. Returns how many it used (fewer than count only when
 * it is DONE), or -1 with *out_error naming what is wrong. */
int64_t reply_feed(struct reply *reply, const char *bytes, size_t count, const char **out_error);

/* Counts body bytes that were thrown away in the kernel; only in REPLY_BODY, at most `left`. */
void reply_skip(struct reply *reply, int64_t count);

#endif
