/* The functions of struct weir_host, but for those of configure (plugin_config.c). The room's only user of
 * OpenSSL's HMAC.
 */
#include "pipeline/plugin_host.h"

#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "http/chars.h"
#include "pipeline/client.h"
#include "pipeline/own_cookie.h"
#include "pipeline/plugin_config.h"
#include "pipeline/plugin_upstream.h"
#include "pipeline/request.h"

static struct weir_str out_str(struct str s)
{
    return (struct weir_str){ s.data, s.len };
}

static void host_log(enum weir_log_level level, const char *line)
{
    if (level < WEIR_LOG_DEBUG || level > WEIR_LOG_ERROR) /* a newer minor's, perhaps */
        level = WEIR_LOG_ERROR;
    log_line((enum log_level)level, "plugin: %s", line ? line : "");
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
    /* What is absent is empty. */
    const unsigned char *bytes = (const unsigned char *)(data.data ? data.data : "");
    CHECK(HMAC(EVP_sha256(), key.data ? key.data : "", (int)key.len, bytes, data.len, out, &len) != NULL);
}

static unsigned char drawn_secret[32];

static void draw_secret(void)
{
    CHECK(random_fill(drawn_secret, sizeof drawn_secret));
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
    struct request *req = request->req;
    if (!plugin_may_find(&req->msg, &req->letters, name))
        return (struct weir_str){ NULL, 0 };
    const struct field *field = message_find(&req->msg, str_of(name));
    return field ? out_str(field->value) : (struct weir_str){ NULL, 0 };
}

static struct weir_str request_cookie(const struct weir_request *request, const char *name)
{
    const struct message *msg = &request->req->msg;
    struct str wanted = str_of(name);
    if (own_cookie_is(wanted))
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

static enum weir_kind request_kind(const struct weir_request *request)
{
    return request->req->is_write ? WEIR_WRITE : WEIR_READ;
}

static struct weir_str request_field_line(const struct weir_request *request, const char *name, unsigned n)
{
    const struct message *msg = &request->req->msg;
    struct str wanted = str_of(name);
    const struct field *field = message_find(msg, wanted);
    if (!field || n == 0)
        return field ? out_str(field->value) : (struct weir_str){ NULL, 0 };
    for (unsigned i = 0; i < msg->field_count; i++) {
        if (str_ieq(msg->fields[i].name, wanted) && n-- == 0)
            return out_str(msg->fields[i].value);
    }
    return (struct weir_str){ NULL, 0 };
}

/* Of the fields that weir knows each has its own maker: two would be one too many. */
static bool is_plugins_to_say(struct str name)
{
    enum field_id id = field_id_of(name);
    if (id != FIELD_UNKNOWN)
        return id == FIELD_SET_COOKIE || id == FIELD_LINK;
    return !field_name_is_ambiguous(name) && !str_has_iprefix(name, STR("weir-"));
}

static bool has_bad_bytes(struct str value)
{
    return scan_value(value.data, value.data + value.len) != value.data + value.len;
}

static bool request_add_reply_field(struct weir_request *request, const char *name, struct weir_str value)
{
    struct request *req = request->req;
    struct str field_name = str_of(name);
    struct str field_value = str_trim(str_n(value.data, value.len));
    if (req->has_begun || req->reply_field_count == REPLY_FIELDS_MAX ||
        field_name.len + field_value.len > REPLY_FIELD_BYTES || !is_token(field_name) ||
        !is_plugins_to_say(field_name) || has_bad_bytes(field_value))
        return false;
    struct reply_field *added = arena_alloc(&req->arena, sizeof *added);
    field_name = arena_str(&req->arena, field_name);
    field_value = arena_str(&req->arena, field_value);
    if (!added || !field_name.data || !field_value.data)
        return false;
    *added = (struct reply_field){ field_name, field_value, (uint8_t)request->index, (uint8_t)request->hook,
                                   NULL };
    struct reply_field **end = &req->reply_fields;
    while (*end)
        end = &(*end)->next;
    *end = added;
    req->reply_field_count++;
    return true;
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

static _Thread_local const struct held *choosing;

void plugin_host_choosing(const struct held *held)
{
    choosing = held;
}

static void host_wake(struct weir_upstream *upstream)
{
    if (!upstream || !upstream->face)
        return;
    struct held *held = plugin_upstream_held(upstream->face);
    held_wake(held, held == choosing);
}

static bool host_report(struct weir_upstream *upstream, struct weir_str address,
                        const struct weir_report *report)
{
    return upstream && upstream->face && !atomic_load(&upstream->is_retired) &&
           plugin_upstream_report(upstream->face, str_n(address.data, address.len), report);
}

static unsigned host_servers(struct weir_upstream *upstream, struct weir_server *out, unsigned max)
{
    return upstream && upstream->face ? plugin_upstream_servers(upstream->face, out, max) : 0;
}

static void host_count(struct weir_upstream *upstream, const char *event)
{
    if (upstream && upstream->face && event)
        plugin_upstream_count(upstream->face, event);
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
    if (!req->is_upload_kept)
        return (struct weir_str){ NULL, 0 };
    struct str body = buf_str(&req->upload_buf);
    return (struct weir_str){ body.data ? body.data : "", body.len };
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
    .config_count = plugin_config_count,
    .config_name = plugin_config_name,
    .config_string = plugin_config_string,
    .config_bool = plugin_config_bool,
    .config_number = plugin_config_number,
    .config_duration = plugin_config_duration,
    .config_share = plugin_config_share,
    .config_size = plugin_config_size,
    .config_list = plugin_config_list,
    .config_item = plugin_config_item,
    .config_upstream = plugin_config_upstream,
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
    .config_map = plugin_config_map,
    .config_entry = plugin_config_entry,
    .config_has_upstream = plugin_config_has_upstream,
    .config_warn = plugin_config_warn,
    .servers = host_servers,
    .report = host_report,
    .count = host_count,
    .is_in_fleet = host_is_in_fleet,
    .route_option = request_route_option,
    .body = request_body,
    .has_body = request_has_body,
    .kind = request_kind,
    .field_line = request_field_line,
    .add_reply_field = request_add_reply_field,
};
