#include "fake_host.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int64_t fake_wall_ms = INT64_C(1790000000000);
unsigned fake_warnings;
unsigned fake_hmacs;
unsigned fake_config_warnings;
unsigned fake_wakes;
bool fake_is_in_fleet;
struct fake_event fake_events[FAKE_EVENTS_MAX];
struct fake_server fake_servers[FAKE_SERVERS_MAX];
unsigned fake_server_count;

static struct weir_str str_of(const char *text)
{
    return (struct weir_str){ text, text ? strlen(text) : 0 };
}

static void host_log(enum weir_log_level level, const char *line)
{
    if (level >= WEIR_LOG_WARN)
        fake_warnings++;
}

static int64_t host_now_ms(void)
{
    return fake_wall_ms;
}

static bool host_random(void *out, size_t len)
{
    memset(out, 7, len);
    return true;
}

static void host_hmac(struct weir_str key, struct weir_str data, unsigned char out[32])
{
    unsigned len = 32;

    fake_hmacs++;
    HMAC(EVP_sha256(), key.data, (int)key.len, (const unsigned char *)data.data, data.len, out, &len);
}

static void host_secret(const char *label, unsigned char out[32])
{
    host_hmac(str_of("drawn at the start of this process"), str_of(label), out);
}

static unsigned config_count(const struct weir_config *config)
{
    unsigned count = 0;

    while (count < FAKE_KEYS_MAX && config->keys[count].name)
        count++;
    return count;
}

static const char *config_name(const struct weir_config *config, unsigned index)
{
    return config->keys[index].name;
}

static const struct fake_key *find(const struct weir_config *config, const char *name)
{
    for (unsigned i = 0; i < config_count(config); i++)
        if (strcmp(config->keys[i].name, name) == 0)
            return &config->keys[i];
    return NULL;
}

static int config_string(const struct weir_config *config, const char *name, struct weir_str *out)
{
    const struct fake_key *key = find(config, name);

    if (!key)
        return 0;
    if (!key->text)
        return -1;
    *out = str_of(key->text);
    return 1;
}

/* Seconds and milliseconds are enough here. */
static int config_duration(const struct weir_config *config, const char *name, int64_t *out_ms)
{
    const struct fake_key *key = find(config, name);
    char *end;
    int64_t value;

    if (!key)
        return 0;
    if (!key->text)
        return -1;
    if (strcmp(key->text, "unlimited") == 0) {
        *out_ms = -1;
        return 1;
    }
    value = strtoll(key->text, &end, 10);
    if (end == key->text || (strcmp(end, "s") != 0 && strcmp(end, "ms") != 0))
        return -1;
    *out_ms = strcmp(end, "s") == 0 ? value * 1000 : value;
    return 1;
}

static int config_number(const struct weir_config *config, const char *name, double *out)
{
    const struct fake_key *key = find(config, name);
    char *end;
    double value;

    if (!key)
        return 0;
    if (!key->text)
        return -1;
    value = strtod(key->text, &end);
    if (end == key->text || *end)
        return -1;
    *out = value;
    return 1;
}

/* What stands before the unit. */
static int config_unit(const struct weir_config *config, const char *name, const char *unit, double *out)
{
    const struct fake_key *key = find(config, name);
    char *end;
    double value;

    if (!key)
        return 0;
    if (!key->text)
        return -1;
    value = strtod(key->text, &end);
    if (end == key->text || strcmp(end, unit) != 0)
        return -1;
    *out = value;
    return 1;
}

static int config_share(const struct weir_config *config, const char *name, double *out)
{
    int found = config_unit(config, name, "%", out);

    if (found == 1 && *out > 100)
        return -1;
    if (found == 1)
        *out /= 100;
    return found;
}

/* KiB are enough here. */
static int config_size(const struct weir_config *config, const char *name, int64_t *out_bytes)
{
    double value;
    int found = config_unit(config, name, "KiB", &value);

    if (found == 1)
        *out_bytes = (int64_t)(value * 1024);
    return found;
}

