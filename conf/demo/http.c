#include "http.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX   16384
#define BODY_MAX   65536
#define FIELDS_MAX 64

struct http {
    struct event_base *base;
    struct evconnlistener *listener;
    call_fn *on_call;
    void *arg;
};

struct field {
    const char *name;
    const char *value;
};

/* A connection and the call on it: HTTP/1.1 has one at a time. */
struct call {
    struct http *http;
    struct bufferevent *stream; /* NULL: the client left, while the answer is still being made */
    char *head;                 /* cut into strings in place; NULL between two requests */
    const char *method;
    const char *path;
    struct field fields[FIELDS_MAX];
    unsigned field_count;
    struct evbuffer *body;
    size_t body_left; /* of the body, or of the chunk */
    enum {
        BODY_PLAIN,
        BODY_CHUNK_SIZE,
        BODY_CHUNK,
        BODY_CHUNK_END,
        BODY_TRAILERS
    } reading;
    bool is_old;       /* HTTP/1.0 */
    bool is_last;      /* close after the reply */
    bool is_answering; /* on_call was called, its reply is due */
    bool is_over;      /* the last reply was given: close once it is sent */
    void (*on_gone)(struct call *call, void *arg);
    void *gone_arg;
};

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = { { 200, "OK" },          { 201, "Created" },
                 { 204, "No Content" },  { 304, "Not Modified" },
                 { 400, "Bad Request" }, { 404, "Not Found" },
                 { 409, "Conflict" },    { 405, "Method Not Allowed" },
                 { 413, "Too Large" },   { 503, "Service Unavailable" },
                 { 507, "Full" } };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Unknown";
}

static void forget_request(struct call *call)
{
    free(call->head);
    call->head = NULL;
    call->field_count = 0;
    evbuffer_drain(call->body, evbuffer_get_length(call->body));
}

static void call_free(struct call *call)
{
    if (call->stream)
        bufferevent_free(call->stream);
    free(call->head);
    if (call->body)
        evbuffer_free(call->body);
    free(call);
}

/* The client left. Whoever still makes an answer finds nobody to send it to. */
static void leave(struct call *call)
{
    if (call->on_gone)
        call->on_gone(call, call->gone_arg);
    else if (call->is_answering) {
        bufferevent_free(call->stream);
        call->stream = NULL;
        return;
    }
    call_free(call);
}

const char *call_method(const struct call *call)
{
    return call->method;
}

const char *call_path(const struct call *call)
{
    return call->path;
}

const char *call_field(const struct call *call, const char *name)
{
    for (unsigned i = 0; i < call->field_count; i++)
        if (strcasecmp(call->fields[i].name, name) == 0)
            return call->fields[i].value;
    return NULL;
}

const char *call_body(const struct call *call, size_t *out_len)
{
    *out_len = evbuffer_get_length(call->body);
    return (const char *)evbuffer_pullup(call->body, -1);
}

/* Cuts the head's lines into method, path and fields. False: it is not HTTP/1. */
static bool cut_head(struct call *call)
{
    char *rest = call->head;
    char *line = strsep(&rest, "\n");
    char *target, *protocol;

    call->method = strsep(&line, " ");
    target = strsep(&line, " ");
    protocol = strsep(&line, "\r");
    if (!target || !protocol || target[0] != '/' || strncmp(protocol, "HTTP/1.", 7) != 0)
        return false;
    call->is_old = protocol[7] == '0';
    call->path = strsep(&target, "?");

    while ((line = strsep(&rest, "\n"))) {
        char *name = strsep(&line, ":");

        if (!line)
            continue;
        if (call->field_count == FIELDS_MAX)
            return false;
        line += strspn(line, " \t");
        line[strcspn(line, "\r")] = '\0';
        call->fields[call->field_count++] = (struct field){ name, line };
    }
    return true;
}

