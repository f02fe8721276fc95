/* Leaves out configure and destroy, which are not optional. */
#include <weir/plugin.h>

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "no_configure",
    .version = "1.0",
};