static int config_list(const struct weir_config *config, const char *name)
{
    const struct fake_key *key = find(config, name);
    int count = 0;

    if (!key)
        return 0;
    if (key->text)
        return -1;
    while (count < FAKE_ITEMS_MAX && key->items[count])
        count++;
    return count;
}

static struct weir_str config_item(const struct weir_config *config, const char *name, unsigned index)
{
    return str_of(find(config, name)->items[index]);
}

/* "positions.postgres" is a key of that name here, and "positions" another one beside it. */
static int config_map(const struct weir_config *config, const char *path)
{
    const struct fake_key *key = find(config, path);
    int count = 0;

    if (!key)
        return 0;
    if (!key->is_map)
        return -1;
    while (count + 1 < FAKE_ITEMS_MAX && key->items[count])
        count += 2;
    return count / 2;
}

static bool config_entry(const struct weir_config *config, const char *path, unsigned index,
                         struct weir_str *out_key, struct weir_str *out_value)
{
    const struct fake_key *key = find(config, path);

    *out_key = str_of(key->items[2 * index]);
    *out_value = str_of(key->items[2 * index + 1]);
    return out_value->data;
}

static void config_warn(const struct weir_config *config, const char *line)
{
    fake_config_warnings++;
}

static struct weir_upstream *config_upstream(const struct weir_config *config)
{
    return NULL;
}

static void host_wake(struct weir_upstream *upstream)
{
    fake_wakes++;
}

static unsigned host_servers(struct weir_upstream *upstream, struct weir_server *out, unsigned max)
{
    for (unsigned i = 0; i < fake_server_count && i < max; i++)
        out[i] = fake_servers[i].server;
    return fake_server_count;
}

static bool host_report(struct weir_upstream *upstream, struct weir_str address,
                        const struct weir_report *report)
{
    for (unsigned i = 0; i < fake_server_count; i++) {
        struct fake_server *server = &fake_servers[i];

        if (strncmp(server->server.address, address.data, address.len) != 0 ||
            server->server.address[address.len])
            continue;
        if (report->has_role)
            server->server.role = report->role;
        if (report->has_lag)
            server->lag_ms = report->lag_ms;
        if (report->position.data)
            snprintf(server->position, sizeof server->position, "%.*s", (int)report->position.len,
                     report->position.data);
        return true;
    }
    return false;
}

static void host_count(struct weir_upstream *upstream, const char *event)
{
    unsigned at = 0;

    while (at < FAKE_EVENTS_MAX && fake_events[at].name && strcmp(fake_events[at].name, event) != 0)
        at++;
    if (at == FAKE_EVENTS_MAX)
        return;
    fake_events[at].name = event;
    fake_events[at].count++;
}

unsigned fake_counted(const char *event)
{
    for (unsigned i = 0; i < FAKE_EVENTS_MAX && fake_events[i].name; i++)
        if (strcmp(fake_events[i].name, event) == 0)
            return fake_events[i].count;
    return 0;
}

void fake_add_server(const char *address, enum weir_role role)
{
    struct fake_server *server = &fake_servers[fake_server_count++];

    *server =
        (struct fake_server){ .server = { .size = sizeof server->server, .role = role, .is_usable = true },
                              .lag_ms = -1 };
    snprintf(server->server.address, sizeof server->server.address, "%s", address);
}

static bool host_is_in_fleet(void)
{
    return fake_is_in_fleet;
}

static struct weir_str request_method(const struct weir_request *request)
{
    return str_of(request->method);
}

static struct weir_str request_tenant(const struct weir_request *request)
{
    return str_of(request->tenant);
}

static struct weir_str request_domain(const struct weir_request *request)
{
    return str_of(request->domain);
}

