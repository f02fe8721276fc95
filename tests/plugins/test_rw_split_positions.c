/* Whom rw_split chooses where consistency goes by positions, one rule a test. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "rw_split_positions_kit.h"

#define WAIT 50
#define HOLD 5000

TestSuite(rw_split_positions, .init = set_up);

/* --- choosing --- */

Test(rw_split_positions, a_read_goes_where_its_write_has_come)
{
    struct rw_split *self = make_of("position");
    char token[600];

    hear(self, 100, 99, 100);
    write_at(self, "0/64", token);
    cr_assert(strstr(token, "v1.main.0-64*_"), "%s", token);
    cr_assert(picks(self, token, SECOND));
    cr_assert_gt(fake_counted("read_replica"), 0);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, who_has_no_token_reads_anywhere)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("GET", NULL);
    struct weir_choice choice;

    hear(self, 100, 1, 100);
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_ROLES);
    cr_assert_eq(choice.roles, WEIR_ROLES_REPLICA);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, a_write_that_says_nothing_is_bound_by_the_next_sample)
{
    struct rw_split *self = make_of("position");
    char token[600];
    struct weir_request request;

    hear(self, 100, 100, 100);
    write_at(self, NULL, token);
    request = request_of("GET", token);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD, "nobody knows yet where it is");
    hear(self, 110, 105, 110);
    cr_assert(picks(self, token, SECOND));
    weir_plugin.destroy(self);
}

Test(rw_split_positions, a_read_waits_then_falls_back_to_the_primary)
{
    struct rw_split *self = make_of("position");
    char token[600];
    struct weir_request request;
    struct weir_choice choice;

    hear(self, 100, 90, 90);
    write_at(self, "100", token);
    request = request_of("GET", token);
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_HOLD);
    cr_assert_eq(choice.hold_ms, WAIT);
    cr_assert(choice.holds_again, "the plugin knows when its time is over");
    fake_wall_ms += WAIT - 1;
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_HOLD);
    cr_assert_eq(choice.hold_ms, 1);
    fake_wall_ms += 1;
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_ROLES);
    cr_assert_eq(choice.roles, WEIR_ROLES_PRIMARY);
    cr_assert_not(choice.falls_back);
    cr_assert_eq(fake_counted("read_waited"), 1);
    cr_assert_eq(fake_counted("read_primary_fallback"), 1);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, progress_wakes_who_waits_and_nobody_else)
{
    struct rw_split *self = make_of("position");
    char token[600];
    struct weir_request request;
    struct weir_choice choice;

    hear(self, 100, 90, 90);
    cr_assert_eq(fake_wakes, 0);
    write_at(self, "100", token);
    request = request_of("GET", token);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    hear(self, 100, 100, 90);
    cr_assert_eq(fake_wakes, 1);
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_PICK);
    cr_assert_eq(choice.index, FIRST);
    hear(self, 110, 110, 110);
    cr_assert_eq(fake_wakes, 1);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, a_reply_that_shows_progress_wakes_too)
{
    struct rw_split *self = make_of("position");
    char token[600];
    struct weir_request request, other = request_of("GET", NULL);

    hear(self, 100, 90, 90);
    write_at(self, "100", token);
    request = request_of("GET", token);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    said_position = "0/64";
    fake_wall_ms += 1;
    answered(self, &other, answer_of(FIRST, 200));
    cr_assert_eq(fake_wakes, 1);
    cr_assert_eq(choose(self, &request).kind, WEIR_PICK);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, beyond_the_budget_reads_are_refused)
{
    struct rw_split *self = make((struct weir_config){ { { .name = "consistency", .text = "position" },
                                                         { .name = "wait", .text = "0s" },
                                                         { .name = "primary_read_share", .text = "10%" } } });
    char token[600];
    unsigned fallbacks = 0;
    struct weir_choice choice = { 0 };

    hear(self, 100, 90, 90);
    write_at(self, "100", token);
    for (unsigned i = 0; i < 100; i++) {
        struct weir_request request = request_of("GET", token);

        choice = choose(self, &request);
        fallbacks += choice.kind == WEIR_ROLES;
    }
    cr_assert_eq(fallbacks, BUDGET_FLOOR_PER_S);
    cr_assert_eq(choice.kind, WEIR_REFUSE);
    cr_assert_str_eq(choice.reason, "position-behind");
    cr_assert_geq(choice.retry_after_s, 1);
    cr_assert_eq(fake_counted("read_refused"), 90);
    cr_assert_eq(fake_warnings, 1, "the log is told once a minute");
    weir_plugin.destroy(self);
}

