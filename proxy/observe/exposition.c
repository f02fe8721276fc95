/* Reading tallies for Prometheus: counters by label, histograms merged over everything. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "observe/labels.h"
#include "observe/prometheus.h"
#include "observe/tally.h"

/* One counter of one worker; equal labels are added up once they are sorted. */
struct row {
    uint64_t key;  /* a series' key; of a refusal only the tenant */
    uint32_t word; /* outcome << 16 | status, or the row of err.def */
    uint64_t count;
};

struct rows {
    struct row *data;
    size_t count;
    size_t size;
};

struct reading {
    struct label_names names;
    struct tally *const *tallies;
    unsigned tally_count;
    struct buf *out;
};

#define STATUS_OTHER 0xffffu

static void rows_fini(struct rows *rows)
{
    free(rows->data);
}

static bool add_row(struct rows *rows, uint64_t key, uint32_t word, uint64_t count)
{
    if (count == 0)
        return true;
    if (rows->count == rows->size) {
        size_t size = rows->size ? rows->size * 2 : 256;
        struct row *data = realloc(rows->data, size * sizeof *data);
        if (!data)
            return false;
        rows->data = data;
        rows->size = size;
    }
    rows->data[rows->count++] = (struct row){ key, word, count };
    return true;
}

static int row_order(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->word < y->word ? -1 : x->word > y->word;
}

static void merge_rows(struct rows *rows)
{
    size_t kept = 0;
    if (rows->count > 0)
        qsort(rows->data, rows->count, sizeof *rows->data, row_order);
    for (size_t i = 0; i < rows->count; i++) {
        if (kept > 0 && row_order(&rows->data[kept - 1], &rows->data[i]) == 0)
            rows->data[kept - 1].count += rows->data[i].count;
        else
            rows->data[kept++] = rows->data[i];
    }
    rows->count = kept;
}

/* The key as it is shown: what a tenant without a label counted is _other's. False for a label that was made
 * after the names were read: it waits for the next reading, since counted as _other now it would have to be
 * taken back then. */
static bool shown_key(const struct label_names *names, uint64_t *key)
{
    uint64_t tenant = *key >> 32;
    if (tenant >= names->tenant_count || ((*key >> 16) & 0xffff) >= names->version_count ||
        (*key & 0xffff) >= names->route_count)
        return false;
    if (!names->tenants[tenant].data)
        *key &= UINT32_MAX;
    return true;
}

typedef bool (*series_fn)(const struct series *series, uint64_t key, void *arg);

static bool each_series(const struct reading *reading, series_fn fn, void *arg)
{
    for (unsigned i = 0; i < reading->tally_count; i++) {
        unsigned count;
        struct series *const *all = tally_all(reading->tallies[i], &count);
        for (unsigned j = 0; j < count; j++) {
            uint64_t key = all[j]->key;
            if (shown_key(&reading->names, &key) && !fn(all[j], key, arg))
                return false;
        }
    }
    return true;
}

static bool gather_requests(const struct series *series, uint64_t key, void *arg)
{
    struct rows *rows = arg;
    uint32_t count = __atomic_load_n(&series->cell_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count; i++) {
        const struct cell *cell = i < CELLS_FEW ? &series->few[i] : &series->more[i - CELLS_FEW];
        if (!add_row(rows, key, cell->word, series_read(&cell->count)))
            return false;
    }
    for (uint32_t outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        if (!add_row(rows, key, outcome << 16 | STATUS_OTHER, series_read(&series->others[outcome])))
            return false;
    }
    return true;
}

static bool gather_shed(const struct series *series, uint64_t key, void *arg)
{
    const uint64_t *shed = __atomic_load_n(&series->shed, __ATOMIC_ACQUIRE);
    for (uint32_t row = 0; shed && row < ERR_COUNT; row++) {
        if (!add_row(arg, key >> 32, row, series_read(&shed[row])))
            return false;
    }
    return true;
}

static struct str status_text(uint32_t status, char digits[20])
{
    return status == STATUS_OTHER ? STR("other") : str_n(digits, str_put_u64(digits, status));
}

static bool put_requests(const struct reading *reading)
{
    static const char name[] = "weir_requests_total";
    const struct label_names *names = &reading->names;
    AUTO(rows_fini) struct rows rows = { 0 };
    bool ok = prom_head(reading->out, name, PROM_COUNTER, "Requests by what became of them.") &&
              each_series(reading, gather_requests, &rows);
    merge_rows(&rows);
    for (size_t i = 0; ok && i < rows.count; i++) {
        const struct row *row = &rows.data[i];
        char digits[20];
        struct prom_label labels[] = {
            { "tenant", names->tenants[row->key >> 32] },
            { "version", names->versions[(row->key >> 16) & 0xffff] },
            { "route", names->routes[row->key & 0xffff] },
            { "outcome", str_of(outcome_word((enum outcome)(row->word >> 16))) },
            { "code", status_text(row->word & 0xffff, digits) },
        };
        ok = prom_value(reading->out, name, labels, COUNT_OF(labels), (double)row->count);
    }
    return ok;
}

