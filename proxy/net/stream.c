#include "net/stream_int.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The calls are made raw: glibc's wrappers are cancellation points, which cost some 20 ns each in a program
 * with threads, and weir cancels none. */

#define SMALL_BYTES 4096

/* Tells the owner, and again at the end of the turn while there is reason to: an edge comes only once. */
static void fire(struct stream *stream, bool is_readable, bool is_writable)
{
    if (is_readable && stream->wants_read)
        stream->events->on_readable(stream->arg);
    if (is_writable && !stream->is_closed && stream->wants_write)
        stream->events->on_writable(stream->arg);
    if (stream->is_closed || stream->tls)
        return;
    if ((stream->is_ready && stream->wants_read) || (stream->wants_write && !stream->is_full))
        loop_later(stream->loop, &stream->refire);
}

static void on_refire(void *arg)
{
    struct stream *stream = arg;
    if (!stream->tls)
        fire(stream, stream->is_ready, !stream->is_full);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;

    if (UNLIKELY(stream->tls != NULL)) {
        stream_tls_on_readable(stream);
        return;
    }
    stream->is_ready = true;
    stream->is_ending = stream->is_ending || (what & EV_CLOSED);
    fire(stream, true, false);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;

    if (stream->tls) {
        stream_tls_on_writable(stream);
        return;
    }
    stream->is_full = false;
    fire(stream, false, true);
}

void stream_assign(struct stream *stream)
{
    short how = stream->tls ? EV_READ | EV_PERSIST : EV_READ | EV_CLOSED | EV_PERSIST | EV_ET;
    event_assign(&stream->read_event, loop_base(stream->loop), stream->fd, how, on_readable, stream);
}

struct stream *stream_new(struct loop *loop, int fd, struct tls_server *tls,
                          const struct stream_events *events, void *arg)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        close(fd);
        return NULL;
    }
    stream->loop = loop;
    stream->fd = fd;
    stream->events = events;
    stream->arg = arg;
    int one = 1;
    ioctl(fd, FIONBIO, &one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* no TCP: refused, which is fine */
    later_init(&stream->refire, on_refire, stream);
    stream_assign(stream);

    if (tls && !stream_tls_accept(stream, tls)) {
        stream_close(stream);
        return NULL;
    }
    return stream;
}

void stream_set_owner(struct stream *stream, const struct stream_events *events, void *arg)
{
    stream->events = events;
    stream->arg = arg;
}

/* --- bytes --- */

ssize_t stream_read(struct stream *stream, void *data, size_t size)
{
    if (UNLIKELY(stream->tls != NULL))
        return stream_tls_read(stream, data, size);
    for (;;) {
        ssize_t n = syscall(SYS_recvfrom, stream->fd, data, size, 0, NULL, NULL);
        if (LIKELY(n > 0)) {
            /* Less than there was room for: the socket is empty, and what comes later is a new edge. */
            if ((size_t)n < size && !stream->is_ending)
                stream->is_ready = false;
            return n;
        }
        if (n == 0)
            return 0;
        if (errno == EAGAIN) {
            stream->is_ready = false;
            return STREAM_AGAIN;
        }
        if (errno != EINTR)
            return STREAM_ERROR;
    }
}

/* Copies pieces that are little in all side by side; 0 if they are not. A head and a small body cost less
 * so than the kernel's way through an array of pieces. */
static size_t gather(char out[SMALL_BYTES], const struct iovec *iov, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > SMALL_BYTES - total)
            return 0;
        memcpy(out + total, iov[i].iov_base, iov[i].iov_len);
        total += iov[i].iov_len;
    }
    return total;
}

static bool is_less(const struct iovec *iov, int count, size_t n)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return n < total;
}

ssize_t stream_writev(struct stream *stream, const struct iovec *iov, int count)
{
    char whole[SMALL_BYTES];

    if (UNLIKELY(stream->tls != NULL))
        return stream_tls_writev(stream, iov, count);
    if (count == 1)
        return stream_write(stream, iov->iov_base, iov->iov_len);
    size_t small = gather(whole, iov, count);
    if (small > 0)
        return stream_write(stream, whole, small);
    struct msghdr message = {
        .msg_iov = (struct iovec *)iov,
        .msg_iovlen = (size_t)(count < IOV_MAX ? count : IOV_MAX),
    };
    for (;;) {
        ssize_t n = syscall(SYS_sendmsg, stream->fd, &message, MSG_NOSIGNAL);
        if (LIKELY(n >= 0)) {
            stream->is_full = is_less(iov, count, (size_t)n);
            return n;
        }
        if (errno == EAGAIN) {
            stream->is_full = true;
            return 0;
        }
        if (errno != EINTR)
            return STREAM_ERROR;
    }
}

