#include "config/table.h"

#include "base/check.h"
#include "config/config.h"
#include "config/scalar.h"

#define MSEC                    1LL
#define HOUR                    (3600 * 1000LL)
#define DAY                     (24 * HOUR)
#define KIB                     1024LL
#define MIB                     (1024 * KIB)
#define GIB                     (1024 * MIB)
#define TIB                     (1024 * GIB)

#define FIELD_SIZE(type, field) sizeof(((struct type *)0)->field)
#define ITEM_SIZE(type, field)  sizeof(*((struct type *)0)->field)

/* The words keys.def is written in. */
#define IN(type, field)         .offset = offsetof(struct type, field), .size = FIELD_SIZE(type, field),
#define ITEMS(type, field, count)                                           \
    .offset = offsetof(struct type, field), .size = ITEM_SIZE(type, field), \
    .count_at = offsetof(struct type, count),
#define ITEM(type)         .size = sizeof(type),
#define MARK(type, field)  .mark_at = offsetof(struct type, field),
#define GIVEN(type, field) .given_at = offsetof(struct type, field),
#define PRESET(text)       .preset = (text),
#define ABSENT(what)       .absent = ABSENT_##what,
#define RANGE(low, high)   .min = (low), .max = (high),
#define ATLEAST(low)       .min = (low),
#define WORDS(text)        .words = (text),
#define SHORT(child)       .shorthand = (child),
#define ONLY(text)         .only_built = (text),
#define NAMED(as)          .name_kind = SETTING_##as,
#define NAMES_SOURCE(kind) .source = 1 + (kind), .is_source = true,
#define OF_SOURCE(kind)    .source = 1 + (kind),
#define UNLIMITED          .may_be_unlimited = true,
#define REQUIRED           .is_required = true,
#define SECRET             .is_secret = true,
#define NEGATED            .is_negated = true,
#define NOT_BUILT          .is_not_built = true,
#define WORDS_NOT_BUILT    .are_words_not_built = true,

