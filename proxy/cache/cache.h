/* Answers we already know: this is the door of cache/.
 *
 * The room knows stored replies, what selects them, who is fetching one right now, and what must go when
 * memory runs out. It refuses to know HTTP's rules (callers ask http/caching whether something may be
 * stored or used), sockets, servers and plugins. Shared by all workers: an index in shards, each with a lock
 * that is held for a look-up, not for a copy. A hit takes that lock, a reference, and nothing else.
 *
 * Selection has two levels. The primary key (tenant, scheme, authority, exact target: the bytes themselves,
 * compared, not only hashed) finds an entry; below it version, upstream, method class, credential and Vary
 * select one of at most VARIANTS_MAX objects. Invalidation and purge take the whole primary key.
 *
 * Memory: everything stored, metadata and allocator overhead included, counts against one budget; so do
 * objects that were evicted and are still being read. Eviction is S3-FIFO (Yang et al., SOSP 2023): a small
 * queue that one-hit wonders fall out of, a main queue, and a ghost of hashes; a hot object's counter is
 * written only below its cap of 3. */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/key.h"
#include "cache/object.h"
#include "http/message.h"

#define VARIANTS_MAX 32
#define VARY_KEY_MAX 2048 /* room for vary_key(); a longer one is not stored and never found */

struct cache;

struct cache_options {
    uint64_t memory_bytes; /* the budget */
    uint64_t object_max_bytes;
    unsigned shards; /* power of two; 0: a default */
    /* cache_new: monotonic ns; 0: long ago. What was invalidated before is not known: a reply that may be
     * older than this is not taken in. */
    int64_t began_ns;
};

struct cache *cache_new(const struct cache_options *options);
int64_t cache_began_ns(const struct cache *cache); /* as in the options */
void cache_free(struct cache *cache);              /* no flights left, no readers of growing objects */
/* A reload. Shrinking evicts at once. */
void cache_set(struct cache *cache, const struct cache_options *options);

/* What of the budget a tenant may call its own, 0 to 1; all together may be more or less than 1. What others
 * leave idle may be borrowed; within its share nobody loses anything to one who is over his. Copied; a reload
 * calls it again. Until then all of it is everyone's. */
struct cache_share {
    struct str tenant;
    double share;
};
void cache_set_shares(struct cache *cache, double fallback_share, const struct cache_share *rows,
                      unsigned count);

uint64_t cache_object_max(const struct cache *cache);
/* The budget is spent on what cannot be evicted (it grows or is being read): a fetch that stores should go on
 * as a window, as if it were over object_max. */
bool cache_is_full(const struct cache *cache);

/* --- looking --- */

struct cache_found {
    /* A reference for the caller, or NULL. It may be stale, may be growing: the caller judges. */
    struct object *object;
    bool is_uncacheable; /* the key is remembered as not worth a flight: fetch past the cache */
    bool has_variants;   /* something has that primary key, but nothing is what this request selects */
    bool is_hot;         /* object was looked for often of late: worth renewing before it goes stale */
};

/* Finds what is stored for key and request (for Vary). Of several matching variants the newest. */
void cache_find(struct cache *cache, const struct key *key, const struct message *request, int64_t now_ms,
                struct cache_found *out);

/* --- one fetch per key --- */

/* Who waits for somebody else's fetch. Embedded in a request. */
struct flight_waiter {
    struct list link;
    struct flight *flight;
    struct shard *shard; /* whose lock guards this */
    uint8_t state;
    enum flight_news {
        FLIGHT_LANDED,    /* look again: something was fetched and stored */
        FLIGHT_KNOWN,     /* look again: it was known after all, nobody asked for it */
        FLIGHT_SCATTERED, /* the answer was no one else's: fetch for yourself, past the cache's flights */
        FLIGHT_YOURS,     /* the leader left without an answer: you lead now (flight is set) */
        FLIGHT_FAILED,    /* the fetch failed for all: err says why */
    } news;
    int err;
    /* Called once, on any thread, with no lock held: it must only post. news and err are set. */
    void (*on_news)(struct flight_waiter *waiter);
};

enum flight_role {
    FLIGHT_LEAD,  /* fetch it; end with exactly one of flight_land, _scatter, _fail, _abandon */
    FLIGHT_WAIT,  /* on_news will be called, unless flight_quit() comes first */
    FLIGHT_AGAIN, /* something new was stored since you looked: look again */
    FLIGHT_NONE,  /* out of memory: fetch for yourself. From flight_lead() also: somebody else does already */
};

struct flight;

/* Joins or opens the flight of key. seen is what cache_find() returned (NULL if nothing): a stored object
 * other than that means FLIGHT_AGAIN. */
enum flight_role flight_join(struct cache *cache, const struct key *key, const struct message *request,
                             const struct object *seen, struct flight_waiter *waiter,
                             struct flight **out_flight);

