#include "policy/tenant.h"

#include "base/check.h"
#include "base/err.h"
#include "http/target.h"
#include "policy/pattern.h"

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool tenant_name_is_valid(struct str name)
{
    if (name.len == 0 || name.len > TENANT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_byte(name.data[i]))
            return false;
    }
    return true;
}

static void claim_name(struct tenant_claim *claim, struct str name)
{
    CHECK(name.len <= TENANT_NAME_MAX);
    for (size_t i = 0; i < name.len; i++)
        claim->name[i] = ascii_lower(name.data[i]);
    claim->name[name.len] = '\0';
    claim->name_len = (uint8_t)name.len;
}

static bool claim_by_host(const struct config_source *source, const struct message *request,
                          struct tenant_claim *out)
{
    struct str word;
    if (!pattern_host(source, authority_host(request->authority), &word) || !tenant_name_is_valid(word))
        return false;
    claim_name(out, word);
    return true;
}

static bool claim_by_path(const struct config_source *source, const struct message *request,
                          struct tenant_claim *out)
{
    struct str word;
    size_t bytes;
    if (!pattern_path(source, request->path, &word, &bytes) || !tenant_name_is_valid(word))
        return false;
    if (bytes > UINT16_MAX)
        return false;
    claim_name(out, word);
    out->prefix_bytes = (uint16_t)bytes;
    out->is_prefix_stripped = source->is_stripped;
    return true;
}

/* 1: named one, 0: not there, or ERR_BAD_TENANT: who sets a header means a tenant, and two that differ
 * would let two readers see two tenants. */
static int claim_by_header(const struct config_source *source, const struct message *request,
                           bool is_peer_trusted, struct tenant_claim *out)
{
    struct str value;
    bool is_clear;
    if (source->is_trusted_only && !is_peer_trusted)
        return 0;
    if (!pattern_field(source, request, &value, &is_clear))
        return 0;
    if (!is_clear || !tenant_name_is_valid(value))
        return ERR_BAD_TENANT;
    claim_name(out, value);
    return 1;
}

int tenant_claim_read(const struct config_tenants *config, const struct message *request,
                      bool is_peer_trusted, struct tenant_claim *out)
{
    out->prefix_bytes = 0;
    out->is_prefix_stripped = false;
    for (unsigned i = 0; config->is_given && i < config->from_count; i++) {
        const struct config_source *source = &config->from[i];
        int found = 0;
        if (source->kind == SOURCE_HOST)
            found = claim_by_host(source, request, out);
        else if (source->kind == SOURCE_PATH)
            found = claim_by_path(source, request, out);
        else if (source->kind == SOURCE_HEADER)
            found = claim_by_header(source, request, is_peer_trusted, out);
        if (found != 0)
            return found < 0 ? found : 0;
    }
    if (config->is_given && !config->is_unknown_default)
        return ERR_NO_TENANT;
    claim_name(out, STR("default"));
    return 0;
}
