#include "net/stream_int.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"
#include "net/tls_int.h"

#define RECORD_BYTES      16384 /* RFC 8446 5.1: what one record holds at most */
#define BLOCKED_BYTES_MAX 65536

/* OpenSSL's view of the socket is a BIO that never blocks on writing: what the socket does not take waits in
 * `blocked`, and nothing new is encrypted until that is gone. So a handshake, a key update or an alert
 * never stops half-way, and reading never waits for writing. */
struct stream_tls {
    SSL *ssl;
    struct tls_server *server; /* its callbacks run during the handshake; NULL on the client's side */
    struct buf blocked;
    struct later refire;
    unsigned char withheld; /* see stream_tls_writev() */
    bool has_withheld;
    bool is_handshaking;
    bool has_failed;
    bool has_more;
    bool is_at_eof; /* of the socket */
    bool is_socket_broken;
    bool is_ending; /* shutdown() follows when nothing is blocked any more */
};

/* --- the BIO --- */

static bool block(struct stream *stream, const char *data, size_t size)
{
    struct stream_tls *tls = stream->tls;
    /* A peer that asks for answers (key updates) but never reads them. */
    if (buf_len(&tls->blocked) + size > BLOCKED_BYTES_MAX)
        return false;
    return buf_append(&tls->blocked, data, size);
}