static bool put_shed(const struct reading *reading)
{
    static const char name[] = "weir_shed_total";
    AUTO(rows_fini) struct rows rows = { 0 };
    bool ok = prom_head(reading->out, name, PROM_COUNTER, "Requests refused by a limit, by its reason.") &&
              each_series(reading, gather_shed, &rows);
    merge_rows(&rows);
    for (size_t i = 0; ok && i < rows.count; i++) {
        const struct row *row = &rows.data[i];
        struct prom_label labels[] = {
            { "tenant", reading->names.tenants[row->key] },
            { "reason", str_of(err_word(-1 - (int)row->word)) },
        };
        ok = prom_value(reading->out, name, labels, COUNT_OF(labels), (double)row->count);
    }
    return ok;
}

/* Classic buckets, in a form that needs no rounding to print. */
static const struct {
    const char *le;
    int64_t ns;
} bounds[] = {
    { "0.0001", 100000 },    { "0.00025", 250000 },   { "0.0005", 500000 },  { "0.001", 1000000 },
    { "0.0025", 2500000 },   { "0.005", 5000000 },    { "0.01", 10000000 },  { "0.025", 25000000 },
    { "0.05", 50000000 },    { "0.1", 100000000 },    { "0.25", 250000000 }, { "0.5", 500000000 },
    { "1", NS_PER_S },       { "2.5", 2500000000 },   { "5", 5 * NS_PER_S }, { "10", 10 * NS_PER_S },
    { "30", 30 * NS_PER_S }, { "60", 60 * NS_PER_S },
};

/* label: one that all lines have, or NULL. */
static bool put_histogram(struct buf *out, const char *name, const struct prom_label *label,
                          const struct histogram_sum *sum)
{
    struct prom_label labels[2];
    unsigned count = 0;
    char line[64];
    if (label)
        labels[count++] = *label;
    snprintf(line, sizeof line, "%s_bucket", name);
    for (unsigned i = 0; i < COUNT_OF(bounds); i++) {
        labels[count] = (struct prom_label){ "le", str_of(bounds[i].le) };
        if (!prom_value(out, line, labels, count + 1, (double)histogram_count_until(sum, bounds[i].ns)))
            return false;
    }
    labels[count] = (struct prom_label){ "le", STR("+Inf") };
    if (!prom_value(out, line, labels, count + 1, (double)sum->count))
        return false;
    snprintf(line, sizeof line, "%s_sum", name);
    if (!prom_value(out, line, labels, count, (double)sum->sum_ns / (double)NS_PER_S))
        return false;
    snprintf(line, sizeof line, "%s_count", name);
    return prom_value(out, line, labels, count, (double)sum->count);
}

/* Adds up one histogram of every series. */
static void sum_up(const struct reading *reading, unsigned which, struct histogram_sum *sum)
{
    *sum = (struct histogram_sum){ 0 };
    for (unsigned i = 0; i < reading->tally_count; i++) {
        unsigned count;
        struct series *const *all = tally_all(reading->tallies[i], &count);
        histogram_sum_add(sum, tally_spilled(reading->tallies[i], which));
        for (unsigned j = 0; j < count; j++) {
            const struct histogram *histogram =
                which == WHICH_TOTAL      ? &all[j]->total
                : which == WHICH_OVERHEAD ? &all[j]->overhead
                                          : __atomic_load_n(&all[j]->stages[which], __ATOMIC_ACQUIRE);
            if (histogram)
                histogram_sum_add(sum, histogram);
        }
    }
}

static bool put_histograms(const struct reading *reading, struct histogram_sum *sum)
{
    struct buf *out = reading->out;
    sum_up(reading, WHICH_TOTAL, sum);
    if (!prom_head(out, "weir_request_seconds", PROM_HISTOGRAM, "First byte in to last byte out.") ||
        !put_histogram(out, "weir_request_seconds", NULL, sum))
        return false;
    sum_up(reading, WHICH_OVERHEAD, sum);
    if (!prom_head(out, "weir_overhead_seconds", PROM_HISTOGRAM, "What weir itself added to a request.") ||
        !put_histogram(out, "weir_overhead_seconds", NULL, sum))
        return false;
    if (!prom_head(out, "weir_stage_seconds", PROM_HISTOGRAM, "Time spent in each stage of a request."))
        return false;
    for (unsigned stage = 0; stage < STAGE_COUNT; stage++) {
        struct prom_label label = { "stage", str_of(stage_word((enum stage_time)stage)) };
        sum_up(reading, stage, sum);
        if (!put_histogram(out, "weir_stage_seconds", &label, sum))
            return false;
    }
    return true;
}

bool series_prometheus(struct labels *labels, struct tally *const *tallies, unsigned count, struct buf *out)
{
    struct reading reading = { .tallies = tallies, .tally_count = count, .out = out };
    struct histogram_sum *sum = malloc(sizeof *sum);
    bool ok = sum && label_names_read(&reading.names, labels);
    if (ok) {
        ok = put_requests(&reading) && put_histograms(&reading, sum) && put_shed(&reading);
        label_names_fini(&reading.names);
    }
    free(sum);
    return ok;
}
