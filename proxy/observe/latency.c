/* Reading tallies for /api/latency: quantiles for each tenant, version, route and stage. */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "observe/labels.h"
#include "observe/tally.h"
#include "observe/text.h"

/* A worker's series under the labels it is shown with. */
struct part {
    uint64_t key;
    const struct series *series;
};

struct latency {
    struct label_names names;
    const struct latency_query *query;
    struct buf *out;
    struct part *parts; /* sorted by key */
    size_t count;
    struct histogram_sum sum;
    bool is_first;
};

static int part_order(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* Absent, empty and "*" let everything through. */
static bool is_wanted(struct str wanted, struct str name)
{
    return wanted.len == 0 || str_eq(wanted, STR("*")) || str_eq(wanted, name);
}

static struct str name_of(const struct str *names, uint64_t index)
{
    return names[index].data ? names[index] : names[0];
}

static bool is_part_wanted(const struct latency *latency, uint64_t *key)
{
    const struct label_names *names = &latency->names;
    uint64_t tenant = *key >> 32, version = (*key >> 16) & 0xffff, route = *key & 0xffff;
    if (tenant >= names->tenant_count || version >= names->version_count || route >= names->route_count)
        return false; /* made since the names were read */
    if (!names->tenants[tenant].data)
        *key &= UINT32_MAX;
    return is_wanted(latency->query->tenant, name_of(names->tenants, tenant)) &&
           is_wanted(latency->query->version, names->versions[version]) &&
           is_wanted(latency->query->route, names->routes[route]);
}

static bool gather(struct latency *latency, struct tally *const *tallies, unsigned tally_count)
{
    size_t size = 0;
    for (unsigned i = 0; i < tally_count; i++) {
        unsigned count;
        struct series *const *all = tally_all(tallies[i], &count);
        if (latency->count + count > size) {
            size = latency->count + count;
            struct part *parts = realloc(latency->parts, size * sizeof *parts);
            if (!parts)
                return false;
            latency->parts = parts;
        }
        for (unsigned j = 0; j < count; j++) {
            uint64_t key = all[j]->key;
            if (is_part_wanted(latency, &key))
                latency->parts[latency->count++] = (struct part){ key, all[j] };
        }
    }
    if (latency->count > 0)
        qsort(latency->parts, latency->count, sizeof *latency->parts, part_order);
    return true;
}

static bool put_name(struct buf *out, const char *member, struct str value)
{
    char *at;
    if (!buf_append_str(out, str_of(member)) || !(at = buf_reserve(out, TEXT_JSON_MAX(value.len) + 2)))
        return false;
    char *end = text_put_json(at + 1, at + 1 + TEXT_JSON_MAX(value.len), value);
    CHECK(end != NULL);
    at[0] = *end = '"';
    buf_added(out, (size_t)(end + 1 - at));
    return true;
}

static bool put_row(struct latency *latency, uint64_t key, const char *stage)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 } };
    struct buf *out = latency->out;
    const struct label_names *names = &latency->names;
    if (!put_name(out,
                  latency->is_first ? "{\"tenant\":" : ",{\"tenant\":", name_of(names->tenants, key >> 32)) ||
        !put_name(out, ",\"version\":", names->versions[(key >> 16) & 0xffff]) ||
        !put_name(out, ",\"route\":", names->routes[key & 0xffff]) ||
        !put_name(out, ",\"stage\":", str_of(stage)) ||
        !buf_printf(out, ",\"count\":%llu", (unsigned long long)latency->sum.count))
        return false;
    latency->is_first = false;
    for (unsigned i = 0; i < COUNT_OF(quantiles); i++) {
        int64_t ns = histogram_quantile_ns(&latency->sum, quantiles[i].share);
        if (!buf_printf(out, ",\"%s\":%.9f", quantiles[i].name, (double)ns / (double)NS_PER_S))
            return false;
    }
    return buf_printf(out, ",\"max\":%.9f}", (double)latency->sum.max_ns / (double)NS_PER_S);
}

/* One stage (or the total, given as STAGE_COUNT) of the workers' parts with one key. */
static bool put_stage(struct latency *latency, const struct part *parts, size_t count, unsigned stage)
{
    latency->sum = (struct histogram_sum){ 0 };
    for (size_t i = 0; i < count; i++) {
        const struct histogram *histogram =
            stage == STAGE_COUNT ? &parts[i].series->total
                                 : __atomic_load_n(&parts[i].series->stages[stage], __ATOMIC_ACQUIRE);
        if (histogram)
            histogram_sum_add(&latency->sum, histogram);
    }
    if (latency->sum.count == 0)
        return true;
    return put_row(latency, parts[0].key,
                   stage == STAGE_COUNT ? "total" : stage_word((enum stage_time)stage));
}

static bool put_parts(struct latency *latency, const struct part *parts, size_t count)
{
    struct str wanted = latency->query->stage;
    bool is_any = str_eq(wanted, STR("*"));
    if ((is_any || wanted.len == 0 || str_eq(wanted, STR("total"))) &&
        !put_stage(latency, parts, count, STAGE_COUNT))
        return false;
    for (unsigned stage = 0; stage < STAGE_COUNT; stage++) {
        if ((is_any || str_eq(wanted, str_of(stage_word((enum stage_time)stage)))) &&
            !put_stage(latency, parts, count, stage))
            return false;
    }
    return true;
}

static bool put_rows(struct latency *latency)
{
    if (!buf_append_str(latency->out, STR("{\"rows\":[")))
        return false;
    latency->is_first = true;
    for (size_t i = 0, next; i < latency->count; i = next) {
        for (next = i + 1; next < latency->count && latency->parts[next].key == latency->parts[i].key;)
            next++;
        if (!put_parts(latency, latency->parts + i, next - i))
            return false;
    }
    return buf_append_str(latency->out, STR("]}"));
}

bool series_latency_json(struct labels *labels, struct tally *const *tallies, unsigned count,
                         const struct latency_query *query, struct buf *out)
{
    struct latency *latency = calloc(1, sizeof *latency);
    if (!latency)
        return false;
    latency->query = query;
    latency->out = out;
    bool ok = label_names_read(&latency->names, labels);
    if (ok) {
        ok = gather(latency, tallies, count) && put_rows(latency);
        label_names_fini(&latency->names);
    }
    free(latency->parts);
    free(latency);
    return ok;
}