/* How much the socket took, or -1. */
static ssize_t socket_send(struct stream *stream, const char *data, size_t size)
{
    for (;;) {
        ssize_t n = send(stream->fd, data, size, MSG_NOSIGNAL);
        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *out_written)
{
    struct stream *stream = BIO_get_data(bio);
    struct stream_tls *tls = stream->tls;
    ssize_t sent = 0;

    *out_written = 0;
    BIO_clear_retry_flags(bio);
    if (buf_len(&tls->blocked) == 0)
        sent = socket_send(stream, data, size);
    if (sent < 0)
        tls->is_socket_broken = true;
    if (sent < 0 || ((size_t)sent < size && !block(stream, data + sent, size - (size_t)sent)))
        return 0;
    *out_written = size;
    return 1;
}

static int bio_read(BIO *bio, char *data, size_t size, size_t *out_read)
{
    struct stream *stream = BIO_get_data(bio);
    ssize_t n;

    *out_read = 0;
    BIO_clear_retry_flags(bio);
    do
        n = recv(stream->fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        *out_read = (size_t)n;
        return 1;
    }
    if (n == 0)
        stream->tls->is_at_eof = true;
    else if (errno == EAGAIN)
        BIO_set_retry_read(bio);
    return 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    struct stream *stream = BIO_get_data(bio);
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1; /* what is blocked flushes itself */
    case BIO_CTRL_EOF:
        return stream->tls->is_at_eof;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void bio_init(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (!method)
        return;
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
    bio_method = method;
}

/* --- beginning --- */

static void on_refire(void *arg)
{
    struct stream *stream = arg;
    if (stream->wants_read && stream_tls_has_more(stream))
        stream->events->on_readable(stream->arg);
}

/* Takes ssl, which may be NULL. */
static bool tls_attach(struct stream *stream, SSL *ssl)
{
    struct stream_tls *tls = calloc(1, sizeof *tls);
    BIO *bio = NULL;

    pthread_once(&bio_once, bio_init);
    if (tls && ssl && bio_method)
        bio = BIO_new(bio_method);
    if (!bio) {
        free(tls);
        SSL_free(ssl);
        return false;
    }
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    tls->ssl = ssl;
    tls->is_handshaking = true;
    buf_init(&tls->blocked);
    later_init(&tls->refire, on_refire, stream);
    stream->tls = tls;
    /* From here on its events are level triggered: OpenSSL does not tell when a socket was read empty. */
    if (stream->has_read_event)
        event_del(&stream->read_event);
    stream->has_read_event = false;
    stream_assign(stream);
    return true;
}

bool stream_tls_accept(struct stream *stream, struct tls_server *server)
{
    if (!tls_attach(stream, tls_server_ssl_new(server)))
        return false;
    stream->tls->server = tls_server_ref(server);
    stream_update(stream);
    return true;
}

/* False: not over yet. Else has_failed tells how it went. */
static bool handshake_step(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;

    ERR_clear_error();
    int rc = SSL_do_handshake(tls->ssl);
    if (rc != 1 && SSL_get_error(tls->ssl, rc) == SSL_ERROR_WANT_READ)
        return false;
    tls->is_handshaking = false;
    tls->has_failed = rc != 1;
    tls->has_more = SSL_has_pending(tls->ssl) == 1;
    return true;
}

bool stream_tls_connect(struct stream *stream, struct tls_client *client, const char *server_name)
{
    if (!tls_attach(stream, tls_client_ssl_new(client, server_name)))
        return false;
    if (handshake_step(stream))
        stream_tls_refire(stream); /* only a failure can come as early as that */
    stream_update(stream);
    return true;
}

void stream_tls_free(struct stream *stream, bool is_reset)
{
    struct stream_tls *tls = stream->tls;

    /* One try: the peer's library can tell our end from a cut. */
    if (!is_reset && !tls->is_handshaking && !tls->has_failed && !tls->is_socket_broken) {
        ERR_clear_error();
        SSL_shutdown(tls->ssl);
    }
    later_cancel(&tls->refire);
    SSL_free(tls->ssl);
    tls_server_unref(tls->server);
    buf_fini(&tls->blocked);
    ERR_clear_error();
    free(tls);
    stream->tls = NULL;
}

/* --- readiness --- */

void stream_tls_refire(struct stream *stream)
{
    loop_later(stream->loop, &stream->tls->refire);
}

void stream_tls_on_readable(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;

    if (tls->is_handshaking) {
        bool is_over = handshake_step(stream);
        stream_update(stream);
        if (is_over && stream->wants_read)
            stream->events->on_readable(stream->arg);
    } else if (stream->wants_read) {
        stream->events->on_readable(stream->arg);
    } else {
        event_del(&stream->read_event);
        stream->has_read_event = false;
    }
}

/* False when the socket is full or broken. */
static bool flush_blocked(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;

    while (buf_len(&tls->blocked) > 0) {
        struct str bytes = buf_str(&tls->blocked);
        ssize_t n = socket_send(stream, bytes.data, bytes.len);
        if (n < 0) {
            tls->is_socket_broken = true;
            buf_fini(&tls->blocked);
            return false;
        }
        if (n == 0)
            return false;
        buf_consume(&tls->blocked, (size_t)n);
    }
    buf_shrink(&tls->blocked);
    if (tls->is_ending)
        shutdown(stream->fd, SHUT_WR);
    return true;
}

void stream_tls_on_writable(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;

    if (!flush_blocked(stream) && !tls->is_socket_broken)
        return;
    stream_update(stream);
    if (stream->wants_write && !tls->is_handshaking)
        stream->events->on_writable(stream->arg);
}

/* --- bytes --- */

/* What SSL_read() or SSL_peek() meant by rc <= 0: 0 at the end, or STREAM_*. */
static ssize_t read_outcome(struct stream_tls *tls, int rc)
{
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
        return STREAM_AGAIN;
    default:
        tls->has_failed = true;
        return STREAM_ERROR;
    }
}

ssize_t stream_tls_read(struct stream *stream, void *data, size_t size)
{
    struct stream_tls *tls = stream->tls;
    size_t total = 0;
    ssize_t outcome = STREAM_AGAIN;

    if (tls->has_failed)
        return STREAM_ERROR;
    if (tls->is_handshaking)
        return STREAM_AGAIN;
    ERR_clear_error();
    for (;;) {
        size_t n;
        int rc = SSL_read_ex(tls->ssl, (char *)data + total, size - total, &n);
        if (rc != 1) {
            outcome = read_outcome(tls, rc);
            tls->has_more = false;
            break;
        }
        total += n;
        tls->has_more = SSL_has_pending(tls->ssl) == 1;
        /* A full record is one of many: the next is probably there as well. */
        if (total == size || (!tls->has_more && n < RECORD_BYTES))
            break;
    }
    /* A key update was answered, or the connection ended on an alert that did not fit. */
    if (buf_len(&tls->blocked) > 0)
        stream_update(stream);
    if (total == 0)
        return outcome;
    if (outcome != STREAM_AGAIN)
        tls->has_more = true; /* the end or the error, for the next read */
    if (tls->has_more && stream->wants_read)
        stream_tls_refire(stream);
    return (ssize_t)total;
}

/* The next bytes for one record: the caller's own where a piece is large enough or the last, else collected
 * in scratch. At most RECORD_BYTES; empty at the end. */
static struct str next_record(const struct iovec *iov, int count, size_t done, char *scratch)
{
    while (count > 0 && done >= iov->iov_len) {
        done -= iov->iov_len;
        iov++;
        count--;
    }
    if (count == 0)
        return str_n(NULL, 0);
    const char *piece = (const char *)iov->iov_base + done;
    size_t len = iov->iov_len - done;
    if (len >= RECORD_BYTES)
        return str_n(piece, RECORD_BYTES);
    if (count == 1)
        return str_n(piece, len);

    memcpy(scratch, piece, len);
    for (iov++, count--; count > 0 && len < RECORD_BYTES; iov++, count--) {
        size_t part = iov->iov_len < RECORD_BYTES - len ? iov->iov_len : RECORD_BYTES - len;
        if (part > 0)
            memcpy(scratch + len, iov->iov_base, part);
        len += part;
    }
    return str_n(scratch, len);
}

/* All bytes taken must mean here what it means for a plain socket: that closing loses none of them. So of a
 * record that the socket did not take whole, the last byte is not reported as taken until it has gone; when
 * the caller offers it again it is known and not encrypted twice. */
static size_t take_withheld(struct stream_tls *tls, const struct iovec *iov, int count)
{
    if (!tls->has_withheld)
        return 0;
    while (count > 0 && iov->iov_len == 0) {
        iov++;
        count--;
    }
    if (count == 0)
        return 0;
    CHECK(*(const unsigned char *)iov->iov_base == tls->withheld);
    tls->has_withheld = false;
    return 1;
}

static size_t withhold(struct stream_tls *tls, struct str record, size_t total)
{
    tls->withheld = (unsigned char)record.data[record.len - 1];
    tls->has_withheld = true;
    return total - 1;
}

ssize_t stream_tls_writev(struct stream *stream, const struct iovec *iov, int count)
{
    struct stream_tls *tls = stream->tls;
    char scratch[RECORD_BYTES];

    if (tls->has_failed || tls->is_socket_broken)
        return STREAM_ERROR;
    if (tls->is_handshaking || buf_len(&tls->blocked) > 0)
        return 0;
    ERR_clear_error();
    size_t total = take_withheld(tls, iov, count);
    for (;;) {
        struct str record = next_record(iov, count, total, scratch);
        size_t n;
        if (record.len == 0)
            return (ssize_t)total;
        if (SSL_write_ex(tls->ssl, record.data, record.len, &n) != 1) {
            tls->has_failed = true;
            return STREAM_ERROR;
        }
        total += n;
        if (UNLIKELY(buf_len(&tls->blocked) > 0)) {
            stream_update(stream);
            return (ssize_t)withhold(tls, str_n(record.data, n), total);
        }
    }
}

bool stream_tls_is_stale(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;
    char byte;
    size_t n;

    if (tls->has_failed || tls->is_handshaking)
        return true;
    ERR_clear_error();
    /* Not the socket's bytes: session tickets come when they like, and are not the peer speaking. */
    int rc = SSL_peek_ex(tls->ssl, &byte, 1, &n);
    if (buf_len(&tls->blocked) > 0)
        stream_update(stream);
    return rc == 1 || read_outcome(tls, rc) != STREAM_AGAIN;
}

void stream_tls_shutdown_write(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;

    if (!tls->is_handshaking && !tls->has_failed && !tls->is_socket_broken) {
        ERR_clear_error();
        SSL_shutdown(tls->ssl);
    }
    tls->is_ending = true;
    if (buf_len(&tls->blocked) == 0)
        shutdown(stream->fd, SHUT_WR);
    else
        stream_update(stream);
}

/* --- questions --- */

bool stream_tls_is_handshaking(const struct stream *stream)
{
    return stream->tls->is_handshaking;
}

bool stream_tls_has_failed(const struct stream *stream)
{
    return stream->tls->has_failed;
}

bool stream_tls_is_blocked(const struct stream *stream)
{
    return buf_len(&stream->tls->blocked) > 0;
}

bool stream_tls_has_more(const struct stream *stream)
{
    return stream->tls->has_more || stream->tls->has_failed;
}

struct str stream_sni(const struct stream *stream)
{
    return str_of(stream->tls ? SSL_get_servername(stream->tls->ssl, TLSEXT_NAMETYPE_host_name) : NULL);
}

struct str stream_alpn(const struct stream *stream)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (stream->tls)
        SSL_get0_alpn_selected(stream->tls->ssl, &name, &len);
    return str_n((const char *)name, len);
}
