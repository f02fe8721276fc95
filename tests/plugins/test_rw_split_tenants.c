/* What a tenant's writes are to others: the one table of this process, `strict`, writes that overtake each
 * other, and whose write it was when the clock decides. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "rw_split_positions_kit.h"

#define CLOCK 7u

TestSuite(rw_split_tenants, .init = set_up);

static struct tenants_key key_of(const char *domain, const char *tenant)
{
    return (struct tenants_key){ str(domain), str(tenant) };
}

static struct seen landed(uint64_t value)
{
    return (struct seen){ .at = { .is_known = true, .epoch = 1, .value = value } };
}

static void wrote(struct tenants *tenants, const char *domain, const char *tenant, uint64_t value,
                  int64_t now_ms)
{
    struct tenants_key key = key_of(domain, tenant);
    struct seen seen = landed(value);

    tenants_wrote(tenants, &key, &seen, now_ms);
}

static int64_t last(struct tenants *tenants, const char *domain, const char *tenant, int64_t now_ms,
                    struct seen *out)
{
    struct tenants_key key = key_of(domain, tenant);

    *out = (struct seen){ 0 };
    return tenants_last(tenants, &key, now_ms, out);
}

/* --- the table --- */

Test(rw_split_tenants, a_tenants_last_write_is_everybodys_in_it)
{
    struct tenants *tenants = tenants_new(CLOCK, 500);
    struct seen seen;

    cr_assert_eq(last(tenants, "main", "acme", 2000, &seen), 500, "what was before is not known");
    cr_assert_eq(seen.at_ms, 500);
    cr_assert_eq(seen.clock, CLOCK);
    wrote(tenants, "main", "acme", 30, 1000);
    wrote(tenants, "main", "acme", 20, 900);
    cr_assert_eq(last(tenants, "main", "acme", 2000, &seen), 1000);
    cr_assert_eq(seen.at.value, 30, "forward only");
    last(tenants, "main", "tiny", 2000, &seen);
    cr_assert_not(seen.at.is_known);
    tenants_free(tenants);
}

Test(rw_split_tenants, instances_share_it_domain_by_domain)
{
    struct tenants *old = tenants_new(CLOCK, 500), *new = tenants_new(CLOCK, 700);
    struct seen seen;

    wrote(old, "main", "acme", 30, 1000);
    cr_assert_eq(last(new, "main", "acme", 2000, &seen), 1000);
    cr_assert_eq(seen.at.value, 30);
    cr_assert_eq(seen.at_ms, 700, "and what was before itself it does not know");
    last(new, "billing", "acme", 2000, &seen);
    cr_assert_not(seen.at.is_known, "that is another database, with positions of its own");
    wrote(new, "billing", "acme", 7, 1500);
    last(old, "main", "acme", 2000, &seen);
    cr_assert_eq(seen.at.value, 30);
    tenants_free(old);
    last(new, "main", "acme", 2000, &seen);
    cr_assert_eq(seen.at.value, 30, "the others still have it");
    tenants_free(new);
    new = tenants_new(CLOCK, 800);
    last(new, "main", "acme", 2000, &seen);
    cr_assert_not(seen.at.is_known, "the last one took it along");
    tenants_free(new);
    tenants_free(NULL);
}

Test(rw_split_tenants, past_its_room_any_write_may_have_been_just_now)
{
    struct tenants *tenants = tenants_new(CLOCK, 500);
    struct seen seen;
    char domain[16];

    for (unsigned i = 0; i < TENANTS_DOMAINS; i++) {
        snprintf(domain, sizeof domain, "d%u", i);
        wrote(tenants, domain, "acme", i, 1000);
    }
    cr_assert_eq(last(tenants, "d0", "acme", 2000, &seen), 1000);
    cr_assert_eq(last(tenants, "one-more", "acme", 2000, &seen), 2000);
    cr_assert_eq(seen.source, SOURCE_PRIMARY);
    cr_assert_eq(seen.at_ms, 2000);
    wrote(tenants, "one-more", "acme", 9, 2100);
    cr_assert_eq(last(tenants, "d0", "acme", 3000, &seen), 2100, "nobody knows whose that was");
    cr_assert_eq(seen.at_ms, 2100);
    tenants_free(tenants);
}

