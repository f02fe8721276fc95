/* The functions of struct weir_host. The room's only user of OpenSSL's HMAC; jansson reads the plugin's keys.
 */
#include "pipeline/plugin_host.h"

#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "config/value.h"
#include "pipeline/client.h"
#include "pipeline/plugin_upstream.h"
#include "pipeline/request.h"

static struct weir_str out_str(struct str s)
{
    return (struct weir_str){ s.data, s.len };
}

static void host_log(enum weir_log_level level, const char *line)
{
    log_line((enum log_level)level, "plugin: %s", line);
}

static int64_t host_wall_ms(void)
{
    return clock_wall_ns() / NS_PER_MS;
}

static int64_t host_mono_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}

static void host_hmac(struct weir_str key, struct weir_str data, unsigned char out[32])
{
    unsigned len = 32;
    CHECK(HMAC(EVP_sha256(), key.data, (int)key.len, (const unsigned char *)data.data, data.len, out, &len) !=
          NULL);
}

static unsigned char drawn_secret[32];

static void draw_secret(void)
{
    CHECK(random_fill(drawn_secret, sizeof drawn_secret));
}

/* --- configure --- */

static unsigned config_count(const struct weir_config *config)
{
    return (unsigned)json_object_size(config->keys);
}

static const char *config_name(const struct weir_config *config, unsigned index)
{
    const char *key;
    json_t *value;
    json_object_foreach(config->keys, key, value)
    {
        if (index-- == 0)
            return key;
    }
    return NULL;
}

static int config_string(const struct weir_config *config, const char *name, struct weir_str *out)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_string(value))
        return -1;
    *out = (struct weir_str){ json_string_value(value), json_string_length(value) };
    return 1;
}

static int config_bool(const struct weir_config *config, const char *name, bool *out)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return -1;
    *out = json_is_true(value);
    return 1;
}

static int config_number(const struct weir_config *config, const char *name, double *out)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_number(value))
        return -1;
    *out = json_number_value(value);
    return 1;
}

static int config_duration(const struct weir_config *config, const char *name, int64_t *out_ms)
{
    struct weir_str text;
    int found = config_string(config, name, &text);
    if (found != 1)
        return found;
    struct str s = str_n(text.data, text.len);
    if (str_eq(s, STR("unlimited"))) {
        *out_ms = -1;
        return 1;
    }
    return value_duration(s, out_ms) ? 1 : -1;
}

static int config_share(const struct weir_config *config, const char *name, double *out)
{
    struct weir_str text;
    int found = config_string(config, name, &text);
    if (found != 1)
        return found;
    struct str s = str_n(text.data, text.len);
    double percent;
    if (!str_has_suffix(s, STR("%")) || !value_number(str_n(s.data, s.len - 1), &percent) || percent > 100)
        return -1;
    *out = percent / 100;
    return 1;
}

static int config_size(const struct weir_config *config, const char *name, int64_t *out_bytes)
{
    struct weir_str text;
    int found = config_string(config, name, &text);
    if (found != 1)
        return found;
    return value_size(str_n(text.data, text.len), out_bytes) ? 1 : -1;
}

static int config_list(const struct weir_config *config, const char *name)
{
    const json_t *value = json_object_get(config->keys, name);
    if (!value)
        return 0;
    if (!json_is_array(value))
        return -1;
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)))
            return -1;
    }
    return (int)json_array_size(value);
}

static struct weir_str config_item(const struct weir_config *config, const char *name, unsigned index)
{
    const json_t *value = json_array_get(json_object_get(config->keys, name), index);
    return (struct weir_str){ json_string_value(value), json_string_length(value) };
}

static struct weir_upstream *config_upstream(const struct weir_config *config)
{
    return config->face;
}

/* "positions.postgres": a dot leads into a mapping. */
static const json_t *find_map(const struct weir_config *config, const char *path)
{
    const json_t *at = config->keys;
    struct str rest = str_of(path);
    struct str name;
    while (at && str_split(&rest, '.', &name)) {
        char key[128];
        if (!json_is_object(at) || name.len >= sizeof key)
            return NULL;
        memcpy(key, name.data, name.len);
        key[name.len] = '\0';
        at = json_object_get(at, key);
    }
    return at;
}

/* A scalar as it stands in the file; it takes the number's place in the handle, and goes with it. */
static struct weir_str text_of(json_t *map, const char *key, json_t *value)
{
    if (!json_is_string(value)) {
        char text[64];
        if (json_is_integer(value))
            snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
        else if (json_is_real(value))
            snprintf(text, sizeof text, "%g", json_real_value(value));
        else
            snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
        json_object_set_new_nocheck(map, key, json_string(text));
        value = json_object_get(map, key);
    }
    return (struct weir_str){ json_string_value(value), json_string_length(value) };
}

static int config_map(const struct weir_config *config, const char *path)
{
    const json_t *map = find_map(config, path);
    const char *key;
    json_t *value;
    if (!map)
        return 0;
    if (!json_is_object(map))
        return -1;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        if (json_is_object(value) || json_is_array(value) || json_is_null(value))
            return -1;
    }
    return (int)json_object_size(map);
}

static bool config_entry(const struct weir_config *config, const char *path, unsigned index,
                         struct weir_str *out_key, struct weir_str *out_value)
{
    const json_t *map = find_map(config, path);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        if (index-- > 0)
            continue;
        *out_key = (struct weir_str){ key, strlen(key) };
        *out_value = text_of((json_t *)(uintptr_t)map, key, value);
        return true;
    }
    return false;
}

static bool config_has_upstream(const struct weir_config *config, struct weir_str name)
{
    return config_find_upstream(config->config, str_n(name.data, name.len)) != NULL;
}

