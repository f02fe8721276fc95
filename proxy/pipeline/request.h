/* The traveller of the first corridor: one request of one client, whatever protocol brought it.
 *
 * Owner: its carrier (client.c) until it is recorded; a fetch or a message on its way may hold it longer. One
 * worker's thread. Memory: the head and everything decided about it live in the request's arena, which has a
 * limit and goes with it. Between two requests a client owns none. */
#ifndef PIPELINE_REQUEST_H
#define PIPELINE_REQUEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "cache/cache.h"
#include "http/body_in.h"
#include "http/caching.h"
#include "http/message.h"
#include "http/writer.h"
#include "net/loop.h"
#include "observe/series.h"
#include "pipeline/lane.h"
#include "pipeline/share.h"
#include "pipeline/stage.h"
#include "policy/bucket.h"

#define REQUEST_TAG         0x52455155u
#define REQUEST_FIRST_BYTES 3072
#define REQUEST_ARENA_LIMIT (256 * 1024)
#define REQUEST_ID_MAX      64

struct client;
struct plugin;
struct fetch;

enum {
    WRITE_COPY = 1, /* keep what the socket does not take; else the caller brings it again */
    WRITE_LAST = 2, /* the body ends with these pieces */
};

/* How the client is spoken to: HTTP/1 (client.c); HTTP/2 streams will be another. Heads are handed over as
 * text, status line and field lines; framing and connection fields are the carrier's. */
struct carrier {
    /* An interim reply (103), or 100 Continue with an empty head. */
    void (*interim)(struct request *req, struct str head);
    /* The reply's head: status line and field lines in the lane's batch, to which the carrier adds. length
     * -1: not known, -2: there is no body. It goes out with the next write(), which must follow before this
     * turn's callback ends. */
    void (*begin)(struct request *req, struct writer *head, int64_t length);
    /* Body pieces; returns how many of their bytes were taken, -1 if the client is gone. flags: WRITE_*. */
    int64_t (*write)(struct request *req, const struct iovec *pieces, int count, unsigned flags);
    /* Forgets a head that was not written yet: another answer follows. */
    void (*unbegin)(struct request *req);
    /* A head is waiting for a write. */
    bool (*needs_write)(const struct request *req);
    /* The socket took less than it was given: request_writable() will come. */
    bool (*is_blocked)(const struct request *req);
    /* Bytes taken but not yet written. */
    size_t (*held)(const struct request *req);
    /* The reply broke off after its head went out: the client must see that. */
    void (*cut)(struct request *req, int err);
    /* The upload: start or go on reading it (request_upload() gets the pieces), or stop. */
    void (*want_upload)(struct request *req, bool is_wanted);
    /* The client's connection becomes a tunnel with that server. */
    void (*tunnel)(struct request *req, struct stream *server, struct str extra);
    /* Recorded: the carrier may forget the request and go on. */
    void (*done)(struct request *req);
};

enum answer_kind {
    ANSWERS_NOTHING,
    ANSWERS_PROBLEM, /* err says which */
    ANSWERS_OBJECT,  /* reader is open */
    ANSWERS_RELAY,   /* fetch is ours alone and its exchange is the source */
    ANSWERS_TUNNEL,
};

/* What Cache-Status will say (RFC 9211). */
enum forwarded_why {
    FWD_NONE,
    FWD_BYPASS,
    FWD_METHOD,
    FWD_URI_MISS,
    FWD_VARY_MISS,
    FWD_REQUEST,
    FWD_STALE,
    FWD_PARTIAL
};

/* A request that no client waits for, and why it was made (errand.c). */
enum errand {
    ERRAND_NONE,       /* a client's */
    ERRAND_REVALIDATE, /* what was answered with is stale (RFC 5861 3) */
    ERRAND_REFRESH,    /* what is hot and still fresh will be stale soon */
    ERRAND_CHECK,      /* would the app answer the same? (sentinel.c) */
};

#define REPLY_FIELDS_MAX  8
#define REPLY_FIELD_BYTES 4096

