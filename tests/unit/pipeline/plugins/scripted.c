/* Does what its keys say: a plugin for tests of the host.
 *
 * choose: pass | primary | replica | refuse | hold | last | wake | first | beyond: what choose answers; last:
 * holds, then refuses; wake: wakes its upstream and holds; first, beyond: picks that candidate, tried or not.
 * reason: WORD, hold: DURATION, token: TEXT.
 * bypass, forbid, replay, once, of_write: BOOL: what inspect and answered say.
 * behind: BOOL: a position is asked for, and a stored one does not cover it.
 * lag: DURATION: how much older a reply's knowledge is than its question.
 * field: "Name: value": added to the reply; an X-Added beside it says whether it was.
 * tells: BOOL: X-Kind and X-Line (the second line of X-Asked) in the reply. */
#include <weir/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scripted {
    const struct weir_host *host;
    struct weir_upstream *upstream;
    char choose[16];
    char reason[32];
    char token[32];
    int64_t hold_ms;
    int64_t lag_ms;
    bool bypasses;
    bool forbids;
    bool replays;
    bool is_behind;
    bool is_once;
    bool is_of_write;
    bool tells;
    char field[64];
};

static void take(const struct weir_host *host, const struct weir_config *config, const char *name, char *out,
                 size_t size)
{
    struct weir_str value = { NULL, 0 };
    host->config_string(config, name, &value);
    snprintf(out, size, "%.*s", (int)value.len, value.data ? value.data : "");
}

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    static const char *const known[] = { "choose",   "reason", "token",  "hold", "bypass",
                                         "forbid",   "replay", "behind", "lag",  "once",
                                         "of_write", "tells",  "field" };
    struct scripted *self;

    for (unsigned i = 0; i < host->config_count(config); i++) {
        const char *name = host->config_name(config, i);
        unsigned k = 0;
        while (k < sizeof known / sizeof *known && strcmp(known[k], name) != 0)
            k++;
        if (k == sizeof known / sizeof *known) {
            snprintf(error, error_size, "no key %s", name);
            return NULL;
        }
    }
    self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->host = host;
    self->upstream = host->config_upstream(config);
    take(host, config, "choose", self->choose, sizeof self->choose);
    take(host, config, "reason", self->reason, sizeof self->reason);
    take(host, config, "token", self->token, sizeof self->token);
    self->hold_ms = 60000;
    host->config_duration(config, "hold", &self->hold_ms);
    host->config_duration(config, "lag", &self->lag_ms);
    host->config_bool(config, "bypass", &self->bypasses);
    host->config_bool(config, "forbid", &self->forbids);
    host->config_bool(config, "replay", &self->replays);
    host->config_bool(config, "behind", &self->is_behind);
    host->config_bool(config, "once", &self->is_once);
    host->config_bool(config, "of_write", &self->is_of_write);
    host->config_bool(config, "tells", &self->tells);
    take(host, config, "field", self->field, sizeof self->field);
    return self;
}

static void destroy(void *self)
{
    free(self);
}

static struct weir_str str(const char *text)
{
    return (struct weir_str){ text, strlen(text) };
}

static void add_field(const struct scripted *self, struct weir_request *request)
{
    char name[64];
    const char *colon = strchr(self->field, ':');
    snprintf(name, sizeof name, "%.*s", (int)(colon - self->field), self->field);
    bool is_added = self->host->add_reply_field(request, name, str(colon + 1));
    self->host->add_reply_field(request, "X-Added", str(is_added ? "yes" : "no"));
}

static void inspect(void *arg, struct weir_request *request, struct weir_inspection *out)
{
    const struct scripted *self = arg;
    out->bypass_cache = self->bypasses;
    out->is_once = self->is_once;
    if (self->field[0])
        add_field(self, request);
    if (self->is_behind)
        out->position = (struct weir_str){ "7", 1 };
    self->host->set(request, arg);
}

static void choose(void *arg, struct weir_request *request, const struct weir_candidate *candidates,
                   unsigned count, bool is_last_call, struct weir_choice *out)
{
    const struct scripted *self = arg;
    if (self->host->get(request) != arg)
        abort(); /* its own value, whatever other plugins set */
    if (self->tells) {
        self->host->add_reply_field(request, "X-Kind",
                                    str(self->host->kind(request) == WEIR_WRITE ? "write" : "read"));
        self->host->add_reply_field(request, "X-Line", self->host->field_line(request, "x-ASKED", 1));
    }
    if (strcmp(self->choose, "primary") == 0 || strcmp(self->choose, "replica") == 0) {
        out->kind = WEIR_ROLES;
        out->roles = self->choose[0] == 'p' ? WEIR_ROLES_PRIMARY : WEIR_ROLES_REPLICA;
        out->falls_back = true;
    } else if (strcmp(self->choose, "refuse") == 0 || (strcmp(self->choose, "last") == 0 && is_last_call)) {
        out->kind = WEIR_REFUSE;
        out->reason = self->reason;
        out->retry_after_s = 17;
    } else if (strcmp(self->choose, "first") == 0 || strcmp(self->choose, "beyond") == 0) {
        out->kind = WEIR_PICK;
        out->index = self->choose[0] == 'f' ? 0 : count;
    } else if (strcmp(self->choose, "hold") == 0 || strcmp(self->choose, "last") == 0 ||
               strcmp(self->choose, "wake") == 0) {
        if (self->choose[0] == 'w')
            self->host->wake(self->upstream);
        out->kind = WEIR_HOLD;
        out->hold_ms = self->hold_ms;
    }
}

static void answered(void *arg, struct weir_request *request, const struct weir_answer *answer,
                     struct weir_verdict *out)
{
    const struct scripted *self = arg;
    out->forbid_store = self->forbids;
    out->replay_to_primary = self->replays && answer->role == WEIR_REPLICA;
    out->position = (struct weir_str){ "5", 1 };
    out->as_of_ms = self->lag_ms > 0 && answer->sent_ms > 0 ? answer->sent_ms - self->lag_ms : 0;
    if (self->token[0]) {
        out->token = (struct weir_str){ self->token, strlen(self->token) };
        out->token_age_s = 60;
        out->is_of_write = self->is_of_write;
    }
}

static bool is_behind(void *arg, struct weir_str stored, struct weir_str asked)
{
    return asked.len == 1 && stored.len == 1 && stored.data[0] < asked.data[0];
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "scripted",
    .version = "1.0",
    .configure = configure,
    .destroy = destroy,
    .inspect = inspect,
    .choose = choose,
    .answered = answered,
    .is_behind = is_behind,
};
