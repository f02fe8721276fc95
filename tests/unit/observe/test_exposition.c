#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "observe/series.h"

static struct labels *labels;
static struct tally *tallies[2];
static struct buf out;

static void start(void)
{
    labels = labels_new(4);
    tallies[0] = tally_new(labels, 64);
    tallies[1] = tally_new(labels, 64);
}

static void stop(void)
{
    tally_free(tallies[0]);
    tally_free(tallies[1]);
    labels_free(labels);
    buf_fini(&out);
}

TestSuite(exposition, .init = start, .fini = stop);

static void expose(void)
{
    buf_fini(&out);
    cr_assert(series_prometheus(labels, tallies, 2, &out));
    cr_assert(buf_append(&out, "", 1));
}

/* The number behind a line's name and labels; -1 if there is no such line. */
static double value_of(const char *name)
{
    const char *text = buf_str(&out).data;
    for (const char *at = text; (at = strstr(at, name)); at++) {
        if ((at == text || at[-1] == '\n') && at[strlen(name)] == ' ')
            return strtod(at + strlen(name), NULL);
    }
    return -1;
}

static struct series *series_for(unsigned worker, const char *tenant, const char *route)
{
    return tally_series(tallies[worker], labels_tenant(labels, str_of(tenant), false, 1),
                        labels_version(labels, STR("v1")), labels_route(labels, str_of(route)));
}

Test(exposition, every_type_is_there_from_the_start)
{
    static const char *const want[] = {
        "# TYPE weir_requests_total counter\n",     "# TYPE weir_request_seconds histogram\n",
        "# TYPE weir_overhead_seconds histogram\n", "# TYPE weir_stage_seconds histogram\n",
        "# TYPE weir_shed_total counter\n",
    };
    expose();
    for (size_t i = 0; i < COUNT_OF(want); i++)
        cr_expect(strstr(buf_str(&out).data, want[i]), "%s", want[i]);
    cr_expect_eq(value_of("weir_request_seconds_count"), 0);
    cr_expect_eq(value_of("weir_stage_seconds_bucket{stage=\"first_byte\",le=\"+Inf\"}"), 0);
}

Test(exposition, requests_of_all_workers_are_added_up_by_label)
{
    series_request(series_for(0, "acme", "items"), OUTCOME_HIT, 200, 1000, 1000);
    series_request(series_for(0, "acme", "items"), OUTCOME_HIT, 200, 1000, 1000);
    series_request(series_for(1, "acme", "items"), OUTCOME_HIT, 200, 1000, 1000);
    series_request(series_for(1, "acme", "items"), OUTCOME_HIT, 304, 1000, 1000);
    series_request(series_for(1, "globex", ""), OUTCOME_PASS, 1234, 1000, 1000);
    expose();
    cr_expect_eq(value_of("weir_requests_total{tenant=\"acme\",version=\"v1\",route=\"items\",outcome="
                          "\"hit\",code=\"200\"}"),
                 3);
    cr_expect_eq(value_of("weir_requests_total{tenant=\"acme\",version=\"v1\",route=\"items\",outcome="
                          "\"hit\",code=\"304\"}"),
                 1);
    cr_expect_eq(
        value_of("weir_requests_total{tenant=\"globex\",version=\"v1\",route=\"none\",outcome=\"pass\","
                 "code=\"other\"}"),
        1);
    cr_expect_eq(value_of("weir_request_seconds_count"), 5);
}

Test(exposition, refusals_are_counted_by_tenant_and_reason)
{
    series_shed(series_for(0, "acme", "a"), ERR_TENANT_RATE);
    series_shed(series_for(0, "acme", "b"), ERR_TENANT_RATE);
    series_shed(series_for(1, "acme", "b"), ERR_QUEUE_FULL);
    expose();
    cr_expect_eq(value_of("weir_shed_total{tenant=\"acme\",reason=\"tenant-rate\"}"), 2);
    cr_expect_eq(value_of("weir_shed_total{tenant=\"acme\",reason=\"queue-full\"}"), 1);
}

Test(exposition, buckets_are_cumulative_and_the_last_is_the_count)
{
    static const int64_t times[] = { 50000, 100000, 2 * NS_PER_MS, NS_PER_S, 59 * NS_PER_S, 120 * NS_PER_S };
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct series *series = series_for(i % 2, "acme", "items");
        series_request(series, OUTCOME_MISS, 200, times[i], 5000);
        series_stage(series, STAGE_CONNECT, times[i]);
    }
    expose();
    static const struct {
        const char *le;
        double want;
    } rows[] = { { "0.0001", 2 }, { "0.001", 2 }, { "0.0025", 3 }, { "1", 4 }, { "60", 5 }, { "+Inf", 6 } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char name[96];
        snprintf(name, sizeof name, "weir_request_seconds_bucket{le=\"%s\"}", rows[i].le);
        cr_expect_eq(value_of(name), rows[i].want, "%s: %g", name, value_of(name));
        snprintf(name, sizeof name, "weir_stage_seconds_bucket{stage=\"connect\",le=\"%s\"}", rows[i].le);
        cr_expect_eq(value_of(name), rows[i].want, "%s", name);
    }
    cr_expect_float_eq(value_of("weir_request_seconds_sum"), 180.00215, 1e-9);
    cr_expect_float_eq(value_of("weir_overhead_seconds_sum"), 0.00003, 1e-12);
    cr_expect_eq(value_of("weir_stage_seconds_count{stage=\"connect\"}"), 6);
    cr_expect_eq(value_of("weir_stage_seconds_count{stage=\"body\"}"), 0);
}

Test(exposition, what_a_tenant_counted_before_it_lost_its_label_is_others)
{
    unsigned least = labels_tenant(labels, STR("least"), false, 100);
    for (int i = 0; i < 5; i++)
        series_request(tally_series(tallies[0], least, 1, 1), OUTCOME_HIT, 200, 1000, 1000);
    series_request(tally_series(tallies[0], 0, 1, 1), OUTCOME_HIT, 200, 1000, 1000);
    labels_version(labels, STR("v1"));
    labels_route(labels, STR("r"));
    labels_tenant(labels, STR("b"), false, 900);
    labels_tenant(labels, STR("c"), false, 900);
    labels_tenant(labels, STR("d"), false, 900);
    cr_assert_neq(labels_tenant(labels, STR("busy"), false, 900), 0);
    expose();
    cr_expect_eq(
        value_of(
            "weir_requests_total{tenant=\"_other\",version=\"v1\",route=\"r\",outcome=\"hit\",code=\"200\"}"),
        6);
    cr_expect_null(strstr(buf_str(&out).data, "least"));
}

Test(exposition, sums_over_all_series_are_whole_when_there_are_no_pages_left)
{
    int64_t sent = 0;
    for (unsigned route = 1; route < 64; route++) {
        struct series *series = tally_series(tallies[0], 0, 1, route);
        for (int64_t ns = 1000; ns < NS_PER_S; ns *= 2) {
            series_request(series, OUTCOME_HIT, 200, ns, ns);
            for (int stage = 0; stage < STAGE_COUNT; stage++)
                series_stage(series, (enum stage_time)stage, ns);
            sent++;
        }
    }
    expose();
    cr_expect_eq(value_of("weir_request_seconds_count"), sent);
    cr_expect_eq(value_of("weir_overhead_seconds_count"), sent);
    cr_expect_eq(value_of("weir_stage_seconds_count{stage=\"write\"}"), sent);
}
