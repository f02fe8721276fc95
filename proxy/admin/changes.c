/* POST: what an operator changes in a running weir. Each change is one line in the log. */
#include <math.h>
#include <stdlib.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"

/* --- reload and drain --- */

static json_t *json_of_lines(const char *text)
{
    json_t *lines = json_array();
    struct str rest = str_of(text), line;
    while (str_split(&rest, '\n', &line)) {
        if (line.len > 0)
            json_array_append_new(lines, json_of_str(line));
    }
    return lines;
}

void post_reload(struct admin *admin, const struct call *call, struct reply *reply)
{
    char *text = NULL;
    (void)call;
    bool is_taken = admin->hooks.reload(admin->hooks.arg, &text);
    json_t *lines = json_of_lines(text ? text : "");
    if (is_taken) {
        reply_json(reply, 200,
                   json_pack("{s:I, s:o}", "generation", (json_int_t)admin_world(admin)->generation,
                             "warnings", lines));
    } else {
        for (size_t i = 0; i < json_array_size(lines); i++)
            log_error("admin: not reloaded: %s", json_string_value(json_array_get(lines, i)));
        reply_problem_with(reply, 422, "bad-config", "the new config was not taken, the old one stays",
                           "mistakes", lines);
    }
    free(text);
}

void post_drain(struct admin *admin, const struct call *call, struct reply *reply)
{
    (void)call;
    log_info("admin: drain");
    admin->hooks.drain(admin->hooks.arg);
    reply_json(reply, 202, json_pack("{s:b}", "draining", 1));
}

/* --- servers --- */

static struct server *find_server(const struct supply *supply, struct str address)
{
    for (unsigned i = 0; i < supply->upstream->server_count; i++) {
        if (str_eq(str_of(supply->upstream->servers[i]->addr.text), address))
            return supply->upstream->servers[i];
    }
    return NULL;
}

void post_server(struct admin *admin, const struct call *call, struct reply *reply)
{
    static const struct {
        const char *word;
        enum server_admin state;
    } states[] = { { "up", SERVER_ADMIN_UP },
                   { "drain", SERVER_ADMIN_DRAIN },
                   { "down", SERVER_ADMIN_DOWN } };
    const struct supply *supply = world_supply(admin_world(admin), call->parts[0]);
    struct server *server = supply ? find_server(supply, call->parts[1]) : NULL;
    struct str word;
    if (!server) {
        reply_problem(reply, 404, "not-found",
                      supply ? "this upstream has no such server" : "no such upstream");
        return;
    }
    if (!api_string(call->body, "state", &word, reply))
        return;
    for (unsigned i = 0; i < COUNT_OF(states); i++) {
        if (!str_eq(word, str_of(states[i].word)))
            continue;
        atomic_store(&server->admin, (int)states[i].state);
        log_info("admin: server %s of %.*s: %s", server->addr.text, STR_FMT(supply->upstream->name),
                 states[i].word);
        reply_json(reply, 200,
                   json_pack("{s:o, s:o, s:s}", "upstream", json_of_str(supply->upstream->name), "server",
                             json_of_str(str_of(server->addr.text)), "state", states[i].word));
        return;
    }
    reply_problem(reply, 400, "bad-body", "\"state\" must be \"drain\", \"up\" or \"down\"");
}

/* --- versions --- */

static const struct edition *find_edition(const struct world *world, struct str name)
{
    for (unsigned i = 0; i < world->edition_count; i++) {
        if (world->editions[i].config && str_eq(world->editions[i].name, name))
            return &world->editions[i];
    }
    return NULL;
}

void post_version(struct admin *admin, const struct call *call, struct reply *reply)
{
    struct world *world = admin_world(admin);
    struct str name = call->parts[0];
    struct str upstream;
    json_t *canary = json_object_get(call->body, "canary");
    const struct edition *edition = find_edition(world, name);
    if (!edition) {
        reply_problem(reply, 404, "not-found", "the config has no such version");
        return;
    }
    if (!json_is_object(canary)) {
        reply_problem(reply, 400, "bad-body", "\"canary\" must be an object with a \"percent\"");
        return;
    }
    json_t *percent = json_object_get(canary, "percent");
    double share = json_number_value(percent);
    if (!api_keys_are_known(canary, "percent upstream", reply) ||
        !api_string(canary, "upstream", &upstream, reply))
        return;
    if (!json_is_number(percent) || !isfinite(share) || share < 0 || share > 100) {
        reply_problem(reply, 400, "bad-body", "\"percent\" must be a number from 0 to 100");
        return;
    }
    if (upstream.data && !world_supply(world, upstream)) {
        reply_problem(reply, 400, "bad-body", "\"upstream\": there is no upstream of that name");
        return;
    }
    if (!world_set_canary(world, name, share, upstream)) {
        reply_problem(reply, 400, "bad-body", "this version has no canary yet: say its \"upstream\"");
        return;
    }
    const struct canary *now = atomic_load_explicit(&edition->canary, memory_order_acquire);
    log_info("admin: canary of %.*s: %g %%", STR_FMT(name), share);
    reply_json(reply, 200,
               json_pack("{s:o, s:{s:o, s:f}}", "version", json_of_str(name), "canary", "upstream",
                         json_of_word(now->config.upstream), "percent", now->config.percent));
}

/* --- routes --- */

/* A quarantine comes from the leak sentinel alone; an operator who mended the app, or knows better, ends it.
 */
void post_route(struct admin *admin, const struct call *call, struct reply *reply)
{
    struct str name = call->parts[0].data ? call->parts[0] : STR("");
    if (!json_is_false(json_object_get(call->body, "quarantine"))) {
        reply_problem(reply, 400, "bad-body", "say \"quarantine\": false: it can be lifted, not imposed");
        return;
    }
    if (!world_lift_quarantine(admin_world(admin), name)) {
        reply_problem(reply, 404, "not-found", "the config has no such route");
        return;
    }
    log_info("admin: quarantine of route \"%.*s\" is lifted", STR_FMT(name));
    reply_json(reply, 200, json_pack("{s:o, s:b}", "route", json_of_str(name), "quarantine", 0));
}
