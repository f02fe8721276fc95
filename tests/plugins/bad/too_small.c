/* Its size does not even cover configure: it was zeroed, or is no struct weir_plugin. */
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
    .size = sizeof(uint32_t),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "too_small",
    .version = "1.0",
    .configure = configure,
    .destroy = destroy,
};
