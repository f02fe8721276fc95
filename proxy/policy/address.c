#include "policy/address.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/list.h"

#define SHARDS_MAX       64
#define SHARD_ENTRIES    256 /* below that a shard fills unevenly */
#define EVICT_CANDIDATES 8

struct entry {
    uint8_t key[ADDRESS_KEY_BYTES];
    struct entry *next; /* in its chain */
    struct list link;   /* in the shard's idle list while it has no connections */
    unsigned connections;
    struct bucket bucket;
};

struct shard {
    _Alignas(64) pthread_mutex_t mutex;
    struct entry **chains; /* mask + 1 of them */
    size_t mask;
    struct entry *entries;
    unsigned count; /* entries in use: they are never given back, only taken over */
    unsigned max;
    struct list idle; /* of struct entry, used longest ago first */
    int64_t now_ns;   /* the latest that was seen: connections come and go without a clock */
};

struct address_table {
    struct shard *shards;
    unsigned mask;
};

static bool shard_init(struct shard *shard, unsigned entries)
{
    size_t chains = 1;
    while (chains < entries)
        chains *= 2;
    pthread_mutex_init(&shard->mutex, NULL);
    list_init(&shard->idle);
    shard->mask = chains - 1;
    shard->max = entries;
    shard->chains = calloc(chains, sizeof *shard->chains);
    shard->entries = calloc(entries, sizeof *shard->entries);
    return shard->chains && shard->entries;
}

struct address_table *address_table_new(unsigned entries_max)
{
    struct address_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    unsigned count = 1;
    while (count < SHARDS_MAX && entries_max / (count * 2) >= SHARD_ENTRIES)
        count *= 2;
    table->mask = count - 1;
    table->shards = aligned_alloc(64, count * sizeof *table->shards);
    if (!table->shards)
        goto fail;
    memset(table->shards, 0, count * sizeof *table->shards);

    /* Keys do not fall evenly: with one shard there is nothing to even out, else a quarter of slack. */
    unsigned entries = (entries_max + count - 1) / count;
    if (count > 1)
        entries += entries / 4;
    bool is_whole = true;
    for (unsigned i = 0; i < count; i++)
        is_whole = shard_init(&table->shards[i], entries > 0 ? entries : 1) && is_whole;
    if (is_whole)
        return table;

fail:
    address_table_free(table);
    return NULL;
}

void address_table_free(struct address_table *table)
{
    if (!table)
        return;
    for (unsigned i = 0; table->shards && i <= table->mask; i++) {
        pthread_mutex_destroy(&table->shards[i].mutex);
        free(table->shards[i].chains);
        free(table->shards[i].entries);
    }
    free(table->shards);
    free(table);
}

static struct shard *shard_of(struct address_table *table, const uint8_t *key, uint64_t *hash)
{
    *hash = hash_bytes(key, ADDRESS_KEY_BYTES);
    return &table->shards[(*hash >> 40) & table->mask];
}

static struct entry *find(const struct shard *shard, const uint8_t *key, uint64_t hash)
{
    struct entry *entry = shard->chains[hash & shard->mask];
    while (entry && memcmp(entry->key, key, ADDRESS_KEY_BYTES) != 0)
        entry = entry->next;
    return entry;
}

static int64_t full_at_ns(struct entry *entry)
{
    return atomic_load_explicit(&entry->bucket.arrival_ns, memory_order_relaxed);
}

/* Takes an entry without connections from its address: of the few used longest ago the one whose bucket is
 * nearest to full. NULL if all have connections. */
static struct entry *evict(struct shard *shard)
{
    struct entry *best = NULL;
    unsigned tries = 0;
    for (struct list *at = shard->idle.next; at != &shard->idle; at = at->next) {
        struct entry *entry = LIST_ENTRY(at, struct entry, link);
        if (!best || full_at_ns(entry) < full_at_ns(best))
            best = entry;
        if (full_at_ns(best) <= shard->now_ns || ++tries == EVICT_CANDIDATES)
            break;
    }
    if (!best)
        return NULL;
    list_remove(&best->link);
    struct entry **chain = &shard->chains[hash_bytes(best->key, ADDRESS_KEY_BYTES) & shard->mask];
    while (*chain != best)
        chain = &(*chain)->next;
    *chain = best->next;
    return best;
}

/* Finds or makes it, as the one used last. */
static struct entry *get(struct shard *shard, const uint8_t *key, uint64_t hash)
{
    struct entry *entry = find(shard, key, hash);
    if (!entry) {
        entry = shard->count < shard->max ? &shard->entries[shard->count++] : evict(shard);
        if (!entry)
            return NULL;
        memcpy(entry->key, key, ADDRESS_KEY_BYTES);
        entry->connections = 0;
        bucket_init(&entry->bucket, 0);
        list_init(&entry->link);
        entry->next = shard->chains[hash & shard->mask];
        shard->chains[hash & shard->mask] = entry;
    }
    list_remove(&entry->link);
    if (entry->connections == 0)
        list_push_back(&shard->idle, &entry->link);
    return entry;
}

bool address_enter(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES], int64_t max)
{
    uint64_t hash;
    struct shard *shard = shard_of(table, key, &hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = get(shard, key, hash);
    bool is_in = entry && (max < 0 || entry->connections < max);
    if (is_in) {
        entry->connections++;
        list_remove(&entry->link);
    }
    pthread_mutex_unlock(&shard->mutex);
    return is_in;
}

void address_leave(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES])
{
    uint64_t hash;
    struct shard *shard = shard_of(table, key, &hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = find(shard, key, hash);
    CHECK(entry != NULL);
    CHECK(entry->connections > 0);
    if (--entry->connections == 0)
        list_push_back(&shard->idle, &entry->link);
    pthread_mutex_unlock(&shard->mutex);
}

struct bucket_answer address_take(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES],
                                  double rate_per_s, double burst, int64_t now_ns)
{
    uint64_t hash;
    struct shard *shard = shard_of(table, key, &hash);
    struct bucket_answer answer = { .is_taken = true };
    pthread_mutex_lock(&shard->mutex);
    shard->now_ns = max_i64(shard->now_ns, now_ns);
    struct entry *entry = get(shard, key, hash);
    if (entry)
        answer = bucket_take(&entry->bucket, rate_per_s, burst, now_ns);
    pthread_mutex_unlock(&shard->mutex);
    return answer;
}

unsigned address_connections(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES])
{
    uint64_t hash;
    struct shard *shard = shard_of(table, key, &hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = find(shard, key, hash);
    unsigned connections = entry ? entry->connections : 0;
    pthread_mutex_unlock(&shard->mutex);
    return connections;
}

unsigned address_count(struct address_table *table)
{
    unsigned count = 0;
    for (unsigned i = 0; i <= table->mask; i++) {
        struct shard *shard = &table->shards[i];
        pthread_mutex_lock(&shard->mutex);
        count += shard->count;
        pthread_mutex_unlock(&shard->mutex);
    }
    return count;
}
