/* Who waits for what, for how long, and what wakes him; and what is done where nobody knows enough. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "rw_split_positions_kit.h"

#define WAIT 50
#define HOLD 5000

TestSuite(rw_split_waits, .init = set_up);

static struct seen seen_at(uint64_t value, uint32_t epoch)
{
    return (struct seen){ .at = { .is_known = true, .value = value, .epoch = epoch } };
}

static struct weir_choice choose_last(struct rw_split *self, struct weir_request *request)
{
    struct weir_choice choice = { .size = sizeof choice };

    weir_plugin.choose(self, request, candidates, COUNT, true, &choice);
    return choice;
}

/* A database was asked and said who it is and where it is. */
static void probe(struct rw_split *self, unsigned server, bool is_primary, uint32_t timeline, uint64_t value)
{
    self->has_probe = true;
    fake_wall_ms += 20;
    servers_role(self->servers, str(addresses[server]), is_primary, timeline);
    servers_sample(self->servers, str(addresses[server]), fake_wall_ms - 1, fake_wall_ms,
                   (struct position){ .is_known = true, .value = value, .epoch = timeline });
    fake_wall_ms += 1;
}

/* --- how long --- */

/* Nobody knows yet which position it is that he must see, as for some time after a restart: soon it is. */
Test(rw_split_waits, who_would_be_refused_waits_until_his_token_is_understood)
{
    static const char *const landed[] = { NULL, "100" };

    for (unsigned i = 0; i < 2; i++) {
        struct rw_split *self = make_of("position");
        struct weir_choice choice = { 0 };
        struct weir_request request;
        char token[600];
        int64_t waited = 0;

        hear(self, 100, 90, 90);
        write_at(self, landed[i], token);
        request = request_of("GET", token);
        for (;; waited += 10, fake_wall_ms += 10) {
            while (budget_take(&self->budget, fake_wall_ms))
                ;
            choice = choose(self, &request);
            if (choice.kind != WEIR_HOLD)
                break;
        }
        cr_assert_eq(choice.kind, WEIR_REFUSE);
        cr_assert_eq(waited, WAIT + (i ? 3 * WAIT : 1000));
        weir_plugin.destroy(self);
    }
}

/* --- what wakes --- */

Test(rw_split_waits, progress_that_reaches_nobody_wakes_nobody)
{
    struct rw_split *self = make((struct weir_config){
        { { .name = "consistency", .text = "position" }, { .name = "wait", .text = "10s" } } });
    struct weir_request near, far;
    char token[600];

    hear(self, 1000, 90, 90);
    write_at(self, "500", token);
    near = request_of("GET", token);
    cr_assert_eq(choose(self, &near).kind, WEIR_HOLD);
    write_at(self, "1000", token);
    far = request_of("GET", token);
    cr_assert_eq(choose(self, &far).kind, WEIR_HOLD);
    for (uint64_t at = 100; at < 500; at += 100)
        hear(self, 1000 + at, at, at);
    cr_assert_eq(fake_wakes, 0);
    hear(self, 2000, 499, 500);
    cr_assert_eq(fake_wakes, 1);
    cr_assert_eq(choose(self, &near).kind, WEIR_PICK);
    cr_assert_eq(choose(self, &far).kind, WEIR_HOLD);
    hear(self, 3000, 999, 999);
    cr_assert_eq(fake_wakes, 1);
    weir_plugin.destroy(self);
}

Test(rw_split_waits, who_waits_for_a_state_that_has_no_position_yet_is_woken_by_any)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    char token[600];

    hear(self, 100, 100, 100);
    write_at(self, NULL, token);
    request = request_of("GET", token);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    hear(self, 110, 110, 100);
    cr_assert_gt(fake_wakes, 0);
    cr_assert_eq(choose(self, &request).kind, WEIR_PICK);
    weir_plugin.destroy(self);
}

/* Ten thousand who each wait for something else: those who are woken cost so much that the next are not woken
 * for a while, however often somebody comes further. */
Test(rw_split_waits, many_are_not_woken_often)
{
    struct servers *servers = servers_new(1, NULL, NULL);
    int slot = servers_find(servers, str(addresses[FIRST]), 0);
    unsigned turns[10000] = { 0 };
    struct waits waits;
    unsigned wakes = 0;

    waits_init(&waits);
    cr_assert_not(waits_progressed(&waits, servers, 1), "nobody waits");
    for (int64_t now_ms = 1; now_ms <= 1000; now_ms++) {
        struct seen seen = seen_at((uint64_t)now_ms, 0);
        bool wakes_now;

        for (unsigned i = 0; i < 10000; i++) /* also those who look again by themselves */
            cr_assert_leq(waits_add(&waits, &seen, &slot, 1, false, &turns[i]), 1000);
        servers_sample(servers, str(addresses[FIRST]), now_ms - 1, now_ms, seen.at);
        wakes_now = waits_progressed(&waits, servers, now_ms) || waits_due(&waits, now_ms);
        wakes += wakes_now;
    }
    cr_assert(wakes >= 4 && wakes <= 6, "%u wakes a second", wakes);
    waits_woken(&waits, 1000);
    cr_assert_not(waits_due(&waits, 9000), "all of them have been woken");
    waits_fini(&waits);
    servers_free(servers);
}

