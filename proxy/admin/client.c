#include "admin/client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "http/body_in.h"
#include "http/message.h"

#define WAIT_S    10
#define REPLY_MAX (16 * 1024 * 1024)

static int cannot(const struct client_peer *peer, const char *why)
{
    fprintf(stderr, "weir: no answer from the admin address %s: %s\n", peer->addr.text, why);
    return CLIENT_NOT_CONNECTED;
}

static int try_connect(const struct sockaddr *sa, socklen_t len)
{
    const struct timeval wait = { .tv_sec = WAIT_S };
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait); /* connect() keeps to it too */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, sa, len) == 0)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

/* host: what Host will say. Of a name it is the address it stands for: that is what an admin address always
 * answers to. */
static int open_socket(const struct addr *addr, char *host, size_t size)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char port[8];
    int fd = -1;

    snprintf(host, size, "localhost");
    if (addr->kind == ADDR_UNIX)
        return try_connect((const struct sockaddr *)&addr->sa, addr->sa_len);
    snprintf(port, sizeof port, "%u", (unsigned)addr->port);
    if (getaddrinfo(addr->host, port, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = try_connect(at->ai_addr, at->ai_addrlen);
        if (fd >= 0)
            addr_format(at->ai_addr, host, size);
    }
    int err = errno;
    freeaddrinfo(found);
    errno = err;
    return fd;
}

static bool send_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = str_from(bytes, (size_t)n);
    }
    return true;
}

/* Reads more; false, with errno, at the end or when it takes too long. */
static bool receive(int fd, struct buf *in)
{
    char *at = buf_len(in) < REPLY_MAX ? buf_reserve(in, 16 * 1024) : NULL;
    if (!at) {
        errno = ENOMEM;
        return false;
    }
    ssize_t n;
    do {
        n = recv(fd, at, 16 * 1024, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        errno = n == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno;
        return false;
    }
    buf_added(in, (size_t)n);
    return true;
}

static bool receive_body(int fd, struct body_in *body, struct buf *in, struct buf *out)
{
    for (;;) {
        struct str before = buf_str(in), rest = before, piece;
        int event = body_in_next(body, &rest, &piece);
        if (event == BODY_PIECE && (buf_len(out) > REPLY_MAX || !buf_append_str(out, piece)))
            event = -1;
        buf_consume(in, before.len - rest.len);
        if (event == BODY_END)
            return true;
        if (event < 0) {
            errno = EPROTO;
            return false;
        }
        if (event == BODY_MORE && !receive(fd, in))
            return false;
    }
}

/* The status, or -1 with errno. */
static int receive_reply(int fd, struct buf *out_body)
{
    static const struct head_limits limits = { .head_bytes = 64 * 1024,
                                               .line_bytes = 16 * 1024,
                                               .fields = 100 };
    struct buf in;
    struct message msg;
    size_t scanned = 0;
    int len;
    buf_init(&in);
    while ((len = head_find_end(buf_str(&in), &scanned, &limits)) == 0) {
        if (!receive(fd, &in))
            goto fail;
    }
    errno = EPROTO;
    if (len < 0 || message_read_reply(&msg, str_n(buf_str(&in).data, (size_t)len), METHOD_GET, &limits) != 0)
        goto fail;
    int status = msg.status;
    struct body_in body;
    body_in_init(&body, msg.framing, msg.content_length, 4096);
    buf_consume(&in, (size_t)len);
    bool ok = receive_body(fd, &body, &in, out_body);
    body_in_fini(&body);
    if (!ok)
        goto fail;
    buf_fini(&in);
    return status;

fail:
    buf_fini(&in);
    return -1;
}

/* Says why, as far as the reply does. */
static int refused(int status, const json_t *reply)
{
    const char *detail = json_string_value(json_object_get(reply, "detail"));
    json_t *mistakes = json_object_get(reply, "mistakes");
    size_t i;
    json_t *line;
    fprintf(stderr, "weir: refused (%d): %s\n", status, detail ? detail : "no reason was given");
    json_array_foreach(mistakes, i, line) fprintf(stderr, "%s\n", json_string_value(line));
    if (status == 401)
        fprintf(stderr, "weir: say it with --token TOKEN or in WEIR_ADMIN_TOKEN\n");
    return CLIENT_REFUSED;
}

/* What was done, and yet is not quite as whoever asked may think. */
static void warn(const json_t *reply)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(reply, "warnings"), i, line)
        fprintf(stderr, "weir: warning: %s\n", json_string_value(line));
}

int client_ask(const struct client_peer *peer, const char *target, json_t *body, json_t **out)
{
    struct buf head, reply;
    char host[80];
    int code = CLIENT_NOT_CONNECTED;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    int fd = open_socket(&peer->addr, host, sizeof host);

    buf_init(&head);
    buf_init(&reply);
    *out = NULL;
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", body ? "POST" : "GET", target,
               host);
    if (peer->token)
        buf_printf(&head, "Authorization: Bearer %s\r\n", peer->token);
    if (text)
        buf_printf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(text));
    buf_printf(&head, "\r\n%s", text ? text : "");
    int status = fd >= 0 && send_all(fd, buf_str(&head)) ? receive_reply(fd, &reply) : -1;
    if (status < 0) {
        cannot(peer, strerror(errno));
    } else {
        *out = json_loadb(buf_len(&reply) ? buf_str(&reply).data : "", buf_len(&reply), 0, NULL);
        code = status / 100 != 2 ? refused(status, *out)
               : *out            ? CLIENT_DONE
                                 : cannot(peer, "this is no weir");
    }
    if (code == CLIENT_DONE)
        warn(*out);
    if (code != CLIENT_DONE) {
        json_decref(*out);
        *out = NULL;
    }
    if (fd >= 0)
        close(fd);
    json_decref(body);
    free(text);
    buf_fini(&head);
    buf_fini(&reply);
    return code;
}
