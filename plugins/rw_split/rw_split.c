/* rw_split: reads go to replicas, writes to the primary, and who has just written reads what he wrote.
 *
 * It keeps nothing about clients: what a client must not fall behind stands in the token (token.h) that his
 * replies carry and his requests bring back. What it knows are servers (servers.h): how far each has come,
 * who is primary. Both together decide who may serve a read (choose.c) and whether a stored reply will do
 * (answer.c). With `window` the token's time alone decides: for so long after a write its client reads from
 * the primary, and for the token's whole life (an hour) gets nothing from the cache that may be older.
 *
 * All hooks run on any worker; tick on a thread of the plugin's own. */
#include "split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define PLUGIN_VERSION "1.1"
#define TICK_MS        10
#define PLACE_SIZE     2048 /* of where a database is */
#define MEASURE_MS     50
#define SERVERS_ASKED  64

/* --- what servers are found to be, for weir and its other plugins --- */

/* Returns how many servers there are. */
static unsigned report(struct rw_split *self, bool only_roles)
{
    struct weir_server servers[SERVERS_ASKED];
    unsigned count;

    servers[0].size = sizeof servers[0];
    count = self->host->servers(self->upstream, servers, SERVERS_ASKED);
    for (unsigned i = 0; i < count && i < SERVERS_ASKED; i++) {
        struct weir_str address = { servers[i].address, strlen(servers[i].address) };
        int slot = servers_find(self->servers, address, i);
        struct weir_report found = { .size = sizeof found };
        char text[POSITION_TEXT_SIZE];
        enum servers_role role;

        if (slot < 0)
            continue;
        servers_note_role(self->servers, slot, servers[i].role == WEIR_PRIMARY);
        role = servers_role_of(self->servers, slot);
        found.has_role = role != SERVERS_ROLE_UNKNOWN;
        found.role = role == SERVERS_ROLE_PRIMARY ? WEIR_PRIMARY : WEIR_REPLICA;
        found.lag_ms = servers_lag_ms(self->servers, slot);
        found.has_lag = !only_roles && found.lag_ms >= 0;
        if (servers_latest(self->servers, slot).is_known) {
            found.position.len = position_put(servers_latest(self->servers, slot), text);
            found.position.data = text;
        }
        if (found.has_role || found.has_lag || found.position.data)
            self->host->report(self->upstream, address, &found);
    }
    return count;
}

static void on_progress(void *arg, bool has_new_roles)
{
    struct rw_split *self = arg;

    if (has_new_roles) {
        report(self, true);
        self->host->log(WEIR_LOG_INFO, "rw_split: the databases' roles have changed");
        waits_woken(&self->waits, self->host->mono_ms());
        self->host->wake(self->upstream);
    } else if (waits_progressed(&self->waits, self->servers, self->host->mono_ms())) {
        self->host->wake(self->upstream);
    }
}

static void tick(void *arg)
{
    struct rw_split *self = arg;
    int64_t now_ms;

    if (!self->has_looked) /* who is who by the config, before databases are asked */
        self->has_looked = report(self, true) > 0;
    if (self->postgres)
        postgres_tick(self->postgres);
    now_ms = self->host->mono_ms();
    if (waits_due(&self->waits, now_ms))
        self->host->wake(self->upstream);
    if (now_ms - self->measured_ms < MEASURE_MS)
        return;
    self->measured_ms = now_ms;
    servers_clock(self->servers, self->host->wall_ms(), now_ms);
    if (servers_are_full(self->servers) && !self->has_told_full) {
        self->has_told_full = true;
        self->host->log(WEIR_LOG_WARN,
                        "rw_split: more servers than it can keep in mind (128): of the rest it "
                        "knows no position, role or lag");
    }
    if (self->settings.consistency < CONSISTENCY_POSITION && !servers_know(self->servers) && !self->postgres)
        return;
    servers_measure(self->servers);
    report(self, false);
}

/* --- configure --- */

/* Who led before a reload still does. */
static bool succeed(struct rw_split *self, const struct postgres_target *targets, char *error,
                    size_t error_size)
{
    unsigned count = self->settings.target_count;
    struct servers_database *databases = calloc(count, sizeof *databases);
    char(*places)[PLACE_SIZE] = calloc(count, sizeof *places);
    bool is_fine = databases && places;

    for (unsigned i = 0; i < count && is_fine; i++) {
        is_fine = postgres_place(targets[i].dsn, places[i], sizeof *places);
        databases[i].address = (struct weir_str){ targets[i].address, strlen(targets[i].address) };
        databases[i].database = places[i];
    }
    is_fine = is_fine && servers_succeed(self->servers, databases, count);
    if (!is_fine)
        snprintf(error, error_size, "out of memory");
    free(databases);
    free(places);
    return is_fine;
}

static bool start_probe(struct rw_split *self, char *error, size_t error_size)
{
    const struct settings *settings = &self->settings;
    struct postgres_target *targets;

    if (settings->target_count == 0)
        return true;
    targets = calloc(settings->target_count, sizeof *targets);
    if (!targets) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < settings->target_count; i++) {
        const struct target *target = &settings->targets[i];
        unsigned same = 0;

        targets[i].address = target->address;
        targets[i].dsn = target->dsn;
        while (strcmp(settings->targets[same].dsn, target->dsn) != 0)
            same++;
        servers_pair(
            self->servers, (struct weir_str){ target->address, strlen(target->address) },
            (struct weir_str){ settings->targets[same].address, strlen(settings->targets[same].address) });
    }
    self->postgres = postgres_new(self->host, self->servers, targets, settings->target_count,
                                  settings->probe_interval_ms, error, error_size);
    self->has_probe = self->postgres != NULL && succeed(self, targets, error, error_size);
    free(targets);
    return self->has_probe;
}

