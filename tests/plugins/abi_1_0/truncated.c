/* Compiled against today's header, but says that it ends where ABI 1.0 did: what lies behind that must not be
 * looked at, and it is garbage here. Sends everything to the candidate that lags least, as far as it is told.
 */
#include <weir/plugin.h>

#include <stdlib.h>

static int instance;

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    return &instance;
}

static void destroy(void *self)
{
}

static void choose(void *self, struct weir_request *request, const struct weir_candidate *candidates,
                   unsigned count, bool is_last_call, struct weir_choice *out)
{
    const struct weir_candidate *last = weir_candidate_at(candidates, count - 1);

    if (WEIR_HAS(last, position) && last->lag_ms <= 0 && last->is_usable && !last->was_tried) {
        out->kind = WEIR_PICK;
        out->index = count - 1;
    }
}

static struct weir_str assign(void *self, struct weir_request *request)
{
    abort();
}

static void served(void *self, struct weir_request *request, struct weir_str position, int64_t fetched_ms,
                   struct weir_verdict *out)
{
    abort();
}

static void checked(void *self, const struct weir_answer *answer)
{
    abort();
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = offsetof(struct weir_plugin, assign),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "truncated",
    .version = "1.0",
    .configure = configure,
    .destroy = destroy,
    .choose = choose,
    .assign = assign,
    .served = served,
    .checked = checked,
};