Test(rw_split_tenants, a_position_does_not_bind_for_ever)
{
    struct tenants *tenants = tenants_new(CLOCK, 500);
    int64_t hour = TENANTS_LIFE_MS;
    struct seen seen;

    wrote(tenants, "main", "acme", 99999, hour);
    wrote(tenants, "main", "acme", 20, 2 * hour - 1);
    last(tenants, "main", "acme", 2 * hour - 1, &seen);
    cr_assert_eq(seen.at.value, 99999);
    cr_assert_eq(last(tenants, "main", "acme", 2 * hour, &seen), 2 * hour - 1);
    cr_assert_not(seen.at.is_known);
    cr_assert_eq(seen.source, SOURCE_PRIMARY, "as it was at the last of these writes, which is no less");
    cr_assert_eq(seen.at_ms, 2 * hour - 1);
    wrote(tenants, "main", "acme", 30, 2 * hour);
    last(tenants, "main", "acme", 2 * hour, &seen);
    cr_assert_eq(seen.at.value, 30);
    tenants_free(tenants);
}

Test(rw_split_tenants, what_was_acknowledged_since)
{
    struct tenants *tenants = tenants_new(CLOCK, 500);
    struct tenants_key key = key_of("main", "acme");
    struct seen unknown = { .has_source = true, .source = SOURCE_PRIMARY, .clock = CLOCK, .at_ms = 900 };
    struct seen seen = { 0 };

    tenants_since(tenants, &key, 0, &seen);
    cr_assert(seen_is_nothing(&seen), "nobody wrote");
    tenants_wrote(tenants, &key, &unknown, 900);
    wrote(tenants, "main", "acme", 30, 1000);
    tenants_since(tenants, &key, 1001, &seen);
    cr_assert(seen_is_nothing(&seen));
    tenants_since(tenants, &key, 1000, &seen);
    cr_assert_eq(seen.at.value, 30);
    cr_assert_not(seen.has_source, "that one was before");
    tenants_since(tenants, &key, 900, &seen);
    cr_assert(seen.has_source);
    tenants_free(tenants);
}

static void *write_much(void *arg)
{
    char domain[16];

    for (unsigned i = 0; i < 4000; i++) {
        struct seen seen;

        snprintf(domain, sizeof domain, "d%u", i % 20);
        wrote(arg, domain, "acme", i, 1000 + i);
        last(arg, domain, "acme", 1000 + i, &seen);
        cr_assert_geq(seen.at.value, i);
    }
    return NULL;
}

Test(rw_split_tenants, by_several_threads)
{
    struct tenants *tenants = tenants_new(CLOCK, 500);
    pthread_t threads[4];
    struct seen seen;

    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_much, tenants), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 20; i++) {
        char domain[16];

        snprintf(domain, sizeof domain, "d%u", i);
        last(tenants, domain, "acme", 9000, &seen);
        cr_assert_eq(seen.at.value, 3980 + i, "no domain was added twice");
    }
    tenants_free(tenants);
}

/* --- strict --- */

static struct weir_inspection inspect(struct rw_split *self, struct weir_request *request)
{
    struct weir_inspection asked = { .size = sizeof asked };

    weir_plugin.inspect(self, request, &asked);
    return asked;
}

/* A read that nobody has written a token for. */
static bool may_read_anywhere(struct rw_split *self, const char *domain, const char *tenant)
{
    struct weir_request request = request_of("GET", NULL);
    struct weir_choice choice;

    request.domain = domain;
    request.tenant = tenant;
    choice = choose(self, &request);
    return choice.kind != WEIR_HOLD && !is_primarys(choice);
}

