/* struct object_meta as it is kept: packed, its strings side by side. */
#include "cache/memory.h"

#define IN_SECONDS 0x80000000u
#define UNSAID     0xffffffffu

/* In ms while these fit into 31 bits, else in seconds, rounded down. */
static uint32_t duration_pack(int64_t ms)
{
    if (ms < 0)
        return UNSAID;
    if (ms < IN_SECONDS)
        return (uint32_t)ms;
    return (uint32_t)min_i64(ms / 1000, IN_SECONDS - 2) | IN_SECONDS;
}

static int64_t duration_ms(uint32_t packed)
{
    if (packed == UNSAID)
        return -1;
    return packed & IN_SECONDS ? (int64_t)(packed & ~IN_SECONDS) * 1000 : packed;
}

/* --- packing --- */

/* A validator is usually part of the head's text: then it is a view of it, and costs nothing. */
static bool find_in(struct str part, struct str head, uint16_t *out_at)
{
    const char *found = part.len <= head.len ? memmem(head.data, head.len, part.data, part.len) : NULL;
    if (!found || found - head.data > UINT16_MAX)
        return false;
    *out_at = (uint16_t)(found - head.data);
    return true;
}

static size_t apart_bytes(struct str validator, struct str head)
{
    uint16_t at;
    return validator.data && !find_in(validator, head, &at) ? validator.len : 0;
}

static bool is_inline(const struct object_meta *meta)
{
    return meta->length > 0 && meta->length <= INLINE_MAX;
}

bool facts_size(const struct object_meta *meta, size_t *out_bytes)
{
    const size_t lens[] = { meta->vary.len,          meta->vary_key.len, meta->domain.len, meta->position.len,
                            meta->last_modified.len, meta->tags.len,     meta->etag.len };
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        if (lens[i] > UINT16_MAX)
            return false;
    }
    if (meta->head.len > INT32_MAX)
        return false;
    *out_bytes = sizeof(struct facts) + meta->head.len + meta->vary.len + meta->vary_key.len +
                 meta->domain.len + meta->position.len + meta->tags.len +
                 apart_bytes(meta->etag, meta->head) + apart_bytes(meta->last_modified, meta->head);
    if (is_inline(meta))
        *out_bytes += (size_t)meta->length;
    else if (meta->length > 0)
        *out_bytes += sizeof meta->length;
    return true;
}

static void put(char **at, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(*at, bytes, len);
    *at += len;
}

static unsigned flags_of(const struct object_meta *meta)
{
    unsigned flags = 0;
    flags |= meta->must_revalidate ? FACT_MUST_REVALIDATE : 0;
    flags |= meta->always_revalidate ? FACT_ALWAYS_REVALIDATE : 0;
    flags |= meta->allows_authorization ? FACT_ALLOWS_AUTHORIZATION : 0;
    flags |= meta->is_by_ttl ? FACT_BY_TTL : 0;
    flags |= meta->is_guessed ? FACT_GUESSED : 0;
    flags |= meta->is_partial ? FACT_PARTIAL : 0;
    flags |= meta->etag.data ? FACT_HAS_ETAG : 0;
    flags |= meta->last_modified.data ? FACT_HAS_MODIFIED : 0;
    flags |= meta->length >= 0 ? FACT_HAS_LENGTH : 0;
    flags |= is_inline(meta) ? FACT_INLINE : meta->length > 0 ? FACT_LONG : 0;
    return flags;
}

/* What the server may have known about writes: in doubt, less. */
static uint32_t fetched_before(const struct object_meta *meta)
{
    int64_t before = max_i64(meta->stored_wall_ms - meta->fetched_wall_ms, 0);
    return duration_pack(before < IN_SECONDS ? before : before + 999);
}

void facts_put(struct object *object, const struct object_meta *meta)
{
    struct facts *facts = object_facts(object);
    *facts = (struct facts){
        .stored_wall_ms = meta->stored_wall_ms,
        .lifetime = duration_pack(meta->lifetime_ms),
        .initial_age = duration_pack(meta->initial_age_ms),
        .stale_while_revalidate = duration_pack(meta->stale_while_revalidate_ms),
        .stale_if_error = duration_pack(meta->stale_if_error_ms),
        .fetched_before = fetched_before(meta),
        .head_len = (uint32_t)meta->head.len,
        .status = (uint16_t)meta->status,
        .body_len = is_inline(meta) ? (uint16_t)meta->length : 0,
        .vary_len = (uint16_t)meta->vary.len,
        .vary_key_len = (uint16_t)meta->vary_key.len,
        .etag_len = (uint16_t)meta->etag.len,
        .modified_len = (uint16_t)meta->last_modified.len,
        .domain_len = (uint16_t)meta->domain.len,
        .position_len = (uint16_t)meta->position.len,
        .tags_len = (uint16_t)meta->tags.len,
    };
    unsigned flags = flags_of(meta);
    char *at = (char *)(uintptr_t)object_text(object);
    put(&at, meta->vary.data, meta->vary.len);
    put(&at, meta->vary_key.data, meta->vary_key.len);
    put(&at, meta->head.data, meta->head.len);
    put(&at, meta->domain.data, meta->domain.len);
    put(&at, meta->position.data, meta->position.len);
    put(&at, meta->tags.data, meta->tags.len);
    if (meta->etag.data && !find_in(meta->etag, meta->head, &facts->etag_at)) {
        put(&at, meta->etag.data, meta->etag.len);
        flags |= FACT_ETAG_APART;
    }
    if (meta->last_modified.data && !find_in(meta->last_modified, meta->head, &facts->modified_at)) {
        put(&at, meta->last_modified.data, meta->last_modified.len);
        flags |= FACT_MODIFIED_APART;
    }
    if (meta->length > 0 && !is_inline(meta))
        put(&at, &meta->length, sizeof meta->length);
    facts->flags = (uint16_t)flags;
}

