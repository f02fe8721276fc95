/* What rw_split makes of requests and replies: what may be stored for whom, tokens, replays, reads and
 * writes. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "rw_split_positions_kit.h"

TestSuite(rw_split_replies, .init = set_up);

/* --- the cache --- */

static bool may_use(struct rw_split *self, const char *token, struct weir_str position)
{
    struct weir_request request = request_of("GET", token);
    struct weir_inspection asked = { .size = sizeof asked };

    weir_plugin.inspect(self, &request, &asked);
    return !asked.bypass_cache && !asked.not_before_ms &&
           (!asked.position.data || !weir_plugin.is_behind(self, position, asked.position));
}

Test(rw_split_replies, a_stored_reply_is_used_by_who_has_seen_no_more)
{
    struct rw_split *self = make_of("position");
    struct weir_request fill = request_of("GET", NULL);
    struct weir_verdict verdict;
    char before[600], after[600];

    hear(self, 100, 100, 100);
    write_at(self, "100", before);
    verdict = answered(self, &fill, answer_of(FIRST, 200));
    write_at(self, "101", after);
    cr_assert(may_use(self, NULL, verdict.position));
    cr_assert(may_use(self, before, verdict.position));
    cr_assert_not(may_use(self, after, verdict.position));
    cr_assert_not(may_use(self, before, (struct weir_str){ 0 }), "nobody knows what it shows");
    cr_assert_not(may_use(self, before, str("1790000000000")), "nor of one that was stored by the window");
    weir_plugin.destroy(self);
}

Test(rw_split_replies, a_hit_moves_its_client_forward)
{
    struct rw_split *self = make_of("position");
    struct weir_request fill = request_of("GET", NULL), reader = request_of("GET", NULL);
    struct weir_verdict stored, verdict = { .size = sizeof verdict };
    char token[600];

    hear(self, 100, 100, 90);
    said_position = "100";
    stored = answered(self, &fill, answer_of(FIRST, 200));
    said_position = NULL;
    weir_plugin.served(self, &reader, stored.position, fake_wall_ms, &verdict);
    snprintf(token, sizeof token, "%.*s", (int)verdict.token.len, verdict.token.data);
    cr_assert(picks(self, token, FIRST), "the other one is behind what was shown");
    reader = request_of("GET", token);
    verdict = (struct weir_verdict){ .size = sizeof verdict };
    weir_plugin.served(self, &reader, stored.position, fake_wall_ms, &verdict);
    cr_assert_not(verdict.token.data, "once is enough");
    weir_plugin.destroy(self);
}

Test(rw_split_replies, a_replicas_reply_says_until_when_it_knows)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("GET", NULL);
    int64_t heard_ms;

    hear(self, 100, 100, 100);
    heard_ms =
        fake_wall_ms - 2; /* when the primary was asked, for the last time that the first has reached */
    hear(self, 120, 110, 120);
    cr_assert_eq(answered(self, &request, answer_of(FIRST, 200)).as_of_ms, heard_ms - 1);
    request = request_of("GET", NULL);
    cr_assert_eq(answered(self, &request, answer_of(PRIMARY, 200)).as_of_ms, 0);
    weir_plugin.destroy(self);
}

Test(rw_split_replies, of_a_replica_nobody_heard_of_the_limits_hold)
{
    struct rw_split *position = make_of("position"), *window = make_of("window");
    struct weir_request request = request_of("GET", NULL);

    servers_sample(position->servers, str(addresses[PRIMARY]), fake_wall_ms - 1, fake_wall_ms,
                   (struct position){ .is_known = true, .value = 1 });
    cr_assert_eq(answered(position, &request, answer_of(FIRST, 200)).as_of_ms, fake_wall_ms - 10000);
    request = request_of("GET", NULL);
    cr_assert_eq(answered(window, &request, answer_of(FIRST, 200)).as_of_ms, fake_wall_ms - 2000);
    weir_plugin.destroy(position);
    weir_plugin.destroy(window);
}

/* --- tokens --- */

