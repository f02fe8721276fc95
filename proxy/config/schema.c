/* The table as a JSON Schema, for editors: what this build accepts, so keys that are not built yet are
 * not in it. It says less than the reader: cross checks, ranges with units and files are the reader's. */
#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "config/config.h"
#include "config/scalar.h"
#include "config/table.h"
#include "config/value.h"

/* jansson's setters fail when out of memory, and on a NULL value, which is how its makers fail. So only the
 * setters are looked at, here. */
struct maker {
    bool is_out_of_memory;
};

static json_t *node_for(struct maker *m, const struct setting *setting);

static void set(struct maker *m, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        m->is_out_of_memory = true;
}

static void append(struct maker *m, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        m->is_out_of_memory = true;
}

static json_t *words_for(struct maker *m, const struct setting *setting)
{
    json_t *words = json_array();
    struct str rest = str_of(setting->words);
    struct str word;
    while (setting->words && !setting->are_words_not_built && str_split(&rest, '|', &word)) {
        if (word.len > 0)
            append(m, words, json_stringn(word.data, word.len));
    }
    if (setting->may_be_unlimited)
        append(m, words, json_string("unlimited"));
    return words;
}

/* COUNT and AMOUNT are numbers in YAML too; a bare size or percentage is one by chance. */
static json_t *number_for(struct maker *m, const struct setting *setting)
{
    const char *type = setting->kind == SETTING_COUNT || setting->kind == SETTING_SIZE ? "integer" : "number";
    json_t *number = json_pack("{s:s, s:I}", "type", type, "minimum", (json_int_t)setting->min);
    if (setting->max > 0)
        set(m, number, "maximum", json_integer(setting->max));
    return number;
}

/* ${NAME} may stand for any value; what has no pattern may be any text anyway. */
static json_t *text_for(struct maker *m, const struct setting *setting)
{
    bool is_number = setting->kind == SETTING_COUNT || setting->kind == SETTING_AMOUNT;
    bool has_pattern = setting->kind == SETTING_BOOL || setting->kind == SETTING_WORD || is_number ||
                       setting_pattern(setting->kind);
    const char *pattern = is_number ? NULL : setting_pattern(setting->kind);
    json_t *text = json_pack("{s:s}", "type", "string");
    struct buf both;
    buf_init(&both);
    if (has_pattern && buf_printf(&both, "%s%s\\$\\{", pattern ? pattern : "", pattern ? "|" : ""))
        set(m, text, "pattern", json_stringn(buf_str(&both).data, buf_len(&both)));
    m->is_out_of_memory = m->is_out_of_memory || (has_pattern && buf_len(&both) == 0);
    buf_fini(&both);
    return text;
}

static json_t *scalar_for(struct maker *m, const struct setting *setting)
{
    enum setting_kind kind = setting->kind;
    json_t *row = json_object();
    if (setting->only_built) {
        bool is_true = strcmp(setting->only_built, "true") == 0;
        set(m, row, "const", kind == SETTING_BOOL ? json_boolean(is_true) : json_string(setting->only_built));
        return row;
    }
    json_t *any = json_array();
    bool has_words = kind == SETTING_WORD || scalar_is_number(kind);
    json_t *words = has_words ? words_for(m, setting) : json_array();
    if (kind == SETTING_BOOL)
        append(m, any, json_pack("{s:s}", "type", "boolean"));
    if (kind == SETTING_COUNT || kind == SETTING_AMOUNT || kind == SETTING_SIZE || kind == SETTING_PERCENT)
        append(m, any, number_for(m, setting));
    if (json_array_size(words) > 0)
        append(m, any, json_pack("{s:O}", "enum", words));
    json_decref(words);
    append(m, any, text_for(m, setting));
    if (json_array_size(any) == 1) {
        json_decref(row);
        row = json_incref(json_array_get(any, 0));
        json_decref(any);
    } else {
        set(m, row, "anyOf", any);
    }
    return row;
}

