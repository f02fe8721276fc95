#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "observe/series.h"

static struct labels *labels;
static struct tally *tallies[2];

static void add(unsigned worker, const char *tenant, const char *route, int64_t total_ns, int64_t connect_ns)
{
    struct series *series =
        tally_series(tallies[worker], labels_tenant(labels, str_of(tenant), true, 1),
                     labels_version(labels, STR("v1")), labels_route(labels, str_of(route)));
    series_request(series, OUTCOME_MISS, 200, total_ns, 1000);
    if (connect_ns > 0)
        series_stage(series, STAGE_CONNECT, connect_ns);
}

static void start(void)
{
    labels = labels_new(4);
    tallies[0] = tally_new(labels, 64);
    tallies[1] = tally_new(labels, 64);
    for (int i = 1; i <= 50; i++) {
        add(0, "acme", "items", i * NS_PER_MS, i == 1 ? 7 * NS_PER_MS : 0);
        add(1, "acme", "items", (50 + i) * NS_PER_MS, 0);
    }
    add(1, "acme", "a \"b\"", 5000, 0);
    add(0, "globex", "items", NS_PER_S, NS_PER_MS);
}

static void stop(void)
{
    tally_free(tallies[0]);
    tally_free(tallies[1]);
    labels_free(labels);
}

TestSuite(latency, .init = start, .fini = stop);

/* The rows for a query, as JSON reads them; the caller drops the reference. */
static json_t *ask(const char *tenant, const char *version, const char *route, const char *stage)
{
    struct latency_query query = { str_of(tenant), str_of(version), str_of(route), str_of(stage) };
    struct buf out = { 0 };
    cr_assert(series_latency_json(labels, tallies, 2, &query, &out));
    json_error_t error;
    json_t *root = json_loadb(buf_str(&out).data, buf_len(&out), 0, &error);
    cr_assert_not_null(root, "%s: %.*s", error.text, STR_FMT(buf_str(&out)));
    buf_fini(&out);
    return root;
}

static size_t row_count(const char *tenant, const char *version, const char *route, const char *stage)
{
    json_t *root = ask(tenant, version, route, stage);
    size_t count = json_array_size(json_object_get(root, "rows"));
    json_decref(root);
    return count;
}

Test(latency, a_query_filters_by_what_it_names)
{
    static const struct {
        const char *tenant;
        const char *version;
        const char *route;
        const char *stage;
        size_t want;
    } rows[] = {
        { NULL, NULL, NULL, NULL, 3 },       { "*", "", "*", "total", 3 },
        { "acme", NULL, NULL, NULL, 2 },     { NULL, NULL, "items", NULL, 2 },
        { "acme", "v1", "items", NULL, 1 },  { "nobody", NULL, NULL, NULL, 0 },
        { NULL, "v2", NULL, NULL, 0 },       { NULL, NULL, NULL, "connect", 2 },
        { NULL, NULL, NULL, "body", 0 },     { NULL, NULL, NULL, "*", 5 },
        { NULL, NULL, NULL, "nonsense", 0 }, { NULL, NULL, "a \"b\"", "*", 1 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(row_count(rows[i].tenant, rows[i].version, rows[i].route, rows[i].stage), rows[i].want,
                     "row %zu", i);
}

Test(latency, a_row_has_its_names_and_quantiles_in_seconds_over_all_workers)
{
    json_t *root = ask("acme", NULL, "items", NULL);
    json_t *row = json_array_get(json_object_get(root, "rows"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(row, "tenant")), "acme");
    cr_expect_str_eq(json_string_value(json_object_get(row, "version")), "v1");
    cr_expect_str_eq(json_string_value(json_object_get(row, "route")), "items");
    cr_expect_str_eq(json_string_value(json_object_get(row, "stage")), "total");
    cr_expect_eq(json_integer_value(json_object_get(row, "count")), 100);
    static const struct {
        const char *name;
        double want;
    } numbers[] = {
        { "p50", 0.050 }, { "p90", 0.090 }, { "p99", 0.099 }, { "p999", 0.100 }, { "max", 0.100 }
    };
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        double got = json_real_value(json_object_get(row, numbers[i].name));
        cr_expect_float_eq(got, numbers[i].want, numbers[i].want / 100, "%s: %g", numbers[i].name, got);
    }
    json_decref(root);
}
