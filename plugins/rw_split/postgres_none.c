/* The probe's door where libpq was not there to build with: the key is refused, in words. */
#include "postgres.h"

#include <stdio.h>

struct postgres *postgres_new(const struct weir_host *host, struct servers *servers,
                              const struct postgres_target *targets, unsigned count, int64_t interval_ms,
                              char *error, size_t error_size)
{
    snprintf(error, error_size,
             "positions.postgres needs a rw_split that was built with libpq (Debian: libpq-dev)");
    return NULL;
}

void postgres_free(struct postgres *postgres)
{
}

bool postgres_place(const char *dsn, char *out, size_t size)
{
    return false;
}

void postgres_tick(struct postgres *postgres)
{
}
