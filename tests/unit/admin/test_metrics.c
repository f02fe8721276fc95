#include <criterion/criterion.h>

#include "base/map.h"
#include "fixture.h"

static struct room room;
static struct buf page;

static void setup(void)
{
    room_init(&room);
    buf_init(&page);
}

static void teardown(void)
{
    buf_fini(&page);
    room_fini(&room);
}

TestSuite(metrics, .init = setup, .fini = teardown);

/* The page as one C string. */
static const char *read_page(void)
{
    buf_consume(&page, buf_len(&page));
    CHECK(metrics_write(&room.admin, &page));
    CHECK(buf_append(&page, "", 1));
    return buf_str(&page).data;
}

/* The value behind that series, or -1. */
static double value_of(const char *text, const char *series)
{
    char line[256];
    snprintf(line, sizeof line, "\n%s ", series);
    const char *at = strstr(text, line);
    return at ? strtod(at + strlen(line), NULL) : -1;
}

Test(metrics, every_type_of_the_contract_is_there_from_the_start)
{
    static const char *const types[] = {
        "weir_requests_total counter",
        "weir_request_seconds histogram",
        "weir_stage_seconds histogram",
        "weir_overhead_seconds histogram",
        "weir_cache_hits_total counter",
        "weir_cache_misses_total counter",
        "weir_cache_stale_total counter",
        "weir_cache_collapsed_total counter",
        "weir_cache_stored_total counter",
        "weir_cache_evicted_total counter",
        "weir_cache_purged_total counter",
        "weir_cache_expired_total counter",
        "weir_cache_invalidated_total counter",
        "weir_cache_revalidated_total counter",
        "weir_cache_refreshed_total counter",
        "weir_cache_stood_in_total counter",
        "weir_cache_bytes gauge",
        "weir_leak_checks_total counter",
        "weir_quarantined_routes gauge",
        "weir_second_tier_total counter",
        "weir_second_tier_usable gauge",
        "weir_fleet_connected gauge",
        "weir_fleet_trusted gauge",
        "weir_fleet_nodes gauge",
        "weir_fleet_sequence gauge",
        "weir_fleet_pending gauge",
        "weir_fleet_errors_total counter",
        "weir_fleet_dropped_total counter",
        "weir_fleet_distrusts_total counter",
        "weir_upstream_requests_total counter",
        "weir_upstream_inflight gauge",
        "weir_upstream_limit gauge",
        "weir_upstream_queued gauge",
        "weir_shed_total counter",
        "weir_replica_lag_seconds gauge",
        "weir_connections gauge",
        "weir_log_dropped_total counter",
        "weir_plugin_calls_total counter",
        "weir_plugin_seconds_total counter",
    };
    const char *text = read_page();
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        char line[128];
        snprintf(line, sizeof line, "# TYPE %s\n", types[i]);
        cr_expect_not_null(strstr(text, line), "%s", types[i]);
    }
}

Test(metrics, the_numbers_are_those_of_the_world)
{
    struct server *server = room.world->supplies[0].upstream->servers[0];
    atomic_store(&server->requests, 7);
    atomic_store(&server->lag_ns, 1500000000);
    atomic_store(&room.city.connections, 3);
    lane_count(room.lane, LANE_CACHE_HITS, 11);
    const char *text = read_page();
    cr_expect_eq(
        value_of(text,
                 "weir_upstream_requests_total{upstream=\"app\",server=\"127.0.0.1:3000\",role=\"primary\"}"),
        7);
    cr_expect_eq(value_of(text, "weir_replica_lag_seconds{server=\"127.0.0.1:3000\"}"), 1.5);
    cr_expect_eq(value_of(text, "weir_connections"), 3);
    cr_expect_eq(value_of(text, "weir_cache_hits_total"), 11);
    cr_expect_eq(value_of(text, "weir_cache_purged_total"), 0);
    cr_expect_eq(value_of(text, "weir_upstream_limit{upstream=\"app\"}"), 50);
    cr_expect_not_null(strstr(text, "weir_upstream_limit{upstream=\"next\"} +Inf\n"));
}

