#include "rw_split_positions_kit.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

const char *const addresses[COUNT] = { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" };
struct weir_candidate candidates[COUNT];
const char *said_position, *said_replay, *said_fly, *said_read_only;

struct weir_str str(const char *text)
{
    return (struct weir_str){ text, text ? strlen(text) : 0 };
}

void set_up(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        fake_add_server(addresses[i], i ? WEIR_REPLICA : WEIR_PRIMARY);
        candidates[i] = (struct weir_candidate){ .size = sizeof candidates[i],
                                                 .role = i ? WEIR_REPLICA : WEIR_PRIMARY,
                                                 .is_usable = true,
                                                 .address = str(addresses[i]),
                                                 .lag_ms = -1 };
    }
}

struct rw_split *make(struct weir_config config)
{
    char error[400] = "";
    struct rw_split *self = weir_plugin.configure(&fake_host, &config, error, sizeof error);

    cr_assert(self, "%s", error);
    weir_plugin.tick(self); /* it looks who its servers are */
    return self;
}

struct rw_split *make_of(const char *consistency)
{
    return make((struct weir_config){ { { .name = "consistency", .text = consistency } } });
}

void hear(struct rw_split *self, uint64_t primary, uint64_t first, uint64_t second)
{
    const uint64_t values[COUNT] = { primary, first, second };

    self->has_probe = true;
    fake_wall_ms += 20;
    for (unsigned i = 0; i < COUNT; i++)
        servers_sample(self->servers, str(addresses[i]), fake_wall_ms - 1, fake_wall_ms,
                       (struct position){ .is_known = true, .value = values[i] });
    fake_wall_ms += 1;
}

struct weir_request request_of(const char *method, const char *token)
{
    return (struct weir_request){ .method = method, .tenant = "acme", .domain = "main", .cookie = token };
}

struct weir_choice choose(struct rw_split *self, struct weir_request *request)
{
    struct weir_choice choice = { .size = sizeof choice };

    weir_plugin.choose(self, request, candidates, COUNT, false, &choice);
    return choice;
}

static struct weir_str field_said(const struct weir_answer *answer, const char *name)
{
    if (strcmp(name, "Weir-Position") == 0)
        return str(said_position);
    if (strcmp(name, "Weir-Replay") == 0)
        return str(said_replay);
    if (strcmp(name, "fly-replay") == 0)
        return str(said_fly);
    return str(strcmp(name, "X-Read-Only") == 0 ? said_read_only : NULL);
}

struct weir_answer answer_of(unsigned server, int status)
{
    return (struct weir_answer){ .size = sizeof(struct weir_answer),
                                 .status = status,
                                 .role = candidates[server].role,
                                 .index = server,
                                 .sent_ms = fake_wall_ms,
                                 .field = field_said,
                                 .address = str(addresses[server]) };
}

struct weir_verdict answered(struct rw_split *self, struct weir_request *request, struct weir_answer answer)
{
    struct weir_verdict verdict = { .size = sizeof verdict };

    weir_plugin.answered(self, request, &answer, &verdict);
    return verdict;
}

void write_at(struct rw_split *self, const char *position, char token[600])
{
    struct weir_request request = request_of("POST", NULL);
    struct weir_verdict verdict;

    said_position = position;
    verdict = answered(self, &request, answer_of(PRIMARY, 201));
    said_position = NULL;
    cr_assert(verdict.token.data);
    snprintf(token, 600, "%.*s", (int)verdict.token.len, verdict.token.data);
}

bool is_primarys(struct weir_choice choice)
{
    return choice.kind == WEIR_PICK ? candidates[choice.index].role == WEIR_PRIMARY
                                    : choice.kind == WEIR_ROLES && choice.roles == WEIR_ROLES_PRIMARY;
}

bool picks(struct rw_split *self, const char *token, unsigned server)
{
    for (unsigned i = 0; i < 30; i++) {
        struct weir_request request = request_of("GET", token);
        struct weir_choice choice = choose(self, &request);

        if (choice.kind != WEIR_PICK || choice.index != server)
            return false;
    }
    return true;
}
