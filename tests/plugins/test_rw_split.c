/* What rw_split promises to a client: reads on replicas, and its own writes read back, from servers and cache
 * alike. */
#include <criterion/criterion.h>

#include <string.h>

#include "rw_split_kit.h"

TestSuite(rw_split, .init = kit_load);

Test(rw_split, safe_methods_read_and_all_others_write)
{
    static const struct {
        const char *method;
        bool is_write;
    } rows[] = { { "GET", false },  { "HEAD", false }, { "OPTIONS", false }, { "TRACE", false },
                 { "POST", true },  { "PUT", true },   { "PATCH", true },    { "DELETE", true },
                 { "PURGE", true }, { "get", true },   { "GETS", true },     { "PROPFIND", true },
                 { "G", true },     { "", true } };
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_request request = request_of(rows[i].method, "acme");
        struct weir_inspection inspection = { .size = sizeof inspection };
        struct weir_choice choice = choose(self, request);

        plugin->inspect(self, &request, &inspection);
        cr_assert_eq(inspection.kind, rows[i].is_write ? WEIR_WRITE : WEIR_READ, "row %zu", i);
        cr_assert_eq(choice.roles, rows[i].is_write ? WEIR_ROLES_PRIMARY : WEIR_ROLES_REPLICA, "row %zu", i);
        cr_assert_eq(choice.falls_back, !rows[i].is_write, "row %zu: writes never go to a replica", i);
    }
    plugin->destroy(self);
}

Test(rw_split, a_read_goes_on_to_the_primary_when_no_replica_is_left)
{
    static const struct {
        bool is_usable[2], was_tried[2];
        unsigned roles;
    } rows[] = {
        { { true, true }, { false, false }, WEIR_ROLES_REPLICA },
        { { true, true }, { true, false }, WEIR_ROLES_REPLICA },
        { { false, true }, { false, false }, WEIR_ROLES_REPLICA },
        { { true, true }, { true, true }, WEIR_ROLES_PRIMARY },
        { { false, true }, { false, true }, WEIR_ROLES_PRIMARY },
        { { false, false }, { false, false }, WEIR_ROLES_PRIMARY },
    };
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_request request = request_of("GET", "acme");
        struct weir_choice choice = { .size = sizeof choice };
        struct weir_candidate servers[] = {
            candidate(WEIR_PRIMARY, true, false),
            candidate(WEIR_REPLICA, rows[i].is_usable[0], rows[i].was_tried[0]),
            candidate(WEIR_REPLICA, rows[i].is_usable[1], rows[i].was_tried[1])
        };

        plugin->choose(self, &request, servers, 3, false, &choice);
        cr_assert_eq(choice.roles, rows[i].roles, "row %zu", i);
        cr_assert(choice.falls_back, "row %zu", i);
    }
    plugin->destroy(self);
}

Test(rw_split, steps_over_candidates_by_their_own_size)
{
    struct {
        struct weir_candidate known;
        char added_later[64];
    } servers[2] = { { .known = candidate(WEIR_PRIMARY, true, false) },
                     { .known = candidate(WEIR_REPLICA, true, false) } };
    struct weir_request request = request_of("GET", "acme");
    struct weir_choice choice = { .size = sizeof choice };
    void *self = make_default();

    servers[0].known.size = servers[1].known.size = sizeof servers[0];
    plugin->choose(self, &request, &servers[0].known, 2, false, &choice);
    cr_assert_eq(choice.roles, WEIR_ROLES_REPLICA);
    plugin->destroy(self);
}

Test(rw_split, the_writer_reads_from_the_primary_for_the_window)
{
    char token[512];
    void *self = make_default();

    token_of(self, "acme", token);
    cr_assert(reads_from_primary(self, "acme", token, NULL), "by header");
    cr_assert(reads_from_primary(self, "acme", NULL, token), "by cookie");
    cr_assert_not(reads_from_primary(self, "acme", NULL, NULL), "others go on reading from replicas");
    fake_wall_ms += WINDOW - 1;
    cr_assert(reads_from_primary(self, "acme", token, NULL));
    fake_wall_ms += 1;
    cr_assert_not(reads_from_primary(self, "acme", token, NULL));
    plugin->destroy(self);
}

Test(rw_split, a_read_in_the_window_does_not_fall_back_to_a_replica)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");

    token_of(self, "acme", token);
    request.cookie = token;
    cr_assert_not(choose(self, request).falls_back);
    plugin->destroy(self);
}

Test(rw_split, the_newest_of_cookie_and_header_wins)
{
    char older[512], newer[512];
    void *self = make_default();

    token_of(self, "acme", older);
    fake_wall_ms += WINDOW;
    token_of(self, "acme", newer);
    fake_wall_ms += 1;
    cr_assert(reads_from_primary(self, "acme", older, newer));
    cr_assert(reads_from_primary(self, "acme", newer, older));
    cr_assert(reads_from_primary(self, "acme", "v1.main.-.9.forged", newer));
    cr_assert_not(reads_from_primary(self, "acme", older, older));
    plugin->destroy(self);
}

