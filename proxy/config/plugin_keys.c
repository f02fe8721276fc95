#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "config/reading.h"
#include "config/value.h"

static json_t *json_of(struct reading *r, const struct node *node);

static bool is_one_of(struct str text, const char *words)
{
    return value_word(text, words) >= 0;
}

static bool is_digits(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return text.len > 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(struct str text)
{
    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = str_from(text, 1);
    size_t exponent = 0;
    while (exponent < text.len && ascii_lower(text.data[exponent]) != 'e')
        exponent++;
    if (exponent < text.len) {
        struct str power = str_from(text, exponent + 1);
        if (power.len > 0 && (power.data[0] == '-' || power.data[0] == '+'))
            power = str_from(power, 1);
        if (!is_digits(power))
            return false;
    }
    struct str number = str_n(text.data, exponent);
    ptrdiff_t point = str_find(number, '.');
    if (point < 0)
        return is_digits(number);
    struct str before = str_n(number.data, (size_t)point);
    struct str after = str_from(number, (size_t)point + 1);
    return (before.len == 0 || is_digits(before)) && (after.len == 0 || is_digits(after)) &&
           before.len + after.len > 0;
}

/* The YAML 1.2 core schema (10.3.2): what a plain scalar is. */
static json_t *json_of_plain(struct reading *r, const struct node *node)
{
    struct str text = node->text; /* NUL behind it */
    if (text.len == 0 || is_one_of(text, "~|null|Null|NULL"))
        return json_null();
    if (is_one_of(text, "true|True|TRUE"))
        return json_true();
    if (is_one_of(text, "false|False|FALSE"))
        return json_false();
    char *end;
    errno = 0;
    bool has_sign = text.data[0] == '-' || text.data[0] == '+';
    if (is_digits(str_from(text, has_sign))) {
        long long whole = strtoll(text.data, &end, 10);
        if (errno == 0)
            return json_integer(whole);
    } else if (text.len > 2 && (str_has_prefix(text, STR("0x")) || str_has_prefix(text, STR("0o")))) {
        long long whole = strtoll(text.data + 2, &end, text.data[1] == 'x' ? 16 : 8);
        bool is_signed = text.data[2] == '-' || text.data[2] == '+' || text.data[2] == ' ';
        if (errno == 0 && *end == '\0' && !is_signed)
            return json_integer(whole);
    }
    if (is_float(text)) {
        json_t *real = json_real(strtod(text.data, NULL));
        if (!real)
            config_mistake(r->mistakes, node->mark, "the number is too large");
        return real;
    }
    struct str unsigned_text = str_from(text, has_sign);
    if (is_one_of(unsigned_text, ".inf|.Inf|.INF") || is_one_of(text, ".nan|.NaN|.NAN")) {
        config_mistake(r->mistakes, node->mark, "a plugin's number must be finite");
        return NULL;
    }
    return json_stringn(text.data, text.len);
}

static json_t *json_of_list(struct reading *r, const struct node *node)
{
    json_t *list = json_array();
    for (const struct node *at = node->child; at && list; at = at->next) {
        json_t *item = json_of(r, at);
        if (!item || json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *json_of_map(struct reading *r, const struct node *node, struct str without)
{
    json_t *map = json_object();
    for (const struct node *at = node->child; at && map; at = at->next) {
        if (str_eq(at->name, without))
            continue;
        json_t *value = json_of(r, at);
        if (!value || json_object_set_new(map, at->name.data, value) != 0) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *json_of(struct reading *r, const struct node *node)
{
    if (node->is_bad)
        return json_null(); /* the mistake is known */
    if (node->kind == NODE_LIST)
        return json_of_list(r, node);
    if (node->kind == NODE_MAP)
        return json_of_map(r, node, STR(""));
    if (node->is_quoted)
        return json_stringn(node->text.data, node->text.len);
    return json_of_plain(r, node);
}

static void read_name(struct reading *r, const struct node *node, struct config_plugin *out)
{
    if (node->is_bad)
        return;
    /* A bare name: with dots or slashes in it, it could leave the plugins' folders. */
    if (node->kind != NODE_SCALAR || !value_is_tenant(node->text)) {
        config_mistake(r->mistakes, node->mark,
                       "a plugin's name is 1 to 63 of the characters A-Z a-z 0-9 _ -, without path or .so");
        return;
    }
    out->name = arena_str(&r->config->arena, node->text);
    if (!out->name.data)
        r->is_out_of_memory = true;
}

void reading_read_plugin(struct reading *r, const struct node *node, struct config_plugin *out)
{
    out->mark = node->mark;
    out->json = STR("{}");
    if (node->kind == NODE_SCALAR && !node_is_null(node)) {
        read_name(r, node, out);
        return;
    }
    const struct node *name = node_find(node, STR("name"));
    if (node->kind != NODE_MAP || !name) {
        config_mistake(r->mistakes, node->mark,
                       "plugins: allowed: a mapping with `name` and the plugin's own keys");
        return;
    }
    read_name(r, name, out);
    unsigned mistakes = r->mistakes->count;
    json_t *json = json_of_map(r, node, STR("name"));
    char *text = json ? json_dumps(json, JSON_REAL_PRECISION(15)) : NULL;
    if (text)
        out->json = arena_str(&r->config->arena, str_of(text));
    if ((!text || !out->json.data) && r->mistakes->count == mistakes)
        r->is_out_of_memory = true;
    free(text);
    json_decref(json);
}
