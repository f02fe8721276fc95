/* Do the index and the tags agree with the objects? A walk in bites, so that an operator may ask in the
 * middle of the day; sums are compared only where nothing changed between the bites. */
#include "cache/memory.h"

#define BITE 48

struct checking {
    struct shard *shard;
    uint64_t wrong;
    uint64_t seen;
    uint64_t links;  /* of the objects that were seen */
    uint64_t listed; /* what the tags count */
};

static void check_object(struct object *object, void *arg)
{
    struct checking *checking = arg;
    checking->seen++;
    checking->links += object->tagged ? object->tagged->count : 0;
    checking->wrong += shard_of(checking->shard->cache, object->hash) != checking->shard;
    checking->wrong += object->where == WHERE_NONE;
    checking->wrong += tags_check_object(&checking->shard->tags, object);
}

static void check_objects(struct checking *checking)
{
    struct shard *shard = checking->shard;
    struct index_walk walk = { 0 };
    bool has_more;
    do {
        pthread_mutex_lock(&shard->lock);
        has_more = index_bite(&shard->index, &walk, BITE, check_object, checking);
        pthread_mutex_unlock(&shard->lock);
    } while (has_more);
}

static void check_tags(struct checking *checking)
{
    struct shard *shard = checking->shard;
    const struct tags *tags = &shard->tags;
    uint32_t bucket = 0;
    bool has_more;
    do {
        pthread_mutex_lock(&shard->lock);
        for (uint32_t end = bucket + BITE; tags->buckets && bucket < end && bucket <= tags->mask; bucket++)
            checking->wrong += tags_check_bucket(tags, bucket, &checking->listed);
        has_more = tags->buckets && bucket <= tags->mask;
        pthread_mutex_unlock(&shard->lock);
    } while (has_more);
}

static uint64_t verify_shard(struct shard *shard)
{
    struct checking checking = { .shard = shard };
    pthread_mutex_lock(&shard->lock);
    uint64_t before = shard->index.changes;
    pthread_mutex_unlock(&shard->lock);
    check_objects(&checking);
    check_tags(&checking);
    pthread_mutex_lock(&shard->lock);
    if (shard->index.changes == before) {
        checking.wrong += checking.seen != shard->index.count;
        checking.wrong += checking.links != shard->tags.links;
        checking.wrong += checking.listed != shard->tags.links;
    }
    pthread_mutex_unlock(&shard->lock);
    return checking.wrong;
}

uint64_t cache_verify(struct cache *cache)
{
    uint64_t wrong = 0;
    for (unsigned i = 0; i < 1u << cache->shard_bits; i++)
        wrong += verify_shard(&cache->shards[i]);
    return wrong;
}