Test(rw_split, a_failed_write_counts_once_a_server_was_asked)
{
    static const int statuses[] = { 200, 201, 204, 302, 400, 404, 409, 500, 502, 504 };
    char token[512];
    void *self = make_default();
    struct weir_answer answer;

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        write_token(self, request_of("PUT", "acme"), answer_of(statuses[i], WEIR_PRIMARY), token);
        cr_assert(token[0], "row %zu", i);
    }
    answer = answer_of(504, WEIR_PRIMARY);
    answer.is_weirs_own = true;
    write_token(self, request_of("POST", "acme"), answer, token);
    cr_assert(token[0], "the server may have done it all the same");
    answer.status = 503;
    answer.sent_ms = 0;
    write_token(self, request_of("POST", "acme"), answer, token);
    cr_assert_not(token[0], "nobody was asked, so nothing was written");
    write_token(self, request_of("GET", "acme"), answer_of(200, WEIR_REPLICA), token);
    cr_assert_not(token[0], "reads get none");
    plugin->destroy(self);
}

/* What the cache would do with a stored reply, by the two means it has. */
static bool may_use(void *self, const char *token, struct weir_answer stored)
{
    struct weir_request fill = request_of("GET", "acme");
    struct weir_request reader = request_of("GET", "acme");
    struct weir_verdict verdict = { .size = sizeof verdict };
    struct weir_inspection asked = { .size = sizeof asked };

    plugin->answered(self, &fill, &stored, &verdict);
    reader.cookie = token;
    plugin->inspect(self, &reader, &asked);
    cr_assert_not(asked.bypass_cache);
    if (stored.sent_ms < asked.not_before_ms)
        return false;
    return !asked.position.data || !plugin->is_behind(self, verdict.position, asked.position);
}

Test(rw_split, the_cache_gives_a_writer_nothing_older_than_the_write)
{
    static const struct {
        int64_t after_write_ms;
        bool from_primary, from_replica;
    } rows[] = {
        { -1000, false, false },       { -1, false, false },
        { 0, false, false },           { 1, true, false },
        { WINDOW, true, false },       { WINDOW + 1, true, true },
        { WINDOW + 1000, true, true },
    };
    char token[512];
    void *self = make_default();
    struct weir_answer stored = answer_of(200, WEIR_PRIMARY);
    int64_t wrote_ms = fake_wall_ms;

    token_of(self, "acme", token);
    fake_wall_ms += HOUR - 1; /* the token's last moment */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stored.sent_ms = wrote_ms + rows[i].after_write_ms;
        stored.role = WEIR_PRIMARY;
        cr_assert_eq(may_use(self, token, stored), rows[i].from_primary, "row %zu", i);
        cr_assert(may_use(self, NULL, stored), "row %zu: others have no such wish", i);
        stored.role = WEIR_REPLICA;
        cr_assert_eq(may_use(self, token, stored), rows[i].from_replica, "row %zu", i);
    }
    fake_wall_ms += 1;
    stored.sent_ms = wrote_ms - 1000;
    cr_assert(may_use(self, token, stored), "an hour later the token is forgotten");
    plugin->destroy(self);
}

Test(rw_split, what_has_no_position_is_behind)
{
    static const char *const rows[] = { "", "x", "-5", "0/16B3748", "99999999999999999999999" };
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert(plugin->is_behind(self, (struct weir_str){ rows[i], strlen(rows[i]) },
                                    (struct weir_str){ "1", 1 }),
                  "row %zu", i);
    cr_assert(plugin->is_behind(self, (struct weir_str){ 0 }, (struct weir_str){ "1", 1 }));
    plugin->destroy(self);
}

Test(rw_split, consistency_none_knows_no_tokens)
{
    void *windowed = make_default();
    void *self = make((struct weir_config){ { { .name = "consistency", .text = "none" } } });
    struct weir_answer stored = answer_of(200, WEIR_REPLICA);
    char token[512], none[512];

    token_of(windowed, "acme", token);
    write_token(self, request_of("POST", "acme"), answer_of(201, WEIR_PRIMARY), none);
    cr_assert_not(none[0]);
    cr_assert_not(reads_from_primary(self, "acme", token, token));
    stored.sent_ms = 1;
    cr_assert(may_use(self, token, stored));
    plugin->destroy(windowed);
    plugin->destroy(self);
}

Test(rw_split, out_of_memory_stays_on_the_safe_side)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");
    struct weir_inspection inspection = { .size = sizeof inspection };

    token_of(self, "acme", token);
    request.cookie = token;
    request.is_out_of_memory = true;
    plugin->inspect(self, &request, &inspection);
    cr_assert(inspection.bypass_cache);
    cr_assert_eq(choose(self, request).roles, WEIR_ROLES_PRIMARY);

    request.method = "POST";
    write_token(self, request, answer_of(201, WEIR_PRIMARY), token);
    cr_assert_not(token[0]);
    cr_assert_eq(fake_warnings, 1);
    plugin->destroy(self);
}
