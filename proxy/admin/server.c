#include "admin/server.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/list.h"
#include "http/body_in.h"
#include "http/date.h"
#include "http/writer.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"

#define READ_BYTES    (16 * 1024)
#define TRAILER_BYTES 4096
#define LINGER_MS     1000

static const struct head_limits limits = { .head_bytes = 16 * 1024, .line_bytes = 8 * 1024, .fields = 64 };

enum caller_state {
    READS_HEAD,
    READS_BODY,
    WAITS, /* for its reply */
    WRITES,
    LINGERS, /* the last reply is out: what still comes is read and dropped, or it would reset the connection
              */
    CLOSED,
};

struct pending;

struct caller {
    struct list link;
    struct admin_server *server;
    struct stream *stream;
    struct timer timer;
    enum caller_state state;
    bool closes; /* after this reply */
    bool has_body;
    struct buf in;
    struct buf out;
    size_t scanned;
    char *head; /* of the request in progress: msg points into it */
    struct body_in body_in;
    struct buf body;
    struct message msg;
    struct pending *pending; /* what it waits for; else NULL */
};

/* A reply on its way. It outlives its caller: whoever answers later need not know that nobody listens. */
struct pending {
    struct reply reply;
    struct caller *caller; /* NULL: it left */
};

struct admin_server {
    struct loop *loop;
    ask_fn *on_ask;
    void *arg;
    struct addr bound;
    int fd;
    struct listener *listener;
    struct list callers; /* longest here first */
    unsigned caller_count;
};

static void advance(struct caller *caller);

/* --- beginning and end --- */

static void forget_request(struct caller *caller)
{
    if (caller->has_body)
        body_in_fini(&caller->body_in);
    caller->has_body = false;
    buf_fini(&caller->body);
    free(caller->head);
    caller->head = NULL;
    caller->scanned = 0;
}

static void hang_up(struct caller *caller)
{
    struct admin_server *server = caller->server;
    if (caller->state == CLOSED)
        return;
    caller->state = CLOSED;
    if (caller->pending)
        caller->pending->caller = NULL;
    timer_cancel(&caller->timer);
    stream_close(caller->stream);
    caller->stream = NULL;
    forget_request(caller);
    buf_fini(&caller->in);
    buf_fini(&caller->out);
    list_remove(&caller->link);
    server->caller_count--;
    loop_free_later(server->loop, caller);
}

static void on_deadline(void *arg)
{
    hang_up(arg);
}

static void wait_for(struct caller *caller, enum caller_state state, int64_t ms)
{
    caller->state = state;
    timer_set(caller->server->loop, &caller->timer, ms);
}

/* --- replies --- */

static void put_reply(struct caller *caller, struct reply *reply)
{
    char head[4096];
    char date[HTTP_DATE_LEN];
    struct writer w;
    bool is_head = caller->head && caller->msg.method == METHOD_HEAD;

    if (reply->is_broken) {
        caller->closes = true;
        reply_text(reply, 500, "text/plain", STR("out of memory\n"));
    }
    http_date_format(loop_wall_ms(caller->server->loop) / 1000, date);
    writer_init(&w, head, sizeof head);
    writer_status_line(&w, reply->status, STR(""));
    writer_field(&w, STR("Date"), str_n(date, HTTP_DATE_LEN));
    writer_field(&w, STR("Content-Type"), str_of(reply->type));
    writer_field_u64(&w, STR("Content-Length"), buf_len(&reply->body));
    writer_field(&w, STR("Cache-Control"), STR("no-store"));
    writer_field(&w, STR("X-Content-Type-Options"), STR("nosniff"));
    if (buf_len(&reply->fields) > 0)
        writer_put(&w, buf_str(&reply->fields));
    if (caller->closes)
        writer_field(&w, STR("Connection"), STR("close"));
    else if (caller->msg.minor == 0)
        writer_field(&w, STR("Connection"), STR("keep-alive"));
    writer_end(&w);
    if (w.is_over || !buf_append_str(&caller->out, writer_str(&w)) ||
        (!is_head && !buf_append_str(&caller->out, buf_str(&reply->body)))) {
        hang_up(caller);
        return;
    }
    wait_for(caller, WRITES, DEADLINE_MS);
}

static bool refuse(struct caller *caller, int err)
{
    struct reply reply;
    reply_init(&reply);
    reply_error(&reply, err);
    caller->closes = true;
    put_reply(caller, &reply);
    reply_fini(&reply);
    return true;
}