/* The same for who would not wait (renewing in the background): never FLIGHT_WAIT. */
enum flight_role flight_lead(struct cache *cache, const struct key *key, const struct message *request,
                             const struct object *seen, struct flight **out_flight);

/* Everyone looks again. */
void flight_land(struct flight *flight);
void flight_known(struct flight *flight);
/* Everyone fetches for himself; with remember_ms > 0 the key is remembered as uncacheable for so long. */
void flight_scatter(struct flight *flight, int64_t now_ms, int64_t remember_ms);
/* Everyone gets err. */
void flight_fail(struct flight *flight, int err);
/* The leader leaves: a waiter is promoted. Without one the flight ends. */
void flight_abandon(struct flight *flight);
/* Stops waiting. True: on_news will not be called (also when it never waited). False: it was, is being or is
 * about to be called, exactly once: the waiter must stay in memory until it was; if its news is FLIGHT_YOURS,
 * abandon the flight then. */
bool flight_quit(struct flight_waiter *waiter);
/* How many wait now; any thread. */
unsigned flight_waiting(const struct flight *flight);

/* --- storing --- */

/* Puts a growing (or sealed) object into the index, replacing what selects the same. Takes a reference of its
 * own. False when it was not admitted (over object_max, no memory, invalidated since fetch_started_ns): it
 * may still be read by who holds it, nobody else will find it. */
bool cache_insert(struct cache *cache, const struct key *key, struct object *object,
                  int64_t fetch_started_ns);

/* A stored reply was validated (304) and got fresher metadata: replaces old by fresh, which shares old's
 * body. False, and nothing changed, when old is not stored any more, no memory, or one of them was purged
 * since fetch_started_ns. */
bool cache_renew(struct cache *cache, const struct key *key, struct object *old, struct object *fresh,
                 int64_t fetch_started_ns);
/* The same for who knows no time: a soft purge in between is not seen, a hard one is. */
bool cache_refresh(struct cache *cache, const struct key *key, struct object *old, struct object *fresh);

/* Takes an object out of the index (broken, over object_max). Readers keep what they hold. */
void cache_remove(struct cache *cache, struct object *object);

/* An unsafe request succeeded (RFC 9111 4.4): all variants of the primary key go, and fetches that began
 * before now do not come in. Times here and in fetch_started_ns are monotonic: finer than any request, never
 * set back. Returns how many objects went. */
uint64_t cache_invalidate(struct cache *cache, const struct key *key, int64_t now_ns);

/* --- purging --- */

#define CACHE_TAGS_MAX      64 /* of one object; with more, or a longer one, it is not stored: it could not be */
#define CACHE_TAG_BYTES_MAX 256 /* purged by them all */

enum purge_kind {
    PURGE_URL,
    PURGE_PREFIX,
    PURGE_TAG,
    PURGE_TENANT,
    PURGE_ALL,
};

struct cache_purge {
    enum purge_kind kind;
    struct str tenant;     /* PREFIX, TAG, ALL: data NULL for every tenant. URL: the key says it */
    const struct key *key; /* URL: its primary key, all that is selected below it */
    /* TAG: the tag. PREFIX: "/path" of any origin, or "scheme://authority/path", of which what is before the
     * path is compared as a whole and without case, and the path byte by byte: "/a" is a prefix of "/ab". */
    struct str what;
    bool is_soft; /* they stay, stale from now on */
};

/* Returns how many objects that could be found are gone; soft: how many became stale by it. What a fetch
 * brings that began before now_ns does not come in, soft or not: it would come in fresh (see
 * cache_invalidate()).
 *
 * Nothing is remembered but times, so a purge costs the same after a million others: a tenant and all O(1), a
 * URL O(variants), a tag O(its objects + shards), a prefix and a soft purge of a tenant or of all a walk over
 * everything. Whatever takes long holds no lock for more than some 50 us. Any thread. */
uint64_t cache_purge(struct cache *cache, const struct cache_purge *purge, int64_t now_ns,
                     int64_t now_wall_ms);

uint64_t cache_purge_tenant(struct cache *cache, struct str tenant, int64_t now_ns);
uint64_t cache_purge_all(struct cache *cache, int64_t now_ns);

/* Walks over everything, in small bites, and returns in how many places the index and the tags do not agree
 * with the objects: 0, or a bug. Any thread. */
uint64_t cache_verify(struct cache *cache);

struct cache_stats {
    uint64_t bytes;
    uint64_t objects;
    uint64_t stored;
    uint64_t evicted;
    uint64_t purged;  /* gone; what was made stale first counts here when it goes */
    uint64_t expired; /* became stale by a soft purge */
    uint64_t invalidated;
    uint64_t refused; /* not admitted */
};

void cache_stats_read(struct cache *cache, struct cache_stats *out); /* any thread */

#endif