Test(rw_split_tenants, strict_goes_over_all_upstreams_of_a_domain)
{
    struct rw_split *one = make_of("strict"), *other = make_of("strict"), *canary = make_of("window");
    struct weir_request fill = request_of("GET", NULL), read = request_of("GET", NULL);
    struct weir_inspection asked;
    struct weir_verdict stored;
    char token[600];

    hear(one, 100, 100, 100);
    hear(other, 100, 100, 100);
    hear(canary, 100, 100, 100);
    stored = answered(other, &fill, answer_of(FIRST, 200));
    cr_assert(may_read_anywhere(other, "main", "acme"));
    write_at(one, "200", token);
    cr_assert_not(may_read_anywhere(other, "main", "acme"));
    cr_assert(may_read_anywhere(other, "main", "tiny"));
    cr_assert(may_read_anywhere(other, "billing", "acme"));
    asked = inspect(other, &read);
    cr_assert(weir_plugin.is_behind(other, stored.position, asked.position), "nor from the cache");
    hear(other, 200, 200, 200);
    cr_assert(may_read_anywhere(other, "main", "acme"));
    write_at(canary, "300", token);
    cr_assert_not(may_read_anywhere(other, "main", "acme"), "whatever its own consistency is");
    weir_plugin.destroy(one);
    weir_plugin.destroy(other);
    weir_plugin.destroy(canary);
}

Test(rw_split_tenants, strict_sees_a_write_that_was_on_its_way_over_a_reload)
{
    struct rw_split *old = make_of("strict"), *new = make_of("strict");
    char token[600];

    hear(new, 100, 100, 100);
    hear(new, 100, 100, 100);
    cr_assert(may_read_anywhere(new, "main", "acme"));
    write_at(old, "200", token);
    cr_assert_not(may_read_anywhere(new, "main", "acme"));
    weir_plugin.destroy(old);
    cr_assert_not(may_read_anywhere(new, "main", "acme"));
    weir_plugin.destroy(new);
}

Test(rw_split_tenants, strict_in_a_fleet_passes_by_the_cache_before_any_position_is_known)
{
    struct rw_split *self = make_of("strict");
    struct weir_request request = request_of("GET", NULL);

    fake_is_in_fleet = true;
    fake_wall_ms += 60000;
    cr_assert(inspect(self, &request).bypass_cache);
    weir_plugin.destroy(self);
}

/* --- the primary's stored replies --- */

/* Commits wait, invisible, behind a position that the primary has long reached. */
Test(rw_split_tenants, a_primarys_reply_of_before_a_write_was_acknowledged_is_not_his)
{
    static const char *const levels[] = { "position", "strict" };

    for (unsigned i = 0; i < 2; i++) {
        struct rw_split *self = make_of(levels[i]);
        struct weir_request fill = request_of("GET", NULL), again = request_of("GET", NULL), reader;
        struct weir_verdict before, after;
        struct weir_inspection asked;
        char token[600];

        hear(self, 100, 100, 100);
        hear(self, 200, 100, 100);
        before = answered(self, &fill, answer_of(PRIMARY, 200));
        fake_wall_ms += 100;
        write_at(self, "150", token); /* it stands there before what the primary had reached */
        fake_wall_ms += 1;
        after = answered(self, &again, answer_of(PRIMARY, 200));
        hear(self, 210, 210, 210); /* all is resolved */
        reader = request_of("GET", i ? NULL : token);
        asked = inspect(self, &reader);
        cr_assert(asked.position.data);
        cr_assert(weir_plugin.is_behind(self, before.position, asked.position), "%s", levels[i]);
        cr_assert_not(weir_plugin.is_behind(self, after.position, asked.position), "%s", levels[i]);
        weir_plugin.destroy(self);
    }
}

/* --- writes that overtake each other --- */

static void token_text(struct weir_verdict verdict, char out[600])
{
    cr_assert(verdict.token.data);
    snprintf(out, 600, "%.*s", (int)verdict.token.len, verdict.token.data);
}

