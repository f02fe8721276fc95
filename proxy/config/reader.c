#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "config/guess.h"
#include "config/reading.h"
#include "config/scalar.h"
#include "config/table.h"

#define SHOWN_MAX 60 /* bytes of a wrong value that a message repeats */

static void read_value(struct reading *r, const struct setting *setting, const struct node *node, char *base);

/* Where to point: at the key when there is one. */
static struct config_mark key_mark(const struct node *node)
{
    return node->name.data ? node->name_mark : node->mark;
}

/* What an absent MAP and all below it hold. Lists stay empty. */
static void set_absent(struct reading *r, const struct setting *map, char *base)
{
    const struct setting *child = NULL;
    while ((child = table_next_child(map, child))) {
        if (child->kind == SETTING_MAP)
            set_absent(r, child, base);
        else if (setting_is_scalar(child) && child->size > 0 &&
                 scalar_set_absent(child, &r->config->arena, base + child->offset) != SCALAR_OK)
            r->is_out_of_memory = true;
    }
}

static bool has_large_port(struct str text)
{
    uint64_t port;
    size_t at = text.len;
    while (at > 0 && text.data[at - 1] != ':')
        at--;
    return at > 0 && str_to_u64(str_from(text, at), &port) && port > UINT16_MAX;
}

/* "30" where "30s" was meant: what a bare number most likely lacks. */
static bool guess_unit(const struct setting *setting, struct str text, char *out, size_t size)
{
    uint64_t number;
    char last = text.len > 0 ? (char)(text.data[text.len - 1] & ~0x20) : 0;
    bool is_number = str_to_u64(text, &number);
    const char *unit = NULL;
    if (setting->kind == SETTING_DURATION)
        unit = "s";
    else if (setting->kind == SETTING_RATE || setting->kind == SETTING_BYTE_RATE)
        unit = "/s";
    else if (setting->kind == SETTING_SHARE)
        unit = "%";
    if (is_number && unit)
        snprintf(out, size, "; did you mean \"%.*s%s\"?", STR_FMT(text), unit);
    else if (is_number && setting->kind == SETTING_ADDRESS)
        snprintf(out, size, "; did you mean \"127.0.0.1:%.*s\"?", STR_FMT(text));
    else if (setting->kind == SETTING_ADDRESS && has_large_port(text))
        snprintf(out, size, "; a port is at most %d", UINT16_MAX);
    else if (setting->kind == SETTING_SIZE && text.len > 1 && strchr("KMGT", last) &&
             str_to_u64(str_n(text.data, text.len - 1), &number))
        snprintf(out, size, "; did you mean \"%.*s%ciB\"?", (int)text.len - 1, text.data, last);
    else
        return false;
    return true;
}

static void guess_scalar(const struct setting *setting, struct str text, char *out, size_t size)
{
    struct guess guess;
    guess_init(&guess, text);
    if (setting->kind == SETTING_WORD || (setting->words && scalar_is_number(setting->kind)))
        guess_offer_words(&guess, setting->words);
    if (setting->may_be_unlimited)
        guess_offer(&guess, STR("unlimited"));
    if (setting->kind == SETTING_BOOL)
        guess_offer_words(&guess, "true|false");
    char upper[32];
    if (setting->kind == SETTING_METHOD && text.len < sizeof upper) {
        for (size_t i = 0; i <= text.len; i++)
            upper[i] =
                (char)(i == text.len
                           ? '\0'
                           : text.data[i] -
                                 (ascii_lower(text.data[i]) == text.data[i] && text.data[i] >= 'a' ? 32 : 0));
        guess_offer(&guess, str_of(upper));
    }
    if (!guess_unit(setting, text, out, size))
        guess_text(&guess, out, size);
}

