#include "admin/tables.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/str.h"

#define TABLE_COLUMNS 10
#define LATENCY_ROWS  20

struct table {
    const char *const *heads; /* "#..." is a number: to the right */
    unsigned columns;
    char **cells;
    unsigned count; /* of cells */
};

static void put(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct table *table, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    char **cells = text ? realloc(table->cells, (table->count + 1) * sizeof *cells) : NULL;
    if (!cells) {
        free(text);
        return;
    }
    /* What came over the wire must not speak to the terminal. */
    for (char *at = text; *at; at++)
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    table->cells = cells;
    table->cells[table->count++] = text;
}

static void print_row(const struct table *table, const char *const *cells, const size_t *widths)
{
    for (unsigned i = 0; i < table->columns; i++) {
        bool is_number = table->heads[i][0] == '#';
        const char *text = cells == table->heads && is_number ? cells[i] + 1 : cells[i];
        bool is_last = i + 1 == table->columns;
        int width = is_number ? (int)widths[i] : is_last ? 0 : -(int)widths[i];
        printf("%*s%s", width, text, is_last ? "\n" : "  ");
    }
}

static void print_table(struct table *table)
{
    size_t widths[TABLE_COLUMNS];
    CHECK(table->columns <= TABLE_COLUMNS);
    for (unsigned i = 0; i < table->columns; i++) {
        widths[i] = strlen(table->heads[i]) - (table->heads[i][0] == '#');
        for (unsigned k = i; k < table->count; k += table->columns)
            widths[i] = strlen(table->cells[k]) > widths[i] ? strlen(table->cells[k]) : widths[i];
    }
    printf("\n");
    print_row(table, table->heads, widths);
    for (unsigned k = 0; k + table->columns <= table->count; k += table->columns)
        print_row(table, (const char *const *)&table->cells[k], widths);
    for (unsigned k = 0; k < table->count; k++)
        free(table->cells[k]);
    free(table->cells);
}