Test(rw_split_tenants, the_slower_of_two_writes_says_no_less_than_the_other)
{
    struct rw_split *self = make_of("position");
    struct weir_request slow = request_of("POST", NULL);
    struct weir_answer answer;
    char quick[600], token[600];

    hear(self, 100, 100, 100);
    inspect(self, &slow);
    answer = answer_of(PRIMARY, 200); /* sent now */
    fake_wall_ms += 300;
    write_at(self, "120", quick);
    fake_wall_ms += 300;
    said_position = "110";
    token_text(answered(self, &slow, answer), token);
    said_position = NULL;
    hear(self, 120, 110, 120);
    cr_assert(picks(self, token, SECOND), "the first has not what was acknowledged meanwhile");
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, nor_if_the_other_did_not_say_where_it_landed)
{
    struct rw_split *self = make_of("position");
    struct weir_request slow = request_of("POST", NULL), reader;
    struct weir_answer answer;
    char quick[600], token[600];

    hear(self, 100, 100, 100);
    inspect(self, &slow);
    answer = answer_of(PRIMARY, 200);
    fake_wall_ms += 300;
    write_at(self, NULL, quick);
    fake_wall_ms += 1;
    said_position = "110";
    token_text(answered(self, &slow, answer), token);
    said_position = NULL;
    for (unsigned i = FIRST; i < COUNT; i++)
        servers_sample(self->servers, str(addresses[i]), fake_wall_ms, fake_wall_ms + 1, landed(110).at);
    fake_wall_ms += 2;
    reader = request_of("GET", token);
    cr_assert_eq(choose(self, &reader).kind, WEIR_HOLD);
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, another_tenants_writes_and_those_of_long_ago_are_no_matter)
{
    struct rw_split *self = make_of("position");
    struct weir_request failed = request_of("POST", NULL), other = request_of("POST", NULL);
    struct weir_request write = request_of("POST", NULL);
    struct weir_answer answer = answer_of(PRIMARY, 504);
    char token[600];

    hear(self, 100, 100, 100);
    answer.is_weirs_own = true;
    answered(self, &failed, answer);
    fake_wall_ms += 60000;
    hear(self, 100, 100, 100);
    other.tenant = "tiny";
    said_position = "500";
    answered(self, &other, answer_of(PRIMARY, 200));
    said_position = "110";
    token_text(answered(self, &write, answer_of(PRIMARY, 200)), token);
    said_position = NULL;
    cr_assert(strstr(token, ".0-6e*_"), "%s", token);
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, a_verdict_says_whether_its_token_is_of_a_write)
{
    struct rw_split *self = make_of("position");
    struct weir_request write = request_of("POST", NULL), read = request_of("GET", NULL);
    struct weir_verdict verdict;

    hear(self, 100, 100, 100);
    verdict = answered(self, &write, answer_of(PRIMARY, 500));
    cr_assert(verdict.token.data && verdict.is_of_write);
    verdict = answered(self, &read, answer_of(FIRST, 200));
    cr_assert(verdict.token.data && !verdict.is_of_write);
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, what_may_write_is_not_sent_twice)
{
    struct rw_split *self = make_of("window");
    struct weir_request put = request_of("PUT", NULL), get = request_of("GET", NULL);
    struct weir_request graphql = request_of("POST", NULL);

    graphql.path = "/graphql";
    graphql.body = "{}";
    cr_assert(inspect(self, &put).is_once);
    cr_assert(inspect(self, &graphql).is_once);
    cr_assert_not(inspect(self, &get).is_once);
    weir_plugin.destroy(self);
}

/* --- by the clock it is the write that counts --- */

Test(rw_split_tenants, who_only_reads_is_not_in_the_window)
{
    struct rw_split *self = make_of("position");
    struct weir_request read = request_of("GET", NULL), request;
    struct weir_inspection asked;
    char token[600];

    hear(self, 100, 100, 100);
    token_text(answered(self, &read, answer_of(FIRST, 200)), token);
    request = request_of("GET", token);
    request.consistency = "window";
    asked = inspect(self, &request);
    cr_assert_eq(asked.not_before_ms, 0);
    cr_assert_not(asked.position.data);
    cr_assert_not(is_primarys(choose(self, &request)));
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, reading_does_not_make_a_write_younger_or_forgotten)
{
    struct rw_split *self = make_of("position");
    struct weir_request read, request;
    int64_t wrote_ms;
    char token[600];

    hear(self, 100, 100, 100);
    wrote_ms = fake_wall_ms;
    write_at(self, "101", token);
    for (unsigned i = 0; i < 3; i++) {
        fake_wall_ms += 500;
        hear(self, 102 + i, 102 + i, 102 + i);
        read = request_of("GET", token);
        token_text(answered(self, &read, answer_of(FIRST, 200)), token);
    }
    request = request_of("GET", token);
    request.consistency = "window";
    cr_assert_eq(inspect(self, &request).not_before_ms, wrote_ms + 1);
    cr_assert(is_primarys(choose(self, &request)), "1.6 s ago");
    fake_wall_ms = wrote_ms + 2000;
    request = request_of("GET", token);
    request.consistency = "window";
    cr_assert_not(is_primarys(choose(self, &request)));
    cr_assert_eq(inspect(self, &request).not_before_ms, wrote_ms + 1, "for as long as the token lives");
    weir_plugin.destroy(self);
}

