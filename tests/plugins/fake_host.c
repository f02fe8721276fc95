#include "fake_host.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <strings.h>

int64_t fake_wall_ms = INT64_C(1790000000000);
unsigned fake_warnings;
unsigned fake_hmacs;

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
    return str_of(strcasecmp(name, "weir-position") == 0 ? request->header : NULL);
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
    .config_duration = config_duration,
    .config_list = config_list,
    .config_item = config_item,
    .method = request_method,
    .tenant = request_tenant,
    .domain = request_domain,
    .field = request_field,
    .cookie = request_cookie,
    .alloc = request_alloc,
    .get = request_get,
    .set = request_set,
    .secret = host_secret,
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