Test(metrics, what_the_cache_did_is_told_by_result)
{
    static const struct {
        enum lane_stat stat;
        const char *series;
    } rows[] = {
        { LANE_CACHE_REVALIDATED, "weir_cache_revalidated_total" },
        { LANE_CACHE_REFRESHED, "weir_cache_refreshed_total" },
        { LANE_CACHE_STOOD_IN, "weir_cache_stood_in_total" },
        { LANE_LEAK_SAME, "weir_leak_checks_total{result=\"same\"}" },
        { LANE_LEAK_CHANGED, "weir_leak_checks_total{result=\"changed\"}" },
        { LANE_LEAK_UNSURE, "weir_leak_checks_total{result=\"inconclusive\"}" },
        { LANE_LEAK_FOUND, "weir_leak_checks_total{result=\"leak\"}" },
        { LANE_TIER_HIT, "weir_second_tier_total{result=\"hit\"}" },
        { LANE_TIER_MISS, "weir_second_tier_total{result=\"miss\"}" },
        { LANE_TIER_TIMEOUT, "weir_second_tier_total{result=\"timeout\"}" },
        { LANE_TIER_ERROR, "weir_second_tier_total{result=\"error\"}" },
        { LANE_TIER_REFUSED, "weir_second_tier_total{result=\"refused\"}" },
        { LANE_TIER_SKIPPED, "weir_second_tier_total{result=\"skipped\"}" },
    };
    const char *text = read_page();
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(value_of(text, rows[i].series), 0, "%s is there from the start", rows[i].series);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        lane_count(room.lane, rows[i].stat, 100 + (int64_t)i);
    text = read_page();
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(value_of(text, rows[i].series), 100 + (double)i, "%s", rows[i].series);
}

Test(metrics, quarantined_routes_are_counted)
{
    cr_expect_eq(value_of(read_page(), "weir_quarantined_routes"), 0);
    atomic_store(&room.world->ways[0].watch->is_quarantined, true);
    cr_expect_eq(value_of(read_page(), "weir_quarantined_routes"), 1);
}

static bool state_of_fleet(void *arg, struct fleet_state *out)
{
    (void)arg;
    *out = (struct fleet_state){
        .is_usable = true, .is_connected = true, .nodes = 3, .sequence = 1000, .pending = 2, .distrusts = 1
    };
    return true;
}

Test(metrics, a_fleet_has_numbers_once_there_is_one)
{
    cr_expect_eq(value_of(read_page(), "weir_fleet_nodes"), -1);
    room.admin.hooks.fleet = state_of_fleet;
    const char *text = read_page();
    cr_expect_eq(value_of(text, "weir_second_tier_usable"), 1);
    cr_expect_eq(value_of(text, "weir_fleet_connected"), 1);
    cr_expect_eq(value_of(text, "weir_fleet_trusted"), 0);
    cr_expect_eq(value_of(text, "weir_fleet_nodes"), 3);
    cr_expect_eq(value_of(text, "weir_fleet_sequence"), 1000);
    cr_expect_eq(value_of(text, "weir_fleet_pending"), 2);
    cr_expect_eq(value_of(text, "weir_fleet_distrusts_total"), 1);
}

/* name{label="value",...} number, or a comment; all lines of one name together, and no series twice. */
Test(metrics, every_line_reads_back)
{
    static const char *const more[] = { "_bucket", "_sum", "_count", "" };
    char type[80] = "";
    series_request(tally_series(room.tally, 0, 0, 0), OUTCOME_HIT, 200, 1000, 100);
    const char *text = read_page();
    struct str rest = str_of(text), line;
    struct map *seen = map_new();
    while (str_split(&rest, '\n', &line) && (rest.data || line.len > 0)) {
        if (str_has_prefix(line, STR("# HELP ")))
            continue;
        if (str_has_prefix(line, STR("# TYPE "))) {
            struct str name = str_from(line, 7);
            str_copy(str_n(name.data, (size_t)str_find(name, ' ')), type, sizeof type);
            cr_expect(map_put(seen, str_n(name.data, strlen(type)), type));
            continue;
        }
        cr_assert(str_has_prefix(line, str_of(type)), "%.*s under %s", STR_FMT(line), type);
        struct str tail = str_from(line, strlen(type));
        for (size_t i = 0; i < COUNT_OF(more); i++) {
            if (str_has_prefix(tail, str_of(more[i]))) {
                tail = str_from(tail, strlen(more[i]));
                break;
            }
        }
        cr_expect(tail.len > 1 && (tail.data[0] == '{' || tail.data[0] == ' '), "%.*s", STR_FMT(line));
        size_t space = line.len;
        while (space > 0 && line.data[space - 1] != ' ')
            space--;
        char *end;
        strtod(line.data + space, &end);
        cr_expect_eq(end, line.data + line.len, "%.*s", STR_FMT(line));
        struct str series = str_n(line.data, space);
        cr_expect_null(map_get(seen, series), "twice: %.*s", STR_FMT(series));
        cr_assert(map_put(seen, series, type));
    }
    cr_expect_gt(map_count(seen), 100);
    map_free(seen);
}

Test(metrics, a_replica_of_two_upstreams_is_told_once)
{
    for (unsigned i = 0; i < 2; i++) {
        struct server *server = room.world->supplies[i].upstream->servers[0];
        strcpy(server->addr.text, "127.0.0.1:3000");
        atomic_store(&server->lag_ns, 1000000000);
    }
    const char *first = strstr(read_page(), "\nweir_replica_lag_seconds{");
    cr_assert_not_null(first);
    cr_expect_null(strstr(first + 1, "\nweir_replica_lag_seconds{"));
}