/* --- reading --- */

static const char *behind_text(const struct object *object)
{
    const struct facts *facts = object_facts(object);
    const char *at = object_text(object) + facts->vary_len + facts->vary_key_len + facts->head_len +
                     facts->domain_len + facts->position_len + facts->tags_len;
    if (facts->flags & FACT_ETAG_APART)
        at += facts->etag_len;
    return facts->flags & FACT_MODIFIED_APART ? at + facts->modified_len : at;
}

int64_t object_declared_length(const struct object *object)
{
    const struct facts *facts = object_facts(object);
    if (!(facts->flags & FACT_HAS_LENGTH))
        return -1;
    if (facts->flags & FACT_INLINE)
        return facts->body_len;
    int64_t length = 0;
    if (facts->flags & FACT_LONG)
        memcpy(&length, behind_text(object), sizeof length);
    return length;
}

char *object_inline_body(const struct object *object)
{
    return object_facts(object)->flags & FACT_INLINE ? (char *)(uintptr_t)behind_text(object) : NULL;
}

static struct str take(const char **at, size_t len)
{
    struct str part = str_n(*at, len);
    *at += len;
    return part;
}

static struct str validator_of(const char **apart, struct str head, unsigned at, size_t len, bool is_there,
                               bool is_apart)
{
    if (!is_there)
        return (struct str){ NULL, 0 };
    return is_apart ? take(apart, len) : str_n(head.data + at, len);
}

const struct object_meta *object_meta_read(const struct object *object, struct object_meta *out)
{
    const struct facts *facts = object_facts(object);
    unsigned flags = facts->flags;
    const char *at = object_text(object);
    out->vary = take(&at, facts->vary_len);
    out->vary_key = take(&at, facts->vary_key_len);
    out->head = take(&at, facts->head_len);
    out->domain = take(&at, facts->domain_len);
    out->position = take(&at, facts->position_len);
    out->tags = take(&at, facts->tags_len);
    out->etag = validator_of(&at, out->head, facts->etag_at, facts->etag_len, flags & FACT_HAS_ETAG,
                             flags & FACT_ETAG_APART);
    out->last_modified = validator_of(&at, out->head, facts->modified_at, facts->modified_len,
                                      flags & FACT_HAS_MODIFIED, flags & FACT_MODIFIED_APART);
    out->status = facts->status;
    out->must_revalidate = flags & FACT_MUST_REVALIDATE;
    out->always_revalidate = flags & FACT_ALWAYS_REVALIDATE;
    out->allows_authorization = flags & FACT_ALLOWS_AUTHORIZATION;
    out->is_by_ttl = flags & FACT_BY_TTL;
    out->is_guessed = flags & FACT_GUESSED;
    out->is_partial = flags & FACT_PARTIAL;
    out->stored_wall_ms = facts->stored_wall_ms;
    out->fetched_wall_ms = facts->stored_wall_ms - duration_ms(facts->fetched_before);
    out->lifetime_ms = object_lifetime_ms(object);
    out->initial_age_ms = duration_ms(facts->initial_age);
    out->stale_while_revalidate_ms = duration_ms(facts->stale_while_revalidate);
    out->stale_if_error_ms = duration_ms(facts->stale_if_error);
    out->length = object_declared_length(object);
    return out;
}

/* --- what changes while it is stored --- */

int64_t object_lifetime_ms(const struct object *object)
{
    return duration_ms(atomic_load_explicit(&object_facts(object)->lifetime, memory_order_relaxed));
}

void object_expire(struct object *object, int64_t now_wall_ms)
{
    struct facts *facts = object_facts(object);
    /* RFC 9111 4.2: fresh while its lifetime is over its age. A clock set back makes nobody younger. */
    int64_t age_ms = duration_ms(facts->initial_age) + max_i64(now_wall_ms - facts->stored_wall_ms, 0);
    uint32_t ended = duration_pack(age_ms);
    uint32_t before = atomic_load_explicit(&facts->lifetime, memory_order_relaxed);
    while (duration_ms(before) > age_ms &&
           !atomic_compare_exchange_weak_explicit(&facts->lifetime, &before, ended, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

uint32_t object_failed_at(const struct object *object)
{
    return atomic_load_explicit(&object->failed_at, memory_order_relaxed);
}

void object_set_failed_at(struct object *object, uint32_t seconds)
{
    atomic_store_explicit(&object->failed_at, seconds, memory_order_relaxed);
}
