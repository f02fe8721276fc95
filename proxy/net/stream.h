/* A connected socket, plain or TLS, that never blocks. Reading and writing are the owner's calls; the
 * stream only says when they are worth a try. Owner: whoever made it, on its loop's thread. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/str.h"

struct loop;
struct stream;
struct tls_server;
struct tls_client;

#define STREAM_AGAIN (-1) /* nothing now: wait for on_readable / on_writable */
#define STREAM_ERROR (-2) /* reset, TLS failure: close it */

struct stream_events {
    void (*on_readable)(void *arg); /* data, the end, or an error: stream_read() tells. Level triggered. */
    void (*on_writable)(void *arg); /* only while wanted */
};

/* Takes fd over (made non-blocking and TCP_NODELAY where it is TCP). tls NULL: plain; else the server's
 * side of a handshake begins with the first bytes: until it is done reads say AGAIN and writes 0. Its end
 * calls on_readable (if that is wanted) even when no data came with it; a failure shows as STREAM_ERROR on
 * reading. Neither reading nor writing is wanted at first. events must stay valid (usually static). NULL when
 * out of memory; then fd is closed. */
struct stream *stream_new(struct loop *loop, int fd, struct tls_server *tls,
                          const struct stream_events *events, void *arg);

/* Changes who is told, when a connection goes from one owner to another (pool and exchange, client and
 * tunnel). */
void stream_set_owner(struct stream *stream, const struct stream_events *events, void *arg);

/* > 0 bytes, 0 at the end of the stream (for TLS only after close_notify; a cut is STREAM_ERROR), or
 * STREAM_*. */
ssize_t stream_read(struct stream *stream, void *data, size_t size);

/* Bytes taken (may be fewer, 0 when the socket is full), or STREAM_ERROR. What is offered next must begin
 * with the bytes not taken: TLS may have encrypted the first of them already. */
ssize_t stream_writev(struct stream *stream, const struct iovec *iov, int count);
ssize_t stream_write(struct stream *stream, const void *data, size_t size);

/* The owner is in the middle of a message after a read that brought less than there was room for: looks
 * once more at the end of the turn. A reset that came together with the last bytes shows in no other way. */
void stream_expect_more(struct stream *stream);

/* Idempotent and cheap when nothing changes. For TLS with bytes already decrypted on_readable follows
 * by itself. */
void stream_want_read(struct stream *stream, bool is_wanted);
void stream_want_write(struct stream *stream, bool is_wanted);

/* Its events run before those of other streams that became ready in the same turn: an idle connection that
 * became readable is known as such before anybody can take it for his next request. */
void stream_set_urgent(struct stream *stream, bool is_urgent);

/* True if the peer has closed or reset, or has sent something, without consuming it: the check of an idle
 * connection before it is used again (one recv(MSG_PEEK)). */
bool stream_is_stale(struct stream *stream);

/* Tells the peer that no more follows (shutdown, close_notify); reading goes on. */
void stream_shutdown_write(struct stream *stream);

/* Stops all events and closes the socket now; the memory goes at the end of the turn. NULL is fine. */
void stream_close(struct stream *stream);
/* The same with a RST instead of a FIN, so that the peer sees that the message was cut. */
void stream_reset(struct stream *stream);

/* Bytes that the socket took and the peer has not acknowledged: their fall is progress that epoll is late to
 * tell (it calls a socket writable only when a third of its buffer is free). One system call. */
size_t stream_unacked(const struct stream *stream);

int stream_fd(const struct stream *stream);
bool stream_is_tls(const struct stream *stream);
bool stream_is_handshaking(const struct stream *stream);
struct str stream_sni(const struct stream *stream);  /* data NULL: none was sent */
struct str stream_alpn(const struct stream *stream); /* "h2", "http/1.1"; data NULL: none agreed */
/* TLS only: bytes that were read from the socket and decrypted but not taken yet. */
bool stream_has_pending(const struct stream *stream);

#endif