Test(rw_split_replies, a_read_that_shows_nothing_new_brings_no_token)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    char token[600];

    hear(self, 100, 100, 100);
    write_at(self, "100", token);
    said_position = "100";
    request = request_of("GET", token);
    cr_assert_not(answered(self, &request, answer_of(FIRST, 200)).token.data);
    said_position = "101";
    request = request_of("GET", token);
    cr_assert(answered(self, &request, answer_of(FIRST, 200)).token.data);
    said_position = NULL;
    request = request_of("GET", token);
    cr_assert(answered(self, &request, answer_of(FIRST, 200)).token.data, "what it showed is not known yet");
    weir_plugin.destroy(self);
}

Test(rw_split_replies, a_failed_write_counts_too)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("POST", NULL), reader;
    struct weir_answer failed = answer_of(PRIMARY, 504);
    struct weir_verdict verdict;
    char token[600];

    hear(self, 100, 100, 100);
    failed.is_weirs_own = true;
    said_position = "1"; /* there is no app's word behind it */
    verdict = answered(self, &request, failed);
    said_position = NULL;
    snprintf(token, sizeof token, "%.*s", (int)verdict.token.len, verdict.token.data);
    reader = request_of("GET", token);
    cr_assert_eq(choose(self, &reader).kind, WEIR_HOLD);
    weir_plugin.destroy(self);
}

Test(rw_split_replies, ignored_tokens_are_counted)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    char token[600];

    hear(self, 100, 100, 100);
    write_at(self, "100", token);
    request = request_of("GET", token);
    request.tenant = "tiny";
    choose(self, &request);
    cr_assert_eq(fake_counted("token_forged"), 1);
    request = request_of("GET", token);
    request.domain = "billing";
    choose(self, &request);
    cr_assert_eq(fake_counted("token_foreign"), 1);
    fake_wall_ms += TOKEN_LIFE_MS;
    request = request_of("GET", token);
    choose(self, &request);
    cr_assert_eq(fake_counted("token_expired"), 1);
    weir_plugin.destroy(self);
}

Test(rw_split_replies, tokens_of_other_domains_come_back)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    struct weir_verdict verdict;
    char token[600];

    hear(self, 100, 100, 100);
    write_at(self, "100", token);
    request = request_of("POST", token);
    request.domain = "billing";
    verdict = answered(self, &request, answer_of(PRIMARY, 200));
    cr_assert_eq(strncmp(verdict.token.data, "v1.billing.", 11), 0);
    cr_assert(strstr(verdict.token.data, "~v1.main.0-64*_"), "%s", verdict.token.data);
    weir_plugin.destroy(self);
}

/* --- replay --- */

Test(rw_split_replies, a_replica_may_hand_on_to_the_primary_once)
{
    static const char *const consistencies[] = { "none", "window", "position", "strict" };

    for (unsigned i = 0; i < 4; i++) {
        struct rw_split *self = make_of(consistencies[i]);
        struct weir_request request = request_of("GET", NULL);
        struct weir_verdict verdict;

        said_replay = "primary";
        verdict = answered(self, &request, answer_of(FIRST, 409));
        cr_assert(verdict.replay_to_primary);
        cr_assert(verdict.forbid_store);
        verdict = answered(self, &request, answer_of(PRIMARY, 409));
        cr_assert(verdict.replay_to_primary, "weir finds that it goes in a circle");
        cr_assert_not(i < 2 && verdict.token.data, "and nothing was written");
        said_replay = NULL;
        request = request_of("GET", NULL);
        said_replay = "primary";
        answered(self, &request, answer_of(FIRST, 409));
        said_replay = NULL;
        verdict = answered(self, &request, answer_of(PRIMARY, 200));
        cr_assert_eq(verdict.token.data != NULL, i > 0, "it counts as a write");
        weir_plugin.destroy(self);
    }
    cr_assert_eq(fake_counted("replayed"), 8);
}

