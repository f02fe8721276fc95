#include "api.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define REPORT_MS   1500
#define FIELDS_SIZE 512

/* A request, understood. */
struct ask {
    struct api *api;
    struct call *call;
    const struct tenant *tenant;
    int version; /* 1 or 2 */
    int64_t id;  /* 0: the list */
    bool is_write;
};

static int64_t wall_ms(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

/* Every reply says who gave it. Weir-Position is for weir: how far this server has come, or where a write
 * landed. */
static void answer(struct api *api, struct call *call, int status, const char *fields, const char *body,
                   size_t len)
{
    char all[FIELDS_SIZE + 256];

    snprintf(all, sizeof all, "Server-Role: %s\r\nServed-By: %s\r\nWeir-Position: %" PRId64 "\r\n%s",
             api->follower ? "replica" : "primary", api->self, store_seq(api->store), fields);
    call_reply(call, status, all, body, len);
}

/* Takes json. */
static void answer_json(struct api *api, struct call *call, int status, const char *fields, json_t *json)
{
    char all[FIELDS_SIZE];
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    snprintf(all, sizeof all, "Content-Type: application/json\r\n%s", fields);
    answer(api, call, status, all, text, text ? strlen(text) : 0);
    free(text);
    json_decref(json);
}

static void refuse(struct api *api, struct call *call, int status, const char *fields, const char *why)
{
    answer_json(api, call, status, fields, json_pack("{s:s}", "error", why));
}

/* v1 knew no stock. */
static json_t *item_json(const struct item *item, int version)
{
    json_t *json = json_pack("{s:I, s:s}", "id", (json_int_t)item->id, "name", item->name);

    if (version >= 2)
        json_object_set_new(json, "stock", json_integer(item->stock));
    return json;
}

/* True if the client has it already, and was told so. */
static bool is_unchanged(const struct ask *ask, const char *etag, const char *fields)
{
    const char *known = call_field(ask->call, "If-None-Match");

    if (!known || !strstr(known, etag))
        return false;
    answer(ask->api, ask->call, 304, fields, NULL, 0);
    return true;
}

/* Says nothing about how long it may be kept: that is what a route's ttl in weir's config is for. */
static void answer_list(const struct ask *ask)
{
    char etag[64], fields[128];
    json_t *items;

    snprintf(etag, sizeof etag, "\"v%d-list-%" PRId64 "\"", ask->version, ask->tenant->seq);
    snprintf(fields, sizeof fields, "ETag: %s\r\n", etag);
    if (is_unchanged(ask, etag, fields))
        return;
    items = json_array();
    for (unsigned i = 0; i < ask->tenant->count; i++)
        json_array_append_new(items, item_json(&ask->tenant->items[i], ask->version));
    if (ask->version >= 2)
        items = json_pack("{s:s, s:o}", "tenant", ask->tenant->name, "items", items);
    answer_json(ask->api, ask->call, 200, fields, items);
}

static void answer_item(const struct ask *ask)
{
    const struct item *item = tenant_item(ask->tenant, ask->id);
    char etag[64], date[64], fields[256];
    time_t changed_s;
    struct tm tm;

    if (!item) {
        refuse(ask->api, ask->call, 404, "", "no such item");
        return;
    }
    changed_s = (time_t)(item->changed_ms / 1000);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&changed_s, &tm));
    snprintf(etag, sizeof etag, "\"v%d-%" PRId64 "\"", ask->version, item->seq);
    snprintf(fields, sizeof fields, "Cache-Control: max-age=10\r\nETag: %s\r\nLast-Modified: %s\r\n", etag,
             date);
    if (!is_unchanged(ask, etag, fields))
        answer_json(ask->api, ask->call, 200, fields, item_json(item, ask->version));
}

/* Makes the change, tells the replicas. */
static bool commit(const struct ask *ask, struct change *change)
{
    change->seq = store_seq(ask->api->store) + 1;
    change->at_ms = wall_ms();
    snprintf(change->tenant, sizeof change->tenant, "%s", ask->tenant->name);
    if (!store_apply(ask->api->store, change))
        return false;
    feed_tell(ask->api->feed, change);
    return true;
}

/* Body: {"name": "...", "stock": 1}. What is absent stays as it was. */
static bool read_item(const struct ask *ask, struct item *item)
{
    size_t len;
    const char *body = call_body(ask->call, &len);
    json_t *json = json_loadb(body ? body : "", len, 0, NULL);
    const char *name = item->name;
    json_int_t stock = item->stock;
    bool is_read = json && json_unpack(json, "{s?s, s?I}", "name", &name, "stock", &stock) == 0 && name[0] &&
                   strlen(name) < NAME_SIZE;

    if (is_read) {
        item->stock = stock;
        if (name != item->name)
            snprintf(item->name, sizeof item->name, "%s", name);
    }
    json_decref(json);
    return is_read;
}

