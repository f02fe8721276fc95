/* A stored reply: its head as it is sent, its ageing, its body in pieces.
 *
 * Shared by reference. While it grows one thread (the fetch's) appends; anybody reads at the same
 * time, without locks: pieces are a chain, each published with release order and holding the next one, so
 * that a reader who holds a piece holds all that follows. Once sealed it is immutable. Over
 * object_max it becomes a window: it is out of the index, the object lets go of its front, and
 * pieces die behind the slowest reader. */
#ifndef CACHE_OBJECT_H
#define CACHE_OBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/str.h"
#include "cache/key.h"

struct object;
struct cache;

/* What is known about a reply besides its body. Durations of more than 24 days are kept in seconds, and -1
 * for one that is negative. Strings but head are at most 64 KiB. */
struct object_meta {
    int status;
    bool must_revalidate;
    bool always_revalidate;
    bool allows_authorization;
    bool is_by_ttl; /* a route's ttl gave it its freshness */
    /* "HTTP/1.1 200 OK\r\n" and its stored field lines, each with CRLF; no final empty line, no framing, none
     * of what is made anew on each use (Age, Via, Cache-Status, Connection, X-Request-Id). */
    struct str head;
    struct str etag;          /* data NULL: none */
    struct str last_modified; /* data NULL: none */
    struct str vary;          /* canonical list (http/caching vary_read), "" for none */
    struct str vary_key;      /* vary_key() of the request it was fetched for */
    int64_t stored_wall_ms;   /* when its head arrived (or it was validated) */
    int64_t fetched_wall_ms;  /* when its request was sent: what it may know about writes */
    int64_t lifetime_ms;      /* as it was when stored: object_lifetime_ms() is what holds now */
    int64_t initial_age_ms;
    int64_t stale_while_revalidate_ms; /* RFC 5861; -1: not said */
    int64_t stale_if_error_ms;         /* -1: not said */
    bool is_guessed;                   /* RFC 9111 4.2.2: its lifetime is a heuristic */
    bool is_partial;                   /* RFC 9111 3.3: it answers a part of the whole */
    int64_t length;    /* declared body length; -1: not declared (then object_size() knows it, once sealed) */
    struct str domain; /* for read-your-writes: which database, "" if not known */
    struct str position; /* how far the server was that gave it, "" if not known */
    struct str tags;     /* what it may be purged by, each ended by a NUL; "" for none */
};

/* cache: whose budget it counts against; NULL: none (tests). One reference. NULL when out of memory. */
struct object *object_new(struct cache *cache, const struct key *key, const struct object_meta *meta);
struct object *object_ref(struct object *object);
struct object *object_unref(struct object *object); /* any thread; NULL is fine; returns NULL */

/* A new head and age for the same, sealed body (after a 304). NULL when out of memory. */
struct object *object_renew(struct object *old, const struct object_meta *meta);

/* What is kept is packed: at a million small objects it is a tenth of their memory. A view of it is filled
 * where it is asked for, and lives as long as the block around the call; its strings as long as the object.
 */
#define object_meta(object) object_meta_read((object), &(struct object_meta){ 0 })
const struct object_meta *object_meta_read(const struct object *object, struct object_meta *out);

/* --- what changes while it is stored: any thread, no lock --- */

int64_t object_lifetime_ms(const struct object *object);
/* A soft purge: its lifetime ends now, if it has not yet. */
void object_expire(struct object *object, int64_t now_wall_ms);
/* When asking the app for it last failed, in the caller's seconds; 0: never. */
uint32_t object_failed_at(const struct object *object);
void object_set_failed_at(struct object *object, uint32_t seconds);

/* The head of the request it was fetched with, shared by objects for which its bytes are equal (witness.h).
 * Set before anybody else sees the object; takes a reference of its own. A renewed object has its
 * predecessor's until another one is set. NULL: none. */
struct witness;
void object_set_witness(struct object *object, struct witness *witness);
struct witness *object_witness(const struct object *object); /* borrowed: lives as long as the object */

/* --- writing: the fetch's thread --- */

/* Copies bytes to the end. False when out of memory: break it then. */
bool object_append(struct object *object, struct str bytes);
/* The body is complete. With a declared length that is not met this is an error of the caller's (CHECK). */
void object_seal(struct object *object);
/* The body will never be complete: readers see that, and cut their client's connection. */
void object_break(struct object *object, int err);
int object_err(const struct object *object); /* what object_break() was given, else 0 */
/* From now on a window: pieces nobody reads any more are freed. The caller has taken it out of the index.
 * Nothing happens to a sealed one. */
void object_become_window(struct object *object);
/* Bytes that are held in memory now (a window's: between its slowest reader and its end). */
uint64_t object_held_bytes(const struct object *object);
/* Bytes appended so far. */
uint64_t object_size(const struct object *object);
/* Readers now (object_open less object_close) of a growing object, a window or a broken one. A sealed object
 * does not count them: 0. */
unsigned object_readers(const struct object *object);
/* Tells, once, on any thread (this one too, before the call returns), that held bytes are at most that or
 * that no reader is there: it must only post. Memory goes in whole pieces, so less than one (64 KiB) counts
 * as one. A new call replaces the one before; fn NULL takes it back, and returns false if it was called or is
 * being called. */
bool object_on_held(struct object *object, uint64_t held_bytes, void (*fn)(void *arg), void *arg);

enum object_state {
    OBJECT_GROWING,
    OBJECT_SEALED,
    OBJECT_BROKEN
};
enum object_state object_state(const struct object *object);
bool object_is_window(const struct object *object);

/* --- reading: each reader on its own thread --- */

struct object_piece;

/* Embedded in who reads. Holds the object and its place in the chain. */
struct object_reader {
    struct object *object;
    struct object_piece *piece;
    uint32_t used; /* of that piece */
    uint64_t at;   /* bytes read so far */
    struct list link;
    uint32_t round;    /* of waking, when it began to wait */
    bool is_waiting;   /* object_wait() said true; its owner's alone */
    bool holds_pieces; /* it came while the object grew */
    /* Called once after object_wait() said true, on any thread, no lock held: it must only post. */
    void (*on_more)(struct object_reader *reader);
};

/* From the first byte. Takes its own reference. False if the front is gone already (a window). */
bool object_open(struct object *object, struct object_reader *reader);
/* Fine when not open. A wait is cancelled; whoever may have one outstanding calls object_wait_cancel() first,
 * to know whether the reader must stay in memory for an on_more that is on its way (it then finds
 * reader->object NULL). */
void object_close(struct object_reader *reader);

enum object_more {
    OBJECT_BYTES, /* *out_count iovecs are filled */
    OBJECT_NONE,  /* nothing now: object_wait() */
    OBJECT_END,   /* all was read */
    OBJECT_CUT,   /* it broke off */
};

/* Views of what comes next, without moving. */
enum object_more object_peek(struct object_reader *reader, struct iovec *iov, int iov_max, int *out_count);
/* Moves on by n bytes (of what peek showed). */
void object_skip(struct object_reader *reader, uint64_t n);
/* Asks for on_more when there is more, or the end. False: there is already: peek again. Not again before that
 * on_more came. */
bool object_wait(struct object_reader *reader);
/* True: on_more will not be called. False: it was, is being or is about to be called, exactly once per
 * object_wait() that said true: if its post has not come yet, the reader must stay in memory until it does.
 * (False, too, without a wait.) */
bool object_wait_cancel(struct object_reader *reader);

#endif
