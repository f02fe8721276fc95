/* The one table of settings: every key of the contract with its type, default, limits, sentence of help
 * and place in struct config. The rows themselves are keys.def. Reading, defaults, checking, the summary
 * and the JSON Schema walk this table; a new key is a new row there and a field in config.h.
 *
 * Static data, no owner; any thread. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* X(NAME, what is allowed, JSON Schema pattern of its text; NULL: says more than a pattern can) */
#define SETTING_KINDS(X)                                                                            \
    X(MAP, "a mapping", NULL)                                                                       \
    X(LIST, "a list", NULL)                                                                         \
    X(NAMES, "a mapping of names", NULL)                                                            \
    X(PLUGIN, "a mapping with name and the plugin's own keys", NULL)                                \
    X(BOOL, "true or false", NULL)                                                                  \
    X(COUNT, "a whole number", "^[0-9]+$")                                                          \
    X(AMOUNT, "a number", "^[0-9]+(\\.[0-9]+)?$")                                                   \
    X(DURATION, "a duration such as 250ms, 2s, 5m or 1h", "^[0-9]+(ms|s|m|h)$")                     \
    X(SIZE, "a size such as 64KiB, 256MiB or 8MB", "^[0-9]+([KMGT]i?B|B)?$")                        \
    X(BYTE_RATE, "bytes a second such as 1KiB/s", "^[0-9]+([KMGT]i?B|B)?/s$")                       \
    X(RATE, "a rate above 0 such as 100/s or 6000/m", "^[0-9]+(\\.[0-9]+)?/[sm]$")                  \
    X(PERCENT, "a number of percent", "^[0-9]+(\\.[0-9]+)?%?$")                                     \
    X(SHARE, "a percentage such as 20%", "^[0-9]+(\\.[0-9]+)?%$")                                   \
    X(DATE, "a date such as 2027-06-30", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")                            \
    X(WORD, "one of", NULL)                                                                         \
    X(ADDRESS, "host:port, [::1]:port or unix:/path", ":")                                          \
    X(CIDR, "an address range such as 10.0.0.0/8 or ::1/128", "^[0-9a-fA-F.:]+(/[0-9]+)?$")         \
    X(FILE, "the path of a file that can be read", NULL)                                            \
    X(PATH, "a path", NULL)                                                                         \
    X(TEXT, "text without control characters", NULL)                                                \
    X(REDIS_URL, "a URL such as redis://HOST:6379/0 (redis, unix, redis+unix or redis+sentinel)",   \
      "^(redis|unix|redis\\+unix|redis\\+sentinel)://[^ ]")                                         \
    X(LINK, "a URL, without spaces, quotes or < >", "^[^ <>\"]+$")                                  \
    X(NAME, "1 to 63 of the characters A-Z a-z 0-9 _ . -", "^[A-Za-z0-9_.-]{1,63}$")                \
    X(TENANT, "1 to 63 of the characters a-z 0-9 _ -", "^[A-Za-z0-9_-]{1,63}$")                     \
    X(TOKEN, "a token: letters, digits and !#$%&'*+-.^_`|~", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")       \
    X(METHOD, "a method in upper case such as GET", "^[A-Z][A-Z0-9_-]*$")                           \
    X(HOST, "a host name or literal address, without port", "^[A-Za-z0-9_.:\\[\\]-]+$")             \
    X(URL_PATH, "a path that begins with /, without spaces", "^/[^ ]*$")                            \
    X(ROUTE_PATH, "a path such as /items/** (* is one segment, ** the rest)", "^/[^ ?#]*$")         \
    X(HOST_PATTERN, "a host name with {tenant} once, as a whole label: {tenant}.example.com", NULL) \
    X(PATH_PATTERN, "a path with the placeholder once, as a whole segment", NULL)                   \
    X(MEDIA_PATTERN, "a media type with {version} once: application/vnd.*.{version}+json", NULL)

enum setting_kind {
#define KIND(name, what, pattern) SETTING_##name,
    SETTING_KINDS(KIND)
#undef KIND
};

/* What a field holds when its key is absent and has no preset. */
enum setting_absent {
    ABSENT_ZERO,
    ABSENT_NEVER,
    ABSENT_NOT_SAID
};

struct setting {
    const char *path; /* "upstreams.*.limit.queue", "listen[].tls[].key"; "" is the file itself */
    enum setting_kind kind;
    size_t offset; /* in the struct of the nearest list item or name above; of the pointer for LIST, NAMES */
    size_t size;   /* of the field, or of one item; 0: checked, kept nowhere */
    size_t count_at;    /* LIST, NAMES: offset of the unsigned that counts; else 0 */
    size_t given_at;    /* offset of a bool that is set when the key is there; 0: none */
    size_t mark_at;     /* items: offset of a struct config_mark; 0: none */
    const char *preset; /* the default, as it would be written; NULL: see absent */
    enum setting_absent absent;
    int64_t min;                 /* COUNT and the like; LIST and NAMES: how many at least */
    int64_t max;                 /* 0: no limit */
    const char *words;           /* WORD: "a|b", stored by position, an empty one cannot be written;
                                  * numbers: a word for 0; patterns: the placeholder */
    const char *shorthand;       /* MAP: a scalar stands for this child; LIST: a scalar for one item */
    const char *only_built;      /* any other value is not built yet */
    enum setting_kind name_kind; /* NAMES: what a name must look like */
    int source;                  /* 1 + enum config_source_kind this key names or belongs to; 0: none */
    bool is_source;              /* this key names the source: exactly one of them in an entry */
    bool may_be_unlimited;
    bool is_required;
    bool is_secret;
    bool is_negated; /* BOOL: the field holds the opposite */
    bool is_not_built;
    bool are_words_not_built;
    const char *help;
};

/* The file as a whole: the first row. Every row's descendants follow it. */
const struct setting *table_root(void);

/* The row after this one, parents first; NULL at the end. */
const struct setting *table_next(const struct setting *setting);

/* The key of that name in a MAP; NULL if there is none. */
const struct setting *table_child(const struct setting *map, struct str name);

/* The next key of a MAP, at first with after NULL; NULL at the end. */
const struct setting *table_next_child(const struct setting *map, const struct setting *after);

/* The row for what a LIST or NAMES holds. */
const struct setting *table_item(const struct setting *list);

/* The key as people write it: "queue" of "upstreams.*.limit.queue", "primary" of "upstreams.*.primary[]". */
struct str setting_key(const struct setting *setting);

/* True for what holds no other settings. */
bool setting_is_scalar(const struct setting *setting);

/* The kind's sentence and its pattern, see SETTING_KINDS. */
const char *setting_what(enum setting_kind kind);
const char *setting_pattern(enum setting_kind kind);

/* Adds what is allowed, for people: "a whole number from 1 to 100, or unlimited". False: out of memory. */
bool setting_put_allowed(const struct setting *setting, struct buf *out);

/* The children of a MAP that can be used, as "a, b, c". False: out of memory. */
bool setting_put_children(const struct setting *map, struct buf *out);

#endif