Test(rw_split_waits, a_few_are_woken_at_once)
{
    struct servers *servers = servers_new(1, NULL, NULL);
    int slot = servers_find(servers, str(addresses[FIRST]), 0);
    struct waits waits;

    waits_init(&waits);
    for (uint64_t at = 1; at < 100; at++) {
        struct seen seen = seen_at(at, 0);
        unsigned turns[10] = { 0 };

        for (unsigned i = 0; i < 10; i++)
            cr_assert_eq(waits_add(&waits, &seen, &slot, 1, false, &turns[i]), 100);
        servers_sample(servers, str(addresses[FIRST]), (int64_t)at, (int64_t)at, seen.at);
        cr_assert(waits_progressed(&waits, servers, 1));
    }
    waits_fini(&waits);
    servers_free(servers);
}

/* Without an epoch a position is compared by its value, with one by that: the least of both is none. */
Test(rw_split_waits, positions_with_and_without_an_epoch_have_no_least)
{
    struct servers *servers = servers_new(1, NULL, NULL);
    int slot = servers_find(servers, str(addresses[FIRST]), 0);
    struct seen without = seen_at(100, 0), with = seen_at(50, 2);
    unsigned one = 0, other = 0;
    struct waits waits;

    waits_init(&waits);
    waits_add(&waits, &without, &slot, 1, false, &one);
    waits_add(&waits, &with, &slot, 1, false, &other);
    servers_sample(servers, str(addresses[FIRST]), 1, 1,
                   (struct position){ .is_known = true, .value = 100, .epoch = 1 });
    cr_assert(waits_progressed(&waits, servers, 1), "the first one may go");
    waits_fini(&waits);
    servers_free(servers);
}

/* --- before the databases were asked --- */

static struct rw_split *make_unsettled(const char *consistency)
{
    struct rw_split *self = make((struct weir_config){
        { { .name = "consistency", .text = consistency }, { .name = "write_hold", .text = "5s" } } });

    self->has_probe = true;
    for (unsigned i = 0; i < COUNT; i++)
        servers_expect(self->servers, str(addresses[i]));
    return self;
}

Test(rw_split_waits, at_start_writes_wait_until_all_databases_were_asked)
{
    struct rw_split *self = make_unsettled("position");
    struct weir_request request = request_of("POST", NULL);

    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    probe(self, PRIMARY, true, 1, 100);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD, "the first to speak need not be the one");
    servers_silent(self->servers, str(addresses[SECOND]));
    probe(self, FIRST, true, 2, 100);
    cr_assert_gt(fake_wakes, 0);
    for (unsigned i = 0; i < COUNT; i++)
        candidates[i].role = fake_servers[i].server.role;
    cr_assert_eq(candidates[FIRST].role, WEIR_PRIMARY);
    cr_assert_eq(choose(self, &request).kind, WEIR_PICK);
    cr_assert_eq(choose(self, &request).index, FIRST);
    cr_assert_eq(fake_counted("write_held"), 1);
    weir_plugin.destroy(self);
}

Test(rw_split_waits, they_go_on_when_nothing_has_changed)
{
    struct rw_split *self = make_unsettled("position");
    struct weir_request request = request_of("POST", NULL);

    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    for (unsigned i = 0; i < COUNT; i++)
        servers_silent(self->servers, str(addresses[i]));
    cr_assert_gt(fake_wakes, 0, "as configured, which is no change of roles");
    cr_assert(is_primarys(choose(self, &request)));
    weir_plugin.destroy(self);
}

Test(rw_split_waits, at_start_who_wants_nothing_reads_from_replicas)
{
    static const char *const words[] = { "position", "strict", "window" };
    char token[600];

    for (unsigned i = 0; i < 3; i++) {
        struct rw_split *self = make_unsettled(words[i]);
        struct weir_request stranger = request_of("GET", NULL), writer;
        struct weir_choice choice = choose(self, &stranger);

        if (i != 1) {
            cr_assert_eq(choice.kind, WEIR_ROLES, "%s", words[i]);
            cr_assert_eq(choice.roles, WEIR_ROLES_REPLICA);
        }
        write_at(self, i == 2 ? NULL : "100", token);
        writer = request_of("GET", token);
        for (int64_t waited = 0; waited < HOLD + 2 * WAIT; waited += 100) {
            choice = choose(self, &writer);
            if (waited < (i == 2 ? 2000 : HOLD))
                cr_assert_eq(choice.kind, WEIR_HOLD, "%s after %d", words[i], (int)waited);
            fake_wall_ms += 100;
        }
        if (i == 2) { /* whose window is over by now */
            cr_assert_eq(choice.roles, WEIR_ROLES_REPLICA);
        } else {
            cr_assert_eq(choice.kind, WEIR_REFUSE, "%s", words[i]);
            cr_assert_str_eq(choice.reason, "position-behind");
        }
        weir_plugin.destroy(self);
    }
}