/* Finds out how the body comes. False: not in a way that is understood here. */
static bool expect_body(struct call *call)
{
    const char *coding = call_field(call, "Transfer-Encoding");
    const char *length = call_field(call, "Content-Length");
    const char *connection = call_field(call, "Connection");
    const char *expect = call_field(call, "Expect");

    call->is_last = connection ? strcasecmp(connection, "close") == 0 : call->is_old;
    call->reading = coding ? BODY_CHUNK_SIZE : BODY_PLAIN;
    call->body_left = length && !coding ? strtoul(length, NULL, 10) : 0;
    if (coding && strcasecmp(coding, "chunked") != 0)
        return false;
    if (expect && strcasecmp(expect, "100-continue") == 0)
        bufferevent_write(call->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

/* Takes what is there of the current piece. */
static void take_piece(struct call *call, struct evbuffer *in)
{
    int taken = evbuffer_remove_buffer(in, call->body, call->body_left);

    call->body_left -= taken > 0 ? (size_t)taken : 0;
}

/* One step through a chunked body. 1: go on, 0: more bytes are needed. */
static int step_chunked(struct call *call, struct evbuffer *in)
{
    char *line;

    if (call->reading == BODY_CHUNK) {
        take_piece(call, in);
        if (call->body_left > 0)
            return 0;
        call->reading = BODY_CHUNK_END;
        return 1;
    }
    line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF);
    if (!line)
        return 0;
    if (call->reading == BODY_CHUNK_END) {
        call->reading = BODY_CHUNK_SIZE;
    } else if (call->reading == BODY_CHUNK_SIZE) {
        call->body_left = strtoul(line, NULL, 16);
        call->reading = call->body_left > 0 ? BODY_CHUNK : BODY_TRAILERS;
    } else if (line[0] == '\0') {
        call->reading = BODY_PLAIN; /* the end of the trailers: nothing is left */
    }
    free(line);
    return 1;
}

/* True once the body is whole. */
static bool read_body(struct call *call, struct evbuffer *in)
{
    while (call->reading != BODY_PLAIN)
        if (evbuffer_get_length(call->body) + call->body_left > BODY_MAX || !step_chunked(call, in))
            return false;
    take_piece(call, in);
    return call->body_left == 0;
}

/* True once a head was there and is read; *is_bad if it cannot be. */
static bool read_head(struct call *call, struct evbuffer *in, bool *is_bad)
{
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    size_t len;

    if (end.pos < 0) {
        *is_bad = evbuffer_get_length(in) > HEAD_MAX;
        return false;
    }
    len = (size_t)end.pos + 2;
    call->head = calloc(1, len + 1);
    *is_bad = !call->head || len > HEAD_MAX;
    if (*is_bad)
        return false;
    evbuffer_remove(in, call->head, len);
    evbuffer_drain(in, 2);
    *is_bad = !cut_head(call) || !expect_body(call);
    return !*is_bad;
}

static void refuse(struct call *call, int status)
{
    call->method = "GET";
    call->is_answering = true;
    call->is_last = true;
    call_reply(call, status, "", NULL, 0);
}

/* Goes as far as the bytes reach. A reply given at once leads back here through the buffer's own event, not
 * by recursion. */
static void on_bytes(struct bufferevent *stream, void *arg)
{
    struct call *call = arg;
    struct evbuffer *in = bufferevent_get_input(stream);
    bool is_bad = false;

    if (call->is_answering || call->is_over)
        return;
    if (!call->head && !read_head(call, in, &is_bad)) {
        if (is_bad)
            refuse(call, 400);
        return;
    }
    if (!read_body(call, in)) {
        if (evbuffer_get_length(call->body) + call->body_left > BODY_MAX)
            refuse(call, 413);
        return;
    }
    call->is_answering = true;
    call->http->on_call(call, call->http->arg);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        leave(arg);
}

static void on_written(struct bufferevent *stream, void *arg)
{
    struct call *call = arg;

    if (call->is_over)
        call_free(call);
}

static void put_head(struct call *call, int status, const char *fields)
{
    evbuffer_add_printf(bufferevent_get_output(call->stream), "HTTP/1.1 %d %s\r\n%s", status,
                        reason_of(status), fields);
}

void call_reply(struct call *call, int status, const char *fields, const char *body, size_t body_len)
{
    struct evbuffer *out;

    call->is_answering = false;
    if (!call->stream) {
        call_free(call);
        return;
    }
    put_head(call, status, fields);
    out = bufferevent_get_output(call->stream);
    if (status != 204 && status != 304)
        evbuffer_add_printf(out, "Content-Length: %zu\r\n", body_len);
    evbuffer_add_printf(out, "%s\r\n", call->is_last ? "Connection: close\r\n" : "");
    if (status != 204 && status != 304 && strcmp(call->method, "HEAD") != 0)
        evbuffer_add(out, body, body_len);
    forget_request(call);
    call->is_over = call->is_last;
    /* The next request may be here already. */
    if (evbuffer_get_length(bufferevent_get_input(call->stream)) > 0)
        bufferevent_trigger(call->stream, EV_READ, BEV_OPT_DEFER_CALLBACKS);
}

void call_stream(struct call *call, void (*on_gone)(struct call *call, void *arg), void *arg)
{
    call->on_gone = on_gone;
    call->gone_arg = arg;
    put_head(call, 200, "Content-Type: application/x-ndjson\r\nConnection: close\r\n\r\n");
}

void call_send(struct call *call, const char *text, size_t len)
{
    bufferevent_write(call->stream, text, len);
}

size_t call_unsent(const struct call *call)
{
    return evbuffer_get_length(bufferevent_get_output(call->stream));
}

void call_hang_up(struct call *call)
{
    leave(call);
}

static void on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len,
                      void *arg)
{
    struct http *http = arg;
    struct call *call = calloc(1, sizeof *call);
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (call)
        call->body = evbuffer_new();
    if (call && call->body)
        call->stream = bufferevent_socket_new(http->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!call || !call->stream) {
        if (call)
            call_free(call);
        evutil_closesocket(fd);
        return;
    }
    call->http = http;
    bufferevent_setcb(call->stream, on_bytes, on_written, on_event, call);
    bufferevent_enable(call->stream, EV_READ | EV_WRITE);
}

static bool make_address(const char *address, unsigned short port, struct sockaddr_storage *out, int *out_len)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *out_len = sizeof *four;
        return true;
    }
    if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *out_len = sizeof *six;
        return true;
    }
    return false;
}

struct http *http_new(struct event_base *base, const char *address, unsigned short port, call_fn *on_call,
                      void *arg)
{
    struct http *http = calloc(1, sizeof *http);
    struct sockaddr_storage to;
    int len;

    if (!http)
        return NULL;
    *http = (struct http){ .base = base, .on_call = on_call, .arg = arg };
    if (make_address(address, port, &to, &len))
        http->listener =
            evconnlistener_new_bind(base, on_client, http, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 512,
                                    (struct sockaddr *)&to, len);
    if (!http->listener) {
        http_free(http);
        return NULL;
    }
    return http;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    if (http->listener)
        evconnlistener_free(http->listener);
    free(http);
}
