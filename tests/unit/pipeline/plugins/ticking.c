/* Its tick stays until the test lets it go: over pipes, whose descriptors are its keys `in` and `out`.
 *
 *     't'  a tick began; it ends when a byte comes
 *     'd'  destroy, then how many servers its upstream has, as a digit */
#include <weir/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct ticking {
    const struct weir_host *host;
    struct weir_upstream *upstream;
    int in;
    int out;
};

static void tell(const struct ticking *self, char what)
{
    if (write(self->out, &what, 1) != 1)
        abort();
}

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    struct ticking *self = calloc(1, sizeof *self);
    double in = -1;
    double out = -1;
    host->config_number(config, "in", &in);
    host->config_number(config, "out", &out);
    if (!self || in < 0 || out < 0) {
        snprintf(error, error_size, "in and out must be descriptors");
        free(self);
        return NULL;
    }
    self->host = host;
    self->upstream = host->config_upstream(config);
    self->in = (int)in;
    self->out = (int)out;
    return self;
}

static void destroy(void *arg)
{
    struct ticking *self = arg;
    struct weir_server servers[8] = { { .size = sizeof *servers } };
    tell(self, 'd');
    tell(self, (char)('0' + self->host->servers(self->upstream, servers, 8)));
    free(self);
}

static void tick(void *arg)
{
    struct ticking *self = arg;
    char byte;
    tell(self, 't');
    if (read(self->in, &byte, 1) != 1)
        abort();
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "ticking",
    .version = "1",
    .tick_ms = 3600000,
    .configure = configure,
    .destroy = destroy,
    .tick = tick,
};
