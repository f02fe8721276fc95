#include "store.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENANTS 2

struct store {
    struct tenant tenants[TENANTS];
    int64_t seq;
};

static const char *const kind_words[] = { "reset", "put", "delete", "ready" };

struct store *store_new(void)
{
    struct store *store = calloc(1, sizeof *store);

    if (!store)
        return NULL;
    store->tenants[0].name = "acme";
    store->tenants[1].name = "tiny";
    return store;
}

void store_free(struct store *store)
{
    free(store);
}

void store_seed(struct store *store, int64_t now_ms)
{
    static const struct {
        const char *tenant, *name;
        int64_t stock;
    } rows[] = { { "acme", "anvil", 12 },
                 { "acme", "rocket skates", 3 },
                 { "acme", "giant magnet", 7 },
                 { "tiny", "thimble", 40 },
                 { "tiny", "button", 500 } };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct change change = { .kind = CHANGE_PUT, .seq = store->seq + 1, .at_ms = now_ms };

        snprintf(change.tenant, sizeof change.tenant, "%s", rows[i].tenant);
        snprintf(change.item.name, sizeof change.item.name, "%s", rows[i].name);
        change.item.stock = rows[i].stock;
        change.item.id = store_tenant(store, rows[i].tenant)->id_max + 1;
        store_apply(store, &change);
    }
}

int64_t store_seq(const struct store *store)
{
    return store->seq;
}

static struct tenant *find_tenant(struct store *store, const char *name)
{
    for (unsigned i = 0; i < TENANTS; i++)
        if (strcmp(store->tenants[i].name, name) == 0)
            return &store->tenants[i];
    return NULL;
}

const struct tenant *store_tenant(const struct store *store, const char *name)
{
    return find_tenant((struct store *)store, name);
}

/* Where the item is, or would be. */
static unsigned place_of(const struct tenant *tenant, int64_t id)
{
    unsigned at = 0;

    while (at < tenant->count && tenant->items[at].id < id)
        at++;
    return at;
}

const struct item *tenant_item(const struct tenant *tenant, int64_t id)
{
    unsigned at = place_of(tenant, id);

    return at < tenant->count && tenant->items[at].id == id ? &tenant->items[at] : NULL;
}

static void reset(struct store *store)
{
    for (unsigned i = 0; i < TENANTS; i++) {
        store->tenants[i].count = 0;
        store->tenants[i].id_max = 0;
        store->tenants[i].seq = 0;
    }
}

static bool put_item(struct tenant *tenant, const struct change *change)
{
    unsigned at = place_of(tenant, change->item.id);

    if (!tenant_item(tenant, change->item.id)) {
        if (tenant->count == ITEMS_MAX)
            return false;
        memmove(&tenant->items[at + 1], &tenant->items[at], (tenant->count - at) * sizeof tenant->items[0]);
        tenant->count++;
    }
    tenant->items[at] = change->item;
    tenant->items[at].seq = change->seq;
    tenant->items[at].changed_ms = change->at_ms;
    if (change->item.id > tenant->id_max)
        tenant->id_max = change->item.id;
    return true;
}

static void delete_item(struct tenant *tenant, int64_t id)
{
    unsigned at = place_of(tenant, id);

    if (!tenant_item(tenant, id))
        return;
    tenant->count--;
    memmove(&tenant->items[at], &tenant->items[at + 1], (tenant->count - at) * sizeof tenant->items[0]);
}

bool store_apply(struct store *store, const struct change *change)
{
    struct tenant *tenant = find_tenant(store, change->tenant);

    if (change->kind == CHANGE_RESET)
        reset(store);
    if (change->kind == CHANGE_PUT && (!tenant || !put_item(tenant, change)))
        return false;
    if (change->kind == CHANGE_DELETE && tenant)
        delete_item(tenant, change->item.id);
    if (tenant && change->seq > tenant->seq)
        tenant->seq = change->seq;
    store->seq = change->seq;
    return true;
}

void store_snapshot(const struct store *store, void (*visit)(const struct change *change, void *arg),
                    void *arg)
{
    visit(&(struct change){ .kind = CHANGE_RESET }, arg);
    for (unsigned i = 0; i < TENANTS; i++) {
        const struct tenant *tenant = &store->tenants[i];

        for (unsigned at = 0; at < tenant->count; at++) {
            const struct item *item = &tenant->items[at];
            struct change change = {
                .kind = CHANGE_PUT, .seq = item->seq, .at_ms = item->changed_ms, .item = *item
            };

            snprintf(change.tenant, sizeof change.tenant, "%s", tenant->name);
            visit(&change, arg);
        }
        /* What was deleted left no item, but the tenant's last number may be of it. */
        struct change last = { .kind = CHANGE_DELETE, .seq = tenant->seq };

        snprintf(last.tenant, sizeof last.tenant, "%s", tenant->name);
        visit(&last, arg);
    }
    visit(&(struct change){ .kind = CHANGE_READY, .seq = store->seq }, arg);
}

size_t change_write(const struct change *change, char out[CHANGE_LINE_SIZE])
{
    json_t *json = json_pack("{s:s, s:I, s:I, s:s, s:I, s:s, s:I}", "op", kind_words[change->kind], "seq",
                             (json_int_t)change->seq, "at", (json_int_t)change->at_ms, "tenant",
                             change->tenant, "id", (json_int_t)change->item.id, "name", change->item.name,
                             "stock", (json_int_t)change->item.stock);
    size_t len = json ? json_dumpb(json, out, CHANGE_LINE_SIZE - 1, JSON_COMPACT | JSON_ENSURE_ASCII) : 0;

    json_decref(json);
    if (len == 0 || len >= CHANGE_LINE_SIZE)
        return 0;
    out[len] = '\n';
    return len + 1;
}

bool change_read(struct change *change, const char *line)
{
    json_t *json = json_loads(line, 0, NULL);
    const char *op = "", *tenant = "", *name = "";
    json_int_t seq = 0, at = 0, id = 0, stock = 0;
    bool is_read =
        json && json_unpack(json, "{s:s, s:I, s:I, s:s, s:I, s:s, s:I}", "op", &op, "seq", &seq, "at", &at,
                            "tenant", &tenant, "id", &id, "name", &name, "stock", &stock) == 0;

    *change = (struct change){ .seq = seq, .at_ms = at, .item = { .id = id, .stock = stock } };
    snprintf(change->tenant, sizeof change->tenant, "%s", tenant);
    snprintf(change->item.name, sizeof change->item.name, "%s", name);
    while (is_read && strcmp(kind_words[change->kind], op) != 0) {
        if (change->kind == CHANGE_READY)
            is_read = false;
        else
            change->kind++;
    }
    json_decref(json);
    return is_read;
}