Test(rw_split_waits, at_start_a_replica_that_shows_it_may_be_read)
{
    struct rw_split *self = make_unsettled("position");
    char token[600];

    probe(self, FIRST, false, 1, 100);
    write_at(self, "1:100", token);
    cr_assert(picks(self, token, FIRST));
    weir_plugin.destroy(self);
}

/* --- a primary that was taken over from --- */

Test(rw_split_waits, who_has_seen_a_later_epoch_is_not_sent_to_the_old_primary)
{
    static const char *const methods[] = { "GET", "POST" };
    struct rw_split *self = make_of("position");
    struct weir_choice choice = { 0 };
    char token[600];

    hear(self, 100, 90, 90);
    write_at(self, "2:50", token);
    servers_free(self->servers); /* another weir gave that token: this one knows nothing of it */
    self->servers = servers_new(self->clock, NULL, NULL);
    for (unsigned i = 0; i < COUNT; i++)
        probe(self, i, i == PRIMARY, 1, 100);
    for (unsigned i = 0; i < 2; i++) {
        struct weir_request with = request_of(methods[i], token), without = request_of(methods[i], NULL);

        for (int64_t waited = 0; waited < HOLD + 2 * WAIT; waited += 50) {
            choice = choose(self, &with);
            cr_assert(choice.kind == WEIR_HOLD || waited >= HOLD, "%s", methods[i]);
            fake_wall_ms += 50;
        }
        cr_assert_eq(choice.kind, WEIR_REFUSE, "%s", methods[i]);
        cr_assert_str_eq(choice.reason, i ? "write-held" : "position-behind");
        cr_assert_eq(is_primarys(choose(self, &without)), i == 1, "others are none of that");
    }
    cr_assert_eq(fake_warnings, 1);
    weir_plugin.destroy(self);
}

/* The candidates were collected before weir was told. */
Test(rw_split_waits, who_is_no_primary_any_more_gets_no_write)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("POST", NULL);

    probe(self, PRIMARY, true, 1, 100);
    cr_assert(is_primarys(choose(self, &request)));
    probe(self, FIRST, true, 2, 100);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    weir_plugin.destroy(self);
}

/* --- strict --- */

Test(rw_split_waits, strict_in_a_fleet_reads_from_the_primary_whatever_is_known)
{
    static const char *const levels[] = { "strict", "window" };

    fake_is_in_fleet = true;
    for (unsigned i = 0; i < 2; i++) {
        struct rw_split *self = make_of(levels[i]);

        for (unsigned n = 0; n < 30; n++) {
            struct weir_request request = request_of("GET", NULL);
            struct weir_choice choice;

            request.consistency = "strict"; /* a route's */
            choice = choose(self, &request);
            cr_assert_eq(choice.kind, WEIR_ROLES);
            cr_assert_eq(choice.roles, WEIR_ROLES_PRIMARY);
            cr_assert_not(choice.falls_back);
        }
        weir_plugin.destroy(self);
    }
}

/* --- the last call --- */

Test(rw_split_waits, on_the_last_call_nobody_is_held_nor_sent_where_it_is_not)
{
    enum {
        NO_PRIMARY = 1,
        UNSETTLED = 2,
        NOBODY = 4
    };
    static const struct {
        const char *method;
        int world;
        enum weir_choice_kind want;
        unsigned roles;
    } rows[] = {
        { "GET", 0, WEIR_ROLES, WEIR_ROLES_PRIMARY },
        { "GET", NO_PRIMARY, WEIR_REFUSE, 0 },
        { "GET", UNSETTLED, WEIR_REFUSE, 0 },
        { "GET", NOBODY, WEIR_ROLES, 0 }, /* weir finds none either, and something stored may stand in */
        { "POST", NO_PRIMARY, WEIR_REFUSE, 0 },
        { "POST", UNSETTLED, WEIR_REFUSE, 0 },
        { "POST", NOBODY, WEIR_REFUSE, 0 },
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rw_split *self = make_of("position");
        struct weir_request request;
        struct weir_choice choice;
        char token[600];

        hear(self, 100, 90, 90);
        write_at(self, "100", token);
        request = request_of(rows[i].method, token);
        candidates[PRIMARY].is_usable = !(rows[i].world & (NO_PRIMARY | NOBODY));
        candidates[FIRST].is_usable = candidates[SECOND].is_usable = !(rows[i].world & NOBODY);
        if (rows[i].world & UNSETTLED)
            servers_expect(self->servers, str(addresses[PRIMARY]));
        if (strcmp(rows[i].method, "GET") == 0 || rows[i].world)
            choose(self, &request);
        choice = choose_last(self, &request);
        cr_assert_eq(choice.kind, rows[i].want, "row %u", i);
        if (choice.kind == WEIR_ROLES) {
            cr_assert_eq(choice.roles, rows[i].roles, "row %u", i);
            cr_assert_not(choice.falls_back, "row %u", i);
        }
        weir_plugin.destroy(self);
    }
}