/* The value as a message may repeat it: quoted, one line, not too long, and no secret. */
static bool put_shown(const struct setting *setting, struct str text, struct buf *out)
{
    if (setting->is_secret)
        return buf_append_str(out, STR("this value"));
    size_t len = text.len;
    if (len > SHOWN_MAX) {
        len = SHOWN_MAX;
        while (len > 0 && (text.data[len] & 0xc0) == 0x80)
            len--;
    }
    struct buf quoted;
    buf_init(&quoted);
    bool ok = scalar_put_text(str_n(text.data, len), &quoted);
    bool has_quotes = ok && buf_str(&quoted).data[0] == '"';
    ok = ok && buf_printf(out, has_quotes ? "%.*s%s" : "\"%.*s\"%s", STR_FMT(buf_str(&quoted)),
                          len < text.len ? "..." : "");
    buf_fini(&quoted);
    return ok;
}

static void scalar_mistake(struct reading *r, const struct setting *setting, const struct node *node,
                           enum scalar_result result)
{
    struct str key = setting_key(setting);
    struct buf shown;
    struct buf allowed;
    char meant[256] = "";
    buf_init(&shown);
    buf_init(&allowed);
    if (!put_shown(setting, node->text, &shown) || !setting_put_allowed(setting, &allowed)) {
        r->is_out_of_memory = true;
    } else if (result == SCALAR_NOT_BUILT) {
        config_mistake(r->mistakes, node->mark, "%.*s: %.*s is not built yet; allowed: %.*s", STR_FMT(key),
                       STR_FMT(buf_str(&shown)), STR_FMT(buf_str(&allowed)));
    } else if (result == SCALAR_RANGE) {
        config_mistake(r->mistakes, node->mark, "%.*s: %.*s is out of range; allowed: %.*s", STR_FMT(key),
                       STR_FMT(buf_str(&shown)), STR_FMT(buf_str(&allowed)));
    } else if (node->text.len == 0) {
        config_mistake(r->mistakes, node->mark, "%.*s: it is empty; allowed: %.*s", STR_FMT(key),
                       STR_FMT(buf_str(&allowed)));
    } else {
        guess_scalar(setting, node->text, meant, sizeof meant);
        config_mistake(r->mistakes, node->mark, "%.*s: %.*s is wrong; allowed: %.*s%s", STR_FMT(key),
                       STR_FMT(buf_str(&shown)), STR_FMT(buf_str(&allowed)), meant);
    }
    buf_fini(&shown);
    buf_fini(&allowed);
}

static void kind_mistake(struct reading *r, const struct setting *setting, const struct node *node)
{
    struct str key = setting_key(setting);
    const char *hint = "";
    if (setting->kind == SETTING_LIST && node->kind == NODE_SCALAR && !node_is_null(node))
        hint = ", in [ ] or with - in front of each";
    else if (setting->kind == SETTING_LIST && node->kind == NODE_MAP)
        hint = ", with - in front of each";
    struct buf allowed;
    buf_init(&allowed);
    if (!setting_put_allowed(setting, &allowed))
        r->is_out_of_memory = true;
    else
        config_mistake(r->mistakes, node_is_null(node) ? key_mark(node) : node->mark,
                       "%.*s: %s; allowed: %.*s%s", STR_FMT(key), node_complaint(node),
                       STR_FMT(buf_str(&allowed)), hint);
    buf_fini(&allowed);
}

static void check_file(struct reading *r, const struct setting *setting, const struct node *node,
                       struct str path)
{
    struct stat info;
    const char *why = NULL;
    if (stat(path.data, &info) != 0 || access(path.data, R_OK) != 0)
        why = strerror(errno);
    else if (!S_ISREG(info.st_mode))
        why = "not a file";
    if (why)
        config_mistake(r->mistakes, node->mark, "%.*s: cannot read \"%s\": %s", STR_FMT(setting_key(setting)),
                       path.data, why);
}