static void destroy(void *arg)
{
    struct rw_split *self = arg;

    if (!self)
        return;
    postgres_free(self->postgres);
    servers_free(self->servers);
    tenants_free(self->tenants);
    budget_fini(&self->budget);
    waits_fini(&self->waits);
    settings_fini(&self->settings);
    free(self);
}

/* Tokens' times are this process's: the same for all of its instances. */
static uint32_t clock_of(const struct weir_host *host)
{
    unsigned char secret[32];
    uint32_t clock;

    host->secret("rw_split clock", secret);
    memcpy(&clock, secret, sizeof clock);
    return clock ? clock : 1;
}

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    struct rw_split *self;

    if (!WEIR_HAS(host, add_reply_field)) { /* the newest of what 1.1 came to: all the rest is there too */
        snprintf(error, error_size, "this weir is too old for this rw_split");
        return NULL;
    }
    self = calloc(1, sizeof *self);
    if (!self) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    self->host = host;
    self->upstream = host->config_upstream(config);
    self->clock = clock_of(host);
    budget_init(&self->budget, 0);
    waits_init(&self->waits);
    if (!settings_read(&self->settings, host, config, error, error_size))
        goto fail;
    self->budget.share = self->settings.primary_read_share;
    self->servers = servers_new(self->clock, on_progress, self);
    self->tenants = tenants_new(self->clock, host->wall_ms());
    if (!self->servers || !self->tenants) {
        snprintf(error, error_size, "out of memory");
        goto fail;
    }
    if (!start_probe(self, error, error_size))
        goto fail;
    return self;

fail:
    destroy(self);
    return NULL;
}

/* --- hooks --- */

static void inspect(void *arg, struct weir_request *request, struct weir_inspection *out)
{
    struct rw_split *self = arg;
    struct visit room;
    struct visit *visit = visit_of(self, request, &room);

    out->kind = visit->kind == KIND_READ ? WEIR_READ : WEIR_WRITE;
    /* A PUT that broke off may have been done: a second one would undo what others have written since, on
     * another primary too. */
    out->is_once = visit->kind != KIND_READ;
    /* What a replica may hand on to the primary, or what decides by its body, must be here as a whole. */
    if ((visit->kind == KIND_READ || visit->kind == KIND_BY_BODY) && WEIR_HAS(out, keep_body_bytes) &&
        self->host->has_body(request))
        out->keep_body_bytes = self->settings.replay_body_max;
    answer_ask(self, request, visit, out);
}

static void choose(void *arg, struct weir_request *request, const struct weir_candidate *candidates,
                   unsigned count, bool is_last_call, struct weir_choice *out)
{
    choose_server(arg, request, candidates, count, is_last_call, out);
}

/* What a replica said to a trial teaches, but is no answer: unless it could not do it at all, which goes
 * before.
 */
static void answered(void *arg, struct weir_request *request, const struct weir_answer *answer,
                     struct weir_verdict *out)
{
    struct rw_split *self = arg;
    struct visit *visit = self->host->get(request);
    struct weir_verdict said = *out;

    if (answer->sent_ms <= 0)
        return;
    if (!visit || visit->trial != TRIAL_ASKED) {
        answer_take(self, request, answer, out);
        return;
    }
    answer_take(self, request, answer, &said);
    if (said.replay_to_primary || !trial_ends(self, visit, answer, out))
        *out = said;
}

static void served(void *arg, struct weir_request *request, struct weir_str position, int64_t fetched_ms,
                   struct weir_verdict *out)
{
    answer_from_store(arg, request, position, out);
}

static bool is_behind(void *arg, struct weir_str stored, struct weir_str asked)
{
    return answer_is_behind(arg, stored, asked);
}

/* "replication.position" of a health check's JSON: a string or a number. */
static void learn_from_body(struct rw_split *self, const struct weir_answer *answer, int64_t now_ms)
{
    struct weir_str value;
    struct position at;
    char text[POSITION_TEXT_SIZE];
    size_t len = 0;
    bool has_epoch;

    if (!json_is_valid(answer->body))
        return;
    value = json_find(answer->body, self->settings.position_field);
    if (value.len && value.data[0] == '"') {
        if (value.len > sizeof text || !json_text(value, text, &len))
            return;
        value = (struct weir_str){ text, len };
    }
    if (position_parse(value, &at, &has_epoch))
        servers_told(self->servers, answer->address, answer->sent_ms, now_ms, at, has_epoch);
}

static void checked(void *arg, const struct weir_answer *answer)
{
    struct rw_split *self = arg;

    if (!answer->address.data || answer->is_weirs_own)
        return;
    answer_learn(self, answer);
    trial_heard(self, answer->address);
    if (self->settings.position_field && answer->body.data)
        learn_from_body(self, answer, self->host->wall_ms());
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "rw_split",
    .version = PLUGIN_VERSION,
    .tick_ms = TICK_MS,
    .configure = configure,
    .destroy = destroy,
    .inspect = inspect,
    .choose = choose,
    .answered = answered,
    .tick = tick,
    .is_behind = is_behind,
    .served = served,
    .checked = checked,
};