static struct weir_str request_field(const struct weir_request *request, const char *name)
{
    if (strcasecmp(name, "weir-position") == 0)
        return str_of(request->header);
    if (strcasecmp(name, "weir-kind") == 0)
        return str_of(request->kind);
    if (request->override_name && strcasecmp(name, request->override_name) == 0)
        return str_of(request->override);
    if (strcasecmp(name, "content-type") == 0)
        return str_of(request->content_type);
    if (strcasecmp(name, "content-encoding") == 0)
        return str_of(request->content_encoding);
    return str_of(NULL);
}

static struct weir_str request_field_line(const struct weir_request *request, const char *name, unsigned n)
{
    if (n == 0)
        return request_field(request, name);
    if (n == 1 && strcasecmp(name, "weir-position") == 0)
        return str_of(request->second_header);
    if (n == 1 && request->override_name && strcasecmp(name, request->override_name) == 0)
        return str_of(request->second_override);
    return str_of(NULL);
}

static struct weir_str request_path(const struct weir_request *request)
{
    return str_of(request->path ? request->path : "/");
}

static struct weir_str request_target(const struct weir_request *request)
{
    return request->target ? str_of(request->target) : request_path(request);
}

static bool request_is_trusted(const struct weir_request *request)
{
    return request->is_trusted;
}

static struct weir_str request_route_option(const struct weir_request *request, const char *name)
{
    return str_of(strcmp(name, "consistency") == 0 ? request->consistency : NULL);
}

static struct weir_str request_body(const struct weir_request *request)
{
    return str_of(request->body);
}

static bool request_has_body(const struct weir_request *request)
{
    return request->body;
}

static struct weir_str request_cookie(const struct weir_request *request, const char *name)
{
    return str_of(strcmp(name, "weir_position") == 0 ? request->cookie : NULL);
}

static void *request_alloc(struct weir_request *request, size_t size)
{
    size_t skip = -(uintptr_t)(request->memory + request->used) & 15;
    void *memory = request->memory + request->used + skip;

    size = ((size + 15) & ~(size_t)15) + skip;
    if (request->is_out_of_memory || request->used + size > sizeof request->memory)
        return NULL;
    request->used += size;
    return memory;
}

static void *request_get(const struct weir_request *request)
{
    return request->kept;
}

static void request_set(struct weir_request *request, void *value)
{
    request->kept = value;
}

const struct weir_host fake_host = {
    .size = sizeof(struct weir_host),
    .log = host_log,
    .wall_ms = host_now_ms,
    .mono_ms = host_now_ms,
    .random = host_random,
    .hmac = host_hmac,
    .config_count = config_count,
    .config_name = config_name,
    .config_string = config_string,
    .config_number = config_number,
    .config_duration = config_duration,
    .config_share = config_share,
    .config_size = config_size,
    .config_list = config_list,
    .config_item = config_item,
    .config_upstream = config_upstream,
    .method = request_method,
    .tenant = request_tenant,
    .domain = request_domain,
    .field = request_field,
    .cookie = request_cookie,
    .alloc = request_alloc,
    .get = request_get,
    .set = request_set,
    .wake = host_wake,
    .secret = host_secret,
    .config_map = config_map,
    .config_entry = config_entry,
    .config_warn = config_warn,
    .servers = host_servers,
    .report = host_report,
    .count = host_count,
    .is_in_fleet = host_is_in_fleet,
    .path = request_path,
    .target = request_target,
    .is_trusted = request_is_trusted,
    .route_option = request_route_option,
    .body = request_body,
    .has_body = request_has_body,
    .field_line = request_field_line,
};

const struct weir_plugin *fake_load(const char *path)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct weir_plugin *plugin;

    cr_assert(object, "%s", dlerror());
    plugin = dlsym(object, "weir_plugin");
    cr_assert(plugin, "%s", dlerror());
    cr_assert_eq(plugin->abi_major, WEIR_PLUGIN_ABI_MAJOR);
    return plugin;
}