struct reply_field {
    struct str name;
    struct str value;
    uint8_t plugin; /* its index in the supply */
    uint8_t hook;   /* enum plugin_hook */
    struct reply_field *next;
};

struct request {
    uint32_t tag;
    unsigned holds; /* carrier, fetch, messages on their way */
    struct lane *lane;
    struct list link; /* of the free list */
    const struct carrier *carrier;
    struct client *client; /* NULL: gone, or never existed */

    struct lane_world *here;
    struct world *world;
    enum request_stage stage;
    const char *wait_why; /* whom it waits for now; NULL: it moves */
    request_cancel_fn *cancel;
    bool is_moving;   /* pipeline.c has it on its stack */
    bool has_resumed; /* ... and was told `resumed` meanwhile */
    enum verdict resumed;
    bool is_abandoned; /* the client left */
    bool is_recorded;

    /* who and what (identify, route, admit) */
    struct lane_tenant *tenant; /* NULL until identified */
    struct edition *edition;
    struct way *way;
    struct supply *supply;
    struct str path;       /* after tenant and version prefixes */
    struct str target_out; /* as the app sees it: prefixes taken off where the config says strip */
    struct str head_text;  /* its head as it came */
    struct str peer_text;  /* an errand's: the address of the client it was made after; data NULL: none */
    uint8_t errand;        /* enum errand */
    struct errand_check *check;  /* ERRAND_CHECK's */
    const struct server *pinned; /* ... which asks that server; NULL: any */
    bool is_peer_trusted;
    bool is_https;
    bool is_canary;
    struct str authority;  /* normalised */
    struct str own_cookie; /* weir's own cookies' values, joined by "~", taken off Cookie; data NULL: none */
    struct str host_out;   /* Host as it came, and as the app gets it */
    struct bucket_answer rate;
    bool has_rate; /* a rate applied: RateLimit fields are due */
    char id[REQUEST_ID_MAX];
    uint8_t id_len;

    /* plugins */
    bool is_write;
    bool bypasses_cache;
    int64_t not_before_ms;
    int64_t keep_body_bytes; /* a plugin wants to see so much of a body whole; 0: none does */
    struct str position;
    void *plugin_values[PLUGINS_MAX];
    uint32_t letters; /* that its fields' names begin with: plugin_may_find() */
    struct str token;
    int64_t token_age_s;
    bool token_is_of_write;
    const struct plugin *token_from;  /* who said it */
    bool is_told;                     /* plugins know that it was given up */
    bool is_once;                     /* what a server may have got is not sent again */
    struct reply_field *reply_fields; /* what plugins add for this client, in their order */
    unsigned reply_field_count;

    /* cache (lookup) */
    struct key key; /* primary.data NULL: the request has none */
    struct cache_request asks;
    bool may_use_store;             /* a stored answer may be used */
    bool may_store;                 /* its answer may be stored */
    bool may_use_ttl;               /* the route's ttl holds for it */
    bool may_guess;                 /* so does a freshness that was guessed (RFC 9111 4.2.2) */
    bool completes_part;            /* the app is asked for what is missing of `partial` */
    bool is_ageing;                 /* what it was answered with will be stale soon */
    bool takes_whole_part;          /* it gets the part that the app sent, whatever it asked for */
    bool asks_part;                 /* one range, which goes to the app as it is: a part may be stored */
    bool is_solo;                   /* neither leads a flight nor waits for one */
    bool is_validating;             /* the app is asked with the validators of `stale` */
    bool is_tier_asked;             /* the second tier was */
    struct tier_question *question; /* ... and has not answered yet */
    enum forwarded_why forwarded;
    int forwarded_status;     /* what the app answered, where the client gets something else; 0: the same */
    const char *cache_detail; /* static; NULL: none */
    bool is_collapsed;
    bool is_missed; /* counted as one */
    bool is_stored;
    bool is_revalidated;
    struct object *stale;   /* a reference: what may be renewed, or stand in for an error */
    struct object *partial; /* a reference: the part that is stored, to be completed; has `part_key` */
    struct key part_key;    /* where parts of the target are; primary.data NULL: not made */
    struct str kept_out;    /* field lines of the app's answer that only its own asker gets */
    struct flight *flight;  /* we lead it, and no fetch was started yet */
    struct flight_waiter waiter;
    bool is_flying;  /* the waiter is in a flight */
    unsigned rounds; /* of lookup */

