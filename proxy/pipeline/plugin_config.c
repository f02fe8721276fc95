#include "pipeline/plugin_config.h"

#include <stdio.h>

#include "base/log.h"
#include "config/value.h"

unsigned plugin_config_count(const struct weir_config *config)
{
    return (unsigned)json_object_size(config->keys);
}

const char *plugin_config_name(const struct weir_config *config, unsigned index)
{
    const char *key;
    json_t *value;
    json_object_foreach(config->keys, key, value)
    {
        if (index-- == 0)
            return key;
    }
    return NULL;
}

int plugin_config_string(const struct weir_config *config, const char *name, struct weir_str *out)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_string(value))
        return -1;
    *out = (struct weir_str){ json_string_value(value), json_string_length(value) };
    return 1;
}

int plugin_config_bool(const struct weir_config *config, const char *name, bool *out)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return -1;
    *out = json_is_true(value);
    return 1;
}

int plugin_config_number(const struct weir_config *config, const char *name, double *out)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_number(value))
        return -1;
    *out = json_number_value(value);
    return 1;
}

int plugin_config_duration(const struct weir_config *config, const char *name, int64_t *out_ms)
{
    struct weir_str text;
    int found = plugin_config_string(config, name, &text);
    if (found != 1)
        return found;
    struct str s = str_n(text.data, text.len);
    if (str_eq(s, STR("unlimited"))) {
        *out_ms = -1;
        return 1;
    }
    return value_duration(s, out_ms) ? 1 : -1;
}

int plugin_config_share(const struct weir_config *config, const char *name, double *out)
{
    struct weir_str text;
    int found = plugin_config_string(config, name, &text);
    if (found != 1)
        return found;
    struct str s = str_n(text.data, text.len);
    double percent;
    if (!str_has_suffix(s, STR("%")) || !value_number(str_n(s.data, s.len - 1), &percent) || percent > 100)
        return -1;
    *out = percent / 100;
    return 1;
}

int plugin_config_size(const struct weir_config *config, const char *name, int64_t *out_bytes)
{
    struct weir_str text;
    int found = plugin_config_string(config, name, &text);
    if (found != 1)
        return found;
    return value_size(str_n(text.data, text.len), out_bytes) ? 1 : -1;
}

int plugin_config_list(const struct weir_config *config, const char *name)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_array(value))
        return -1;
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)))
            return -1;
    }
    return (int)json_array_size(value);
}

struct weir_str plugin_config_item(const struct weir_config *config, const char *name, unsigned index)
{
    const json_t *value = json_array_get(json_object_get(config->keys, name), index);
    return (struct weir_str){ json_string_value(value), json_string_length(value) };
}

struct weir_upstream *plugin_config_upstream(const struct weir_config *config)
{
    return config->upstream_handle;
}

/* "positions.postgres": a dot leads into a mapping. */
static const json_t *find_map(const struct weir_config *config, const char *path)
{
    const json_t *at = config->keys;
    struct str rest = str_of(path);
    struct str name;
    while (at && str_split(&rest, '.', &name)) {
        char key[128];
        if (!json_is_object(at) || name.len >= sizeof key)
            return NULL;
        memcpy(key, name.data, name.len);
        key[name.len] = '\0';
        at = json_object_get(at, key);
    }
    return at;
}

/* A scalar as it stands in the file; it takes the number's place in the handle, and goes with it. */
static struct weir_str text_of(json_t *map, const char *key, json_t *value)
{
    if (!json_is_string(value)) {
        char text[64];
        if (json_is_integer(value))
            snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
        else if (json_is_real(value))
            snprintf(text, sizeof text, "%.17g", json_real_value(value));
        else
            snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
        json_object_set_new_nocheck(map, key, json_string(text));
        value = json_object_get(map, key);
    }
    return (struct weir_str){ json_string_value(value), json_string_length(value) };
}

int plugin_config_map(const struct weir_config *config, const char *path)
{
    const json_t *map = find_map(config, path);
    const char *key;
    json_t *value;
    if (!map)
        return 0;
    if (!json_is_object(map))
        return -1;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        if (json_is_object(value) || json_is_array(value) || json_is_null(value))
            return -1;
    }
    return (int)json_object_size(map);
}

bool plugin_config_entry(const struct weir_config *config, const char *path, unsigned index,
                         struct weir_str *out_key, struct weir_str *out_value)
{
    const json_t *map = find_map(config, path);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        if (index-- > 0)
            continue;
        *out_key = (struct weir_str){ key, strlen(key) };
        *out_value = text_of((json_t *)(uintptr_t)map, key, value);
        return true;
    }
    return false;
}

bool plugin_config_has_upstream(const struct weir_config *config, struct weir_str name)
{
    return config_find_upstream(config->config, str_n(name.data, name.len)) != NULL;
}

void plugin_config_warn(const struct weir_config *config, const char *line)
{
    log_warn("%s:%d:%d: plugin %.*s of upstream %.*s: %s", config->config->file.data, config->row->mark.line,
             config->row->mark.column, STR_FMT(config->row->name), STR_FMT(config->upstream->name), line);
}