static void read_scalar(struct reading *r, const struct setting *setting, const struct node *node, char *base)
{
    if (node->kind != NODE_SCALAR || node_is_null(node)) {
        kind_mistake(r, setting, node);
        return;
    }
    void *field = base + setting->offset;
    enum scalar_result result = scalar_read(setting, node->text, &r->config->arena, r->folder, field);
    if (result == SCALAR_NO_MEMORY)
        r->is_out_of_memory = true;
    else if (result != SCALAR_OK)
        scalar_mistake(r, setting, node, result);
    else if (setting->kind == SETTING_FILE)
        check_file(r, setting, node, *(struct str *)field);
}

static void unknown_key(struct reading *r, const struct setting *map, const struct node *node)
{
    struct guess guess;
    struct buf allowed;
    char meant[128];
    guess_init(&guess, node->name);
    const struct setting *child = NULL;
    while ((child = table_next_child(map, child)))
        guess_offer(&guess, setting_key(child));
    buf_init(&allowed);
    if (!setting_put_children(map, &allowed))
        r->is_out_of_memory = true;
    else
        config_mistake(r->mistakes, node->name_mark, "unknown key \"%.*s\" in %.*s; allowed: %.*s%s",
                       (int)(node->name.len < SHOWN_MAX ? node->name.len : SHOWN_MAX), node->name.data,
                       STR_FMT(setting_key(map)), STR_FMT(buf_str(&allowed)),
                       guess_text(&guess, meant, sizeof meant));
    buf_fini(&allowed);
}

static void check_required(struct reading *r, const struct setting *map, const struct node *node)
{
    const struct setting *child = NULL;
    while ((child = table_next_child(map, child))) {
        if (child->is_required && !node_find(node, setting_key(child)))
            config_mistake(r->mistakes, key_mark(node), "%.*s needs `%.*s`: %s",
                           STR_FMT(node->name.data ? node->name : setting_key(map)),
                           STR_FMT(setting_key(child)), child->help);
    }
}

/* An entry of `from`: exactly one key names the source, and its companions go with no other. */
static void settle_source(struct reading *r, const struct setting *map, const struct node *node, char *base)
{
    struct config_source *source = (struct config_source *)base;
    const struct setting *named = NULL;
    for (const struct node *at = node->child; at; at = at->next) {
        const struct setting *child = table_child(map, at->name);
        if (!child || (!child->is_source && !child->is_not_built))
            continue;
        if (named)
            config_mistake(r->mistakes, at->name_mark, "one source an entry: %.*s is already here",
                           STR_FMT(setting_key(named)));
        named = named ? named : child;
    }
    if (!named)
        config_mistake(r->mistakes, key_mark(node), "this entry names no source; give one of its keys");
    if (!named || named->is_not_built)
        return;
    source->kind = (enum config_source_kind)(named->source - 1);
    const struct setting *child = NULL;
    while ((child = table_next_child(map, child))) {
        if (child->is_source || child->source == 0 || child->source == named->source)
            continue;
        const struct node *at = node_find(node, setting_key(child));
        if (at)
            config_mistake(r->mistakes, at->name_mark, "%.*s does not go with %.*s",
                           STR_FMT(setting_key(child)), STR_FMT(setting_key(named)));
        memset(base + child->offset, 0, child->size); /* its preset means nothing here */
    }
}

static bool has_sources(const struct setting *map)
{
    const struct setting *first = table_next_child(map, NULL);
    return first && first->source != 0;
}

static void read_map(struct reading *r, const struct setting *map, const struct node *node, char *base)
{
    if (node->kind == NODE_SCALAR && map->shorthand && !node_is_null(node)) {
        read_value(r, table_child(map, str_of(map->shorthand)), node, base);
        return;
    }
    if (node->kind != NODE_MAP) {
        kind_mistake(r, map, node);
        return;
    }
    if (map->given_at)
        *(bool *)(base + map->given_at) = true;
    for (const struct node *at = node->child; at; at = at->next) {
        const struct setting *child = table_child(map, at->name);
        if (child)
            read_value(r, child, at, base);
        else
            unknown_key(r, map, at);
    }
    check_required(r, map, node);
    if (has_sources(map))
        settle_source(r, map, node, base);
}

