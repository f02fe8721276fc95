/* Loads, then refuses every config, in a sentence of its own. */
#include <weir/plugin.h>

#include <stdio.h>

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    snprintf(error, error_size, "this plugin refuses every config");
    return NULL;
}

static void destroy(void *self)
{
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "refuses",
    .version = "1.0",
    .configure = configure,
    .destroy = destroy,
};