ssize_t stream_write(struct stream *stream, const void *data, size_t size)
{
    if (UNLIKELY(stream->tls != NULL)) {
        struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
        return stream_tls_writev(stream, &iov, 1);
    }
    for (;;) {
        ssize_t n = syscall(SYS_sendto, stream->fd, data, size, MSG_NOSIGNAL, NULL, 0);
        if (LIKELY(n >= 0)) {
            stream->is_full = (size_t)n < size;
            return n;
        }
        if (errno == EAGAIN) {
            stream->is_full = true;
            return 0;
        }
        if (errno != EINTR)
            return STREAM_ERROR;
    }
}

/* --- readiness --- */

static struct event *write_event_new(struct stream *stream)
{
    /* libevent takes either kind of event on a socket, never both. */
    short how = stream->tls ? EV_WRITE | EV_PERSIST : EV_WRITE | EV_PERSIST | EV_ET;
    return event_new(loop_base(stream->loop), stream->fd, how, on_writable, stream);
}

/* Goes with its last use, for it is as large as the rest of the stream. */
static void write_event_drop(struct stream *stream)
{
    if (!stream->write_event)
        return;
    event_del(stream->write_event);
    loop_free_later(stream->loop, stream->write_event);
    stream->write_event = NULL;
    stream->has_write_event = false;
}

void stream_update(struct stream *stream)
{
    if (stream->is_closed)
        return;
    bool is_handshaking = false;
    bool needs_write = stream->wants_write;
    if (stream->tls) {
        is_handshaking = stream_tls_is_handshaking(stream);
        needs_write = stream_tls_is_blocked(stream) || (stream->wants_write && !is_handshaking);
    }

    if ((stream->wants_read || is_handshaking) && !stream->has_read_event)
        stream->has_read_event = event_add(&stream->read_event, NULL) == 0;
    if (needs_write == stream->has_write_event)
        return;
    if (!needs_write) {
        write_event_drop(stream);
        return;
    }
    stream->write_event = write_event_new(stream);
    if (stream->write_event)
        stream->has_write_event = event_add(stream->write_event, NULL) == 0;
}

void stream_want_read(struct stream *stream, bool is_wanted)
{
    if (LIKELY(stream->wants_read == is_wanted))
        return;
    stream->wants_read = is_wanted;
    if (!is_wanted)
        return;
    if (UNLIKELY(!stream->has_read_event))
        stream_update(stream);
    if (stream->tls && stream_tls_has_more(stream))
        stream_tls_refire(stream);
    if (!stream->tls && stream->is_ready)
        loop_later(stream->loop, &stream->refire);
}

void stream_expect_more(struct stream *stream)
{
    if (stream->tls || stream->is_closed || stream->is_ready)
        return;
    stream->is_ready = true;
    loop_later(stream->loop, &stream->refire);
}

void stream_want_write(struct stream *stream, bool is_wanted)
{
    if (LIKELY(stream->wants_write == is_wanted))
        return;
    stream->wants_write = is_wanted;
    stream_update(stream);
}

void stream_set_urgent(struct stream *stream, bool is_urgent)
{
    event_priority_set(&stream->read_event, is_urgent ? LOOP_URGENT : LOOP_USUAL);
}

bool stream_is_stale(struct stream *stream)
{
    if (stream->tls)
        return stream_tls_is_stale(stream);
    char byte;
    ssize_t n;
    do
        n = recv(stream->fd, &byte, 1, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    return n >= 0 || errno != EAGAIN;
}

/* --- the end --- */

void stream_shutdown_write(struct stream *stream)
{
    if (stream->tls)
        stream_tls_shutdown_write(stream);
    else
        shutdown(stream->fd, SHUT_WR);
}

static void finish(struct stream *stream, bool is_reset)
{
    CHECK(!stream->is_closed);
    if (stream->tls)
        stream_tls_free(stream, is_reset);
    if (stream->has_read_event)
        event_del(&stream->read_event);
    write_event_drop(stream);
    later_cancel(&stream->refire);
    stream->is_closed = true;
    close(stream->fd);
    stream->fd = -1;
    loop_free_later(stream->loop, stream);
}

void stream_close(struct stream *stream)
{
    if (stream)
        finish(stream, false);
}

void stream_reset(struct stream *stream)
{
    if (!stream)
        return;
    struct linger none = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    finish(stream, true);
}

/* --- questions --- */

size_t stream_unacked(const struct stream *stream)
{
    int bytes = 0;
    return ioctl(stream->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

int stream_fd(const struct stream *stream)
{
    return stream->fd;
}

bool stream_is_tls(const struct stream *stream)
{
    return stream->tls != NULL;
}

bool stream_is_handshaking(const struct stream *stream)
{
    return stream->tls && stream_tls_is_handshaking(stream);
}

bool stream_has_pending(const struct stream *stream)
{
    return stream->tls && stream_tls_has_more(stream);
}