static const struct setting rows[] = {
#define KEY(path_, kind_, where_, facts_, help_) \
    { .path = path_, .kind = SETTING_##kind_, where_ facts_.help = help_ },
#include "config/keys.def"
#undef KEY
};

static const struct {
    const char *what;
    const char *pattern;
} kinds[] = {
#define KIND(name_, what_, pattern_) [SETTING_##name_] = { what_, pattern_ },
    SETTING_KINDS(KIND)
#undef KIND
};

const struct setting *table_root(void)
{
    return &rows[0];
}

const struct setting *table_next(const struct setting *setting)
{
    CHECK(setting >= rows);
    CHECK(setting < rows + COUNT_OF(rows));
    return setting + 1 == rows + COUNT_OF(rows) ? NULL : setting + 1;
}

/* What of path is below parent: "b.c" for "a.b.c" and "a", data NULL when it is not below. */
static struct str below(const struct setting *parent, const struct setting *setting)
{
    size_t len = strlen(parent->path);
    if (len == 0)
        return str_of(setting->path);
    if (strncmp(setting->path, parent->path, len) != 0)
        return str_of(NULL);
    if (setting->path[len] != '.')
        return str_of(NULL);
    return str_of(setting->path + len + 1);
}

static bool is_child(const struct setting *map, const struct setting *setting)
{
    struct str rest = below(map, setting);
    return rest.len > 0 && str_find(rest, '.') < 0 && str_find(rest, '[') < 0 && !str_eq(rest, STR("*"));
}

const struct setting *table_next_child(const struct setting *map, const struct setting *after)
{
    CHECK(map->kind == SETTING_MAP);
    for (const struct setting *at = table_next(after ? after : map); at; at = table_next(at)) {
        if (is_child(map, at))
            return at;
    }
    return NULL;
}

const struct setting *table_child(const struct setting *map, struct str name)
{
    const struct setting *child = NULL;
    while ((child = table_next_child(map, child))) {
        if (str_eq(below(map, child), name))
            return child;
    }
    return NULL;
}

const struct setting *table_item(const struct setting *list)
{
    CHECK(list->kind == SETTING_LIST || list->kind == SETTING_NAMES);
    const struct setting *item = table_next(list); /* keys.def: directly behind it */
    CHECK(item != NULL);
    CHECK(strncmp(item->path, list->path, strlen(list->path)) == 0);
    CHECK(strcmp(item->path + strlen(list->path), list->kind == SETTING_LIST ? "[]" : ".*") == 0);
    return item;
}

struct str setting_key(const struct setting *setting)
{
    struct str path = str_of(setting->path);
    while (str_has_suffix(path, STR("[]")) || str_has_suffix(path, STR(".*")))
        path.len -= 2;
    for (size_t i = path.len; i > 0; i--) {
        if (path.data[i - 1] == '.')
            return str_from(path, i);
    }
    return path.len > 0 ? path : STR("the file");
}

bool setting_is_scalar(const struct setting *setting)
{
    return setting->kind > SETTING_PLUGIN;
}

const char *setting_what(enum setting_kind kind)
{
    return kinds[kind].what;
}

const char *setting_pattern(enum setting_kind kind)
{
    return kinds[kind].pattern;
}

/* "a, b, c" from "a|b|c"; the empty word cannot be written and is left out. */
static bool put_words(const char *words, struct buf *out)
{
    struct str rest = str_of(words);
    struct str word;
    bool is_first = true;
    bool ok = true;
    while (str_split(&rest, '|', &word)) {
        if (word.len == 0)
            continue;
        ok = ok && buf_printf(out, "%s%.*s", is_first ? "" : ", ", STR_FMT(word));
        is_first = false;
    }
    return ok;
}

static bool put_range(const struct setting *setting, struct buf *out)
{
    bool ok = true;
    if (setting->max > 0) {
        bool has_example = strstr(kinds[setting->kind].what, "such as") != NULL;
        ok = buf_append_str(out, has_example ? STR(", from ") : STR(" from ")) &&
             scalar_put_number(setting->kind, setting->min, out) && buf_append_str(out, STR(" to ")) &&
             scalar_put_number(setting->kind, setting->max, out);
    }
    return ok;
}

bool setting_put_allowed(const struct setting *setting, struct buf *out)
{
    if (setting->only_built)
        return buf_append_str(out, str_of(setting->only_built));
    bool ok = true;
    bool is_one_word = setting->kind == SETTING_WORD && !strchr(setting->words + 1, '|');
    if (!is_one_word)
        ok = buf_append_str(out, str_of(kinds[setting->kind].what));
    if (setting->kind == SETTING_WORD)
        return ok && buf_append_str(out, is_one_word ? STR("") : STR(" ")) && put_words(setting->words, out);
    if (setting->kind == SETTING_MAP)
        return ok && buf_append_str(out, STR(" of ")) && setting_put_children(setting, out);
    if (setting->kind == SETTING_PATH_PATTERN)
        return ok && buf_printf(out, ": /%s/", setting->words);
    ok = ok && (!setting_is_scalar(setting) || put_range(setting, out));
    if (ok && setting->may_be_unlimited)
        ok = buf_append_str(out, STR(", or unlimited"));
    bool has_words = setting->words && (scalar_is_number(setting->kind) || setting->kind == SETTING_PATH);
    if (ok && has_words && !setting->are_words_not_built)
        ok = buf_append_str(out, STR(", or ")) && put_words(setting->words, out);
    return ok;
}

bool setting_put_children(const struct setting *map, struct buf *out)
{
    const struct setting *child = NULL;
    bool is_first = true;
    bool ok = true;
    while ((child = table_next_child(map, child))) {
        if (child->is_not_built)
            continue;
        ok = ok && buf_printf(out, "%s%.*s", is_first ? "" : ", ", STR_FMT(setting_key(child)));
        is_first = false;
    }
    return ok;
}
