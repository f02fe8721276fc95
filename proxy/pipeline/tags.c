#include "pipeline/tags.h"

#include <stdlib.h>

#include "fleet/bus.h"
#include "http/caching_tags.h"
#include "pipeline/second_tier.h"

#define TARGET_BYTES_MAX 8192
#define GROUP_BYTES_MAX  4096

/* --- the names of a reply --- */

/* What leads a name that is no tag of an app's: Cache-Tag's have no comma, Surrogate-Key's no blank. */
#define MARK             ", "
#define MARK_GROUP       MARK "g "
#define MARK_CONTROL     MARK "c "

/* A group is its origin's: two origins' groups of one name are two (RFC 9875 1). */
static bool put_group(struct writer *w, const struct request *req, struct str group)
{
    size_t before = w->len;
    writer_put(w, req->is_https ? STR(MARK_GROUP "https://") : STR(MARK_GROUP "http://"));
    writer_put(w, req->authority);
    writer_put(w, STR(" "));
    writer_put(w, group);
    return w->len - before <= CACHE_TAG_BYTES_MAX;
}

static bool put_tag(struct writer *w, struct str tag)
{
    writer_put(w, tag);
    writer_put(w, str_n("", 1));
    return !w->is_over;
}

/* What was said to weir alone is no line of the stored head: it is kept among the tags. */
static bool put_control(struct writer *w, const struct message *reply, int *all)
{
    const struct field *field = message_field(reply, FIELD_WEIR_CACHE_CONTROL);
    size_t before = w->len;
    writer_put(w, STR(MARK_CONTROL));
    for (bool is_first = true; field; field = message_next(reply, field), is_first = false) {
        writer_put(w, is_first ? STR("") : STR(", "));
        writer_put(w, field->value);
    }
    (*all)++;
    return w->len - before <= CACHE_TAG_BYTES_MAX && put_tag(w, STR(""));
}

bool tags_of_reply(const struct request *req, const struct message *reply, char *out, struct str *out_tags)
{
    const struct config_route *route = req->way->config;
    struct str tags[CACHE_TAGS_MAX];
    char groups[GROUP_BYTES_MAX];
    struct writer w;
    int all = 0;

    *out_tags = STR("");
    writer_init(&w, out, TAGS_BYTES_MAX);
    if (reply->first[FIELD_CACHE_TAG] || reply->first[FIELD_SURROGATE_KEY]) {
        int count = tags_read(reply, tags, CACHE_TAGS_MAX);
        if (count < 0)
            return false;
        for (int i = 0; i < count; i++)
            put_tag(&w, tags[i]);
        all = count;
    }
    for (unsigned i = 0; route && route->has_cache && i < route->cache.tag_count; i++, all++)
        put_tag(&w, route->cache.tags[i]);
    if (reply->first[FIELD_CACHE_GROUPS]) {
        int count = groups_read(reply, FIELD_CACHE_GROUPS, groups, sizeof groups, tags, CACHE_TAGS_MAX);
        if (count < 0)
            return false;
        for (int i = 0; i < count; i++, all++) {
            if (!put_group(&w, req, tags[i]) || !put_tag(&w, STR("")))
                return false;
        }
    }
    if (reply->first[FIELD_WEIR_CACHE_CONTROL] && !put_control(&w, reply, &all))
        return false;
    if (w.is_over || all > CACHE_TAGS_MAX)
        return false;
    if (w.len > 0)
        *out_tags = writer_str(&w);
    return true;
}

/* The first of each ended by NUL; false at the end. */
static bool next_tag(struct str *rest, struct str *out)
{
    if (rest->len == 0)
        return false;
    size_t end = (size_t)str_find(*rest, '\0');
    *out = str_n(rest->data, end);
    *rest = str_from(*rest, end + 1);
    return true;
}

struct str tags_control(struct str tags)
{
    struct str tag;
    while (next_tag(&tags, &tag)) {
        if (str_has_prefix(tag, STR(MARK_CONTROL)))
            return str_from(tag, sizeof MARK_CONTROL - 1);
    }
    return (struct str){ NULL, 0 };
}

static bool is_of_route(const struct request *req, struct str tag)
{
    const struct config_route *route = req->way->config;
    for (unsigned i = 0; route && route->has_cache && i < route->cache.tag_count; i++) {
        if (str_eq(route->cache.tags[i], tag))
            return true;
    }
    return false;
}

bool tags_of_app(struct request *req, struct str tags, struct str *out_tags, struct str *out_keys)
{
    struct writer cache_tag, surrogate;
    struct str tag;
    char *data = arena_alloc(&req->arena, 2 * tags.len + 2);
    if (!data)
        return false;
    writer_init(&cache_tag, data, tags.len + 1);
    writer_init(&surrogate, data + tags.len + 1, tags.len + 1);
    while (next_tag(&tags, &tag)) {
        if (str_has_prefix(tag, STR(MARK)) || is_of_route(req, tag))
            continue;
        bool is_key = str_find(tag, ',') >= 0; /* only there it may hold one */
        struct writer *w = is_key ? &surrogate : &cache_tag;
        if (w->len > 0)
            writer_put(w, is_key ? STR(" ") : STR(","));
        writer_put(w, tag);
    }
    *out_tags = writer_str(&cache_tag);
    *out_keys = writer_str(&surrogate);
    return true;
}

