#include "settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "servers.h"

#define SECRET_MIN_SIZE 16 /* shorter ones can be guessed */
#define MINUTE_MS       60000
#define BODY_MAX        (16 * 1024 * 1024) /* weir keeps no more */

struct reader {
    const struct weir_host *host;
    const struct weir_config *config;
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

static bool has_key(struct reader *reader, const char *name)
{
    unsigned count = reader->host->config_count(reader->config);

    for (unsigned i = 0; i < count; i++)
        if (strcmp(reader->host->config_name(reader->config, i), name) == 0)
            return true;
    return false;
}

/* --- times and shares --- */

struct duration {
    const char *name;
    size_t at; /* in struct settings */
    int64_t preset_ms, min_ms, max_ms;
    const char *range;
};

#define IN_SETTINGS(field) offsetof(struct settings, field)

/* A longer window than a token's life would promise what no token remembers. Nobody waits longer for a hold
 * than a minute: weir sees to that. */
static const struct duration durations[] = {
    { "window", IN_SETTINGS(window_ms), 2000, 0, TOKEN_LIFE_MS, "0s to 1h" },
    { "wait", IN_SETTINGS(wait_ms), 50, 0, MINUTE_MS, "0s to 1m" },
    { "lag_max", IN_SETTINGS(lag_max_ms), 10000, -1, TOKEN_LIFE_MS, "0s to 1h, or unlimited" },
    { "write_hold", IN_SETTINGS(write_hold_ms), 5000, 0, MINUTE_MS, "0s to 1m" },
    { "probe_interval", IN_SETTINGS(probe_interval_ms), 50, 10, MINUTE_MS, "10ms to 1m" },
};

static bool read_durations(struct reader *reader, struct settings *settings)
{
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        const struct duration *row = &durations[i];
        int64_t value_ms = row->preset_ms;

        if (reader->host->config_duration(reader->config, row->name, &value_ms) < 0)
            return refuse(reader, "%s must be a duration such as 2s or 500ms", row->name);
        if (value_ms < row->min_ms || value_ms > row->max_ms)
            return refuse(reader, "%s must be from %s", row->name, row->range);
        memcpy((char *)settings + row->at, &value_ms, sizeof value_ms);
    }
    return true;
}

static bool read_amounts(struct reader *reader, struct settings *settings)
{
    settings->primary_read_share = 0.5;
    if (reader->host->config_share(reader->config, "primary_read_share", &settings->primary_read_share) < 0)
        return refuse(reader, "primary_read_share must be a share such as 50%%, at most 100%%");
    settings->replay_body_max = 1024 * 1024;
    if (reader->host->config_size(reader->config, "replay_body_max", &settings->replay_body_max) < 0)
        return refuse(reader, "replay_body_max must be a size such as 1MiB");
    if (settings->replay_body_max < 0 || settings->replay_body_max > BODY_MAX)
        return refuse(reader, "replay_body_max must be from 0B to 16MiB");
    return true;
}

/* --- words --- */

static bool is_word(struct weir_str text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

bool consistency_parse(struct weir_str word, enum consistency *out)
{
    static const char *const words[] = { "none", "window", "position", "strict" };

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!is_word(word, words[i]))
            continue;
        *out = (enum consistency)i;
        return true;
    }
    return false;
}

static bool read_consistency(struct reader *reader, struct settings *settings)
{
    struct weir_str word = { 0 };
    int found = reader->host->config_string(reader->config, "consistency", &word);

    settings->consistency = CONSISTENCY_WINDOW;
    if (found < 0 || (found > 0 && !consistency_parse(word, &settings->consistency)))
        return refuse(reader, "consistency must be none, window, position or strict");
    return true;
}

/* A word without spaces, or preset (which may be NULL). */
static bool read_word(struct reader *reader, const char *name, const char *preset, char **out)
{
    struct weir_str word = { preset, preset ? strlen(preset) : 0 };
    int found = reader->host->config_string(reader->config, name, &word);

    if (found < 0 || (found > 0 && word.len == 0))
        return refuse(reader, "%s must be a name", name);
    for (size_t i = 0; i < word.len; i++)
        if (word.data[i] <= ' ' || word.data[i] == ':')
            return refuse(reader, "%s must be one word", name);
    if (!word.data)
        return true;
    *out = strndup(word.data, word.len);
    return *out || refuse(reader, "out of memory");
}

/* An error of the app's that means "I may not write here": its status and a header, so that no other error of
 * that status is taken for it. */
