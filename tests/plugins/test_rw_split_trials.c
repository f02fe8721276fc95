/* Servers of which nothing is known but what replies say: who waits for them, and who finds out. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "rw_split_positions_kit.h"

#define WAIT 50

TestSuite(rw_split_trials, .init = set_up);

/* An app says on a reply, or a health check's, how far it had come. */
static void tell(struct rw_split *self, unsigned server, uint64_t value)
{
    fake_wall_ms += 20;
    servers_told(self->servers, str(addresses[server]), fake_wall_ms - 1, fake_wall_ms,
                 (struct position){ .is_known = true, .value = value }, false);
    fake_wall_ms += 1;
}

static struct rw_split *make_by_replies(void)
{
    return make((struct weir_config){ { { .name = "consistency", .text = "position" },
                                        { .name = "wait", .text = "0s" },
                                        { .name = "primary_read_share", .text = "100%" } } });
}

Test(rw_split_trials, nobody_waits_for_a_replica_that_has_said_nothing)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    char token[600];

    write_at(self, "100", token);
    request = request_of("GET", token);
    cr_assert_neq(choose(self, &request).kind, WEIR_HOLD);
    cr_assert_eq(fake_counted("read_waited"), 0);
    weir_plugin.destroy(self);
}

Test(rw_split_trials, but_rather_than_be_refused_he_does)
{
    struct rw_split *self = make_of("position");
    struct weir_choice choice = { 0 };
    struct weir_request request;
    char token[600];
    int64_t waited = 0;

    write_at(self, "100", token);
    for (unsigned i = 0; i < 100; i++)
        budget_take(&self->budget, fake_wall_ms);
    request = request_of("GET", token);
    for (; (choice = choose(self, &request)).kind == WEIR_HOLD; waited += 10)
        fake_wall_ms += 10;
    cr_assert_eq(waited, 3 * WAIT);
    cr_assert_str_eq(choice.reason, "position-behind");
    weir_plugin.destroy(self);
}

/* Sends reads with that token; returns how many were sent to a replica, whose reply then says that position.
 */
static unsigned read_on(struct rw_split *self, const char *token, unsigned count, const char *says)
{
    unsigned tried = 0;

    for (unsigned i = 0; i < count; i++) {
        struct weir_request request = request_of("GET", token);
        struct weir_choice choice = choose(self, &request);
        struct weir_verdict verdict;

        cr_assert_neq(choice.kind, WEIR_HOLD, "%s", choice.why);
        if (strcmp(choice.why, "read-trial") != 0)
            continue;
        cr_assert_eq(choice.kind, WEIR_PICK);
        tried++;
        said_position = says;
        verdict = answered(self, &request, answer_of(choice.index, 200));
        said_position = NULL;
        cr_assert(verdict.replay_to_primary, "it may have been read before what it says");
        cr_assert(verdict.forbid_store);
        cr_assert_not(verdict.token.data);
        cr_assert(is_primarys(choose(self, &request)));
        verdict = answered(self, &request, answer_of(PRIMARY, 200));
        cr_assert_not(verdict.replay_to_primary || verdict.forbid_store || verdict.is_of_write);
    }
    return tried;
}

Test(rw_split_trials, a_read_now_and_then_finds_out_how_far_a_replica_is)
{
    struct rw_split *self = make_by_replies();
    char token[600];

    write_at(self, "100", token);
    cr_assert_eq(read_on(self, token, 40, "100"), 1, "one was enough");
    cr_assert_gt(fake_counted("read_replica"), 30);
    cr_assert_eq(fake_counted("read_trial"), 1);
    cr_assert_eq(fake_counted("replayed"), 0, "nothing was written");
    weir_plugin.destroy(self);
}

Test(rw_split_trials, one_that_is_behind_is_tried_less_and_less)
{
    struct rw_split *self = make_by_replies();
    unsigned tried = 0;
    char token[600];

    write_at(self, "100", token);
    candidates[SECOND].is_usable = false;
    for (unsigned i = 0; i < 100; i++) { /* five seconds */
        tried += read_on(self, token, 1, "99");
        fake_wall_ms += WAIT;
    }
    cr_assert(tried >= 5 && tried <= 9, "%u", tried);
    weir_plugin.destroy(self);
}

Test(rw_split_trials, a_trial_is_none_where_others_tell)
{
    struct rw_split *self = make_by_replies();
    struct weir_answer health = answer_of(FIRST, 200);
    char token[600];

    candidates[SECOND].is_usable = false;
    write_at(self, "100", token);
    said_position = "99";
    weir_plugin.checked(self, &health);
    said_position = NULL;
    tell(self, FIRST, 99);
    for (unsigned i = 0; i < 10; i++) {
        struct weir_request request = request_of("GET", token);

        weir_plugin.checked(self, &health);
        fake_wall_ms += WAIT;
        cr_assert(is_primarys(choose(self, &request)));
    }
    fake_wall_ms += 1000;
    self->has_probe = true;
    cr_assert_eq(read_on(self, token, 0, NULL), 0);
    cr_assert_eq(fake_counted("read_trial"), 0);
    weir_plugin.destroy(self);
}

Test(rw_split_trials, only_what_does_no_harm_twice_is_tried)
{
    static const struct weir_request rows[] = {
        { .method = "POST", .body = "x" },
        { .method = "GET", .body = "x" },
        { .method = "SEARCH" },
        { .method = "GET", .override_name = "Upgrade", .override = "websocket" },
    };
    struct rw_split *self = make((struct weir_config){
        { { .name = "consistency", .text = "position" }, { .name = "read", .items = { "* /**" } } } });
    char token[600];

    write_at(self, "100", token);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_request request = request_of(rows[i].method, token);

        request.body = rows[i].body;
        request.path = request.target = "/x";
        request.override_name = rows[i].override_name;
        request.override = rows[i].override;
        cr_assert(is_primarys(choose(self, &request)), "row %u", i);
    }
    weir_plugin.destroy(self);
}

Test(rw_split_trials, what_a_tried_replica_cannot_do_is_a_write)
{
    struct rw_split *self = make_by_replies();
    struct weir_request request;
    struct weir_verdict verdict;
    char token[600];

    write_at(self, "100", token);
    request = request_of("GET", token);
    cr_assert_not(is_primarys(choose(self, &request)));
    said_replay = "primary";
    cr_assert(answered(self, &request, answer_of(FIRST, 409)).replay_to_primary);
    said_replay = NULL;
    cr_assert(is_primarys(choose(self, &request)));
    verdict = answered(self, &request, answer_of(PRIMARY, 200));
    cr_assert(verdict.is_of_write);
    cr_assert_eq(fake_counted("replayed"), 1);
    weir_plugin.destroy(self);
}

Test(rw_split_trials, a_trial_that_could_not_connect_is_over)
{
    struct rw_split *self = make_by_replies();
    struct weir_request request;
    struct weir_choice choice;
    char token[600];

    write_at(self, "100", token);
    request = request_of("GET", token);
    choice = choose(self, &request);
    cr_assert_not(is_primarys(choice));
    candidates[choice.index].was_tried = true;
    cr_assert(is_primarys(choose(self, &request)));
    cr_assert_not(answered(self, &request, answer_of(PRIMARY, 200)).replay_to_primary);
    weir_plugin.destroy(self);
}