static void write_item(const struct ask *ask, bool is_new)
{
    struct change change = { .kind = CHANGE_PUT };
    const struct item *old = tenant_item(ask->tenant, ask->id);
    char fields[64] = "";

    if (!is_new && !old) {
        refuse(ask->api, ask->call, 404, "", "no such item");
        return;
    }
    if (old)
        change.item = *old;
    if (!read_item(ask, &change.item)) {
        refuse(ask->api, ask->call, 400, "", "the body must be {\"name\": \"...\", \"stock\": 1}");
        return;
    }
    change.item.id = is_new ? ask->tenant->id_max + 1 : ask->id;
    if (!commit(ask, &change)) {
        refuse(ask->api, ask->call, 507, "", "there are too many items");
        return;
    }
    if (is_new)
        snprintf(fields, sizeof fields, "Location: /v%d/items/%" PRId64 "\r\n", ask->version, change.item.id);
    answer_json(ask->api, ask->call, is_new ? 201 : 200, fields, item_json(&change.item, ask->version));
}

static void delete_item(const struct ask *ask)
{
    struct change change = { .kind = CHANGE_DELETE, .item.id = ask->id };

    if (!tenant_item(ask->tenant, ask->id)) {
        refuse(ask->api, ask->call, 404, "", "no such item");
        return;
    }
    commit(ask, &change);
    answer(ask->api, ask->call, 204, "", NULL, 0);
}

static void answer_items(const struct ask *ask)
{
    const char *method = call_method(ask->call);

    /* Weir-Replay tells weir that the primary would have done it. */
    if (ask->is_write && ask->api->follower)
        refuse(ask->api, ask->call, 409, "Weir-Replay: primary\r\n", "this is a replica, it takes no writes");
    else if (!ask->is_write && ask->id)
        answer_item(ask);
    else if (!ask->is_write)
        answer_list(ask);
    else if (strcmp(method, "POST") == 0 && !ask->id)
        write_item(ask, true);
    else if (strcmp(method, "PUT") == 0 && ask->id)
        write_item(ask, false);
    else if (strcmp(method, "DELETE") == 0 && ask->id)
        delete_item(ask);
    else
        refuse(ask->api, ask->call, 405, "", "the list takes GET and POST, an item GET, PUT and DELETE");
}

static void on_report(evutil_socket_t fd, short what, void *arg)
{
    struct ask *ask = arg;
    json_int_t stock = 0;

    for (unsigned i = 0; i < ask->tenant->count; i++)
        stock += ask->tenant->items[i].stock;
    answer_json(ask->api, ask->call, 200, "Cache-Control: no-store\r\n",
                json_pack("{s:s, s:s, s:I, s:I}", "report", "daily", "tenant", ask->tenant->name, "items",
                          (json_int_t)ask->tenant->count, "stock", stock));
    free(ask);
}

/* Takes its time, as reports do, while others are served. */
static void answer_report(const struct ask *ask)
{
    struct timeval in = { .tv_sec = REPORT_MS / 1000, .tv_usec = REPORT_MS % 1000 * 1000 };
    struct ask *kept = malloc(sizeof *kept);

    if (kept)
        *kept = *ask;
    if (!kept || event_base_once(ask->api->base, -1, EV_TIMEOUT, on_report, kept, &in) < 0) {
        free(kept);
        refuse(ask->api, ask->call, 503, "", "out of memory");
    }
}

static void answer_health(struct api *api, struct call *call)
{
    bool is_ready = !api->follower || follower_is_ready(api->follower);

    answer(api, call, is_ready ? 200 : 503, "Content-Type: text/plain\r\n", is_ready ? "ok\n" : "wait\n",
           is_ready ? 3 : 5);
}

/* "/v2/items", "/v2/items/7", "/v1/reports/daily". False: nothing is there. */
static bool read_path(struct ask *ask, const char *path, char resource[16], const char **out_rest)
{
    int used = 0;

    if (sscanf(path, "/v%1d/%15[a-z]%n", &ask->version, resource, &used) != 2)
        return false;
    *out_rest = path + used;
    return ask->version == 1 || ask->version == 2;
}

/* "" is the list, "/7" an item. */
static bool read_id(struct ask *ask, const char *rest)
{
    int used = 0;

    if (rest[0] == '\0')
        return true;
    return sscanf(rest, "/%18" SCNd64 "%n", &ask->id, &used) == 1 && ask->id > 0 && rest[used] == '\0';
}

void api_answer(struct call *call, void *arg)
{
    struct api *api = arg;
    struct ask ask = { .api = api, .call = call };
    const char *method = call_method(call);
    const char *path = call_path(call);
    const char *tenant = call_field(call, "Weir-Tenant");
    const char *rest;
    char resource[16];

    if (strcmp(path, "/healthz") == 0) {
        answer_health(api, call);
        return;
    }
    if (strcmp(path, "/feed") == 0 && api->feed) {
        feed_join(api->feed, call);
        return;
    }
    ask.is_write = strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
    ask.tenant = store_tenant(api->store, tenant ? tenant : "acme");
    if (!ask.tenant)
        refuse(api, call, 404, "", "no such tenant, there are acme and tiny");
    else if (!read_path(&ask, path, resource, &rest))
        refuse(api, call, 404, "", "there are /v1/ and /v2/");
    else if (strcmp(resource, "items") == 0 && read_id(&ask, rest))
        answer_items(&ask);
    else if (strcmp(resource, "reports") == 0 && strcmp(rest, "/daily") == 0 && !ask.is_write)
        answer_report(&ask);
    else
        refuse(api, call, 404, "", "there are items, items/ID and reports/daily");
}