static json_t *map_for(struct maker *m, const struct setting *map)
{
    json_t *object = json_pack("{s:s}", "type", "object");
    json_t *properties = json_object();
    json_t *required = json_array();
    json_t *sources = json_array();
    const struct setting *child = NULL;
    while ((child = table_next_child(map, child))) {
        if (child->is_not_built)
            continue;
        char *name = str_dup(setting_key(child));
        if (name)
            set(m, properties, name, node_for(m, child));
        if (name && child->is_required)
            append(m, required, json_string(name));
        if (name && child->is_source)
            append(m, sources, json_pack("{s:[s]}", "required", name));
        m->is_out_of_memory = m->is_out_of_memory || !name;
        free(name);
    }
    set(m, object, "properties", properties);
    set(m, object, "additionalProperties", json_false());
    if (json_array_size(required) > 0)
        set(m, object, "required", json_incref(required));
    if (json_array_size(sources) > 0)
        set(m, object, "oneOf", json_incref(sources));
    json_decref(required);
    json_decref(sources);
    return object;
}

static json_t *list_for(struct maker *m, const struct setting *list)
{
    json_t *array = json_pack("{s:s}", "type", "array");
    if (list->min > 0)
        set(m, array, "minItems", json_integer(list->min));
    set(m, array, "items", node_for(m, table_item(list)));
    return array;
}

static json_t *names_for(struct maker *m, const struct setting *names)
{
    json_t *object = json_pack("{s:s}", "type", "object");
    if (names->min > 0)
        set(m, object, "minProperties", json_integer(names->min));
    const char *pattern = setting_pattern(names->name_kind);
    CHECK(pattern != NULL);
    set(m, object, "propertyNames", json_pack("{s:s}", "pattern", pattern));
    set(m, object, "additionalProperties", node_for(m, table_item(names)));
    return object;
}

/* A scalar where a mapping or a list of them could be: one of the two. */
static json_t *with_shorthand(struct maker *m, const struct setting *setting, json_t *full)
{
    if (!setting->shorthand)
        return full;
    const struct setting *map = setting->kind == SETTING_LIST ? table_item(setting) : setting;
    json_t *row = json_object();
    json_t *any = json_array();
    append(m, any, scalar_for(m, table_child(map, str_of(setting->shorthand))));
    append(m, any, full);
    set(m, row, "anyOf", any);
    return row;
}

static json_t *default_for(const struct setting *setting)
{
    int64_t number;
    bool is_true;
    if (setting->kind != SETTING_SIZE && value_count(str_of(setting->preset), &number))
        return json_integer(number);
    if (setting->kind == SETTING_BOOL && value_bool(str_of(setting->preset), &is_true))
        return json_boolean(is_true);
    return json_string(setting->preset);
}

static json_t *node_for(struct maker *m, const struct setting *setting)
{
    json_t *node;
    if (setting->kind == SETTING_MAP)
        node = map_for(m, setting);
    else if (setting->kind == SETTING_LIST)
        node = list_for(m, setting);
    else if (setting->kind == SETTING_NAMES)
        node = names_for(m, setting);
    else if (setting->kind == SETTING_PLUGIN)
        node = json_pack("{s:s, s:[s], s:{s:{s:s}}}", "type", "object", "required", "name", "properties",
                         "name", "type", "string");
    else
        node = scalar_for(m, setting);
    node = with_shorthand(m, setting, node);
    if (setting->preset && !setting->only_built)
        set(m, node, "default", default_for(setting));
    set(m, node, "description", json_string(setting->help));
    return node;
}

char *config_schema(void)
{
    struct maker m = { 0 };
    json_t *schema = json_object();
    set(&m, schema, "$schema", json_string("http://json-schema.org/draft-07/schema#"));
    set(&m, schema, "title", json_string("weir"));
    json_t *root = node_for(&m, table_root());
    if (json_object_update(schema, root) != 0)
        m.is_out_of_memory = true;
    json_decref(root);
    char *text = m.is_out_of_memory ? NULL : json_dumps(schema, JSON_INDENT(2));
    json_decref(schema);
    char *line = NULL;
    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}
