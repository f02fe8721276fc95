#include "settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guess.h"

#define PINS_MAX 100000

static const char *const known_keys[] = { "shards", "pinned" };
#define KNOWN_COUNT (sizeof known_keys / sizeof known_keys[0])
#define ALLOWED     "shards, pinned"

struct reader {
    const struct weir_host *host;
    const struct weir_config *config;
    struct settings *settings;
    char *error;
    size_t error_size;
};

/* For `return refuse(...)`. */
__attribute__((format(printf, 2, 3))) static bool refuse(struct reader *reader, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(reader->error, reader->error_size, format, args);
    va_end(args);
    return false;
}

static bool check_names(struct reader *reader)
{
    unsigned count = reader->host->config_count(reader->config);

    for (unsigned i = 0; i < count; i++) {
        const char *name = reader->host->config_name(reader->config, i);
        const char *nearest = guess_key(name, known_keys, KNOWN_COUNT);

        if (nearest && strcmp(name, nearest) == 0)
            continue;
        if (nearest)
            return refuse(reader, "unknown key %s, did you mean %s? allowed are " ALLOWED, name, nearest);
        return refuse(reader, "unknown key %s, allowed are " ALLOWED, name);
    }
    return true;
}

/* Is there an upstream of that name? where: what names it, for the sentence. */
static bool check_upstream(struct reader *reader, const char *where, struct weir_str name)
{
    char nearest[GUESS_SIZE];

    if (name.len > 0 && reader->host->config_has_upstream(reader->config, name))
        return true;
    if (guess_upstream(reader->host, reader->config, name, nearest))
        return refuse(reader, "%s: there is no upstream %.*s, did you mean %s?", where, GUESS_FMT(name),
                      nearest);
    return refuse(reader, "%s: there is no upstream \"%.*s\"; each shard is one of `upstreams`", where,
                  GUESS_FMT(name));
}

static bool add_shard(struct reader *reader, struct weir_str name, unsigned weight)
{
    struct settings *settings = reader->settings;
    char *copy;

    if (!check_upstream(reader, "shards", name))
        return false;
    for (unsigned i = 0; i < settings->shard_count; i++) {
        const struct weir_str *other = &settings->shards[i].name;

        if (other->len == name.len && memcmp(other->data, name.data, name.len) == 0)
            return refuse(reader, "shards: %.*s is here twice; to give it more tenants, give it a weight",
                          GUESS_FMT(name));
    }
    copy = strndup(name.data, name.len);
    if (!copy)
        return refuse(reader, "out of memory");
    settings->shards[settings->shard_count++] = (struct ring_shard){ { copy, name.len }, weight };
    return true;
}

static bool read_weight(struct reader *reader, struct weir_str name, struct weir_str text, unsigned *out)
{
    unsigned weight = 0;

    for (size_t i = 0; i < text.len && weight <= RING_WEIGHT_MAX; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            weight = 0;
            break;
        }
        weight = weight * 10 + (unsigned)(text.data[i] - '0');
    }
    if (weight < 1 || weight > RING_WEIGHT_MAX)
        return refuse(reader, "shards: the weight of %.*s must be a whole number from 1 to %d",
                      GUESS_FMT(name), RING_WEIGHT_MAX);
    *out = weight;
    return true;
}

/* [s1, s2], or {s1: 1, s2: 2}. */
static bool read_shards(struct reader *reader)
{
    const struct weir_host *host = reader->host;
    int listed = host->config_list(reader->config, "shards");
    int mapped = listed < 0 ? host->config_map(reader->config, "shards") : 0;
    int count = listed < 0 ? mapped : listed;
    unsigned points = 0;

    if (count < 0)
        return refuse(reader, "shards must be a list of upstreams, or a mapping of upstream: weight");
    if (count == 0)
        return refuse(reader, "shards is empty: name the upstreams that tenants are spread over");
    if (count > RING_SHARDS_MAX)
        return refuse(reader, "shards names %d upstreams, at most %d are allowed", count, RING_SHARDS_MAX);
    reader->settings->shards = calloc((size_t)count, sizeof *reader->settings->shards);
    if (!reader->settings->shards)
        return refuse(reader, "out of memory");
    for (unsigned i = 0; i < (unsigned)count; i++) {
        struct weir_str name = { 0 };
        struct weir_str text = { "1", 1 };
        unsigned weight = 0;

        if (listed >= 0)
            name = host->config_item(reader->config, "shards", i);
        else
            host->config_entry(reader->config, "shards", i, &name, &text);
        if (!read_weight(reader, name, text, &weight) || !add_shard(reader, name, weight))
            return false;
        points += weight;
    }
    if (points > RING_POINTS_MAX)
        return refuse(reader, "shards: all weights together are %u, at most %d are allowed", points,
                      RING_POINTS_MAX);
    return true;
}

