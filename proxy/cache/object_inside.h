/* What an object is made of: for the files of this room only.
 *
 * One allocation holds the object, its meta, the bytes they view and a short body of known length, since
 * at a million small objects every pointer counts. What only a growing object needs (who waits, who
 * reads) is apart in `growth` and goes when it is sealed. Fields marked `shard` are guarded by the
 * lock of the shard that the object's hash picks, those of `growth` by the object's own (object.c). */
#ifndef CACHE_OBJECT_INSIDE_H
#define CACHE_OBJECT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/object.h"

#define INLINE_MAX      4096  /* a longer body is in pieces */
#define PIECE_MAX       65536 /* bytes of the largest piece */
#define OBJECT_MARKER   3     /* a fourth state: it only says that its key is uncacheable */
#define MALLOC_OVERHEAD 16    /* a chunk's head, and what it is rounded up to */

struct account;
struct growth;

enum where {
    WHERE_NONE,
    WHERE_SMALL,
    WHERE_MAIN
};

struct object_piece {
    struct object_piece *next; /* a reference; written before the object's size is past this piece */
    _Atomic uint32_t refs;
    uint32_t size;
    uint32_t fill; /* the writer's */
    char bytes[];
};

struct object {
    _Atomic uint32_t refs;
    uint32_t generation; /* shard: its tenant's when it came in */
    uint16_t primary_len;
    uint16_t selector_len;
    uint32_t hash;
    uint32_t weight; /* shard: what its queue counts for it, in 16 bytes */
    _Atomic uint8_t state;
    _Atomic uint8_t is_window;
    uint8_t freq;           /* shard: uses since it was last looked at, at most FREQ_MAX */
    uint8_t where;          /* shard: enum where */
    struct account *tenant; /* who pays; NULL: nobody */
    _Atomic uint64_t size;  /* bytes published; a marker's: when it ends */
    union {
        struct object_piece
            *first; /* once sealed and no window: a reference, NULL if the body is inline or empty */
        struct growth *growth; /* else */
    };
    struct list link; /* shard: in its queue */
};

_Static_assert(sizeof(struct object) == 64, "a million of them: think before you add");

static inline struct object_meta *object_meta_of(const struct object *object)
{
    return (struct object_meta *)(void *)(object + 1);
}

static inline bool object_is_marker(const struct object *object)
{
    return atomic_load_explicit(&object->state, memory_order_relaxed) == OBJECT_MARKER;
}

static inline struct str object_primary(const struct object *object)
{
    const char *bytes = (const char *)(object + 1);
    if (!object_is_marker(object))
        bytes += sizeof(struct object_meta);
    return str_n(bytes, object->primary_len);
}

static inline struct str object_selector(const struct object *object)
{
    struct str primary = object_primary(object);
    return str_n(primary.data + primary.len, object->selector_len);
}

/* The 32 bits of a key's hash that an object keeps: shard, slot and tag all come from them. */
static inline uint32_t hash_fold(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 32);
}

/* What only a growing object, a window or a broken one needs. Guarded by object_lock(), but for what is the
 * writer's. */
struct growth {
    struct object_piece *first; /* a reference, until it becomes a window */
    struct object_piece *last;  /* the writer's reference; NULL once it is done */
    struct object_piece *front; /* the first piece, alive as long as `unstarted` readers hold it */
    struct list waiting;        /* of struct object_reader */
    uint32_t round;             /* of waking: a reader of an earlier round is not in `waiting` any more */
    unsigned readers;
    unsigned unstarted; /* readers without a piece; each holds a reference on the first, present or to come */
    int err;
    int64_t
        held; /* bytes in pieces that are alive; below 0 while the writer frees what it has not published */
    int64_t on_held_bytes;
    void (*on_held)(void *arg); /* NULL: nobody asks */
    void *on_held_arg;
};

/* One of a few locks, by address: a mutex in each of a million objects would be memory for nothing. */
pthread_mutex_t *object_lock(const struct object *object);

/* NULL once sealed, unless it is a window. Under object_lock(), or in the writer. */
struct growth *object_growth(const struct object *object);

/* Where an inline body is, NULL if it is in pieces. */
char *object_inline_body(const struct object *object);

/* Lets go of a reference on a piece and, one after the other, of all that nothing else holds. Returns the
 * bytes that went. */
uint64_t pieces_release(struct account *tenant, struct object_piece *piece);
/* The same while the object grows: its held bytes fall, and who waits for that is told. Under no lock. */
void object_release_piece(struct object *object, struct object_piece *piece);

/* Who is to be told that held bytes fell, or NULL: under object_lock(); then call it without. */
struct held_news {
    void (*fn)(void *arg);
    void *arg;
};
struct held_news growth_held_news(struct growth *growth);

/* Remembers until that time that key is not worth a flight. NULL when out of memory. */
struct object *object_new_marker(struct cache *cache, const struct key *key, int64_t until_ms);

#endif
