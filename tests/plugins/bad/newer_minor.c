/* Built for a newer minor than weir has: it may call what is not there. */
#include <weir/plugin.h>

static int instance;

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    return &instance;
}

static void destroy(void *self)
{
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR + 1,
    .name = "newer_minor",
    .version = "1.0",
    .configure = configure,
    .destroy = destroy,
};