Test(rw_split_positions, who_would_be_refused_waits_longer_for_a_replica_that_is_near)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    struct weir_choice choice = { 0 };
    char token[600];

    hear(self, 100, 90, 90);
    write_at(self, "100", token);
    for (unsigned i = 0; i < BUDGET_FLOOR_PER_S; i++)
        budget_take(&self->budget, fake_wall_ms + WAIT);
    request = request_of("GET", token);
    for (int64_t waited = 0; waited < 4 * WAIT; waited += WAIT) {
        cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
        fake_wall_ms += WAIT;
    }
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_REFUSE);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, what_lags_too_far_leaves_the_read_set)
{
    struct rw_split *self = make((struct weir_config){
        { { .name = "consistency", .text = "position" }, { .name = "lag_max", .text = "1s" } } });

    hear(self, 100, 100, 100);
    for (unsigned i = 0; i < 100; i++)
        hear(self, 101 + i, 101 + i, 100);
    weir_plugin.tick(self);
    cr_assert(picks(self, NULL, FIRST));
    cr_assert_gt(fake_servers[SECOND].lag_ms, 1000);
    cr_assert_eq(fake_servers[FIRST].lag_ms, 0);
    cr_assert_str_eq(fake_servers[FIRST].position, "0-c8");
    weir_plugin.destroy(self);
}

Test(rw_split_positions, with_one_replica_left_and_behind_load_decides_nothing)
{
    struct rw_split *self = make_of("position");
    char token[600];

    hear(self, 100, 100, 90);
    write_at(self, "100", token);
    candidates[FIRST].inflight = 1000;
    candidates[FIRST].mean_us = 100000;
    cr_assert(picks(self, token, FIRST));
    weir_plugin.destroy(self);
}

Test(rw_split_positions, of_those_that_will_do_the_one_with_less_to_do_is_likelier)
{
    struct rw_split *self = make_of("position");
    char token[600];
    unsigned second = 0;

    hear(self, 100, 100, 100);
    write_at(self, "100", token);
    candidates[FIRST].inflight = 100;
    candidates[FIRST].mean_us = candidates[SECOND].mean_us = 1000;
    for (unsigned i = 0; i < 1000; i++) {
        struct weir_request request = request_of("GET", token);

        second += choose(self, &request).index == SECOND;
    }
    cr_assert(second > 650 && second < 850, "%u of 1000: three of four", second);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, a_replica_that_was_tried_is_not_chosen_again)
{
    struct rw_split *self = make_of("position");
    char token[600];

    hear(self, 100, 100, 100);
    write_at(self, "100", token);
    candidates[FIRST].was_tried = true;
    cr_assert(picks(self, token, SECOND));
    candidates[FIRST].was_tried = false;
    candidates[SECOND].is_usable = false;
    cr_assert(picks(self, token, FIRST));
    weir_plugin.destroy(self);
}

Test(rw_split_positions, before_anybody_says_a_position_the_window_serves)
{
    struct rw_split *self = make_of("position");
    struct weir_request reader = request_of("GET", NULL);
    struct weir_choice choice;
    char token[600];

    write_at(self, NULL, token);
    reader.cookie = token;
    choice = choose(self, &reader);
    cr_assert_eq(choice.kind, WEIR_ROLES);
    cr_assert_eq(choice.roles, WEIR_ROLES_PRIMARY);
    reader = request_of("GET", token);
    fake_wall_ms += 2000;
    cr_assert_eq(choose(self, &reader).roles, WEIR_ROLES_REPLICA);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, a_route_may_have_its_own_consistency)
{
    static const char *const words[] = { "none", "window", "nonsense" };
    struct rw_split *self = make_of("position");
    char token[600];

    hear(self, 100, 90, 90);
    write_at(self, "100", token);
    for (unsigned i = 0; i < 3; i++) {
        struct weir_request request = request_of("GET", token);
        struct weir_choice choice;

        request.consistency = words[i];
        choice = choose(self, &request);
        cr_assert_eq(choice.kind, i == 2 ? WEIR_HOLD : WEIR_ROLES, "row %u", i);
        if (i < 2)
            cr_assert_eq(choice.roles, i ? WEIR_ROLES_PRIMARY : WEIR_ROLES_REPLICA, "row %u", i);
    }
    weir_plugin.destroy(self);
}

/* --- strict --- */

