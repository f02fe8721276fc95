#include "policy/version.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/map.h"
#include "http/target.h"
#include "policy/pattern.h"

struct versions {
    const struct config_versions *config;
    struct map *by_name; /* to struct config_version */
    size_t name_len_max;
};

struct versions *versions_new(const struct config_versions *config)
{
    struct versions *versions = calloc(1, sizeof *versions);
    if (!versions)
        return NULL;
    versions->config = config;
    versions->by_name = map_new();
    if (!versions->by_name)
        goto fail;
    for (unsigned i = 0; i < config->known_count; i++) {
        struct str name = config->known[i].name;
        if (!map_put(versions->by_name, name, &config->known[i]))
            goto fail;
        if (name.len > versions->name_len_max)
            versions->name_len_max = name.len;
    }
    return versions;

fail:
    versions_free(versions);
    return NULL;
}

void versions_free(struct versions *versions)
{
    if (!versions)
        return;
    map_free(versions->by_name);
    free(versions);
}

static const struct config_version *known(const struct versions *versions, struct str name)
{
    return name.len > 0 && name.len <= versions->name_len_max ? map_get(versions->by_name, name) : NULL;
}

static int choose(const struct versions *versions, const struct config_version *version,
                  struct version_choice *out)
{
    if (!version)
        return ERR_UNKNOWN_VERSION;
    out->version = version;
    out->index = (unsigned)(version - versions->config->known);
    return 0;
}

/* A member's q in thousandths (RFC 9110 12.4.2); 1000 without one, 0 when it makes no sense. */
static unsigned quality(struct str parameters)
{
    struct str one;
    while (str_split(&parameters, ';', &one)) {
        one = str_trim(one);
        if (!str_has_iprefix(one, STR("q=")))
            continue;
        one = str_from(one, 2);
        if (one.len > 0 && one.data[0] == '1')
            return 1000;
        unsigned q = 0, unit = 100;
        for (size_t i = 2; i < one.len && unit > 0; i++, unit /= 10) {
            if (one.data[i] < '0' || one.data[i] > '9')
                return 0;
            q += unit * (unsigned)(one.data[i] - '0');
        }
        return q;
    }
    return 1000;
}

/* The known version that a media type names. *is_named: it has the pattern's shape with some word. Where the
 * word starts is not certain behind a "*": one of each length that a known version may have is tried. */
static const struct config_version *media_version(const struct versions *versions,
                                                  const struct config_source *source, struct str type,
                                                  bool *is_named)
{
    if (!pattern_media(source, type))
        return NULL;
    *is_named = true;
    size_t end = type.len - source->after.len;
    for (size_t len = 1; len <= versions->name_len_max && len <= end; len++) {
        size_t start = end - len;
        const struct config_version *version = known(versions, str_n(type.data + start, len));
        if (version && pattern_media_word(source, type, start))
            return version;
    }
    return NULL;
}

/* What Accept likes best among the versions it names; the first one of equals. 1, 0 (names none) or
 * ERR_UNKNOWN_VERSION (names only unknown ones). */
static int choose_by_accept(const struct versions *versions, const struct config_source *source,
                            const struct message *request, struct version_choice *out)
{
    const struct config_version *best = NULL;
    unsigned best_quality = 0;
    bool is_named = false;
    for (const struct field *field = message_field(request, FIELD_ACCEPT); field;
         field = message_next(request, field)) {
        struct str rest = field->value, member;
        while (str_next_member(&rest, &member)) {
            ptrdiff_t semicolon = str_find(member, ';');
            struct str type = semicolon < 0 ? member : str_trim(str_n(member.data, (size_t)semicolon));
            struct str parameters = semicolon < 0 ? str_n(NULL, 0) : str_from(member, (size_t)semicolon + 1);
            const struct config_version *version = media_version(versions, source, type, &is_named);
            unsigned q = version ? quality(parameters) : 0;
            if (q > best_quality) {
                best = version;
                best_quality = q;
            }
        }
    }
    if (!is_named)
        return 0;
    int err = choose(versions, best, out);
    return err ? err : 1;
}

/* 1: chosen, 0: on to the next source, or ERR_UNKNOWN_VERSION. */
static int choose_by(const struct versions *versions, const struct config_source *source,
                     const struct message *request, struct str path, struct version_choice *out)
{
    struct str word;
    size_t bytes;
    bool is_clear = true;
    switch (source->kind) {
    case SOURCE_PATH:
        if (!pattern_path(source, path, &word, &bytes) || bytes > UINT16_MAX || !known(versions, word))
            return 0;
        out->prefix_bytes = (uint16_t)bytes;
        out->is_prefix_stripped = source->is_stripped;
        break;
    case SOURCE_HEADER:
        if (!pattern_field(source, request, &word, &is_clear))
            return 0;
        break;
    case SOURCE_QUERY:
        if (!query_find(request->query, source->name, &word) || word.len == 0)
            return 0;
        break;
    case SOURCE_ACCEPT:
        return choose_by_accept(versions, source, request, out);
    case SOURCE_HOST:
    default:
        return 0;
    }
    int err = choose(versions, is_clear ? known(versions, word) : NULL, out);
    return err ? err : 1;
}

int versions_choose(const struct versions *versions, const struct message *request, struct str path,
                    struct str preferred, struct version_choice *out)
{
    const struct config_versions *config = versions->config;
    *out = (struct version_choice){ 0 };
    if (!config->is_given)
        return 0;
    for (unsigned i = 0; i < config->from_count; i++) {
        int found = choose_by(versions, &config->from[i], request, path, out);
        if (found != 0)
            return found < 0 ? found : 0;
    }
    const struct config_version *version = known(versions, preferred);
    return choose(versions, version ? version : known(versions, config->fallback), out);
}

bool version_is_gone(const struct config_version *version, int64_t now_s)
{
    return version->is_gone_after_sunset && version->sunset_s != 0 && now_s >= version->sunset_s;
}

static uint64_t fnv1a(uint64_t hash, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.data[i]) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u; /* so that "a","bc" and "ab","c" differ */
}

bool version_is_canary(const struct config_version *version, const struct config_canary *canary,
                       struct str tenant)
{
    if (!canary->upstream.data)
        return false;
    for (unsigned i = 0; i < canary->tenant_count; i++) {
        if (str_eq(canary->tenants[i], tenant))
            return true;
    }
    /* FNV's low bits are good and its high ones poor for short names: mix before cutting to a share. */
    uint64_t hash = fnv1a(fnv1a(0xcbf29ce484222325u, version->name), tenant);
    hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
    hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
    double place = (double)(hash >> 11) * 0x1p-53;
    return place * 100.0 < canary->percent;
}
