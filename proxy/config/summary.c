/* The config as YAML again, with every default filled in, by the table. Without its secrets: it is shown in
 * CI's logs and in journals. */
#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "config/config.h"
#include "config/scalar.h"
#include "config/table.h"
#include "config/value.h"

#define WIDTH  100 /* a flow mapping goes on in the next line behind this column */
#define HIDDEN "(hidden)"

struct writer {
    struct buf out;
    bool ok;
};

static void put(struct writer *w, struct str text)
{
    w->ok = w->ok && buf_append_str(&w->out, text);
}

static void put_indent(struct writer *w, int indent)
{
    for (int i = 0; i < indent; i++)
        put(w, STR("  "));
}

static size_t column(const struct writer *w)
{
    struct str text = buf_len(&w->out) > 0 ? buf_str(&w->out) : STR("");
    size_t len = 0;
    while (len < text.len && text.data[text.len - 1 - len] != '\n')
        len++;
    return len;
}

/* A key of a source is said only by the entry that is this source. */
static bool is_of_other_source(const struct setting *setting, const char *base)
{
    const struct config_source *source = (const struct config_source *)base;
    return setting->source != 0 && setting->source != 1 + (int)source->kind;
}

static bool is_said(const struct setting *setting, const char *base)
{
    if (setting->is_not_built || is_of_other_source(setting, base))
        return false;
    if (setting->given_at && !*(const bool *)(base + setting->given_at))
        return false;
    if (setting->count_at && !setting->given_at && *(const unsigned *)(base + setting->count_at) == 0)
        return false;
    return true;
}

/* --- plugins: no table says which of their keys are secrets --- */

static bool is_secret_name(const char *name)
{
    static const char words[] = "key|keys|token|tokens|password|passwords|secret|secrets";
    const char *last = strrchr(name, '_'); /* api_key, too */
    char lower[16];
    struct str word = str_of(last ? last + 1 : name);
    if (word.len >= sizeof lower)
        return false;
    for (size_t i = 0; i < word.len; i++)
        lower[i] = ascii_lower(word.data[i]);
    return value_word(str_n(lower, word.len), words) >= 0;
}

/* A scheme and what is behind it, rather than a text that has a URL in it. */
static bool is_url(struct str text)
{
    size_t len = 0;
    while (len < text.len && !memchr(": \t\r\n='\"", text.data[len], 8))
        len++;
    return len > 0 && str_has_prefix(str_from(text, len), STR("://"));
}

/* What stands for the credentials is rather too much than too little: up to the last @. */
static bool put_without_user(struct str text, struct buf *out)
{
    const char *mark = memmem(text.data, text.len, "://", 3);
    struct str behind = mark ? str_from(text, (size_t)(mark - text.data) + 3) : STR("");
    const char *at = memrchr(behind.data, '@', behind.len);
    if (!at || !memchr(behind.data, ':', (size_t)(at - behind.data)))
        return buf_append_str(out, text);
    return buf_append(out, text.data, text.len - behind.len) && buf_append_str(out, STR(HIDDEN)) &&
           buf_append_str(out, str_from(behind, (size_t)(at - behind.data)));
}

/* Where the value of the next `password=` begins, spaces allowed as libpq does; -1: there is none. */
static ptrdiff_t find_password(struct str text)
{
    const size_t len = strlen("password");
    for (size_t i = 0; i + len < text.len; i++) {
        size_t at = i + len;
        if (strncasecmp(text.data + i, "password", len) != 0)
            continue;
        while (at < text.len && memchr(" \t\r\n", text.data[at], 4))
            at++;
        if (at == text.len || text.data[at] != '=')
            continue;
        for (at++; at < text.len && memchr(" \t\r\n", text.data[at], 4);)
            at++;
        return (ptrdiff_t)at;
    }
    return -1;
}

/* How long that value is: to the quote that ends it, or to the next space; in a URL to the next &. */
static size_t password_len(struct str text, bool is_in_url)
{
    char quote = !is_in_url && text.len > 0 && memchr("'\"", text.data[0], 2) ? text.data[0] : '\0';
    size_t at = quote ? 1 : 0;
    for (; at < text.len; at++) {
        char c = text.data[at];
        if (c == '\\' && !is_in_url)
            at++;
        else if (quote && c == quote)
            return at + 1;
        else if (!quote && (is_in_url ? c == '&' : memchr(" \t\r\n", c, 4) != NULL))
            return at;
    }
    return text.len;
}

