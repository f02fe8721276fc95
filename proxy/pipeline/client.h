/* One client's connection, HTTP/1.x: reads heads and bodies, carries replies, keeps the connection or ends
 * it.
 *
 * Owner: its lane. Between two requests it is a stream, an address and a timer, and holds no buffer. One
 * request at a time is read off it; pipelined ones wait in the socket or in a bounded rest. */
#ifndef PIPELINE_CLIENT_H
#define PIPELINE_CLIENT_H

#include <netinet/in.h>

#include "base/buf.h"
#include "base/list.h"
#include "http/body_in.h"
#include "net/loop.h"
#include "net/stream.h"
#include "pipeline/request.h"

union client_address {
    struct sockaddr sa;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

enum client_state {
    CLIENT_IDLE,   /* between two requests, or a head is arriving */
    CLIENT_BUSY,   /* a request is on its way */
    CLIENT_DRAIN,  /* answered; the rest of a body nobody wants is read and dropped */
    CLIENT_LINGER, /* said all; reads a little more so that the last reply is not lost to a reset */
    CLIENT_TUNNEL,
    CLIENT_CLOSED,
};

enum client_wait {
    WAITS_NOTHING,
    WAITS_HEAD,
    WAITS_KEEPALIVE,
    WAITS_UPLOAD,
    WAITS_WRITE,
    WAITS_LINGER,
};

struct client {
    struct list link; /* lane->clients */
    struct lane *lane;
    struct stream *stream;
    struct request *req;
    struct timer timer;     /* the one wait this connection is in: see `waits` */
    struct buf in;          /* bytes read but not used: half a head, pipelined requests */
    struct buf out;         /* taken from the carrier's user, not yet written */
    struct body_in *upload; /* the body that is being read; malloc'd */
    struct tunnel *tunnel;
    int64_t head_started_ns;
    uint64_t unacked_bytes;  /* in the socket when the timer was set */
    uint64_t progress_bytes; /* since the timer was set: for least rates */
    uint32_t head_scanned;
    uint32_t requests;
    uint32_t chunk_left; /* of the chunk that is being written */
    uint16_t port;       /* local */
    uint8_t state;       /* enum client_state */
    uint8_t waits;       /* enum client_wait */
    bool is_trusted : 1;
    bool is_tls : 1;
    bool is_eof : 1;       /* the client will send no more */
    bool closes : 1;       /* after this reply */
    bool is_chunked : 1;   /* this reply */
    bool is_head_held : 1; /* begin() was called, nothing written yet */
    bool is_head_over : 1; /* ... and it did not fit */
    bool wants_upload : 1;
    bool has_address : 1; /* counted in the table of addresses */
    bool is_feeding : 1;  /* its bytes are being looked at further up the stack */
    bool is_broken : 1;   /* its framing is in doubt: nothing more is read as a request */
    bool is_short : 1;    /* a write took less than it was given */
    struct later later;
    union client_address peer;
};

/* Takes fd over. NULL (and fd closed) when out of memory or over a limit. */
struct client *client_new(struct lane *lane, const struct gate *gate, int fd, const struct sockaddr *peer,
                          socklen_t peer_len);

/* Closes it now, whatever it is doing: its request is abandoned. */
void client_close(struct client *client);

/* Drain: idle ones end soon, busy ones after their reply. */
void client_drain(struct client *client);

extern const struct carrier client_http1; /* carry.c */

/* For carry.c: what was held goes out. False: the client is gone. */
bool client_flush(struct client *client);
/* Sets the one timer. */
void client_waits(struct client *client, enum client_wait wait, int64_t ms);
/* feed.c: what of fresh bytes (and those kept before) can be used now. The client may be closed when they
 * return. */
void client_take_heads(struct client *client, struct str fresh);
void client_read_upload(struct client *client, struct str fresh);
void client_drop_upload(struct client *client, struct str fresh);
/* Tells a client whose head is none, or did not end in time, why. */
void client_refuse(struct client *client, int err);
/* Keeps bytes for later. False: the client was closed. */
bool client_keep(struct client *client, struct str rest);

static inline const struct config_clients *client_limits(const struct client *client)
{
    return &client->lane->now->world->config->clients;
}

/* The recorded request's connection goes on, or ends. */
void client_next(struct client *client);

#endif
