#include "rw_split_kit.h"

#include <criterion/criterion.h>

#include <stdio.h>

const struct weir_plugin *plugin;

void kit_load(void)
{
    plugin = fake_load(PLUGIN_PATH);
}

void *make(struct weir_config config)
{
    char error[200] = "";
    void *self = plugin->configure(&fake_host, &config, error, sizeof error);

    cr_assert(self, "%s", error);
    return self;
}

void *make_with_keys(const char *first, const char *second)
{
    return make((struct weir_config){ { { .name = "keys", .items = { first, second } } } });
}

void *make_default(void)
{
    return make((struct weir_config){ 0 });
}

struct weir_request request_of(const char *method, const char *tenant)
{
    return (struct weir_request){ .method = method, .tenant = tenant, .domain = "main" };
}

static struct weir_str field_absent(const struct weir_answer *answer, const char *name)
{
    return (struct weir_str){ 0 };
}

struct weir_answer answer_of(int status, enum weir_role role)
{
    return (struct weir_answer){
        .size = sizeof(struct weir_answer),
        .status = status,
        .role = role,
        .sent_ms = fake_wall_ms,
        .field = field_absent,
    };
}

void write_token(void *self, struct weir_request request, struct weir_answer answer, char out[512])
{
    struct weir_verdict verdict = { .size = sizeof verdict };

    plugin->answered(self, &request, &answer, &verdict);
    snprintf(out, 512, "%.*s", (int)verdict.token.len, verdict.token.data ? verdict.token.data : "");
    cr_assert_eq(verdict.token_age_s, out[0] ? 3600 : 0);
}

void token_of(void *self, const char *tenant, char out[512])
{
    write_token(self, request_of("POST", tenant), answer_of(201, WEIR_PRIMARY), out);
    cr_assert(out[0]);
}

struct weir_candidate candidate(enum weir_role role, bool is_usable, bool was_tried)
{
    return (struct weir_candidate){
        .size = sizeof(struct weir_candidate), .role = role, .is_usable = is_usable, .was_tried = was_tried
    };
}

struct weir_choice choose(void *self, struct weir_request request)
{
    struct weir_candidate servers[] = { candidate(WEIR_PRIMARY, true, false),
                                        candidate(WEIR_REPLICA, true, false) };
    struct weir_choice choice = { .size = sizeof choice };

    plugin->choose(self, &request, servers, 2, false, &choice);
    cr_assert_eq(choice.kind, WEIR_ROLES);
    return choice;
}

bool reads_from_primary(void *self, const char *tenant, const char *header, const char *cookie)
{
    struct weir_request request = request_of("GET", tenant);

    request.header = header;
    request.cookie = cookie;
    return choose(self, request).roles == WEIR_ROLES_PRIMARY;
}
