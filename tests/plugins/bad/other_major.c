/* Built for another major of the ABI: its structs cannot be read. */
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
    .abi_major = WEIR_PLUGIN_ABI_MAJOR + 1,
    .abi_minor = 0,
    .name = "other_major",
    .version = "1.0",
    .configure = configure,
    .destroy = destroy,
};