    /* fetch */
    const struct server *server; /* the last that was asked */
    struct str why_chosen;       /* ... and a plugin's word for that; may be empty */
    unsigned attempts;
    struct fetch *fetch;   /* the one whose end we wait for or whose exchange we relay */
    struct buf upload_buf; /* body bytes kept: all of them if is_upload_kept */
    bool has_upload;       /* the head announced a body */
    bool is_upload_over;   /* it came whole */
    bool is_upload_kept;   /* all of it is in upload_buf */
    bool is_upload_broken;
    struct body_in upload_end; /* its trailers, if it came whole and had any */
    bool wants_continue;       /* Expect: 100-continue, not answered yet */

    /* answer */
    enum answer_kind answer;
    int err;
    struct object_reader reader;
    uint64_t skip_bytes; /* of the object, for a range */
    uint64_t left_bytes; /* of the object to send; UINT64_MAX: all */
    int status;
    const struct body_in *trailers; /* to be written with WRITE_LAST; may be NULL */
    bool has_begun;                 /* the reply's head was handed to the carrier */
    bool is_answered;               /* all of the reply was taken */
    bool is_written;                /* ... and written */
    bool is_cut;
    uint64_t body_bytes; /* of the reply */
    enum outcome outcome;
    int64_t retry_after_s;

    /* what the corridor's boundaries said, monotonic; 0: not reached */
    int64_t started_ns; /* first byte */
    int64_t head_ns;    /* whole head */
    int64_t admitted_ns;
    int64_t looked_ns;
    int64_t fetched_ns; /* an answer's head is there */
    int64_t begun_ns;
    int64_t written_ns;
    int64_t waited_flight_ns;
    int64_t app_ns;                /* time that was the app's, for weir_overhead_seconds */
    int64_t stage_ns[STAGE_COUNT]; /* -1: not met */

    struct timer total; /* timeouts.total */
    struct post post;   /* on_news, on_more */
    bool is_posted;

    /* Big and not zeroed. */
    struct arena arena;
    struct message msg;
    char arena_first[REQUEST_FIRST_BYTES];
};

/* From the lane's free list; one hold, the carrier's. head is copied. NULL when out of memory. The head is
 * not read yet. */
struct request *request_new(struct lane *lane, const struct carrier *carrier, struct client *client,
                            struct str head);
void request_hold(struct request *req);
void request_drop(struct request *req);

static inline struct request *request_from(void *arg)
{
    struct request *req = arg;
    CHECK(req != NULL);
    CHECK(req->tag == REQUEST_TAG);
    return req;
}

/* A piece of its body came (view for the call); is_last: and it is the last, body then has its trailers,
 * which may be taken. The carrier's calls. */
void request_upload(struct request *req, struct str piece, bool is_last, struct body_in *body);
/* The body broke off or was malformed. */
void request_upload_failed(struct request *req, int err);
/* The carrier can take more, or has written all that it held. */
void request_writable(struct request *req);

/* Whom its answers may be shared with is decided by this (share.h). */
struct asker request_asker(const struct request *req);

/* The timeouts that hold: the route's, where it says, else the upstream's. */
struct config_timeouts request_timeouts(const struct request *req);

/* A body of so many bytes is read whole before a server is taken for it. */
size_t request_body_room(const struct request *req);

/* May its connection become a tunnel (WebSocket)? */
bool request_may_upgrade(const struct request *req);

void request_stage_took(struct request *req, enum stage_time stage, int64_t ns);

#endif