/* --- nobody is up --- */

Test(rw_split_waits, a_read_does_not_wait_for_a_failover_where_nobody_is_up)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("GET", NULL), write = request_of("POST", NULL);
    struct weir_choice choice;
    int64_t waited = 0;

    hear(self, 100, 100, 100);
    for (unsigned i = 0; i < COUNT; i++)
        candidates[i].is_usable = false;
    for (; (choice = choose(self, &request)).kind == WEIR_HOLD; waited += 10)
        fake_wall_ms += 10;
    cr_assert_eq(waited, 3 * WAIT);
    cr_assert_eq(choice.kind, WEIR_ROLES, "weir says that there is no server, or what is stored");
    cr_assert_eq(choose(self, &write).kind, WEIR_HOLD);
    fake_wall_ms += HOLD - 1;
    cr_assert_eq(choose(self, &write).kind, WEIR_HOLD, "a write does");
    weir_plugin.destroy(self);
}

/* --- replayed --- */

Test(rw_split_waits, what_a_replica_handed_on_is_held_as_a_write)
{
    struct rw_split *self = make_of("position");
    struct weir_request request = request_of("GET", NULL);

    hear(self, 100, 100, 100);
    said_replay = "primary";
    cr_assert(answered(self, &request, answer_of(FIRST, 409)).replay_to_primary);
    said_replay = NULL;
    candidates[PRIMARY].is_usable = false;
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD);
    cr_assert_eq(fake_counted("write_held"), 1);
    candidates[PRIMARY].is_usable = true;
    cr_assert(is_primarys(choose(self, &request)));
    candidates[PRIMARY].is_usable = false;
    fake_wall_ms += HOLD;
    cr_assert_str_eq(choose(self, &request).reason, "write-held");
    weir_plugin.destroy(self);
}

/* --- by the clock --- */

Test(rw_split_waits, by_the_window_too_what_lags_too_far_gets_no_reads)
{
    static const char *const words[] = { "window", "none" };

    for (unsigned i = 0; i < 2; i++) {
        struct rw_split *self = make((struct weir_config){
            { { .name = "consistency", .text = words[i] }, { .name = "lag_max", .text = "1s" } } });
        unsigned fallbacks = 0;

        candidates[FIRST].lag_ms = 1001;
        candidates[SECOND].lag_ms = 1000;
        cr_assert(picks(self, NULL, SECOND), "%s", words[i]);
        candidates[SECOND].lag_ms = 1001;
        for (unsigned n = 0; n < 100; n++) {
            struct weir_request request = request_of("GET", NULL);

            fallbacks += is_primarys(choose(self, &request));
        }
        cr_assert_eq(fallbacks, BUDGET_FLOOR_PER_S, "the primary, within its budget");
        candidates[FIRST].lag_ms = candidates[SECOND].lag_ms = -1;
        weir_plugin.destroy(self);
    }
}

Test(rw_split_waits, by_the_window_too_a_pretender_gets_no_reads)
{
    struct rw_split *self = make_of("window");

    probe(self, PRIMARY, true, 2, 100);
    probe(self, FIRST, true, 1, 100);
    probe(self, SECOND, false, 2, 100);
    cr_assert(picks(self, NULL, SECOND));
    weir_plugin.destroy(self);
}

/* --- the budget --- */

/* Each worker looks at its clock and then comes here, in whatever order. */
Test(rw_split_waits, a_worker_that_is_late_does_not_take_the_budget_back)
{
    struct budget budget;
    unsigned taken = 0;

    budget_init(&budget, 0.5);
    for (unsigned i = 0; i < 1000; i++) {
        taken += budget_take(&budget, 2000);
        taken += budget_take(&budget, 1999);
    }
    cr_assert_eq(taken, BUDGET_FLOOR_PER_S);
    budget_fini(&budget);
}
