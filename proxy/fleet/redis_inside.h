/* Between the files of redis*.c only: what one connection is made of, and who decides about it.
 *
 *     redis_reply.c    bytes -> struct redis_reply, within a bound (over hiredis' reader)
 *     redis_link.c     one connection: dials once, sends and receives in order, lives once
 *     redis_cluster.c  which connection an ask belongs to, and where a redirection sends it
 *     redis_greet.c    what is said first on each connection, and what the answers mean
 *     redis.c          asks and deadlines, connecting again */
#ifndef FLEET_REDIS_INSIDE_H
#define FLEET_REDIS_INSIDE_H

#include <hiredis/hiredis.h>

#include "base/arena.h"
#include "base/list.h"
#include "fleet/redis.h"
#include "net/dial.h"
#include "net/exact.h"
#include "net/loop.h"
#include "net/stream.h"

#define REDIS_CONNECT_MS 1000 /* from dialling to the last answer of the greeting */
#define REDIS_SILENCE_MS 2000 /* with something in flight */
#define REDIS_NODES_MAX  64   /* of a Cluster, connected at the same time */
#define REDIS_SLOTS      16384
#define REDIS_NO_SLOT    UINT16_MAX
#define REDIS_REDIRECTS  3

/* --- redis_reply.c --- */

struct reply_maker {
    redisReader *reader;
    struct arena arena; /* of the reply that is being made */
    struct redis_reply root;
    size_t bytes_max;
    size_t charged; /* of it, for strings and elements */
    size_t fed;     /* bytes that came since the last whole reply */
    char first[2048];
};

bool reply_maker_init(struct reply_maker *maker, size_t bytes_max); /* false: out of memory */
void reply_maker_fini(struct reply_maker *maker);
/* False: over the bound, or out of memory. */
bool reply_maker_feed(struct reply_maker *maker, const char *data, size_t len);
/* 1 and a reply, which lives until the next call; 0: more bytes are needed; -1: this is no RESP, or over the
 * bound. */
int reply_maker_next(struct reply_maker *maker, const struct redis_reply **out);

/* --- redis_link.c --- */

enum ask_kind {
    ASK_USER,
    ASK_AUTH,
    ASK_SELECT,
    ASK_HELLO,  /* PING, or ROLE of what should be a master */
    ASK_MASTER, /* of a Sentinel */
    ASK_SUBSCRIBE,
    ASK_QUIET, /* its answer does not matter: PING, ASKING */
};

/* One command on its way. Owner: its link's list, in the order of sending. */
struct ask {
    struct list link;
    struct list due; /* in redis->due while somebody waits */
    struct redis *redis;
    struct redis_link *on; /* whose list it is in */
    enum ask_kind kind;
    uint8_t redirects;
    uint16_t slot;
    redis_reply_fn *fn; /* NULL: nobody waits (any more) */
    void *arg;
    int64_t deadline_ns;
    int64_t begun_ns;
    char *bytes; /* kept until the answer is here, for a redirection; NULL: sent, and nobody waits */
    size_t len;
};

enum link_role {
    LINK_MAIN,
    LINK_NODE, /* of a Cluster */
    LINK_SENTINEL,
};

struct redis_link {
    struct redis *redis;
    enum link_role role;
    struct addr addr;
    struct dial *dial;
    struct stream *stream;
    bool is_subscribed;
    bool is_reading; /* on the stack: what it reads from is freed when that returns */
    bool is_dead;
    struct list asks;
    struct list *unsent; /* the first that is not sent whole, &asks: none */
    size_t sent;         /* bytes of it */
    int64_t heard_ns;
    struct later flush;
    struct timer timer; /* until it is greeted: the end of patience; then looks for silence */
    struct reply_maker maker;
};

/* Starts to dial; redis_lost_link() may come at the earliest in the next turn. NULL when out of memory. */
struct redis_link *redis_link_new(struct redis *redis, enum link_role role, const struct addr *addr,
                                  struct endpoint *endpoint);
void redis_link_push(struct redis_link *link, struct ask *ask);
/* Greetings are over: from now on silence is measured instead. */
void redis_link_greeted(struct redis_link *link);
/* Nobody waits for this ask any more (fn is NULL): forgets it, or what of it is not needed. */
void redis_link_drop(struct redis_link *link, struct ask *ask);
/* Closes for good and hands the asks over to out. It must not be used after this. */
void redis_link_close(struct redis_link *link, struct list *out);

/* --- redis.c --- */

struct redis {
    struct loop *loop;
    struct redis_url url;
    size_t reply_bytes_max;
    const struct redis_events *events;
    void *arg;
    bool is_up;
    bool is_freed;
    char why[96];

    struct redis_link *main; /* to the server, or to a Sentinel that is asked for it */
    struct endpoint *endpoints[REDIS_ADDRS_MAX];
    unsigned turn;   /* which of the url's addresses is next */
    bool has_master; /* a Sentinel said: */
    struct addr master;
    bool has_told_sentinel; /* the password, after it wanted one */
    struct timer retry;
    unsigned failures; /* in a row */
    int64_t up_ns;

    struct list due; /* of struct ask */
    struct exact *alarm;
    int64_t alarm_ns; /* what it is set to; 0: not */
    unsigned ask_count;
    size_t ask_bytes;

    struct redis_link *nodes[REDIS_NODES_MAX];
    uint8_t *slots; /* 0: not known, else 1 + the node; NULL: no Cluster so far */

    char *channel; /* NULL: no subscriber */
    size_t channel_len;
    redis_message_fn *on_message;
    void *on_message_arg;
};

/* NULL when out of memory or over the bounds. */
struct ask *redis_ask_new(struct redis *redis, enum ask_kind kind, int argc, const char **argv,
                          const size_t *lens);
/* Tells who waits, and frees. */
void redis_ask_end(struct ask *ask, enum redis_end end, const struct redis_reply *reply);
void redis_is_ready(struct redis *redis);
/* A Sentinel's link has served. */
void redis_go_to_master(struct redis_link *link, const struct addr *master);
/* The connection failed, or has to end: closes it, tells everybody, and connects again if that is due. */
void redis_lose_link(struct redis_link *link, const char *why);

/* --- redis_greet.c --- */

/* Says hello; what was pushed before goes behind it. */
void redis_greet(struct redis_link *link);
/* An answer came; ask is in no list any more, and this one's. */
void redis_on_reply(struct redis_link *link, struct ask *ask, const struct redis_reply *reply);
/* Something that was not asked for. */
void redis_on_push(struct redis_link *link, const struct redis_reply *reply);

/* --- redis_cluster.c --- */

uint16_t redis_slot(int argc, const char **argv, const size_t *lens);
struct redis_link *redis_link_for(struct redis *redis, uint16_t slot);
/* True if the reply was a redirection that is being followed: then ask is on its way again. */
bool redis_redirect(struct redis_link *link, struct ask *ask, const struct redis_reply *reply);
void redis_forget_node(struct redis_link *link);

#endif