static bool put_without_passwords(struct str text, bool is_in_url, struct buf *out)
{
    bool ok = true;
    ptrdiff_t start;
    while (ok && (start = find_password(text)) >= 0) {
        ok = buf_append(out, text.data, (size_t)start) && buf_append_str(out, STR(HIDDEN));
        text = str_from(text, (size_t)start);
        text = str_from(text, password_len(text, is_in_url));
    }
    return ok && buf_append_str(out, text);
}

/* Each may hold what looks like the other: a URL's password= is looked for behind its user only, and
 * elsewhere a password may have a URL in it. */
static json_t *shown_text(struct str text)
{
    struct buf first, both;
    json_t *copy = NULL;
    bool is_in_url = is_url(text);
    if (text.len == 0)
        return json_string("");
    buf_init(&first);
    buf_init(&both);
    if ((is_in_url ? put_without_user(text, &first) : put_without_passwords(text, false, &first)) &&
        (is_in_url ? put_without_passwords(buf_str(&first), true, &both)
                   : put_without_user(buf_str(&first), &both)))
        copy = json_stringn(buf_str(&both).data, buf_len(&both));
    buf_fini(&both);
    buf_fini(&first);
    return copy;
}

/* A copy to show. NULL: out of memory. */
static json_t *shown(const json_t *value, bool is_secret)
{
    json_t *copy;
    if (json_is_array(value)) {
        copy = json_array();
        for (size_t i = 0; copy && i < json_array_size(value); i++) {
            if (json_array_append_new(copy, shown(json_array_get(value, i), is_secret)) != 0) {
                json_decref(copy);
                return NULL;
            }
        }
        return copy;
    }
    if (json_is_object(value)) {
        const char *name;
        json_t *item;
        copy = json_object();
        json_object_foreach((json_t *)(uintptr_t)value, name, item)
        {
            if (copy &&
                json_object_set_new(copy, name, shown(item, is_secret || is_secret_name(name))) != 0) {
                json_decref(copy);
                return NULL;
            }
        }
        return copy;
    }
    if (is_secret && (json_is_string(value) || json_is_number(value))) /* 123456 is a password, too */
        return json_string(HIDDEN);
    if (json_is_string(value))
        return shown_text(str_n(json_string_value(value), json_string_length(value)));
    return json_copy((json_t *)(uintptr_t)value);
}

static void put_plugin(struct writer *w, const struct config_plugin *plugin)
{
    put(w, STR("{name: "));
    put(w, plugin->name);
    if (plugin->json.len <= 2) {
        put(w, STR("}"));
        return;
    }
    json_t *keys = json_loadb(plugin->json.data, plugin->json.len, JSON_ALLOW_NUL, NULL);
    json_t *copy = keys ? shown(keys, false) : NULL;
    char *text = copy ? json_dumps(copy, JSON_REAL_PRECISION(15)) : NULL;
    w->ok = w->ok && text;
    put(w, STR(", "));
    if (text)
        put(w, str_from(str_of(text), 1));
    free(text);
    json_decref(copy);
    json_decref(keys);
}

/* In one line: values, lists of values, and mappings of those. False: there is nothing to say. */
static bool put_flow(struct writer *w, const struct setting *setting, const char *base, int indent);

static bool put_flow_map(struct writer *w, const struct setting *map, const char *base, int indent)
{
    const struct setting *child = NULL;
    bool is_first = true;
    bool is_whole = true; /* nothing that is required is missing: a canary without upstream is no canary */
    put(w, STR("{"));
    while ((child = table_next_child(map, child))) {
        size_t before = buf_len(&w->out);
        if (!is_said(child, base))
            continue;
        if (!is_first && column(w) > WIDTH - 20) {
            put(w, STR(",\n"));
            put_indent(w, indent + 1);
        } else if (!is_first) {
            put(w, STR(", "));
        }
        put(w, setting_key(child));
        put(w, STR(": "));
        if (put_flow(w, child, base, indent)) {
            is_first = false;
        } else {
            w->out.end = w->out.start + before; /* nothing was said: take the key back */
            is_whole = is_whole && !child->is_required;
        }
    }
    put(w, STR("}"));
    return is_whole && (!is_first || map->given_at);
}

static bool put_flow_list(struct writer *w, const struct setting *list, const char *base, int indent)
{
    const char *at = *(char *const *)(base + list->offset);
    unsigned count = *(const unsigned *)(base + list->count_at);
    put(w, STR("["));
    for (unsigned i = 0; i < count; i++, at += list->size) {
        put(w, i > 0 ? STR(", ") : STR(""));
        put_flow(w, table_item(list), at, indent);
    }
    put(w, STR("]"));
    return true;
}

