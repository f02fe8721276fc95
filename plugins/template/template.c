/* The smallest plugin that loads: it takes no keys and has no opinion on any request. Copy this folder, put a
 * name of your own for "template" here, in meson.build and in the file's name, then fill in the hooks that it
 * needs; those it leaves out are never called. weir's plugins/README.md goes through it. */
#include <weir/plugin.h>

#include <stdio.h>
#include <stdlib.h>

/* All that the plugin knows lives here, one instance for each place in the config that names it: an
 * upstream's `plugins`. Nothing is static, since two upstreams may use the plugin, and a reload runs the old
 * and the new config side by side. */
struct template
{
    const struct weir_host *host; /* lives as long as the plugin */
};

/* A key that is read nowhere is a typing mistake that nobody would notice: refuse it, in one sentence. */
static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    struct template *self;

    if (host->config_count(config) > 0) {
        snprintf(error, error_size, "unknown key %s: template takes none", host->config_name(config, 0));
        return NULL;
    }
    self = calloc(1, sizeof *self);
    if (!self) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    self->host = host;
    return self;
}

static void destroy(void *self)
{
    free(self);
}

/* The one symbol that weir looks for. */
WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "template", /* as in the config, and as the file is called: template.so */
    .version = "1.0",
    .configure = configure,
    .destroy = destroy,
};
