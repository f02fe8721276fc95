/* GET /api/tenants/NAME: which limits hold for it, and what it uses of them. */
#include "admin/api.h"
#include "net/loop.h"

/* What the workers share about one tenant, copied out under the table's lock. */
struct seen {
    struct str name;
    bool is_known;
    int64_t concurrency;
};

static void look(struct tenant *tenant, void *arg)
{
    struct seen *seen = arg;
    if (!str_eq(tenant_name(tenant), seen->name))
        return;
    seen->is_known = true;
    seen->concurrency = atomic_load_explicit(&tenant->concurrency, memory_order_relaxed);
}

/* Its requests as far as they are counted under its own name: a tenant without a label is part of _other. -1:
 * not known. */
static json_int_t count_requests(const struct admin *admin, struct str name, bool is_listed)
{
    const struct latency_query query = { .tenant = name };
    struct buf text;
    json_int_t sum = 0;
    buf_init(&text);
    bool ok = series_latency_json(admin->hooks.city->labels, admin->hooks.tallies, admin->hooks.lane_count,
                                  &query, &text);
    json_t *json = ok ? json_loadb(buf_str(&text).data, buf_len(&text), 0, NULL) : NULL;
    json_t *rows = json_object_get(json, "rows");
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) sum += json_integer_value(json_object_get(row, "count"));
    bool is_counted = rows && (is_listed || json_array_size(rows) > 0);
    json_decref(json);
    buf_fini(&text);
    return is_counted ? sum : -1;
}

static json_t *json_of_rate(double rate)
{
    return rate < 0 ? json_null() : json_real(rate);
}

void get_tenant(struct admin *admin, const struct call *call, struct reply *reply)
{
    const struct world *world = admin_world(admin);
    char lower[TENANT_NAME_MAX + 1];
    struct str asked = call->parts[0];
    if (!tenant_name_is_valid(asked)) {
        reply_problem(reply, 404, "no-tenant", "this is no tenant's name");
        return;
    }
    for (size_t i = 0; i < asked.len; i++)
        lower[i] = ascii_lower(asked.data[i]);
    struct seen seen = { .name = str_n(lower, asked.len) };
    const struct config_tenant *rules = tenant_rules_find(world->rules, seen.name);
    if (!rules) {
        reply_problem(reply, 404, "no-tenant", "this tenant is not listed, and unlisted ones are refused");
        return;
    }
    tenants_each(world->city->tenants, look, &seen);

    bool is_listed = rules->name.data != NULL;
    json_int_t requests = count_requests(admin, seen.name, is_listed);
    double burst = rules->rate_per_s < 0 ? NEVER : tenant_burst(rules);
    json_t *limits = json_pack("{s:o, s:o, s:o, s:i, s:f, s:o}", "rate", json_of_rate(rules->rate_per_s),
                               "burst", json_of_rate(burst), "concurrency", json_of_limit(rules->concurrency),
                               "weight", (int)rules->weight, "cache_share", rules->cache_share, "version",
                               json_of_word(rules->version));
    reply_json(reply, 200,
               json_pack("{s:o, s:b, s:b, s:o, s:o, s:o}", "name", json_of_str(seen.name), "listed",
                         (int)is_listed, "seen", (int)seen.is_known, "limits", limits, "in_use",
                         json_pack("{s:I}", "concurrency", (json_int_t)seen.concurrency), "requests",
                         json_of_limit(requests)));
}