Test(rw_split_replies, what_a_read_shows_is_as_old_as_its_question)
{
    struct rw_split *self = make_of("position");
    struct weir_request fill = request_of("GET", NULL);
    struct weir_answer answer;
    struct weir_verdict verdict;
    char token[600];

    hear(self, 100, 100, 100);
    answer = answer_of(FIRST, 200);
    write_at(self, "110", token);
    fake_wall_ms += 10;
    said_position = "110"; /* it came so far while it answered */
    verdict = answered(self, &fill, answer);
    said_position = NULL;
    cr_assert_not(may_use(self, token, verdict.position));
    weir_plugin.destroy(self);
}

Test(rw_split_replies, other_words_for_it_are_understood)
{
    struct rw_split *self =
        make((struct weir_config){ { { .name = "read_only_status", .text = "409" },
                                     { .name = "read_only_header", .text = "X-Read-Only" } } });
    struct weir_request request = request_of("GET", NULL);

    cr_assert_not(answered(self, &request, answer_of(FIRST, 409)).replay_to_primary);
    said_read_only = "1";
    cr_assert_not(answered(self, &request, answer_of(FIRST, 410)).replay_to_primary);
    cr_assert(answered(self, &request, answer_of(FIRST, 409)).replay_to_primary);
    said_read_only = NULL;
    request = request_of("GET", NULL);
    said_fly = "instance=abc";
    cr_assert(answered(self, &request, answer_of(FIRST, 200)).replay_to_primary);
    said_fly = NULL;
    request = request_of("GET", NULL);
    said_replay = "elsewhere";
    cr_assert_not(answered(self, &request, answer_of(FIRST, 200)).replay_to_primary);
    weir_plugin.destroy(self);
}

/* --- reads and writes --- */

static enum weir_kind kind_of(struct rw_split *self, struct weir_request request)
{
    struct weir_inspection asked = { .size = sizeof asked };

    weir_plugin.inspect(self, &request, &asked);
    return asked.kind;
}

Test(rw_split_replies, the_config_says_which_paths_write_and_which_read)
{
    struct rw_split *self =
        make((struct weir_config){ { { .name = "read", .items = { "POST /search", "* /both" } },
                                     { .name = "write", .items = { "GET /export/**", "* /both" } } } });
    struct weir_request request = request_of("POST", NULL);
    struct weir_inspection asked = { .size = sizeof asked };

    request.path = "/search";
    cr_assert_eq(kind_of(self, request), WEIR_READ);
    request.body = "{}";
    weir_plugin.inspect(self, &request, &asked);
    cr_assert_eq(asked.keep_body_bytes, 1024 * 1024, "a replica may hand it on");
    request = request_of("GET", NULL);
    cr_assert_eq(kind_of(self, request), WEIR_READ);
    request.path = "/export/all";
    cr_assert_eq(kind_of(self, request), WEIR_WRITE);
    request.path = "/both";
    cr_assert_eq(kind_of(self, request), WEIR_WRITE, "a write before a read");
    weir_plugin.destroy(self);
}

Test(rw_split_replies, only_trusted_peers_say_which_kind_it_is)
{
    struct rw_split *self = make((struct weir_config){ { { .name = "write", .items = { "GET /export" } } } });
    struct weir_request request = request_of("POST", NULL);

    request.kind = "read";
    cr_assert_eq(kind_of(self, request), WEIR_WRITE);
    request.is_trusted = true;
    cr_assert_eq(kind_of(self, request), WEIR_READ);
    request = request_of("GET", NULL);
    request.is_trusted = true;
    request.kind = "write";
    cr_assert_eq(kind_of(self, request), WEIR_WRITE);
    request.kind = "both";
    cr_assert_eq(kind_of(self, request), WEIR_READ);
    request.path = "/export";
    request.kind = "read";
    cr_assert_eq(kind_of(self, request), WEIR_READ);
    weir_plugin.destroy(self);
}

