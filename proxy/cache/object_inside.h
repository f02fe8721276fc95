/* What an object is made of: for the files of this room only.
 *
 * One cell of the store holds the object, its facts, its key, the text that its meta views and a short body
 * of known length, since at a million small objects every pointer counts. What only a growing object needs
 * (who waits, who reads) is apart in `growth` and goes when it is sealed. Fields marked `shard` are guarded
 * by the lock of the shard that the object's hash picks, those of `growth` by the object's own (object.c).
 *
 * An object that nobody but its shard holds may move, under that shard's lock (clean.c). */
#ifndef CACHE_OBJECT_INSIDE_H
#define CACHE_OBJECT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/object.h"
#include "cache/store.h"

#define INLINE_MAX      4096 /* a longer body is in pieces */
#define OBJECT_MARKER   3    /* a fourth state: it only says that its key is uncacheable */
#define MALLOC_OVERHEAD 16   /* a chunk's head, and what it is rounded up to */

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

#define PIECE_MAX ((uint32_t)(CELL_MAX - sizeof(struct object_piece))) /* a block of its own */

struct object {
    _Atomic uint32_t refs;
    uint32_t generation; /* shard: its tenant's when it came in */
    uint32_t hash;
    uint32_t weight; /* shard: what its queue counts for it, in 16 bytes */
    uint16_t primary_len;
    uint16_t selector_len;
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
    struct list link;         /* shard: in its queue */
    struct tag_links *tagged; /* shard: NULL when not in the index, or without tags */
    struct witness *witness;  /* a reference, or NULL */
    uint32_t turn;            /* shard: when it was put into its queue */
    _Atomic uint32_t failed_at;
};

_Static_assert(sizeof(struct object) == 88, "a million of them: think before you add");

enum fact {
    FACT_MUST_REVALIDATE = 1,
    FACT_ALWAYS_REVALIDATE = 2,
    FACT_ALLOWS_AUTHORIZATION = 4,
    FACT_BY_TTL = 8,
    FACT_GUESSED = 16,
    FACT_PARTIAL = 32,
    FACT_HAS_ETAG = 64,
    FACT_HAS_MODIFIED = 128,
    FACT_ETAG_APART = 256, /* not a view of the head */
    FACT_MODIFIED_APART = 512,
    FACT_HAS_LENGTH = 1024, /* it was declared */
    FACT_INLINE = 2048,     /* the body is behind the text */
    FACT_LONG = 4096,       /* its declared length is */
};

/* struct object_meta, packed; markers have none. Behind it primary, selector and text: vary, vary_key, head,
 * domain, position, tags, validators that are no part of the head. Then the body if it is inline, or else its
 * declared length, if it has one. Durations: duration_pack(). */
struct facts {
    int64_t stored_wall_ms;
    _Atomic uint32_t lifetime;
    uint32_t initial_age;
    uint32_t stale_while_revalidate;
    uint32_t stale_if_error;
    uint32_t fetched_before; /* it was stored */
    uint32_t head_len;
    uint16_t status;
    uint16_t flags; /* enum fact */
    uint16_t body_len;
    uint16_t vary_len;
    uint16_t vary_key_len;
    uint16_t etag_at; /* in the head */
    uint16_t etag_len;
    uint16_t modified_at;
    uint16_t modified_len;
    uint16_t domain_len;
    uint16_t position_len;
    uint16_t tags_len;
};

_Static_assert(sizeof(struct facts) == 56, "a million of them, too");

static inline struct facts *object_facts(const struct object *object)
{
    return (struct facts *)(void *)(uintptr_t)(object + 1);
}

static inline bool object_is_marker(const struct object *object)
{
    return atomic_load_explicit(&object->state, memory_order_relaxed) == OBJECT_MARKER;
}

static inline struct str object_primary(const struct object *object)
{
    const char *bytes = (const char *)(object + 1);
    if (!object_is_marker(object))
        bytes += sizeof(struct facts);
    return str_n(bytes, object->primary_len);
}

static inline struct str object_selector(const struct object *object)
{
    struct str primary = object_primary(object);
    return str_n(primary.data + primary.len, object->selector_len);
}

/* The rest of these: not for markers. */

static inline const char *object_text(const struct object *object)
{
    return (const char *)(object + 1) + sizeof(struct facts) + object->primary_len + object->selector_len;
}

static inline struct str object_vary(const struct object *object)
{
    return str_n(object_text(object), object_facts(object)->vary_len);
}

static inline struct str object_vary_key(const struct object *object)
{
    const struct facts *facts = object_facts(object);
    return str_n(object_text(object) + facts->vary_len, facts->vary_key_len);
}

static inline int64_t object_stored_ms(const struct object *object)
{
    return object_facts(object)->stored_wall_ms;
}

#define object_meta_of(object) object_meta(object)

int64_t object_declared_length(const struct object *object); /* -1: none was */

/* How many bytes facts, text and what is behind it take, and filling them in; meta.c. False when a part is
 * too long. */
bool facts_size(const struct object_meta *meta, size_t *out_bytes);
void facts_put(struct object *object, const struct object_meta *meta);

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
