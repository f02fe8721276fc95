/* One request with one server, and the connections that are kept between two. Owner: one worker's
 * thread.
 *
 * An exchange takes an idle connection from the pool or dials one, sends the head, takes the request's
 * body in pieces, and reports the reply: interim heads, the head, pieces, the end. Both ways have
 * backpressure. When the reply is complete and both sides agree, the connection goes back to the pool; after
 * anything doubtful it is closed. An idle connection that becomes readable is closed: nothing that arrives
 * late belongs to the next request. */
#ifndef UPSTREAM_EXCHANGE_H
#define UPSTREAM_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/body_in.h"
#include "http/message.h"
#include "upstream/upstream.h"

struct loop;
struct stream;
struct pools;
struct exchange;

/* A worker's connections to all servers, its read buffer, its free exchanges. */
struct pools *pools_new(struct loop *loop, size_t read_bytes, unsigned idle_max_per_server);
void pools_free(struct pools *pools);
/* Closes idle connections to servers that the present world does not know (is_known says). */
void pools_forget(struct pools *pools, bool (*is_known)(const struct server *server, void *arg), void *arg);
unsigned pools_idle(const struct pools *pools);

/* on_interim, on_continue and on_drained may be NULL for who has no use for them. Owners may do anything from
 * within an event, also abort, or start another exchange: the connection is back in the pool before on_end is
 * called. */
struct exchange_events {
    /* 1xx other than 100 and 101. Views live for the call. */
    void (*on_interim)(void *arg, const struct message *interim);
    /* 100: the server wants the body. Once, if expects_continue. */
    void (*on_continue)(void *arg);
    /* The reply's head; views live for the call. For 101 (only if wants_upgrade) exchange_take_stream()
     * follows. */
    void (*on_head)(void *arg, const struct message *reply);
    /* Body bytes, decoded; the view lives until on_flush or on_failed of this same batch returned: gather,
     * then write. */
    void (*on_piece)(void *arg, struct str piece);
    /* The reply is complete and whole. trailers: see body_in_trailer(); NULL if there can be none. The
     * exchange is over after this batch's on_flush. */
    void (*on_end)(void *arg, const struct body_in *trailers);
    /* Whatever one read brought has been reported: write it out now. Always the last call of a batch; also
     * after on_end. */
    void (*on_flush)(void *arg);
    /* ERR_CONNECT_*, ERR_UPSTREAM_*, ERR_FIRST_BYTE_TIMEOUT, ERR_NO_MEMORY. The exchange is over. Never with
     * on_end. Not called from within exchange_start() or exchange_send(). */
    void (*on_failed)(void *arg, int err);
    /* The upload may go on after exchange_send() said false. */
    void (*on_drained)(void *arg);
};

struct exchange_request {
    struct str head; /* complete, with the final empty line; copied if it cannot be sent at once */
    enum method method;
    enum framing upload; /* NONE, LENGTH (of upload_bytes), CHUNKED (the exchange writes the chunks) */
    uint64_t upload_bytes;
    struct str body; /* upload bytes that are there already, sent with the head; is_body_whole: all of it */
    bool is_body_whole;
    bool wants_upgrade;
    bool expects_continue; /* the head has Expect: 100-continue; the body is held back by the caller */
    bool must_be_fresh;    /* never on a connection that was used before (a retry) */
    struct config_timeouts timeouts; /* total_ms is the caller's business */
};

/* on_* never run before it returned. NULL when out of memory. */
struct exchange *exchange_start(struct pools *pools, struct upstream *upstream, struct server *server,
                                const struct exchange_request *request, const struct exchange_events *events,
                                void *arg);

/* More of the request's body. True: go on. False: enough, wait for on_drained (the bytes were taken all the
 * same). After the server answered early or the exchange is over, bytes are dropped. */
bool exchange_send(struct exchange *exchange, struct str bytes);
/* The request's body is complete. trailers NULL: none. */
void exchange_send_end(struct exchange *exchange, const struct body_in *trailers);

/* Stops and continues reading the reply (backpressure). What the read at hand brought is still reported, so
 * on_end may come while paused. */
void exchange_pause(struct exchange *exchange);
void exchange_resume(struct exchange *exchange);

/* Ends it now; the connection is closed unless all was over. No more calls. NULL is fine. A truncated upload
 * is never completed. */
void exchange_abort(struct exchange *exchange);

/* After on_head with 101: the connection and bytes that came behind the head (*out_extra, valid for the
 * caller's callback). Nothing is wanted of the stream then: set its owner, then what is wanted. The exchange
 * is over. */
struct stream *exchange_take_stream(struct exchange *exchange, struct str *out_extra);

/* For the decisions of a retry and the log. */
bool exchange_was_reused(const struct exchange *exchange);    /* on a connection that served another before */
bool exchange_has_answered(const struct exchange *exchange);  /* any byte of a reply came */
bool exchange_has_sent_body(const struct exchange *exchange); /* any byte of the body went out */
int64_t exchange_connected_ns(const struct exchange *exchange); /* monotonic; 0: not yet */
int64_t exchange_head_ns(const struct exchange *exchange);      /* reply head arrived; 0: not yet */
const struct server *exchange_server(const struct exchange *exchange);

#endif