/* Room for the items; NULL when there are none or no memory. */
static char *make_items(struct reading *r, const struct setting *list, unsigned count, char *base)
{
    char *items = count > 0 ? arena_zalloc(&r->config->arena, count * list->size) : NULL;
    if (count > 0 && !items) {
        r->is_out_of_memory = true;
        return NULL;
    }
    *(void **)(base + list->offset) = items;
    *(unsigned *)(base + list->count_at) = count;
    if (list->given_at)
        *(bool *)(base + list->given_at) = true;
    return items;
}

static void check_count(struct reading *r, const struct setting *list, const struct node *node)
{
    if (node->count < list->min)
        config_mistake(r->mistakes, key_mark(node), "%.*s is empty; at least %lld is needed",
                       STR_FMT(setting_key(list)), (long long)list->min);
}

static void start_item(struct reading *r, const struct setting *item, const struct node *node, char *at)
{
    if (item->kind == SETTING_MAP)
        set_absent(r, item, at);
    if (item->mark_at)
        *(struct config_mark *)(at + item->mark_at) = key_mark(node);
    reading_put_place(r, at, key_mark(node));
}

static void read_list(struct reading *r, const struct setting *list, const struct node *node, char *base)
{
    const struct setting *item = table_item(list);
    bool is_short = node->kind == NODE_SCALAR && list->shorthand && !node_is_null(node);
    if (node->kind != NODE_LIST && !is_short) {
        kind_mistake(r, list, node);
        return;
    }
    char *at = make_items(r, list, is_short ? 1 : node->count, base);
    if (!is_short)
        check_count(r, list, node);
    for (const struct node *child = is_short ? node : node->child; child && at; child = child->next) {
        start_item(r, item, child, at);
        read_value(r, item, child, at);
        at += list->size;
        if (is_short)
            break;
    }
}

static void read_names(struct reading *r, const struct setting *names, const struct node *node, char *base)
{
    const struct setting *item = table_item(names);
    if (node->kind != NODE_MAP) {
        kind_mistake(r, names, node);
        return;
    }
    const struct setting name = { .path = names->path, .kind = names->name_kind, .size = sizeof(struct str) };
    char *at = make_items(r, names, node->count, base);
    check_count(r, names, node);
    for (const struct node *child = node->child; child && at; child = child->next) {
        struct str *field = (struct str *)(at + item->offset);
        struct node word = { .text = child->name, .mark = child->name_mark };
        start_item(r, item, child, at);
        read_scalar(r, &name, &word, (char *)field);
        /* "v1:" with nothing behind it is a v1 that says nothing. */
        struct node empty = *child;
        empty.kind = NODE_MAP;
        empty.child = NULL;
        if (!child->is_bad)
            read_map(r, item, node_is_null(child) ? &empty : child, at);
        at += names->size;
    }
}

static void read_value(struct reading *r, const struct setting *setting, const struct node *node, char *base)
{
    if (r->is_out_of_memory || node->is_bad)
        return;
    if (setting->is_not_built) {
        config_mistake(r->mistakes, key_mark(node), "%.*s is not built yet; leave it out",
                       STR_FMT(setting_key(setting)));
        return;
    }
    if (setting->size > 0)
        reading_put_place(r, base + setting->offset,
                          setting_is_scalar(setting) ? node->mark : key_mark(node));
    switch (setting->kind) {
    case SETTING_MAP:
        read_map(r, setting, node, base);
        break;
    case SETTING_LIST:
        read_list(r, setting, node, base);
        break;
    case SETTING_NAMES:
        read_names(r, setting, node, base);
        break;
    case SETTING_PLUGIN:
        reading_read_plugin(r, node, (struct config_plugin *)(base + setting->offset));
        break;
    default:
        read_scalar(r, setting, node, base);
    }
}

void reading_read(struct reading *r, const struct node *root)
{
    set_absent(r, table_root(), (char *)r->config);
    read_value(r, table_root(), root, (char *)r->config);
}
