#include "settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_SIZE   32
#define SECRET_MIN_SIZE 16 /* shorter ones can be guessed */

static const char *const known_keys[] = { "window", "consistency", "keys" };
#define KNOWN_COUNT (sizeof known_keys / sizeof known_keys[0])
#define ALLOWED     "window, consistency, keys"

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

static bool refuse_unknown(struct reader *reader, const char *name)
{
    const char *nearest = known_keys[0];

    for (size_t i = 1; i < KNOWN_COUNT; i++)
        if (distance(name, known_keys[i]) < distance(name, nearest))
            nearest = known_keys[i];
    if (distance(name, nearest) <= 2)
        return refuse(reader, "unknown key %s, did you mean %s? allowed are " ALLOWED, name, nearest);
    return refuse(reader, "unknown key %s, allowed are " ALLOWED, name);
}

static bool check_names(struct reader *reader)
{
    unsigned count = reader->host->config_count(reader->config);

    for (unsigned i = 0; i < count; i++) {
        const char *name = reader->host->config_name(reader->config, i);
        size_t at = 0;

        while (at < KNOWN_COUNT && strcmp(name, known_keys[at]) != 0)
            at++;
        if (at == KNOWN_COUNT)
            return refuse_unknown(reader, name);
    }
    return true;
}

static bool has_key(struct reader *reader, const char *name)
{
    unsigned count = reader->host->config_count(reader->config);

    for (unsigned i = 0; i < count; i++)
        if (strcmp(reader->host->config_name(reader->config, i), name) == 0)
            return true;
    return false;
}

/* A longer window than a token's life would promise what no token remembers. */
static bool read_window(struct reader *reader, struct settings *settings)
{
    settings->window_ms = 2000;
    if (reader->host->config_duration(reader->config, "window", &settings->window_ms) < 0)
        return refuse(reader, "window must be a duration such as 2s or 500ms");
    if (settings->window_ms < 0 || settings->window_ms > TOKEN_LIFE_MS)
        return refuse(reader, "window must be from 0s to 1h");
    return true;
}

static bool is_word(struct weir_str text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static bool read_consistency(struct reader *reader, struct settings *settings)
{
    struct weir_str word = { 0 };
    int found = reader->host->config_string(reader->config, "consistency", &word);

    settings->consistency = CONSISTENCY_WINDOW;
    if (found == 0 || (found > 0 && is_word(word, "window")))
        return true;
    if (found > 0 && (is_word(word, "position") || is_word(word, "strict")))
        return refuse(reader, "consistency %.*s is not built yet, allowed are none and window", (int)word.len,
                      word.data);
    if (found < 0 || !is_word(word, "none"))
        return refuse(reader, "consistency must be none or window");
    settings->consistency = CONSISTENCY_NONE;
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
static void draw_key(struct settings *settings)
{
    unsigned char secret[32];

    settings->ring.host->secret("rw_split", secret);
    keyring_add(&settings->ring, (struct weir_str){ (const char *)secret, sizeof secret });
}

bool settings_read(struct settings *settings, const struct weir_host *host, const struct weir_config *config,
                   char *error, size_t error_size)
{
    struct reader reader = { host, config, error, error_size };

    *settings = (struct settings){ .ring.host = host };
    if (!check_names(&reader) || !read_window(&reader, settings) || !read_consistency(&reader, settings))
        return false;
    if (has_key(&reader, "keys"))
        return read_keys(&reader, settings);
    draw_key(settings);
    return true;
}
