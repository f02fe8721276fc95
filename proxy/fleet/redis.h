/* One conversation with Redis: the door of fleet/'s lower half. Tiers (tier.h) and the bus (bus.h) stand on
 * it.
 *
 * A struct redis belongs to one loop and its thread. It connects by itself and again for ever, 50 ms to 2 s
 * apart with jitter; names are looked up by net/'s resolver, so nothing blocks. It speaks RESP2 to a single
 * server, to the master that Sentinels name, or to a Cluster (MOVED and ASK are followed, one connection a
 * node). It refuses to know what is asked and why.
 *
 * hiredis formats what is sent and splits what comes; connections are net/'s streams. hiredis' own
 * asynchronous half is not used: it looks names up while the loop waits, and stops the process (assert) on a
 * reply that nobody asked for. Redis is not trusted: what may arrive for one reply is bounded, and the first
 * byte that is no RESP ends the connection. A reply that does not come at all does so after two seconds. */
#ifndef FLEET_REDIS_H
#define FLEET_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"

struct loop;

/* Of hiredis, "0.14.1". */
const char *redis_library_version(void);

/* --- where it is --- */

#define REDIS_ADDRS_MAX 8

struct redis_url {
    bool is_sentinel;
    unsigned addr_count;
    struct addr addrs[REDIS_ADDRS_MAX]; /* the server (one of them), or the Sentinels */
    char master[64];                    /* what the Sentinels call it; "" without them */
    char user[128];                     /* "": the default user */
    char password[256];                 /* "": none. Never logged */
    int db;
};

/* redis://[[user]:password@]host[:port][/db], unix:///path[?db=N] (or redis+unix:) and
 * redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/db], percent-decoded. On false
 * *why is a sentence that says what is wrong and what is allowed; it never holds a part of the url. Pure. */
bool redis_url_parse(struct str url, struct redis_url *out, const char **why);

/* The url for people: as redis_url_parse() read it, without user and password. NUL-terminated. */
void redis_url_show(const struct redis_url *url, char *out, size_t size);

/* --- connecting --- */

struct redis;

struct redis_events {                            /* each may be NULL */
    void (*on_up)(void *arg);                    /* connected, authenticated, subscribed: ask */
    void (*on_down)(void *arg, const char *why); /* was up; what was in flight has been told before */
    /* Could not come up, for another reason than the last time: "the connection was refused". */
    void (*on_refused)(void *arg, const char *why);
};

struct redis_options {
    size_t reply_bytes_max; /* all of one reply; over it the connection ends. 0: 1 MiB */
};

/* Copies the url. Starts to connect at the end of this turn. events stays the caller's (usually static). NULL
 * when out of memory. */
struct redis *redis_new(struct loop *loop, const struct redis_url *url, const struct redis_options *options,
                        const struct redis_events *events, void *arg);
/* Asks that are in flight end with REDIS_DISCONNECTED during the call, on_down() is not called. May be called
 * from its own callbacks. NULL is fine. */
void redis_free(struct redis *redis);

bool redis_is_up(const struct redis *redis);
/* Why it is not up: the last failure, static or in redis; "" before the first one. For logs and status. */
const char *redis_why(const struct redis *redis);

/* --- asking --- */

#define REDIS_ASKS_MAX       1024
#define REDIS_ASKS_BYTES_MAX (32u << 20)

enum redis_kind {
    REDIS_NIL,
    REDIS_INTEGER,
    REDIS_STRING,
    REDIS_STATUS, /* "OK" */
    REDIS_ERROR,  /* "ERR ...", "OOM ...": the server's own refusal, in str */
    REDIS_ARRAY,
};

/* A view: lives until the callback returns. */
struct redis_reply {
    enum redis_kind kind;
    int64_t integer;
    struct str str; /* STRING, STATUS, ERROR */
    size_t count;   /* ARRAY */
    const struct redis_reply *elements;
};

enum redis_end {
    REDIS_ANSWERED, /* also with an error: look at reply->kind */
    REDIS_TIMEOUT,  /* an answer that comes later is dropped; the server may have done it */
    REDIS_DISCONNECTED,
};

/* reply is NULL unless REDIS_ANSWERED. */
typedef void redis_reply_fn(void *arg, enum redis_end end, const struct redis_reply *reply);

/* Copies the command and calls fn exactly once, never from within this call. False, and fn is never called:
 * not up, REDIS_ASKS_MAX in flight, REDIS_ASKS_BYTES_MAX waiting, out of memory, or a subscribing connection.
 *
 * Commands to one server are done in the order of the calls. A Cluster picks the server by the first argument
 * (the third one's of EVAL and EVALSHA): write several keys of one command with one hash tag, and use EVAL
 * where MULTI would be used, whose commands would not find each other. */
bool redis_ask(struct redis *redis, int64_t timeout_ms, redis_reply_fn *fn, void *arg, int argc,
               const char **argv, const size_t *lens);

/* The same until a time of loop_now_ns(), kept to a millisecond. */
bool redis_ask_until(struct redis *redis, int64_t deadline_ns, redis_reply_fn *fn, void *arg, int argc,
                     const char **argv, const size_t *lens);

/* True if the reply is an error that begins with that word: "OOM", "READONLY". */
bool redis_is_error(const struct redis_reply *reply, const char *word);

/* --- listening --- */

typedef void redis_message_fn(void *arg, struct str payload);

/* Makes this connection a subscriber of one channel, now and whenever it connects; call it right after
 * redis_new(). on_up() comes once the subscription stands: what is published after it is heard, until
 * on_down(). A silent server is noticed within four seconds. channel is copied. False when out of memory. */
bool redis_subscribe(struct redis *redis, struct str channel, redis_message_fn *fn, void *arg);

#endif