Test(rw_split_positions, strict_shows_a_tenants_write_to_everybody_in_it)
{
    struct rw_split *self = make_of("strict");
    struct weir_request tiny = request_of("GET", NULL);
    char token[600];

    hear(self, 100, 90, 100);
    hear(self, 100, 90, 100);
    write_at(self, "100", token);
    cr_assert(picks(self, NULL, SECOND), "without any token");
    tiny.tenant = "tiny";
    cr_assert_neq(choose(self, &tiny).kind, WEIR_REFUSE);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, strict_in_a_fleet_reads_from_the_primary_and_passes_by_the_cache)
{
    struct rw_split *self = make_of("strict");

    hear(self, 100, 100, 100);
    fake_is_in_fleet = true;
    for (unsigned i = 0; i < 100; i++) {
        struct weir_request request = request_of("GET", NULL);
        struct weir_inspection asked = { .size = sizeof asked };
        struct weir_choice choice;

        weir_plugin.inspect(self, &request, &asked);
        cr_assert(asked.bypass_cache);
        choice = choose(self, &request);
        cr_assert_eq(choice.kind, WEIR_ROLES);
        cr_assert_eq(choice.roles, WEIR_ROLES_PRIMARY);
    }
    weir_plugin.destroy(self);
}

/* --- while there is no primary --- */

Test(rw_split_positions, writes_are_held_until_a_primary_is_there)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("POST", NULL);
    struct weir_choice choice;

    hear(self, 100, 100, 100);
    candidates[PRIMARY].is_usable = false;
    for (int64_t waited = 0; waited < HOLD; waited += 100) {
        choice = choose(self, &request);
        cr_assert_eq(choice.kind, WEIR_HOLD);
        cr_assert(choice.holds_again);
        fake_wall_ms += 100;
    }
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_REFUSE);
    cr_assert_str_eq(choice.reason, "write-held");
    cr_assert_geq(choice.retry_after_s, 1);
    cr_assert_eq(fake_counted("write_held"), 1);
    candidates[PRIMARY].is_usable = true;
    request = request_of("POST", NULL);
    cr_assert(is_primarys(choose(self, &request)));
    weir_plugin.destroy(self);
}

Test(rw_split_positions, a_primary_that_refused_is_tried_again_after_a_while)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("POST", NULL);
    struct weir_choice choice;

    hear(self, 100, 100, 100);
    candidates[PRIMARY].was_tried = true;
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD, "woken early it goes on waiting");
    fake_wall_ms += 100;
    choice = choose(self, &request);
    cr_assert_eq(choice.kind, WEIR_PICK);
    cr_assert_eq(choice.index, PRIMARY);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD, "it refused again");
    weir_plugin.destroy(self);
}

Test(rw_split_positions, a_promoted_replica_takes_the_held_writes)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("POST", NULL);

    servers_role(self->servers, str(addresses[PRIMARY]), true, 1);
    servers_role(self->servers, str(addresses[FIRST]), false, 1);
    candidates[PRIMARY].is_usable = false;
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    servers_silent(self->servers, str(addresses[PRIMARY]));
    servers_role(self->servers, str(addresses[FIRST]), true, 2);
    cr_assert_eq(fake_servers[FIRST].server.role, WEIR_PRIMARY, "weir was told");
    cr_assert_eq(fake_servers[PRIMARY].server.role, WEIR_REPLICA);
    cr_assert_gt(fake_wakes, 0);
    for (unsigned i = 0; i < COUNT; i++)
        candidates[i].role = fake_servers[i].server.role;
    cr_assert(is_primarys(choose(self, &request)));
    weir_plugin.destroy(self);
}

Test(rw_split_positions, reads_go_on_without_a_primary)
{
    struct rw_split *self = make_of("position");
    char token[600];
    struct weir_request request;

    hear(self, 100, 100, 100);
    write_at(self, "100", token);
    candidates[PRIMARY].is_usable = false;
    request = request_of("GET", token);
    cr_assert_eq(choose(self, &request).kind, WEIR_PICK);
    write_at(self, "101", token);
    request = request_of("GET", token);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    fake_wall_ms += WAIT;
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD, "a primary may come");
    fake_wall_ms += HOLD;
    cr_assert_eq(choose(self, &request).kind, WEIR_REFUSE);
    weir_plugin.destroy(self);
}

Test(rw_split_positions, by_the_window_nothing_is_held_unless_asked_for)
{
    struct rw_split *plain = make_of("window");
    struct rw_split *holding = make((struct weir_config){ { { .name = "write_hold", .text = "1s" } } });
    struct weir_request request = request_of("POST", NULL);

    candidates[PRIMARY].is_usable = false;
    cr_assert_eq(choose(plain, &request).kind, WEIR_ROLES);
    request = request_of("POST", NULL);
    cr_assert_eq(choose(holding, &request).kind, WEIR_HOLD);
    weir_plugin.destroy(plain);
    weir_plugin.destroy(holding);
}
