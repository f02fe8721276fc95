#include "names.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_SIZE 32

static const char *const known_keys[] = { "window",         "consistency",      "keys",
                                          "wait",           "lag_max",          "primary_read_share",
                                          "write_hold",     "replay_body_max",  "read",
                                          "write",          "kind_header",      "graphql",
                                          "graphql_reads",  "read_only_status", "read_only_header",
                                          "position_field", "positions",        "probe_interval" };
#define KNOWN_COUNT (sizeof known_keys / sizeof known_keys[0])

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to change, add or leave out (Levenshtein). Long names are compared by their beginning. */
static size_t distance(const char *a, const char *b)
{
    size_t a_len = least(strlen(a), NAME_MAX_SIZE - 1);
    size_t b_len = least(strlen(b), NAME_MAX_SIZE - 1);
    size_t row[NAME_MAX_SIZE];

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];

            row[j] = least(least(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

/* "window, consistency, ...". */
static void list_known(char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < KNOWN_COUNT && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", known_keys[i]);
}

static void refuse_unknown(const char *name, char *error, size_t error_size)
{
    const char *nearest = known_keys[0];
    char allowed[400];

    for (size_t i = 1; i < KNOWN_COUNT; i++)
        if (distance(name, known_keys[i]) < distance(name, nearest))
            nearest = known_keys[i];
    list_known(allowed, sizeof allowed);
    if (distance(name, nearest) <= 2)
        snprintf(error, error_size, "unknown key %s, did you mean %s? allowed are %s", name, nearest,
                 allowed);
    else
        snprintf(error, error_size, "unknown key %s, allowed are %s", name, allowed);
}

bool names_check(const struct weir_host *host, const struct weir_config *config, char *error,
                 size_t error_size)
{
    unsigned count = host->config_count(config);

    for (unsigned i = 0; i < count; i++) {
        const char *name = host->config_name(config, i);
        size_t at = 0;

        while (at < KNOWN_COUNT && strcmp(name, known_keys[at]) != 0)
            at++;
        if (at < KNOWN_COUNT)
            continue;
        refuse_unknown(name, error, error_size);
        return false;
    }
    return true;
}