/* --- the control thread's part --- */

struct told {
    struct post post;
    struct bus *bus;
    struct bus_purge purge;
    char bytes[];
};

static void on_told(struct post *post)
{
    struct told *told = CONTAINER_OF(post, struct told, post);
    bus_purge(told->bus, &told->purge, NULL, NULL);
    free(told);
}

/* The rest of the fleet hears of a tag's purge; nobody waits for that. */
static void tell_fleet(const struct lane *lane, struct str tenant, struct str tag)
{
    struct city *city = lane->city;
    struct told *told = city->bus ? malloc(sizeof *told + tenant.len + tag.len) : NULL;
    if (!told)
        return;
    memcpy(told->bytes, tenant.data, tenant.len);
    memcpy(told->bytes + tenant.len, tag.data, tag.len);
    told->bus = city->bus;
    told->purge = (struct bus_purge){
        .kind = BUS_TAG,
        .tenant = str_n(told->bytes, tenant.len),
        .what = str_n(told->bytes + tenant.len, tag.len),
        .wall_ms = loop_wall_ms(lane->loop),
    };
    told->post.fn = on_told;
    loop_post(city->control_loop, &told->post);
}

/* --- what a write makes stale --- */

static void purge_tag(const struct fetch *fetch, struct str tag)
{
    const struct request *req = fetch->req;
    /* The tenant's own, and what routes with scope: all_tenants keep for everybody. */
    const struct str tenants[] = { tenant_name(req->tenant->tenant), STR("") };
    for (unsigned i = 0; i < COUNT_OF(tenants); i++) {
        const struct cache_purge purge = { .kind = PURGE_TAG, .tenant = tenants[i], .what = tag };
        cache_purge(fetch->lane->city->cache, &purge, loop_tick_ns(fetch->lane->loop),
                    loop_wall_ms(fetch->lane->loop));
        tell_fleet(fetch->lane, tenants[i], tag);
    }
}

static void invalidate(const struct fetch *fetch, const struct key *key)
{
    const struct city *city = fetch->lane->city;
    cache_invalidate(city->cache, key, loop_tick_ns(fetch->lane->loop));
    second_tier_forget(fetch->lane, key);
    if (city->bus)
        bus_invalidate(city->bus, key->primary);
}

/* RFC 9111 4.4: what the reply says was made or changed, if it is of the same origin. */
static void invalidate_named(const struct fetch *fetch, const struct message *reply, enum field_id id)
{
    struct request *req = fetch->req;
    struct asker asker = request_asker(req);
    char target[TARGET_BYTES_MAX];
    struct str value = message_value(reply, id);
    struct str named;
    struct key key;
    if (value.data &&
        invalidation_target(value, req->is_https, req->authority, req->msg.target, target, sizeof target,
                            &named) &&
        share_key_for(&asker, named, false, &req->arena, &key))
        invalidate(fetch, &key);
}

static void invalidate_groups(const struct fetch *fetch, const struct message *reply)
{
    struct str groups[CACHE_TAGS_MAX];
    char buffer[GROUP_BYTES_MAX];
    char tag[2 * CACHE_TAG_BYTES_MAX];
    int count =
        groups_read(reply, FIELD_CACHE_GROUP_INVALIDATION, buffer, sizeof buffer, groups, CACHE_TAGS_MAX);
    for (int i = 0; i < count; i++) {
        struct writer w;
        writer_init(&w, tag, sizeof tag);
        if (put_group(&w, fetch->req, groups[i]) && !w.is_over)
            purge_tag(fetch, writer_str(&w));
    }
}

static void purge_asked(const struct fetch *fetch, const struct message *reply)
{
    struct str tags[CACHE_TAGS_MAX];
    int count = purge_tags_read(reply, tags, CACHE_TAGS_MAX);
    for (int i = 0; i < count; i++)
        purge_tag(fetch, tags[i]);
}

void tags_after_write(struct fetch *fetch, const struct message *reply, bool is_asked)
{
    const struct request *req = fetch->req;
    if (!fetch->key.primary.data)
        return;
    bool is_invalidating = reply_invalidates(req->msg.method, reply->status);
    if (is_invalidating || is_asked)
        invalidate(fetch, &fetch->key);
    if (is_invalidating) {
        invalidate_named(fetch, reply, FIELD_LOCATION);
        invalidate_named(fetch, reply, FIELD_CONTENT_LOCATION);
        if (reply->first[FIELD_CACHE_GROUP_INVALIDATION])
            invalidate_groups(fetch, reply);
    }
    if (reply->first[FIELD_WEIR_PURGE] && (req->is_write || !method_is_safe(req->msg.method)))
        purge_asked(fetch, reply);
}