static void config_warn(const struct weir_config *config, const char *line)
{
    log_warn("%s:%d:%d: plugin %.*s of upstream %.*s: %s", config->config->file.data, config->row->mark.line,
             config->row->mark.column, STR_FMT(config->row->name), STR_FMT(config->upstream->name), line);
}

/* --- hooks --- */

static struct weir_str request_method(const struct weir_request *request)
{
    return out_str(request->req->msg.method_name);
}

static struct weir_str request_target(const struct weir_request *request)
{
    return out_str(request->req->msg.target);
}

static struct weir_str request_path(const struct weir_request *request)
{
    return out_str(request->req->path);
}

static struct weir_str request_tenant(const struct weir_request *request)
{
    return out_str(tenant_name(request->req->tenant->tenant));
}

static struct weir_str request_version(const struct weir_request *request)
{
    return out_str(request->req->edition->name);
}

static struct weir_str request_route(const struct weir_request *request)
{
    const struct config_route *route = request->req->way->config;
    return out_str(route ? route->name : STR(""));
}

static struct weir_str request_domain(const struct weir_request *request)
{
    return out_str(request->req->supply->upstream->config->domain);
}

static bool request_is_trusted(const struct weir_request *request)
{
    return request->req->is_peer_trusted;
}

static struct weir_str request_field(const struct weir_request *request, const char *name)
{
    const struct field *field = message_find(&request->req->msg, str_of(name));
    return field ? out_str(field->value) : (struct weir_str){ NULL, 0 };
}

static struct weir_str request_cookie(const struct weir_request *request, const char *name)
{
    const struct message *msg = &request->req->msg;
    struct str wanted = str_of(name);
    if (str_eq(wanted, STR("weir_position")))
        return out_str(request->req->own_cookie);
    for (const struct field *field = message_field(msg, FIELD_COOKIE); field;
         field = message_next(msg, field)) {
        struct str rest = field->value;
        struct str pair;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            if (str_has_prefix(pair, wanted) && pair.len > wanted.len && pair.data[wanted.len] == '=')
                return out_str(str_from(pair, wanted.len + 1));
        }
    }
    return (struct weir_str){ NULL, 0 };
}

static void *request_alloc(struct weir_request *request, size_t size)
{
    return arena_alloc(&request->req->arena, size);
}

static void *request_get(const struct weir_request *request)
{
    return request->req->plugin_values[request->index];
}

static void request_set(struct weir_request *request, void *value)
{
    request->req->plugin_values[request->index] = value;
}

/* Drawn once; each label's secret is its HMAC. */
static void host_secret(const char *label, unsigned char out[32])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_secret);
    host_hmac((struct weir_str){ (const char *)drawn_secret, sizeof drawn_secret },
              (struct weir_str){ label, strlen(label) }, out);
}

static void host_wake(struct weir_upstream *upstream)
{
    if (upstream)
        held_wake(plugin_upstream_held(upstream));
}

static bool host_report(struct weir_upstream *upstream, struct weir_str address,
                        const struct weir_report *report)
{
    return upstream && plugin_upstream_report(upstream, str_n(address.data, address.len), report);
}

static unsigned host_servers(struct weir_upstream *upstream, struct weir_server *out, unsigned max)
{
    return upstream ? plugin_upstream_servers(upstream, out, max) : 0;
}

static void host_count(struct weir_upstream *upstream, const char *event)
{
    if (upstream)
        plugin_upstream_count(upstream, event);
}

static _Atomic bool is_in_fleet;

void plugins_join_fleet(void)
{
    atomic_store(&is_in_fleet, true);
}

static bool host_is_in_fleet(void)
{
    return atomic_load_explicit(&is_in_fleet, memory_order_relaxed);
}

static struct weir_str request_route_option(const struct weir_request *request, const char *name)
{
    static const char *const words[] = { NULL, "none", "window", "position", "strict" };
    const struct config_route *route = request->req->way->config;
    const char *word = route && strcmp(name, "consistency") == 0 ? words[route->consistency] : NULL;
    return (struct weir_str){ word, word ? strlen(word) : 0 };
}

static struct weir_str request_body(const struct weir_request *request)
{
    struct request *req = request->req;
    return req->is_upload_kept ? out_str(buf_str(&req->upload_buf)) : (struct weir_str){ NULL, 0 };
}

static bool request_has_body(const struct weir_request *request)
{
    return request->req->has_upload;
}

const struct weir_host plugin_host = {
    .size = sizeof plugin_host,
    .log = host_log,
    .wall_ms = host_wall_ms,
    .mono_ms = host_mono_ms,
    .random = random_fill,
    .hmac = host_hmac,
    .config_count = config_count,
    .config_name = config_name,
    .config_string = config_string,
    .config_bool = config_bool,
    .config_number = config_number,
    .config_duration = config_duration,
    .config_share = config_share,
    .config_size = config_size,
    .config_list = config_list,
    .config_item = config_item,
    .config_upstream = config_upstream,
    .method = request_method,
    .target = request_target,
    .path = request_path,
    .tenant = request_tenant,
    .version = request_version,
    .route = request_route,
    .domain = request_domain,
    .is_trusted = request_is_trusted,
    .field = request_field,
    .cookie = request_cookie,
    .alloc = request_alloc,
    .get = request_get,
    .set = request_set,
    .wake = host_wake,
    .secret = host_secret,
    .config_map = config_map,
    .config_entry = config_entry,
    .config_has_upstream = config_has_upstream,
    .config_warn = config_warn,
    .servers = host_servers,
    .report = host_report,
    .count = host_count,
    .is_in_fleet = host_is_in_fleet,
    .route_option = request_route_option,
    .body = request_body,
    .has_body = request_has_body,
};