/* To the primary, or on a trial's way to it. */
static bool goes_by_position(struct weir_choice choice)
{
    return is_primarys(choice) || choice.kind == WEIR_HOLD || strcmp(choice.why, "read-trial") == 0;
}

Test(rw_split_tenants, who_goes_by_positions_that_are_not_known_yet_does_not_fall_behind_his_reads)
{
    struct rw_split *self = make_of("position"), *started_anew = make_of("position");
    struct weir_request read = request_of("GET", NULL), request;
    char token[600];

    hear(self, 100, 100, 100);
    token_text(answered(self, &read, answer_of(FIRST, 200)), token);
    cr_assert(strstr(token, "!@"), "%s", token);
    request = request_of("GET", token);
    cr_assert(goes_by_position(choose(started_anew, &request)));
    weir_plugin.destroy(self);
    weir_plugin.destroy(started_anew);
}

/* --- many tokens of one request --- */

Test(rw_split_tenants, every_line_of_the_header_counts)
{
    struct rw_split *self = make((struct weir_config){ { { .name = "window", .text = "3600s" } } });
    struct weir_request request = request_of("GET", NULL);
    char token[600];

    write_at(self, NULL, token);
    request.header = "junk";
    request.second_header = token;
    cr_assert(is_primarys(choose(self, &request)));
    request = request_of("GET", "junk");
    request.header = token;
    request.second_header = "junk";
    cr_assert(is_primarys(choose(self, &request)));
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, a_tenants_token_survives_another_tenants_write)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    char acme[600], both[1200];

    hear(self, 100, 100, 100);
    write_at(self, "200", acme);
    request = request_of("POST", acme);
    request.tenant = "tiny";
    said_position = "150";
    token_text(answered(self, &request, answer_of(PRIMARY, 200)), both);
    said_position = NULL;
    cr_assert(strstr(both, acme), "%s", both);
    hear(self, 200, 150, 200);
    cr_assert(picks(self, both, SECOND), "who wrote in acme reads it there");
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, a_token_of_positions_is_heeded_before_any_is_heard)
{
    struct rw_split *self = make_of("position"), *started_anew = make_of("position");
    struct weir_request request;
    char token[600];

    hear(self, 100, 100, 100);
    write_at(self, NULL, token); /* where it landed is not known yet */
    fake_wall_ms += 60000;
    request = request_of("GET", token);
    cr_assert(goes_by_position(choose(started_anew, &request)), "and no window is over");
    cr_assert(inspect(started_anew, &request).position.data);
    weir_plugin.destroy(self);
    weir_plugin.destroy(started_anew);
}

Test(rw_split_tenants, where_nobody_says_positions_the_window_serves_as_before)
{
    struct rw_split *self = make_of("position");
    struct weir_request request;
    char token[600];

    write_at(self, NULL, token);
    request = request_of("GET", token);
    cr_assert(is_primarys(choose(self, &request)));
    fake_wall_ms += 2000;
    request = request_of("GET", token);
    cr_assert_not(is_primarys(choose(self, &request)));
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, another_weirs_token_is_resolved_by_the_next_samples)
{
    struct rw_split *self = make_of("position"), *other = make_of("position");
    struct weir_request request;
    char token[600];

    hear(self, 100, 100, 100);
    hear(other, 100, 100, 100);
    other->clock = self->clock + 1;
    fake_wall_ms += 400; /* its clock is ahead */
    write_at(other, NULL, token);
    fake_wall_ms -= 400;
    request = request_of("GET", token);
    cr_assert_eq(choose(self, &request).kind, WEIR_HOLD, "a write that nobody has seen the place of");
    hear(self, 200, 100, 200);
    cr_assert_eq(choose(self, &request).index, SECOND);
    weir_plugin.destroy(self);
    weir_plugin.destroy(other);
}

