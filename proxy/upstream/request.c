/* The way up: a request's head and body into the server's socket, chunked if need be. What the socket does
 * not take at once is kept, within a bound that the owner is told of. */
#include "base/err.h"
#include "http/writer.h"
#include "net/stream.h"
#include "upstream/exchange_int.h"

#define LAST_CHUNK "0\r\n\r\n"

static struct iovec iov_of(struct str s)
{
    return (struct iovec){ .iov_base = (void *)s.data, .iov_len = s.len };
}

bool request_is_sent(const struct exchange *ex)
{
    return ex->is_upload_over && !ex->is_write_broken && buf_len(&ex->out) == 0;
}

/* RFC 9112 9.5: a server may answer early and close. What is still to be sent is dropped, and the reply, if
 * there is one, is read. */
static void break_off(struct exchange *ex)
{
    ex->is_write_broken = true;
    buf_fini(&ex->out);
    stream_want_write(ex->connection->stream, false);
}

static bool keep_rest(struct buf *out, const struct iovec *iov, int count, size_t taken)
{
    for (int i = 0; i < count; i++) {
        size_t skip = taken < iov[i].iov_len ? taken : iov[i].iov_len;
        if (!buf_append(out, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip))
            return false;
        taken -= skip;
    }
    return true;
}

static void put(struct exchange *ex, const struct iovec *iov, int count)
{
    if (ex->is_write_broken)
        return;
    size_t taken = 0;
    if (ex->connection && buf_len(&ex->out) == 0) {
        ssize_t n = stream_writev(ex->connection->stream, iov, count);
        if (n < 0) {
            break_off(ex);
            exchange_arm(ex);
            return;
        }
        taken = (size_t)n;
        ex->sent_bytes += taken;
    }
    if (!keep_rest(&ex->out, iov, count, taken)) {
        exchange_fail_later(ex, ERR_NO_MEMORY);
        return;
    }
    if (ex->connection && buf_len(&ex->out) > 0)
        stream_want_write(ex->connection->stream, true);
    if (taken > 0 || !timer_is_set(&ex->timer))
        exchange_arm(ex);
}

void request_begin(struct exchange *ex, const struct exchange_request *request)
{
    char size_line[18];
    struct iovec iov[4] = { iov_of(request->head) };
    int count = 1;

    CHECK(request->upload != FRAMING_CLOSE);
    CHECK(request->upload != FRAMING_NONE || request->body.len == 0);
    ex->upload = request->upload;
    ex->head_bytes = request->head.len;
    ex->expects_continue = request->expects_continue;
    ex->is_upload_over = request->is_body_whole || request->upload == FRAMING_NONE;
    if (request->upload == FRAMING_LENGTH) {
        CHECK(request->body.len <= request->upload_bytes);
        ex->upload_left = request->upload_bytes - request->body.len;
        CHECK(ex->upload_left == 0 || !request->is_body_whole);
        ex->is_upload_over = ex->upload_left == 0;
    }

    bool is_chunked = request->upload == FRAMING_CHUNKED;
    if (request->body.len > 0) {
        if (is_chunked)
            iov[count++] = (struct iovec){ size_line, chunk_head(size_line, request->body.len) };
        iov[count++] = iov_of(request->body);
    }
    if (is_chunked && request->is_body_whole)
        iov[count++] = iov_of(request->body.len > 0 ? STR("\r\n" LAST_CHUNK) : STR(LAST_CHUNK));
    else if (is_chunked && request->body.len > 0)
        iov[count++] = iov_of(STR("\r\n"));
    put(ex, iov, count);
}

bool exchange_send(struct exchange *ex, struct str bytes)
{
    exchange_from(ex);
    if (ex->state == EXCHANGE_OVER || bytes.len == 0)
        return true;
    CHECK(!ex->is_upload_over);
    ex->expects_continue = false; /* its owner waits no longer */
    if (ex->upload == FRAMING_CHUNKED) {
        char size_line[18];
        struct iovec iov[] = { { size_line, chunk_head(size_line, bytes.len) },
                               iov_of(bytes),
                               iov_of(STR("\r\n")) };
        put(ex, iov, 3);
    } else {
        CHECK(bytes.len <= ex->upload_left);
        ex->upload_left -= bytes.len;
        ex->is_upload_over = ex->upload_left == 0;
        struct iovec iov = iov_of(bytes);
        put(ex, &iov, 1);
    }
    ex->is_held = buf_len(&ex->out) >= PENDING_MAX;
    return !ex->is_held;
}

/* RFC 9112 7.1.2. body_in_trailer() leaves out what must not be sent on. */
static bool write_trailers(struct buf *out, const struct body_in *trailers)
{
    size_t at = 0;
    struct str name;
    struct str value;
    bool is_ok = buf_append_str(out, STR("0\r\n"));
    while (is_ok && body_in_trailer(trailers, &at, &name, &value)) {
        is_ok = buf_append_str(out, name) && buf_append_str(out, STR(": ")) && buf_append_str(out, value) &&
                buf_append_str(out, STR("\r\n"));
    }
    return is_ok && buf_append_str(out, STR("\r\n"));
}

void exchange_send_end(struct exchange *ex, const struct body_in *trailers)
{
    exchange_from(ex);
    if (ex->state == EXCHANGE_OVER || ex->is_upload_over)
        return;
    /* Everything that was declared was given: what was cut is aborted, never ended. */
    CHECK(ex->upload == FRAMING_CHUNKED);
    ex->is_upload_over = true;
    ex->expects_continue = false;

    struct iovec last = iov_of(STR(LAST_CHUNK));
    if (!trailers) {
        put(ex, &last, 1);
        return;
    }
    struct buf end = { 0 };
    if (write_trailers(&end, trailers)) {
        last = iov_of(buf_str(&end));
        put(ex, &last, 1);
    } else {
        exchange_fail_later(ex, ERR_NO_MEMORY);
    }
    buf_fini(&end);
}

void request_push(struct exchange *ex)
{
    struct stream *stream = ex->connection->stream;
    while (buf_len(&ex->out) > 0) {
        struct str rest = buf_str(&ex->out);
        ssize_t n = stream_write(stream, rest.data, rest.len);
        if (n < 0) {
            break_off(ex);
            break;
        }
        if (n == 0)
            break;
        ex->sent_bytes += (uint64_t)n;
        buf_consume(&ex->out, (size_t)n);
    }
    stream_want_write(stream, buf_len(&ex->out) > 0);
    exchange_arm(ex);
    if (ex->is_held && buf_len(&ex->out) <= PENDING_LOW) {
        ex->is_held = false;
        buf_shrink(&ex->out);
        if (ex->events->on_drained)
            ex->events->on_drained(ex->arg);
    }
}

void request_on_writable(void *arg)
{
    struct exchange *ex = exchange_from(arg);
    if (ex->state != EXCHANGE_OPEN)
        return;
    exchange_hold(ex);
    request_push(ex);
    exchange_drop(ex);
}