static bool put_flow(struct writer *w, const struct setting *setting, const char *base, int indent)
{
    bool is_there = true;
    switch (setting->kind) {
    case SETTING_MAP:
        return put_flow_map(w, setting, base, indent);
    case SETTING_LIST:
        return put_flow_list(w, setting, base, indent);
    case SETTING_PLUGIN:
        put_plugin(w, (const struct config_plugin *)(base + setting->offset));
        return true;
    default:
        CHECK(setting->kind != SETTING_NAMES);
        w->ok = w->ok && scalar_put(setting, base + setting->offset, &w->out, &is_there);
        return is_there;
    }
}

static void put_block(struct writer *w, const struct setting *map, const char *base, int indent);

static void put_names(struct writer *w, const struct setting *names, const char *base, int indent)
{
    const struct setting *item = table_item(names);
    const char *at = *(char *const *)(base + names->offset);
    unsigned count = *(const unsigned *)(base + names->count_at);
    put(w, STR("\n"));
    for (unsigned i = 0; i < count; i++, at += names->size) {
        put_indent(w, indent);
        w->ok = w->ok && scalar_put_text(*(const struct str *)(at + item->offset), &w->out);
        put(w, STR(":\n"));
        put_block(w, item, at, indent + 1);
    }
}

static void put_items(struct writer *w, const struct setting *list, const char *base, int indent)
{
    const char *at = *(char *const *)(base + list->offset);
    unsigned count = *(const unsigned *)(base + list->count_at);
    put(w, STR("\n"));
    for (unsigned i = 0; i < count; i++, at += list->size) {
        put_indent(w, indent);
        put(w, STR("- "));
        put_flow(w, table_item(list), at, indent);
        put(w, STR("\n"));
    }
}

/* Mappings that hold names or lists of mappings get lines of their own, so do the top level's. */
static bool is_block(const struct setting *setting)
{
    if (setting->kind == SETTING_NAMES)
        return true;
    if (setting->kind == SETTING_LIST)
        return table_item(setting)->kind == SETTING_MAP;
    if (setting->kind != SETTING_MAP)
        return false;
    const struct setting *child = NULL;
    while ((child = table_next_child(setting, child))) {
        if (is_block(child))
            return true;
    }
    return false;
}

static void put_block(struct writer *w, const struct setting *map, const char *base, int indent)
{
    const struct setting *child = NULL;
    while ((child = table_next_child(map, child))) {
        size_t before = buf_len(&w->out);
        if (!is_said(child, base))
            continue;
        put_indent(w, indent);
        put(w, setting_key(child));
        put(w, STR(":"));
        if (!is_block(child)) {
            put(w, STR(" "));
            if (put_flow(w, child, base, indent))
                put(w, STR("\n"));
            else
                w->out.end = w->out.start + before;
        } else if (child->kind == SETTING_NAMES) {
            put_names(w, child, base, indent + 1);
        } else if (child->kind == SETTING_LIST) {
            put_items(w, child, base, indent + 1);
        } else {
            put(w, STR("\n"));
            put_block(w, child, base, indent + 1);
        }
    }
}

static void put_count(struct writer *w, const char *before, unsigned count, const char *what)
{
    w->ok = w->ok && buf_printf(&w->out, "%s%u %s%s", before, count, what, count == 1 ? "" : "s");
}

static void put_title(struct writer *w, const struct config *config)
{
    unsigned servers = 0;
    for (unsigned i = 0; i < config->upstream_count; i++)
        servers += config->upstreams[i].primary_count + config->upstreams[i].replica_count;
    put(w, STR("# "));
    put(w, config->file);
    put_count(w, " is fine: ", config->listen_count, "listener");
    put_count(w, ", ", config->upstream_count, "upstream");
    put_count(w, " with ", servers, "server");
    put_count(w, ", ", config->versions.known_count, "version");
    put_count(w, ", ", config->tenants.named_count, "named tenant");
    put_count(w, ", ", config->route_count, "route");
    put(w, STR("\n# This is what weir understood, defaults included:\n"));
}

char *config_summary(const struct config *config)
{
    struct writer w = { .ok = true };
    buf_init(&w.out);
    put_title(&w, config);
    put_block(&w, table_root(), (const char *)config, 0);
    char *text = w.ok ? str_dup(buf_str(&w.out)) : NULL;
    buf_fini(&w.out);
    return text;
}
