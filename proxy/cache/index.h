/* A shard's table of objects by the hash of their primary key: for the files of this room only.
 *
 * Open addressing. One byte of each hash is apart from the pointers, so that a look-up touches no other
 * object than the one it wants: at a million objects each would be a cache miss. Under the shard's lock. */
#ifndef CACHE_INDEX_H
#define CACHE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/key.h"

struct object;

struct index {
    struct object **slots;
    uint8_t *marks; /* 0: free; behind the slots, in one allocation */
    uint32_t mask;
    uint32_t count;
    uint64_t changes; /* so that who walks in bites knows whether it saw one state */
};

bool index_init(struct index *index); /* false when out of memory */
void index_fini(struct index *index); /* objects are the caller's; NULL is fine */
uint64_t index_bytes(const struct index *index);

/* Several with the same primary key may be in it. False when out of memory. */
bool index_add(struct index *index, struct object *object);
void index_drop(struct index *index, const struct object *object);                    /* is in it */
void index_swap(struct index *index, const struct object *old, struct object *fresh); /* of one primary key */

/* All with that primary key: start with *at = INDEX_START; NULL at the end. Any change ends the walk. */
#define INDEX_START UINT32_MAX
struct object *index_next(const struct index *index, const struct key *key, uint32_t *at);

/* A walk over all that is in it, in bites between which it may change: whatever was in it all the time is
 * visited, some perhaps twice. Starts all zero. Goes by where objects belong, not by where they lie, since
 * dropping moves others; after the table has grown it begins anew. */
struct index_walk {
    uint32_t at;
    uint32_t mask;
};

/* Visits some homes objects. visit may drop the object it gets, and no other. False at the end. */
bool index_bite(const struct index *index, struct index_walk *walk, unsigned homes,
                void (*visit)(struct object *object, void *arg), void *arg);

#endif