Test(rw_split_replies, a_graphql_body_decides)
{
    static const struct {
        const char *body, *path, *encoding;
        bool is_read;
    } rows[] = {
        { "{\"query\":\"{ me { name } }\"}", "/graphql", NULL, true },
        { "{\"query\":\"mutation { a }\"}", "/graphql", NULL, false },
        { "{\"query\":\"{ me { name } }\"}", "/graphql", "gzip", false },
        { "{\"query\":\"{ me { name } }\"}", "/other", NULL, false },
        { "nonsense", "/graphql", NULL, false },
    };
    struct rw_split *self = make_of("window");

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_request request = request_of("POST", NULL);
        struct weir_inspection asked = { .size = sizeof asked };
        struct weir_choice choice;

        request.path = rows[i].path;
        request.body = rows[i].body;
        request.content_type = "application/json";
        request.content_encoding = rows[i].encoding;
        weir_plugin.inspect(self, &request, &asked);
        cr_assert_eq(asked.kind, WEIR_WRITE, "row %u: until its body is here", i);
        choice = choose(self, &request);
        cr_assert_eq(choice.roles, rows[i].is_read ? WEIR_ROLES_REPLICA : WEIR_ROLES_PRIMARY, "row %u", i);
        cr_assert_eq(answered(self, &request, answer_of(PRIMARY, 200)).token.data != NULL, !rows[i].is_read,
                     "row %u", i);
    }
    weir_plugin.destroy(self);
}

/* --- health checks --- */

Test(rw_split_replies, health_replies_say_how_far_a_server_has_come)
{
    static const struct {
        const char *header, *body;
        uint64_t value;
    } rows[] = {
        { "0/64", NULL, 100 },
        { NULL, "{\"db\":{\"at\":\"0/65\"}}", 101 },
        { NULL, "{\"db\":{\"at\":102}}", 102 },
        { NULL, "{\"db\":{\"at\":null}}", 102 },
        { NULL, "{\"db\":", 102 },
        { NULL, "{\"db\":{\"at\":\"0/6666666666666666666666666666666666666666666666666\"}}", 102 },
        { "x", "", 102 },
    };
    struct rw_split *self = make((struct weir_config){
        { { .name = "consistency", .text = "position" }, { .name = "position_field", .text = "db.at" } } });

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_answer answer = answer_of(FIRST, 200);

        answer.body = str(rows[i].body);
        said_position = rows[i].header;
        weir_plugin.checked(self, &answer);
        fake_wall_ms += 50;
        cr_assert_eq(
            servers_latest(self->servers, servers_find(self->servers, str(addresses[FIRST]), 0)).value,
            rows[i].value, "row %u", i);
    }
    weir_plugin.destroy(self);
}

/* --- out of memory --- */

Test(rw_split_replies, out_of_memory_stays_on_the_safe_side)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    struct weir_inspection asked = { .size = sizeof asked };
    struct weir_verdict verdict;
    struct weir_choice choice;
    char token[600];

    hear(self, 100, 90, 90);
    write_at(self, "100", token);
    request = request_of("GET", token);
    request.is_out_of_memory = true;
    weir_plugin.inspect(self, &request, &asked);
    cr_assert(asked.bypass_cache);
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_ROLES, "who can't be noted does not wait");
    cr_assert_eq(choice.roles, WEIR_ROLES_PRIMARY);
    verdict = answered(self, &request, answer_of(FIRST, 200));
    cr_assert(verdict.forbid_store);
    cr_assert_not(verdict.token.data);
    cr_assert_gt(fake_warnings, 0);
    request.method = "POST";
    candidates[PRIMARY].is_usable = false;
    cr_assert_eq(choose(self, &request).kind, WEIR_REFUSE);
    weir_plugin.destroy(self);
}

Test(rw_split_replies, a_weir_that_holds_no_longer_is_heeded)
{
    struct rw_split *self = make_of("position");
    struct weir_choice choice = { .size = sizeof choice };
    struct weir_request request;
    char token[600];

    hear(self, 100, 90, 90);
    write_at(self, "100", token);
    request = request_of("GET", token);
    weir_plugin.choose(self, &request, candidates, COUNT, true, &choice);
    cr_assert_eq(choice.kind, WEIR_ROLES);
    cr_assert_eq(choice.roles, WEIR_ROLES_PRIMARY);
    weir_plugin.destroy(self);
}