static bool read_read_only(struct reader *reader, struct settings *settings)
{
    double status = 0;
    int found = reader->host->config_number(reader->config, "read_only_status", &status);

    if (found < 0 || (found > 0 && (status < 400 || status > 599 || status != (int)status)))
        return refuse(reader, "read_only_status must be a status from 400 to 599");
    settings->read_only_status = (int)status;
    if (!read_word(reader, "read_only_header", NULL, &settings->read_only_header))
        return false;
    if ((settings->read_only_status != 0) != (settings->read_only_header != NULL))
        return refuse(reader, "read_only_status and read_only_header need each other");
    return true;
}

/* --- lists --- */

static bool read_patterns(struct reader *reader, const char *name, const char *method_default,
                          struct patterns *out)
{
    int count = reader->host->config_list(reader->config, name);

    if (count < 0)
        return refuse(reader, "%s must be a list of strings", name);
    for (unsigned i = 0; i < (unsigned)count; i++) {
        struct weir_str text = reader->host->config_item(reader->config, name, i);
        const char *why = patterns_add(out, text, method_default);

        if (why)
            return refuse(reader, "%s, number %u: %.*s %s", name, i + 1, (int)(text.len > 80 ? 80 : text.len),
                          text.data, why);
    }
    return true;
}

static bool read_graphql(struct reader *reader, struct settings *settings)
{
    int count = reader->host->config_list(reader->config, "graphql_reads");

    if (!has_key(reader, "graphql"))
        patterns_add(&settings->graphql, (struct weir_str){ "/graphql", 8 }, "POST");
    else if (!read_patterns(reader, "graphql", "POST", &settings->graphql))
        return false;
    if (count < 0)
        return refuse(reader, "graphql_reads must be a list of strings");
    if (count == 0)
        return true;
    settings->graphql_reads = calloc((size_t)count, sizeof *settings->graphql_reads);
    if (!settings->graphql_reads)
        return refuse(reader, "out of memory");
    for (unsigned i = 0; i < (unsigned)count; i++) {
        struct weir_str id = reader->host->config_item(reader->config, "graphql_reads", i);
        char *kept = strndup(id.data, id.len);

        if (!kept)
            return refuse(reader, "out of memory");
        settings->graphql_reads[settings->graphql_read_count++] = (struct weir_str){ kept, id.len };
    }
    return true;
}

static bool read_keys(struct reader *reader, struct settings *settings)
{
    int count = reader->host->config_list(reader->config, "keys");

    if (count < 0)
        return refuse(reader, "keys must be a list of strings");
    if (count == 0)
        return refuse(reader, "keys is empty: name at least one, or leave it out to have one drawn at start");
    if (count > KEYS_MAX)
        return refuse(reader, "keys has %d entries, at most %d are allowed", count, KEYS_MAX);
    for (unsigned i = 0; i < (unsigned)count; i++) {
        struct weir_str secret = reader->host->config_item(reader->config, "keys", i);

        if (secret.len == 0)
            return refuse(reader, "keys has an empty entry, number %u", i + 1);
        if (secret.len < SECRET_MIN_SIZE)
            return refuse(reader,
                          "keys has an entry of %u bytes, number %u: at least %u bytes are needed, or it "
                          "could be guessed",
                          (unsigned)secret.len, i + 1, SECRET_MIN_SIZE);
        keyring_add(&settings->ring, secret);
    }
    return true;
}

/* weir's own secret rather than one of this instance: upstreams share a database's tokens, and a reload must
 * not void them. */
static void draw_key(struct reader *reader, struct settings *settings)
{
    unsigned char secret[32];

    reader->host->secret("rw_split", secret);
    keyring_add(&settings->ring, (struct weir_str){ (const char *)secret, sizeof secret });
    if (settings->consistency != CONSISTENCY_NONE)
        reader->host->config_warn(
            reader->config,
            "keys is absent, so a key is drawn at start: a restart forgets who wrote within the "
            "last hour, and no other weir understands this one's tokens");
}

/* --- databases --- */

static bool has_target(const struct settings *settings, const char *address)
{
    for (unsigned i = 0; i < settings->target_count; i++)
        if (strcmp(settings->targets[i].address, address) == 0)
            return true;
    return false;
}

static bool has_server(const struct weir_server *servers, unsigned count, const char *address)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(servers[i].address, address) == 0)
            return true;
    return false;
}

