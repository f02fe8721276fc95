/* The traveller of the second corridor: one question to the app.
 *
 * Fetching is not answering. A pass-through fetch belongs to its request and dies with it. A fetch that leads
 * a flight belongs to the flight: its requests are readers, who may leave; it holds the request that began
 * it, for its head, and goes on as long as somebody waits or what it brings is being stored. Permits end with
 * the exchange, never with a slow client. Owner and thread: the worker it began on. */
#ifndef PIPELINE_FETCH_H
#define PIPELINE_FETCH_H

#include "base/list.h"
#include "net/loop.h"
#include "pipeline/request.h"
#include "pipeline/stage.h"
#include "upstream/exchange.h"

#define FETCH_TAG 0x46455443u

struct fetch {
    uint32_t tag;
    struct list link; /* lane->fetches, or the free list */
    struct lane *lane;
    struct request *req;   /* whose head it carries; held */
    bool is_attached;      /* req still wants the answer from this very exchange */
    struct flight *flight; /* NULL: pass-through */
    struct supply *supply;
    enum fetch_stage stage;
    const char *wait_why;
    fetch_cancel_fn *cancel;
    bool is_moving;
    bool has_resumed;
    enum verdict resumed;
    bool is_over;
    unsigned holds; /* messages on their way to it */
    int err;

    /* choose */
    struct server *server;
    bool is_picked; /* a plugin said which server */
    uint64_t tried; /* bits by index */
    unsigned attempts;
    bool is_replayed; /* sent again to the primary: once */
    unsigned roles_forced;
    struct str why_chosen; /* static: a plugin's word; empty: none chose, or it gave none */
    struct timer hold;
    struct list held_link; /* supply->held */
    struct post held_post;
    bool is_held;
    int64_t held_ns;
    bool is_hold_over;
    bool has_waited;      /* it was held since its last attempt */
    bool holds_again;     /* when this hold is over another one may follow */
    int64_t held_sum_ns;  /* by all holds so far */
    uint64_t stood_still; /* bits by index: those that gave no answer in time */

    /* permit */
    struct line_waiter waiter;
    struct timer queue;
    struct post turn_post;
    bool is_in_line;      /* waiting, or its turn is being told */
    bool is_refused;      /* pushed out of the full line; written under its lock */
    bool has_place;       /* inside the line */
    bool has_concurrency; /* counted at its tenant */

    /* forward */
    struct exchange *exchange;
    bool has_reached;   /* some server was connected to: it may have seen the request */
    bool is_stale_race; /* the failure at hand is a kept connection's that its server closed */
    bool must_be_fresh; /* the retry after a stale connection */
    bool is_counted;    /* server_began() was called */
    int64_t began_ns;
    int64_t permit_ns;
    int64_t sent_wall_ms;
    enum server_role role_asked; /* the server's, when it was sent: a failover may come before the reply */
    int64_t head_ns;
    const struct body_in *trailers; /* of the reply, during its last batch */
    const struct message *reply;    /* while its head is being looked at */
    uint64_t stamp;                 /* which purges were known when it was sent (fleet/journal.h) */
    int app_status;                 /* of an error that something stored stands in for; 0: none */
    bool has_head;
    bool has_ended;
    bool is_upload_started;
    bool is_upload_ended;
    struct timer expect; /* a server that does not say 100 */

    /* store */
    struct object *growing; /* a reference; NULL: the exchange's pieces go to req */
    struct key key;         /* points into req's arena */
    int64_t as_of_ms;       /* wall clock: until when the reply knows of writes; 0: until it was asked for */
    struct str position;    /* how far the server was, if a plugin knows */
    bool is_askers_doing;   /* not stored, for a reason that says nothing about the key */
    bool is_outdated;       /* what it brings was purged while it was on its way */
    bool lands_at_flush;    /* req is told at the end of this batch: head and first bytes in one write */
    int64_t expected_bytes; /* of what grows; -1: not known */
    bool is_window;
    bool is_paused;
    struct post held_low_post;
};

static inline struct fetch *fetch_from(void *arg)
{
    struct fetch *fetch = arg;
    CHECK(fetch != NULL);
    CHECK(fetch->tag == FETCH_TAG);
    return fetch;
}

/* Begins at choose. flight may be NULL. The request holds its answer to it until it ends. NULL when out of
 * memory. */
struct fetch *fetch_new(struct request *req, struct flight *flight);

/* Its request left: a pass-through fetch ends, a flight's goes on if somebody else is interested. */
void fetch_detach(struct fetch *fetch);

/* It is given up before a head came: plugins hear of what a server may have begun with (a write that may have
 * happened). status: what the client gets; 0: nothing. */
void fetch_given_up(struct fetch *fetch, int status);

/* It failed before a head could be handed on: whoever waits is told fetch->err. pipeline.c's call. */
void fetch_failed(struct fetch *fetch);

/* Ends it: the exchange is aborted if it is not over, permits are given back. The memory goes when nothing is
 * on its way to it any more. */
void fetch_end(struct fetch *fetch);

/* Who still has a fetch in hand, on the stack or in a message on its way, holds it: its memory goes with the
 * last hold after its end. */
void fetch_hold(struct fetch *fetch);
void fetch_drop(struct fetch *fetch);

/* The client can take more of a relayed reply. */
void fetch_relay_drained(struct fetch *fetch);
/* More of the request's body. */
void fetch_upload(struct fetch *fetch, struct str piece, bool is_last, const struct body_in *trailers);

/* Lets go of the place in the line and the tenant's concurrency. */
void fetch_release(struct fetch *fetch);

/* The exchange with the server is over: counts, frees it. took -1: no head came. */
void fetch_settle(struct fetch *fetch, bool is_failure);

#endif
