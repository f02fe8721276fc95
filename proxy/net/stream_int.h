/* Between the files of net/ only: the inside of a stream, and its TLS half.
 *
 * Ten thousand idle connections are mostly this struct, so a plain stream holds one event, for reading;
 * the one for writing and everything of TLS are allocated when they are first needed. */
#ifndef NET_STREAM_INT_H
#define NET_STREAM_INT_H

#include "net/loop_int.h"
#include "net/stream.h"

struct stream_tls;

struct stream {
    struct event read_event;   /* persistent */
    struct event *write_event; /* persistent; NULL until first needed */
    struct loop *loop;
    const struct stream_events *events;
    void *arg;
    struct stream_tls *tls; /* NULL: plain */
    int fd;
    bool wants_read;
    bool wants_write;
    bool has_read_event; /* is added, wanted or not */
    bool has_write_event;
    bool is_closed;
    /* Plain streams are edge triggered, which saves the kernel a look at each of them a turn; these
     * make them level triggered again towards the owner. */
    bool is_ready;  /* not read until nothing was left, since the last edge */
    bool is_ending; /* the peer's end was seen by epoll: short reads do not mean that nothing is left */
    bool is_full;   /* the last write took less than it was given */
    struct later refire;
};

/* Sets up the read event: edge triggered for plain streams, level triggered for TLS. */
void stream_assign(struct stream *stream);

/* Brings the events in line with what is wanted and what TLS needs. */
void stream_update(struct stream *stream);

/* --- stream_tls.c --- */

/* The server's side; false when out of memory. */
bool stream_tls_accept(struct stream *stream, struct tls_server *server);

/* The client's side on a connected plain stream: sends the first flight. on_readable tells that the handshake
 * is done or has failed. False when out of memory. */
bool stream_tls_connect(struct stream *stream, struct tls_client *client, const char *server_name);

void stream_tls_free(struct stream *stream, bool is_reset); /* half-built is fine */

void stream_tls_on_readable(struct stream *stream);
void stream_tls_on_writable(struct stream *stream);

ssize_t stream_tls_read(struct stream *stream, void *data, size_t size);
ssize_t stream_tls_writev(struct stream *stream, const struct iovec *iov, int count);
bool stream_tls_is_stale(struct stream *stream);
void stream_tls_shutdown_write(struct stream *stream);

bool stream_tls_is_handshaking(const struct stream *stream);
bool stream_tls_has_failed(const struct stream *stream);

/* Encrypted bytes wait for the socket. */
bool stream_tls_is_blocked(const struct stream *stream);

/* stream_read() would say something other than AGAIN though the socket is silent: on_readable must follow
 * by itself. */
bool stream_tls_has_more(const struct stream *stream);
void stream_tls_refire(struct stream *stream);

#endif
