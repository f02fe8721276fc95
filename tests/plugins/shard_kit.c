#include "shard_kit.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <string.h>

const char *kit_upstreams[KIT_ROWS_MAX] = { "s1", "s2", "s3", "s4" };
unsigned kit_pinned, kit_hashed;

static char here; /* for what must only be handed on */

static struct weir_str str_of(const char *text)
{
    return (struct weir_str){ text, strlen(text) };
}

static unsigned config_count(const struct weir_config *config)
{
    unsigned count = 0;

    while (count < KIT_KEYS_MAX && config->keys[count].name)
        count++;
    return count;
}

static const char *config_name(const struct weir_config *config, unsigned index)
{
    return config->keys[index].name;
}

static const struct kit_key *find(const struct weir_config *config, const char *name)
{
    for (unsigned i = 0; i < config_count(config); i++)
        if (strcmp(config->keys[i].name, name) == 0)
            return &config->keys[i];
    return NULL;
}

static int count_of(const struct weir_config *config, const char *name, int kind)
{
    const struct kit_key *key = find(config, name);
    int count = 0;

    if (!key)
        return 0;
    if ((int)key->kind != kind)
        return -1;
    while (count < KIT_ROWS_MAX && key->rows[count])
        count++;
    return count;
}

static int config_list(const struct weir_config *config, const char *name)
{
    return count_of(config, name, KIT_LIST);
}

static struct weir_str config_item(const struct weir_config *config, const char *name, unsigned index)
{
    return str_of(find(config, name)->rows[index]);
}

static int config_map(const struct weir_config *config, const char *path)
{
    return count_of(config, path, KIT_MAP);
}

static bool config_entry(const struct weir_config *config, const char *path, unsigned index,
                         struct weir_str *out_key, struct weir_str *out_value)
{
    const char *row = find(config, path)->rows[index];
    const char *colon = strstr(row, ": ");

    cr_assert(colon);
    *out_key = (struct weir_str){ row, (size_t)(colon - row) };
    *out_value = str_of(colon + 2);
    return true;
}

static bool config_has_upstream(const struct weir_config *config, struct weir_str name)
{
    for (unsigned i = 0; kit_upstreams[i]; i++)
        if (strlen(kit_upstreams[i]) == name.len && memcmp(kit_upstreams[i], name.data, name.len) == 0)
            return true;
    return false;
}

static struct weir_upstream *config_upstream(const struct weir_config *config)
{
    return (struct weir_upstream *)(void *)&here;
}

static void count(struct weir_upstream *upstream, const char *event)
{
    cr_assert_eq((void *)upstream, (void *)&here);
    kit_pinned += strcmp(event, "shard_pinned") == 0;
    kit_hashed += strcmp(event, "shard_hashed") == 0;
}

static struct weir_str tenant(const struct weir_request *request)
{
    return request->tenant;
}

const struct weir_host kit_host = {
    .size = sizeof(struct weir_host),
    .config_count = config_count,
    .config_name = config_name,
    .config_list = config_list,
    .config_item = config_item,
    .config_upstream = config_upstream,
    .tenant = tenant,
    .config_map = config_map,
    .config_entry = config_entry,
    .config_has_upstream = config_has_upstream,
    .count = count,
};

const struct weir_plugin *kit_load(void)
{
    void *object = dlopen(PLUGIN_PATH, RTLD_NOW | RTLD_LOCAL);
    const struct weir_plugin *plugin;

    cr_assert(object, "%s", dlerror());
    plugin = dlsym(object, "weir_plugin");
    cr_assert(plugin, "%s", dlerror());
    return plugin;
}

void *kit_new(const struct weir_config *config)
{
    char error[256] = "";
    void *self = kit_load()->configure(&kit_host, config, error, sizeof error);

    cr_assert(self, "%s", error);
    return self;
}

const char *kit_refusal(const struct weir_config *config)
{
    static char error[256];

    error[0] = '\0';
    cr_assert_not(kit_load()->configure(&kit_host, config, error, sizeof error));
    cr_assert(error[0], "it does not say why");
    cr_assert_lt(strlen(error), sizeof error - 1, "its sentence is cut: %s", error);
    return error;
}

const char *kit_assigned(void *self, const char *name)
{
    struct weir_request request = { .tenant = str_of(name) };
    struct weir_str found = kit_load()->assign(self, &request);

    cr_assert(found.data);
    cr_assert_eq(strlen(found.data), found.len);
    return found.data;
}