static const char *word(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void put_time(struct table *table, const json_t *seconds)
{
    double s = json_number_value(seconds);
    if (!json_is_number(seconds))
        put(table, "-");
    else if (s < 0.001)
        put(table, "%.0f us", s * 1e6);
    else if (s < 1)
        put(table, "%.*f ms", s < 0.01 ? 2 : 1, s * 1e3);
    else
        put(table, "%.2f s", s);
}

/* --- status --- */

static void print_fleet(const json_t *redis)
{
    if (!json_is_object(redis))
        return;
    bool is_connected = json_is_true(json_object_get(redis, "connected"));
    bool is_trusted = json_is_true(json_object_get(redis, "trusted"));
    printf("fleet        redis %s, %s, %lld weirs, purge %lld%s\n", word(redis, "state"),
           is_connected ? "connected" : "cut off", number(redis, "nodes"), number(redis, "sequence"),
           is_trusted ? "" : "; what is stored is validated first");
}

/* Names of routes come from the config, and must not speak to the terminal either. */
static void print_quarantines(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *name = word(row, "route");
        printf("QUARANTINE   route \"");
        for (const char *at = name; *at; at++)
            putchar((unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at);
        printf("\" shares nothing since %s: its answers differ by who asks\n", word(row, "since"));
    }
}

void tables_head(const json_t *status)
{
    const json_t *config = json_object_get(status, "config");
    const json_t *cache = json_object_get(status, "cache");
    double answered = real(cache, "hits") + real(cache, "collapsed") + real(cache, "stale");
    double asked = answered + real(cache, "misses");
    long long up = (long long)real(status, "uptime");
    const char *state = json_is_true(json_object_get(status, "draining")) ? "draining"
                        : json_is_true(json_object_get(status, "ready"))  ? "ready"
                                                                          : "not ready";
    printf("weir %s  %s  up %lldh %02lldm %02llds  %lld workers\n", word(status, "version"), state, up / 3600,
           up / 60 % 60, up % 60, number(status, "workers"));
    printf("config       %s, generation %lld, loaded %s\n", word(config, "file"),
           number(config, "generation"), word(config, "loaded_at"));
    printf("clients      %lld connections, %lld requests so far\n", number(status, "connections"),
           number(status, "requests"));
    printf("cache        %lld objects, %.1f of %.0f MiB, %.1f %% hits\n", number(cache, "objects"),
           real(cache, "bytes") / 0x1p20, real(cache, "memory") / 0x1p20,
           asked > 0 ? answered / asked * 100 : 0.0);
    print_fleet(json_object_get(cache, "redis"));
    print_quarantines(json_object_get(cache, "quarantined"));
}

void tables_upstreams(const json_t *status)
{
    static const char *const heads[] = {
        "UPSTREAM", "SERVER", "ROLE",      "STATE",   "#IN FLIGHT",
        "#MEAN",    "#LAG",   "#REQUESTS", "#ERRORS", "#INSIDE/LIMIT+QUEUED"
    };
    struct table table = { .heads = heads, .columns = COUNT_OF(heads) };
    size_t i, k;
    json_t *upstream, *server;
    json_array_foreach(json_object_get(status, "upstreams"), i, upstream)
    {
        json_array_foreach(json_object_get(upstream, "servers"), k, server)
        {
            bool is_up = strcmp(word(server, "admin"), "up") == 0;
            bool is_usable = json_is_true(json_object_get(server, "usable"));
            put(&table, "%s", word(upstream, "name"));
            put(&table, "%s", word(server, "address"));
            put(&table, "%s", word(server, "role"));
            put(&table, "%s", !is_up ? word(server, "admin") : is_usable ? "up" : "out");
            put(&table, "%lld", number(server, "inflight"));
            put_time(&table, json_object_get(server, "mean"));
            put_time(&table, json_object_get(server, "lag"));
            put(&table, "%lld", number(server, "requests"));
            put(&table, "%lld", number(server, "errors"));
            if (json_is_integer(json_object_get(upstream, "limit")))
                put(&table, "%lld/%lld+%lld", number(upstream, "inflight"), number(upstream, "limit"),
                    number(upstream, "queued"));
            else
                put(&table, "%lld/-", number(upstream, "inflight"));
        }
    }
    print_table(&table);
}

void tables_versions(const json_t *status)
{
    static const char *const heads[] = { "VERSION", "UPSTREAM", "CANARY", "#PERCENT", "SET BY" };
    struct table table = { .heads = heads, .columns = COUNT_OF(heads) };
    size_t i;
    json_t *version;
    json_array_foreach(json_object_get(status, "versions"), i, version)
    {
        const json_t *canary = json_object_get(version, "canary");
        bool has_canary = json_is_object(canary);
        put(&table, "%s", word(version, "name")[0] ? word(version, "name") : "(only one)");
        put(&table, "%s", word(version, "upstream"));
        put(&table, "%s", has_canary ? word(canary, "upstream") : "-");
        put(&table, "%g", has_canary ? real(canary, "percent") : 0.0);
        put(&table, "%s",
            !has_canary                                         ? "-"
            : json_is_true(json_object_get(canary, "override")) ? "admin"
                                                                : "file");
    }
    print_table(&table);
}

/* --- latency --- */

static int by_count(const void *a, const void *b)
{
    long long x = number(*(json_t *const *)a, "count"), y = number(*(json_t *const *)b, "count");
    return x < y ? 1 : x > y ? -1 : 0;
}

void tables_latency(const json_t *latency)
{
    static const char *const heads[] = { "TENANT", "VERSION", "ROUTE", "#REQUESTS", "#P50",
                                         "#P90",   "#P99",    "#P999", "#MAX" };
    static const char *const times[] = { "p50", "p90", "p99", "p999", "max" };
    struct table table = { .heads = heads, .columns = COUNT_OF(heads) };
    json_t *all = json_object_get(latency, "rows");
    size_t count = json_array_size(all);
    json_t **rows = calloc(count + 1, sizeof *rows);
    for (size_t i = 0; rows && i < count; i++)
        rows[i] = json_array_get(all, i);
    if (rows && count > 0)
        qsort(rows, count, sizeof *rows, by_count);
    for (size_t i = 0; rows && i < count && i < LATENCY_ROWS; i++) {
        put(&table, "%s", word(rows[i], "tenant"));
        put(&table, "%s", word(rows[i], "version"));
        put(&table, "%s", word(rows[i], "route"));
        put(&table, "%lld", number(rows[i], "count"));
        for (unsigned k = 0; k < COUNT_OF(times); k++)
            put_time(&table, json_object_get(rows[i], times[k]));
    }
    free(rows);
    print_table(&table);
}
