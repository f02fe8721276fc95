/* The config as YAML again, with every default filled in, by the table. */
#include <stdlib.h>

#include "base/check.h"
#include "config/config.h"
#include "config/scalar.h"
#include "config/table.h"

#define WIDTH 100 /* a flow mapping goes on in the next line behind this column */

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

/* In one line: values, lists of values, and mappings of those. False: there is nothing to say. */
static bool put_flow(struct writer *w, const struct setting *setting, const char *base, int indent);

static void put_plugin(struct writer *w, const struct config_plugin *plugin)
{
    put(w, STR("{name: "));
    put(w, plugin->name);
    if (plugin->json.len > 2) {
        put(w, STR(", "));
        put(w, str_n(plugin->json.data + 1, plugin->json.len - 1));
    } else {
        put(w, STR("}"));
    }
}

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