Test(rw_split_tenants, in_a_fleet_another_clock_may_have_said_when)
{
    struct rw_split *self = make_of("window");
    struct weir_request request;
    char token[600];
    int64_t wrote_ms = fake_wall_ms;

    fake_is_in_fleet = true;
    write_at(self, NULL, token);
    request = request_of("GET", token);
    cr_assert_eq(inspect(self, &request).not_before_ms, wrote_ms + CLOCK_SKEW_MS + 1);
    weir_plugin.destroy(self);
}

Test(rw_split_tenants, a_write_on_a_route_of_none_gives_the_upstreams_token)
{
    struct rw_split *self = make_of("position"), *none = make_of("none");
    struct weir_request request = request_of("POST", NULL);

    request.consistency = "none";
    cr_assert(answered(self, &request, answer_of(PRIMARY, 200)).token.data);
    request = request_of("POST", NULL);
    cr_assert_not(answered(none, &request, answer_of(PRIMARY, 200)).token.data);
    weir_plugin.destroy(self);
    weir_plugin.destroy(none);
}

Test(rw_split_tenants, by_the_window_a_replica_known_to_be_further_behind_is_taken_at_its_word)
{
    struct rw_split *self = make_of("window");
    struct weir_request request = request_of("GET", NULL);
    int slot = servers_find(self->servers, str(addresses[FIRST]), 0);

    cr_assert_eq(answered(self, &request, answer_of(FIRST, 200)).as_of_ms, fake_wall_ms - 2000);
    for (unsigned i = 0; i < 100; i++)
        hear(self, 100 + i, 100, 100 + i);
    fake_wall_ms += 3000;
    hear(self, 300, 100, 300);
    fake_wall_ms += 60;
    weir_plugin.tick(self);
    cr_assert_gt(servers_lag_ms(self->servers, slot), 2000);
    request = request_of("GET", NULL);
    cr_assert_eq(answered(self, &request, answer_of(FIRST, 200)).as_of_ms,
                 fake_wall_ms - servers_lag_ms(self->servers, slot));
    weir_plugin.destroy(self);
}

/* --- another method by a field --- */

Test(rw_split_tenants, a_safe_method_that_is_to_be_another_writes)
{
    static const struct {
        const char *name, *value, *second;
        bool is_trusted, writes;
    } rows[] = {
        { "X-HTTP-Method-Override", "DELETE", NULL, true, true },
        { "X-HTTP-Method", "put", NULL, true, true },
        { "X-Method-Override", "PATCH", NULL, true, true },
        { "X-Method-Override", "", NULL, true, true },
        { "X-Method-Override", "HEAD", NULL, true, false },
        { "X-Method-Override", "get", NULL, true, false },
        { "X-Method-Override", "GET", "DELETE", true, true },
        { "X-Method-Override", "DELETE", NULL, false, false },
        { "X-Other", "DELETE", NULL, true, false },
    };
    struct rw_split *self = make_of("window");

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_request request = request_of("GET", NULL);
        struct weir_inspection asked;

        request.is_trusted = rows[i].is_trusted;
        request.override_name = rows[i].name;
        request.override = rows[i].value;
        request.second_override = rows[i].second;
        asked = inspect(self, &request);
        cr_assert_eq(asked.kind, rows[i].writes ? WEIR_WRITE : WEIR_READ, "row %u", i);
        cr_assert_eq(answered(self, &request, answer_of(PRIMARY, 200)).token.data != NULL, rows[i].writes,
                     "row %u", i);
        request = request_of("POST", NULL);
        request.is_trusted = rows[i].is_trusted;
        request.override_name = rows[i].name;
        request.override = rows[i].value;
        cr_assert_eq(inspect(self, &request).kind, WEIR_WRITE, "row %u: no write becomes a read", i);
    }
    weir_plugin.destroy(self);
}
