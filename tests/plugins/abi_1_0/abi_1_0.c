/* A plugin that sees the header of ABI 1.0 alone, as one that was built years ago did. It uses what there
 * was, and leaves a trace of each hook where a flow test can see it.
 *
 * Keys: server, an address that all requests go to. Of a request it reads X-Want: the least version of a
 * stored reply that will do; of a reply X-Version: the one it is. */
#include <weir/plugin.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(WEIR_PLUGIN_ABI_MINOR == 0, "this must see the header of 1.0");

struct old {
    const struct weir_host *host;
    struct weir_upstream *upstream;
    char server[64];
    unsigned char key[32];
    atomic_uint ticks, finished;
};

/* Kept with a request from inspect to finished. */
struct visit {
    unsigned inspected, chosen, answered;
};

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    struct weir_str server = { 0 };
    struct old *self;

    if (!WEIR_HAS(host, secret) || host->config_count(config) != 1 ||
        host->config_string(config, "server", &server) != 1 || server.len >= sizeof self->server) {
        snprintf(error, error_size, "server must be an address");
        return NULL;
    }
    self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->host = host;
    self->upstream = host->config_upstream(config);
    memcpy(self->server, server.data, server.len);
    host->secret("abi_1_0", self->key);
    return self;
}

static void destroy(void *self)
{
    free(self);
}

static struct visit *visit_of(struct old *self, struct weir_request *request)
{
    struct visit *visit = self->host->get(request);

    if (visit)
        return visit;
    visit = self->host->alloc(request, sizeof *visit);
    if (visit) {
        memset(visit, 0, sizeof *visit);
        self->host->set(request, visit);
    }
    return visit;
}

static void inspect(void *arg, struct weir_request *request, struct weir_inspection *out)
{
    struct old *self = arg;
    struct visit *visit = visit_of(self, request);
    struct weir_str wanted = self->host->field(request, "X-Want");

    if (visit)
        visit->inspected++;
    if (wanted.len > 0)
        out->position = wanted;
}

static void choose(void *arg, struct weir_request *request, const struct weir_candidate *candidates,
                   unsigned count, bool is_last_call, struct weir_choice *out)
{
    struct old *self = arg;
    struct visit *visit = visit_of(self, request);

    if (visit)
        visit->chosen++;
    for (unsigned i = 0; i < count; i++) {
        const struct weir_candidate *candidate = weir_candidate_at(candidates, i);

        if (candidate->address.len == strlen(self->server) &&
            memcmp(candidate->address.data, self->server, candidate->address.len) == 0 &&
            candidate->is_usable && !candidate->was_tried) {
            out->kind = WEIR_PICK;
            out->index = i;
            out->why = "abi_1_0";
            return;
        }
    }
    out->kind = WEIR_REFUSE;
    out->reason = "write-held";
    out->retry_after_s = 7;
}

/* The token says what the hooks before it knew, and is signed as a real one would be. */
static void answered(void *arg, struct weir_request *request, const struct weir_answer *answer,
                     struct weir_verdict *out)
{
    struct old *self = arg;
    const struct visit *visit = visit_of(self, request);
    struct weir_str method = self->host->method(request);
    char *text = self->host->alloc(request, 128);
    unsigned char mac[32];

    if (!visit || !text || answer->is_weirs_own)
        return;
    self->host->hmac((struct weir_str){ (const char *)self->key, sizeof self->key }, method, mac);
    out->token.data = text;
    out->token.len =
        (size_t)snprintf(text, 128, "%.*s-%d-%u-%s-%u-%u-%02x%02x", (int)method.len, method.data,
                         answer->status, answer->index, answer->role == WEIR_REPLICA ? "replica" : "primary",
                         visit->inspected, visit->chosen, mac[0], mac[1]);
    out->token_age_s = 60;
    out->position = answer->field(answer, "X-Version");
}

static long number_of(struct weir_str text)
{
    char digits[24] = "";

    if (text.len > 0 && text.len < sizeof digits)
        memcpy(digits, text.data, text.len);
    return strtol(digits, NULL, 10);
}

static bool is_behind(void *self, struct weir_str stored, struct weir_str asked)
{
    return number_of(stored) < number_of(asked);
}

static void finished(void *arg, struct weir_request *request, const struct weir_cost *cost)
{
    struct old *self = arg;
    const struct visit *visit = self->host->get(request);

    if (visit && visit->inspected == 1 && cost->status == 200)
        atomic_fetch_add(&self->finished, 1);
}

static void tick(void *arg)
{
    struct old *self = arg;
    char line[96];

    snprintf(line, sizeof line, "abi_1_0: tick %u, finished %u", atomic_fetch_add(&self->ticks, 1) + 1,
             atomic_load(&self->finished));
    self->host->log(WEIR_LOG_INFO, line);
    self->host->wake(self->upstream);
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "abi_1_0",
    .version = "1.0",
    .tick_ms = 50,
    .configure = configure,
    .destroy = destroy,
    .inspect = inspect,
    .choose = choose,
    .answered = answered,
    .finished = finished,
    .tick = tick,
    .is_behind = is_behind,
};