static void pending_free(struct pending *pending)
{
    reply_fini(&pending->reply);
    free(pending);
}

/* Not from inside advance(): see answer(). */
static void on_ready(struct reply *reply)
{
    struct pending *pending = LIST_ENTRY(reply, struct pending, reply);
    struct caller *caller = pending->caller;
    if (caller) {
        caller->pending = NULL;
        put_reply(caller, reply);
        advance(caller);
    }
    pending_free(pending);
}

static bool answer(struct caller *caller)
{
    struct admin_server *server = caller->server;
    struct pending *pending = calloc(1, sizeof *pending);
    const struct ask ask = {
        .msg = &caller->msg,
        .body = buf_str(&caller->body),
        .is_unix = server->bound.kind == ADDR_UNIX,
    };
    if (!pending)
        return refuse(caller, ERR_NO_MEMORY);
    reply_init(&pending->reply);
    server->on_ask(&ask, &pending->reply, server->arg);
    if (pending->reply.is_later) {
        pending->reply.on_ready = on_ready;
        pending->caller = caller;
        caller->pending = pending;
        wait_for(caller, WAITS, LATER_MS);
        return false;
    }
    put_reply(caller, &pending->reply);
    pending_free(pending);
    return true;
}

/* --- the steps of one request; each says whether the next one may be tried at once --- */

static bool start_body(struct caller *caller)
{
    const struct message *msg = &caller->msg;
    caller->closes = !msg->is_keep_alive;
    if (msg->framing == FRAMING_LENGTH && msg->content_length > BODY_MAX)
        return refuse(caller, ERR_BODY_TOO_LARGE);
    body_in_init(&caller->body_in, msg->framing, msg->content_length, TRAILER_BYTES);
    caller->has_body = true;
    if (msg->has_expect_continue) {
        /* Nothing else is on its way out; if even this does not fit, the client is not worth waiting for. */
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (stream_write(caller->stream, go_on, sizeof go_on - 1) != (ssize_t)sizeof go_on - 1) {
            hang_up(caller);
            return false;
        }
    }
    wait_for(caller, READS_BODY, DEADLINE_MS);
    return true;
}

static bool read_head(struct caller *caller)
{
    size_t blank = caller->scanned == 0 ? head_skip_blank(buf_str(&caller->in)) : 0;
    buf_consume(&caller->in, blank);
    if (buf_len(&caller->in) == 0)
        return false;
    int len = head_find_end(buf_str(&caller->in), &caller->scanned, &limits);
    if (len == 0)
        return false;
    if (len < 0)
        return refuse(caller, len);
    /* The body that follows moves the buffer; what was read keeps pointing into the head. */
    caller->head = malloc((size_t)len);
    if (!caller->head)
        return refuse(caller, ERR_NO_MEMORY);
    memcpy(caller->head, buf_str(&caller->in).data, (size_t)len);
    buf_consume(&caller->in, (size_t)len);
    int err = message_read_request(&caller->msg, str_n(caller->head, (size_t)len), &limits);
    if (err)
        return refuse(caller, err);
    return start_body(caller);
}

static bool read_body(struct caller *caller)
{
    struct str before = buf_str(&caller->in);
    struct str rest = before;
    struct str piece;
    int event;
    while ((event = body_in_next(&caller->body_in, &rest, &piece)) == BODY_PIECE) {
        if (buf_len(&caller->body) + piece.len > BODY_MAX)
            return refuse(caller, ERR_BODY_TOO_LARGE);
        if (!buf_append_str(&caller->body, piece))
            return refuse(caller, ERR_NO_MEMORY);
    }
    buf_consume(&caller->in, before.len - rest.len);
    if (event < 0)
        return refuse(caller, event);
    return event == BODY_END && answer(caller);
}

static bool write_out(struct caller *caller)
{
    struct str rest = buf_str(&caller->out);
    ssize_t n = rest.len > 0 ? stream_write(caller->stream, rest.data, rest.len) : 0;
    if (n < 0) {
        hang_up(caller);
        return false;
    }
    buf_consume(&caller->out, (size_t)n);
    if (n > 0)
        wait_for(caller, WRITES, DEADLINE_MS);
    if (buf_len(&caller->out) > 0)
        return false;
    buf_fini(&caller->out);
    forget_request(caller);
    if (caller->closes) {
        buf_fini(&caller->in);
        stream_shutdown_write(caller->stream);
        wait_for(caller, LINGERS, LINGER_MS);
        return false;
    }
    buf_shrink(&caller->in);
    wait_for(caller, READS_HEAD, DEADLINE_MS);
    return true;
}