/* Addresses are compared as they are written: "localhost:3000" is not 127.0.0.1:3000. Such a slip shows late,
 * as a server that never has come anywhere, and that no failover makes the primary. */
static void warn_of_strangers(struct reader *reader, const struct settings *settings)
{
    const struct weir_host *host = reader->host;
    struct weir_server servers[SERVERS_MAX];
    char line[300];
    unsigned count;

    servers[0].size = sizeof servers[0];
    count = host->servers(host->config_upstream(reader->config), servers, SERVERS_MAX);
    if (count == 0 || count > SERVERS_MAX)
        return; /* not all are known: nothing to say */
    for (unsigned i = 0; i < settings->target_count; i++) {
        if (has_server(servers, count, settings->targets[i].address))
            continue;
        snprintf(
            line, sizeof line,
            "positions.postgres names %.128s, which is no server of this upstream: write it as in primary "
            "or replicas",
            settings->targets[i].address);
        host->config_warn(reader->config, line);
    }
    for (unsigned i = 0; i < count; i++) {
        if (has_target(settings, servers[i].address))
            continue;
        snprintf(line, sizeof line,
                 "positions.postgres has no database for %s: how far it has come, and whether it is the "
                 "primary, is known only from what its app says",
                 servers[i].address);
        host->config_warn(reader->config, line);
    }
}

/* positions: {postgres: {"ADDRESS": "DSN"}} */
static bool read_targets(struct reader *reader, struct settings *settings)
{
    int count = reader->host->config_map(reader->config, "positions.postgres");

    if (has_key(reader, "positions") && count <= 0)
        return refuse(reader, "positions must be {postgres: {\"ADDRESS\": \"DSN\", ...}}");
    if (count <= 0)
        return true;
    if (count > 64)
        return refuse(reader, "positions has %d servers, at most 64 are allowed", count);
    settings->targets = calloc((size_t)count, sizeof *settings->targets);
    if (!settings->targets)
        return refuse(reader, "out of memory");
    for (unsigned i = 0; i < (unsigned)count; i++) {
        struct weir_str address = { 0 }, dsn = { 0 };
        struct target *target = &settings->targets[settings->target_count];

        if (!reader->host->config_entry(reader->config, "positions.postgres", i, &address, &dsn) ||
            address.len == 0 || dsn.len == 0)
            return refuse(reader, "positions.postgres needs a DSN for each address, number %u", i + 1);
        settings->target_count++;
        target->address = strndup(address.data, address.len);
        target->dsn = strndup(dsn.data, dsn.len);
        if (!target->address || !target->dsn)
            return refuse(reader, "out of memory");
    }
    warn_of_strangers(reader, settings);
    return true;
}

void settings_fini(struct settings *settings)
{
    patterns_fini(&settings->read);
    patterns_fini(&settings->write);
    patterns_fini(&settings->graphql);
    for (unsigned i = 0; i < settings->graphql_read_count; i++)
        free((char *)settings->graphql_reads[i].data);
    free(settings->graphql_reads);
    for (unsigned i = 0; i < settings->target_count; i++) {
        free(settings->targets[i].address);
        free(settings->targets[i].dsn);
    }
    free(settings->targets);
    free(settings->kind_header);
    free(settings->read_only_header);
    free(settings->position_field);
}

bool settings_read(struct settings *settings, const struct weir_host *host, const struct weir_config *config,
                   char *error, size_t error_size)
{
    struct reader reader = { host, config, error, error_size };

    *settings = (struct settings){ .ring.host = host };
    if (!names_check(host, config, error, error_size))
        return false;
    if (!read_durations(&reader, settings) || !read_amounts(&reader, settings) ||
        !read_consistency(&reader, settings) || !read_patterns(&reader, "read", NULL, &settings->read) ||
        !read_patterns(&reader, "write", NULL, &settings->write) || !read_graphql(&reader, settings) ||
        !read_word(&reader, "kind_header", "Weir-Kind", &settings->kind_header) ||
        !read_word(&reader, "position_field", NULL, &settings->position_field) ||
        !read_read_only(&reader, settings) || !read_targets(&reader, settings))
        return false;
    /* Where nothing was said about failovers a primary that is down is an error at once. */
    settings->holds_writes = settings->consistency >= CONSISTENCY_POSITION || settings->target_count > 0 ||
                             has_key(&reader, "write_hold");
    if (has_key(&reader, "keys"))
        return read_keys(&reader, settings);
    draw_key(&reader, settings);
    return true;
}
