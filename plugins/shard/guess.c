#include "guess.h"

#include <string.h>

#define KEY_MAX 32

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to change, add or leave out (Levenshtein). Long names are compared by their beginning. */
static size_t distance(const char *a, const char *b)
{
    size_t a_len = least(strlen(a), KEY_MAX - 1);
    size_t b_len = least(strlen(b), KEY_MAX - 1);
    size_t row[KEY_MAX];

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

const char *guess_key(const char *typed, const char *const *known, unsigned count)
{
    const char *nearest = NULL;

    for (unsigned i = 0; i < count; i++)
        if (!nearest || distance(typed, known[i]) < distance(typed, nearest))
            nearest = known[i];
    return nearest && distance(typed, nearest) <= 2 ? nearest : NULL;
}

struct asker {
    const struct weir_host *host;
    const struct weir_config *config;
    char *out;
};

static bool is_there(const struct asker *asker, size_t len)
{
    asker->out[len] = '\0';
    return len > 0 && asker->host->config_has_upstream(asker->config, (struct weir_str){ asker->out, len });
}

/* out holds what was typed but for the letter at `at`, which is left free; len counts it. */
static bool is_letter_away(const struct asker *asker, size_t at, size_t len)
{
    for (const char *letter = letters; *letter; letter++) {
        asker->out[at] = *letter;
        if (is_there(asker, len))
            return true;
    }
    return false;
}

/* weir does not list its upstreams, but says whether there is one of a name: some thousand questions, once,
 * when the config is wrong anyway. */
bool guess_upstream(const struct weir_host *host, const struct weir_config *config, struct weir_str typed,
                    char out[GUESS_SIZE])
{
    const struct asker asker = { host, config, out };
    size_t len = typed.len;

    if (len == 0 || len > 63 || memchr(typed.data, '\0', len))
        return false;
    for (size_t i = 0; i <= len; i++) { /* left out at i */
        memcpy(out, typed.data, i);
        memcpy(out + i + 1, typed.data + i, len - i);
        if (is_letter_away(&asker, i, len + 1))
            return true;
    }
    for (size_t i = 0; i < len; i++) { /* too many, another one, or swapped at i */
        memcpy(out, typed.data, i);
        memcpy(out + i, typed.data + i + 1, len - i - 1);
        if (is_there(&asker, len - 1))
            return true;
        memcpy(out, typed.data, len);
        if (is_letter_away(&asker, i, len))
            return true;
        memcpy(out, typed.data, len);
        if (i + 1 == len)
            break;
        out[i] = typed.data[i + 1];
        out[i + 1] = typed.data[i];
        if (is_there(&asker, len))
            return true;
    }
    return false;
}