static void advance(struct caller *caller)
{
    bool goes_on = true;
    while (goes_on) {
        switch (caller->state) {
        case READS_HEAD:
            goes_on = read_head(caller);
            break;
        case READS_BODY:
            goes_on = read_body(caller);
            break;
        case WRITES:
            goes_on = write_out(caller);
            break;
        case WAITS:
        case LINGERS:
        case CLOSED:
            goes_on = false;
            break;
        }
    }
    if (caller->state == CLOSED)
        return;
    /* One request at a time: a caller that waits for its reply or does not take it is not read from. */
    stream_want_read(caller->stream, caller->state != WRITES && caller->state != WAITS);
    stream_want_write(caller->stream, caller->state == WRITES);
}

/* --- the socket --- */

static void on_readable(void *arg)
{
    struct caller *caller = arg;
    char bytes[READ_BYTES];
    ssize_t n = stream_read(caller->stream, bytes, sizeof bytes);
    if (n == STREAM_AGAIN)
        return;
    if (n <= 0) {
        hang_up(caller);
        return;
    }
    if (caller->state == LINGERS)
        return;
    if (caller->state == READS_HEAD && buf_len(&caller->in) == 0)
        timer_set(caller->server->loop, &caller->timer, DEADLINE_MS);
    if (!buf_append(&caller->in, bytes, (size_t)n)) {
        hang_up(caller);
        return;
    }
    advance(caller);
}

static void on_writable(void *arg)
{
    advance(arg);
}

static const struct stream_events events = { .on_readable = on_readable, .on_writable = on_writable };

/* Whoever keeps connections open without a question must not lock an operator out. */
static bool make_room(struct admin_server *server)
{
    if (server->caller_count < CALLERS_MAX)
        return true;
    list_for_each (link, &server->callers) {
        struct caller *caller = LIST_ENTRY(link, struct caller, link);
        if (caller->state == LINGERS || (caller->state == READS_HEAD && buf_len(&caller->in) == 0)) {
            hang_up(caller);
            return true;
        }
    }
    return false;
}

static void on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    struct admin_server *server = arg;
    (void)peer;
    (void)peer_len;
    struct caller *caller = make_room(server) ? calloc(1, sizeof *caller) : NULL;
    if (!caller) {
        close(fd);
        return;
    }
    caller->server = server;
    timer_init(&caller->timer, on_deadline, caller);
    list_push_back(&server->callers, &caller->link);
    server->caller_count++;
    caller->stream = stream_new(server->loop, fd, NULL, &events, caller);
    if (!caller->stream) {
        hang_up(caller);
        return;
    }
    wait_for(caller, READS_HEAD, DEADLINE_MS);
    stream_want_read(caller->stream, true);
}

struct admin_server *admin_server_new(struct loop *loop, const struct addr *addr, ask_fn *on_ask, void *arg,
                                      struct addr *out_bound, int *out_errno)
{
    struct admin_server *server = calloc(1, sizeof *server);
    if (!server) {
        *out_errno = ENOMEM;
        return NULL;
    }
    server->loop = loop;
    server->on_ask = on_ask;
    server->arg = arg;
    server->fd = -1;
    list_init(&server->callers);
    *out_errno = listener_open(addr, 1, &server->fd, &server->bound);
    if (*out_errno) {
        server->fd = -1;
        goto fail;
    }
    server->listener = listener_new(loop, server->fd, on_accept, server);
    if (!server->listener) {
        *out_errno = ENOMEM;
        goto fail;
    }
    if (out_bound)
        *out_bound = server->bound;
    return server;

fail:
    admin_server_free(server);
    return NULL;
}

void admin_server_free(struct admin_server *server)
{
    if (!server)
        return;
    listener_free(server->listener);
    list_for_each_safe (link, &server->callers)
        hang_up(LIST_ENTRY(link, struct caller, link));
    if (server->fd >= 0) {
        close(server->fd);
        if (server->bound.kind == ADDR_UNIX)
            unlink(server->bound.host);
    }
    free(server);
}
