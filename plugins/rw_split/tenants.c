#include "tenants.h"

#include <pthread.h>
#include <stdlib.h>

#define PLACES 4096
#define LOCKS  64

struct place {
    struct seen seen;
    int64_t wrote_ms; /* 0: nobody has */
};

struct tenants {
    struct seen before; /* of what went before this instance nothing is known but the time */
    pthread_mutex_t locks[LOCKS];
    struct place places[PLACES];
};

struct tenants *tenants_new(uint32_t clock, int64_t since_ms)
{
    struct tenants *tenants = calloc(1, sizeof *tenants);

    if (!tenants)
        return NULL;
    tenants->before =
        (struct seen){ .has_source = true, .source = SOURCE_PRIMARY, .clock = clock, .at_ms = since_ms };
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&tenants->locks[i], NULL);
    return tenants;
}

void tenants_free(struct tenants *tenants)
{
    if (!tenants)
        return;
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&tenants->locks[i]);
    free(tenants);
}

/* FNV-1a. */
static unsigned place_of(struct weir_str tenant)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < tenant.len; i++)
        hash = (hash ^ (unsigned char)tenant.data[i]) * 16777619u;
    return (hash ^ hash >> 16) % PLACES;
}

void tenants_wrote(struct tenants *tenants, struct weir_str tenant, const struct seen *seen, int64_t now_ms)
{
    unsigned at = place_of(tenant);
    struct place *place = &tenants->places[at];

    pthread_mutex_lock(&tenants->locks[at % LOCKS]);
    if (place->wrote_ms == 0)
        place->seen = tenants->before;
    seen_merge(&place->seen, seen);
    if (place->wrote_ms < now_ms)
        place->wrote_ms = now_ms;
    pthread_mutex_unlock(&tenants->locks[at % LOCKS]);
}

int64_t tenants_last(struct tenants *tenants, struct weir_str tenant, struct seen *io_seen)
{
    unsigned at = place_of(tenant);
    struct place *place = &tenants->places[at];
    int64_t wrote_ms;

    pthread_mutex_lock(&tenants->locks[at % LOCKS]);
    wrote_ms = place->wrote_ms;
    seen_merge(io_seen, wrote_ms ? &place->seen : &tenants->before);
    pthread_mutex_unlock(&tenants->locks[at % LOCKS]);
    return wrote_ms ? wrote_ms : tenants->before.at_ms;
}