/* As the contract has tenants' names: what no tenant can be called is a mistake that nobody would notice. */
static bool is_tenant(struct weir_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return name.len >= 1 && name.len <= 63;
}

static int by_tenant(const void *a, const void *b)
{
    return strcmp(((const struct pin *)a)->tenant, ((const struct pin *)b)->tenant);
}

static bool add_pin(struct reader *reader, struct weir_str tenant, struct weir_str upstream)
{
    struct settings *settings = reader->settings;
    struct pin *pin = &settings->pins[settings->pin_count];
    char where[96];

    if (!is_tenant(tenant))
        return refuse(reader,
                      "pinned: no tenant is called \"%.*s\": 1 to 63 of the characters A-Z a-z 0-9 _ -",
                      GUESS_FMT(tenant));
    snprintf(where, sizeof where, "pinned: %.*s", GUESS_FMT(tenant));
    if (!check_upstream(reader, where, upstream))
        return false;
    pin->tenant = strndup(tenant.data, tenant.len);
    pin->upstream = strndup(upstream.data, upstream.len);
    settings->pin_count++;
    return (pin->tenant && pin->upstream) || refuse(reader, "out of memory");
}

static bool read_pinned(struct reader *reader)
{
    struct settings *settings = reader->settings;
    int count = reader->host->config_map(reader->config, "pinned");

    if (count < 0)
        return refuse(reader, "pinned must be a mapping of tenant: upstream");
    if (count > PINS_MAX)
        return refuse(reader, "pinned names %d tenants, at most %d are allowed", count, PINS_MAX);
    if (count == 0)
        return true;
    settings->pins = calloc((size_t)count, sizeof *settings->pins);
    if (!settings->pins)
        return refuse(reader, "out of memory");
    for (unsigned i = 0; i < (unsigned)count; i++) {
        struct weir_str tenant = { 0 };
        struct weir_str upstream = { 0 };

        if (!reader->host->config_entry(reader->config, "pinned", i, &tenant, &upstream) ||
            !add_pin(reader, tenant, upstream))
            return false;
    }
    qsort(settings->pins, settings->pin_count, sizeof *settings->pins, by_tenant);
    return true;
}

bool settings_read(struct settings *settings, const struct weir_host *host, const struct weir_config *config,
                   char *error, size_t error_size)
{
    struct reader reader = { host, config, settings, error, error_size };

    *settings = (struct settings){ 0 };
    return check_names(&reader) && read_shards(&reader) && read_pinned(&reader);
}

void settings_fini(struct settings *settings)
{
    for (unsigned i = 0; i < settings->shard_count; i++)
        free((char *)(uintptr_t)settings->shards[i].name.data);
    for (unsigned i = 0; i < settings->pin_count; i++) {
        free(settings->pins[i].tenant);
        free(settings->pins[i].upstream);
    }
    free(settings->shards);
    free(settings->pins);
    *settings = (struct settings){ 0 };
}

static int compare(const char *pinned, struct weir_str tenant)
{
    int order = strncmp(pinned, tenant.data, tenant.len);

    return order != 0 ? order : pinned[tenant.len] != '\0';
}

const char *settings_pinned(const struct settings *settings, struct weir_str tenant)
{
    unsigned low = 0;
    unsigned high = tenant.len > 0 ? settings->pin_count : 0;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = compare(settings->pins[middle].tenant, tenant);

        if (order == 0)
            return settings->pins[middle].upstream;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
