/* Which objects carry which tag, in one shard: for the files of this room only.
 *
 * An entry is a tag of one tenant: two tenants' tags never meet. It lists the objects that carry it, goes
 * with the last of them, and its tenant pays for it. Objects without tags are nowhere in here. An object's
 * links are one allocation, there while it is in the shard's index. Under the shard's lock. */
#ifndef CACHE_TAGS_H
#define CACHE_TAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct account;
struct cache;
struct object;

struct tag_link {
    struct list link; /* in its tag's objects */
    struct tag *tag;
    struct object *object;
};

struct tag_links {
    uint32_t count;
    struct tag_link at[];
};

struct tag {
    struct tag *next;       /* in its bucket */
    struct list objects;    /* of struct tag_link, never empty */
    struct account *tenant; /* an object here holds the reference */
    uint64_t hash;          /* tag_hash() */
    uint64_t count;         /* of objects */
    struct str name;        /* behind it */
};

struct tags {
    struct tag **buckets; /* NULL until there is a tag */
    uint32_t mask;
    uint32_t count; /* of entries */
    uint64_t links; /* of all objects */
};

void tags_fini(struct tags *tags); /* no objects left; one that is all zero is fine */

/* Cuts the next tag off what is each ended by NUL; empty ones are skipped. False at the end. */
bool tags_next(struct str *rest, struct str *out_tag);

/* Within CACHE_TAGS_MAX and CACHE_TAG_BYTES_MAX? */
bool tags_are_allowed(struct str tags);
struct str object_tags(const struct object *object); /* each ended by NUL; "" for a marker */
bool object_has_tag(const struct object *object, struct str tag);

/* What a tag's place in a table comes from. tenant: hash_bytes() of its name, or 0: the tag of everyone. */
uint64_t tag_hash(uint64_t tenant, struct str tag);

/* Lists the object under its tags. False when out of memory: then it is under none. */
bool tags_link(struct tags *tags, struct object *object);
void tags_unlink(struct tags *tags, struct object *object); /* fine for one that is under none */

/* NULL if no object carries it. */
struct tag *tags_find(const struct tags *tags, struct str tenant, struct str name);

/* How many of its links are not what its text says, or not whole. */
uint64_t tags_check_object(const struct tags *tags, const struct object *object);
/* The same for the entries of one bucket; adds how many links they count. */
uint64_t tags_check_bucket(const struct tags *tags, uint32_t bucket, uint64_t *links);

#endif
