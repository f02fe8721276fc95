/* One exchange from the inside, for the three files that make it: exchange.c (its life), request.c (the way
 * up) and reply.c (the way down). One worker's thread.
 *
 * Owners may do anything from within an event: abort, pause, send, start another exchange. So every function
 * that is called by the loop holds the exchange, looks at its state again after each event, and the last one
 * out gives the memory back. */
#ifndef UPSTREAM_EXCHANGE_INT_H
#define UPSTREAM_EXCHANGE_INT_H

#include <sys/uio.h>

#include "base/buf.h"
#include "upstream/pool.h"

#define EXCHANGE_TAG      0x45584348u
#define EXCHANGE_TAG_DEAD 0x64656164u

#define REPLY_HEAD_MAX    (64 * 1024) /* apps are allowed more than clients: large cookies and policies */
#define REPLY_LINE_MAX    (32 * 1024)
#define REPLY_TRAILER_MAX (16 * 1024)
#define INTERIM_MAX       16
#define PENDING_MAX       (256 * 1024) /* of the request: more than this makes exchange_send() say false */
#define PENDING_LOW       (64 * 1024)  /* and at this the owner may go on */

enum exchange_state {
    EXCHANGE_DIALING,
    EXCHANGE_OPEN,
    EXCHANGE_UPGRADED, /* 101 was reported, the stream waits to be taken */
    EXCHANGE_OVER,
};

struct exchange {
    uint32_t tag;
    enum exchange_state state;
    struct list link; /* in pools->spare_exchanges */
    struct pool *pool;
    struct dial *dial;
    struct connection *connection;
    const struct exchange_events *events;
    void *arg;
    struct config_timeouts timeouts;
    struct timer timer; /* the one wait that is on: see exchange_arm() */
    struct later later;
    int later_err;  /* a failure to report when the owner is not on the stack */
    unsigned holds; /* functions on the stack that still need it */
    bool is_mute;   /* no more events */
    bool has_news;  /* this batch reported something, on_flush follows */
    bool was_reused;
    int64_t connected_ns;
    int64_t head_ns;

    /* the way up */
    enum framing upload;
    uint64_t upload_left;  /* FRAMING_LENGTH */
    uint64_t sent_bytes;   /* that the socket took */
    size_t head_bytes;     /* of the request */
    struct buf out;        /* what it did not take yet */
    size_t unacked;        /* in the socket when the timer last looked */
    bool is_upload_over;   /* the owner has given everything */
    bool is_write_broken;  /* the server does not read any more; a reply may still be on its way */
    bool is_held;          /* exchange_send() said false */
    bool expects_continue; /* and the server has not said it yet */

    /* the way down */
    enum method method;
    struct buf partial; /* a head that is still arriving; bytes behind a 101 */
    size_t scanned;
    struct str extra; /* bytes behind a 101 */
    struct body_in body;
    unsigned interims;
    bool wants_upgrade;
    bool has_answered;
    bool is_head_done;
    bool is_chunked;
    bool is_keep_alive;
    bool is_paused;
    bool has_short_read; /* the last read brought something, but less than there was room for */
    bool was_read_full;  /* the last read filled the buffer: the socket may hold more */
};

struct exchange *exchange_from(void *arg);
void exchange_free(struct exchange *exchange); /* a spare one */

/* A function that raises events runs between these two. */
void exchange_hold(struct exchange *exchange);
void exchange_drop(struct exchange *exchange);

/* Over: the connection is kept for the next exchange or closed. Raises no event. */
void exchange_finish(struct exchange *exchange, bool is_kept);
/* Over, with on_failed. Only from the loop's callbacks. */
void exchange_fail(struct exchange *exchange, int err);
/* The same at the end of this turn, for what goes wrong within the owner's calls. */
void exchange_fail_later(struct exchange *exchange, int err);
/* Sets or cancels the timer for what is now waited for. Called after any progress. */
void exchange_arm(struct exchange *exchange);

/* request.c */
void request_begin(struct exchange *exchange, const struct exchange_request *request);
void request_push(struct exchange *exchange); /* what is pending; raises on_drained */
void request_on_writable(void *arg);
/* Nothing is left to be sent. */
bool request_is_sent(const struct exchange *exchange);

/* reply.c */
void reply_on_readable(void *arg);

#endif
