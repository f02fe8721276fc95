#include "pipeline/tags.h"

#include <stdlib.h>

#include "fleet/bus.h"
#include "http/caching_tags.h"
#include "pipeline/second_tier.h"

#define TARGET_BYTES_MAX 8192
#define GROUP_BYTES_MAX  4096

/* --- the names of a reply --- */

/* A group is its origin's: two origins' groups of one name are two (RFC 9875 1). No tag of an app holds the
 * control byte that leads it. */
static bool put_group(struct writer *w, const struct request *req, struct str group)
{
    size_t before = w->len;
    writer_put(w, req->is_https ? STR("\001https://") : STR("\001http://"));
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
    if (w.is_over || all > CACHE_TAGS_MAX)
        return false;
    if (w.len > 0)
        *out_tags = writer_str(&w);
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
