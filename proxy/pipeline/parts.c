#include "pipeline/parts.h"

#include <stdio.h>

#include "base/err.h"
#include "pipeline/stored.h"

#define COPY_SHARE                                                                          \
    8 /* a part is joined to at most so many times its own bytes: then copying stays linear \
       */

/* --- what is stored --- */

/* The value of a line of a stored head; name in lower case with its colon. data NULL: it has none. */
static struct str head_value(struct str head, struct str name)
{
    struct str line;
    while (str_split(&head, '\n', &line)) {
        if (str_has_iprefix(line, name))
            return str_trim(str_n(line.data + name.len, line.len - name.len - 1));
    }
    return (struct str){ NULL, 0 };
}

bool part_place(const struct object_meta *meta, struct content_range *out)
{
    struct str value = meta->is_partial ? head_value(meta->head, STR("content-range:")) : (struct str){ 0 };
    return value.data && content_range_parse(value, out) && out->total >= 0;
}

bool part_is_usable(const struct message *reply, struct content_range *out)
{
    /* Several parts come as multipart/byteranges, and have no Content-Range of their own. */
    return reply->status == 206 && content_range_read(reply, out) && out->total >= 0 &&
           (reply->framing != FRAMING_LENGTH || reply->content_length == out->last - out->first + 1);
}

/* The strong validators of a stored part. */
static struct str strong_date(const struct lane *lane, const struct object_meta *meta)
{
    struct str date = head_value(meta->head, STR("date:"));
    bool is_strong = last_modified_is_strong(meta->last_modified, date, loop_wall_ms(lane->loop) / 1000);
    return is_strong ? meta->last_modified : (struct str){ NULL, 0 };
}

/* Does the part hold the range that is asked for? */
static bool holds(const struct request *req, const struct object_meta *meta,
                  const struct content_range *place)
{
    struct range range;
    unsigned count = 0;
    return ranges_of(&req->msg, meta->etag, strong_date(req->lane, meta), (uint64_t)place->total, &range, 1,
                     &count) == RANGE_PARTS &&
           count == 1 && range.first >= place->first && range.last <= place->last;
}

void parts_find(struct request *req)
{
    struct asker asker = request_asker(req);
    struct cache_found found;
    struct content_range place;
    struct cache *cache = req->lane->city->cache;
    enum forwarded_why why = req->forwarded;

    if (!req->part_key.primary.data &&
        !share_key_for(&asker, req->msg.target, true, &req->arena, &req->part_key))
        return;
    cache_find(cache, &req->part_key, &req->msg, loop_wall_ms(req->lane->loop), &found);
    if (!found.object)
        return;
    bool is_fresh = object_state(found.object) == OBJECT_SEALED && req->may_use_store &&
                    stored_judge(req, found.object) == USE_FRESH;
    const struct object_meta *meta = object_meta(found.object);
    if (is_fresh && part_place(meta, &place) && holds(req, meta, &place) && stored_serve(req, found.object)) {
        req->forwarded = FWD_NONE;
        req->outcome = OUTCOME_HIT;
        lane_count(req->lane, LANE_CACHE_HITS, 1);
    } else {
        req->forwarded = is_fresh ? FWD_PARTIAL : why;
        if (is_fresh && !req->partial)
            req->partial = object_ref(found.object);
    }
    object_unref(found.object);
}

/* --- putting together --- */

/* May these two be one (RFC 9111 3.4): the same strong validator, and no hole between them? */
static bool fit(const struct lane *lane, const struct object_meta *old, const struct content_range *a,
                const struct object_meta *new, const struct content_range *b)
{
    struct str date = strong_date(lane, old);
    bool is_same =
        etag_is_strong(old->etag)
            ? str_eq(old->etag, new->etag)
            : !new->etag.data &&date.data &&new->last_modified.data &&str_eq(date, new->last_modified);
    return is_same && a->total == b->total && a->first <= b->last + 1 && b->first <= a->last + 1;
}

/* Appends bytes [from, to] of a stored part that begins at `first`. */
static bool copy(struct object *to_object, struct object *part, uint64_t first, uint64_t from, uint64_t to)
{
    struct object_reader reader;
    struct iovec iov[16];
    int count;
    uint64_t at = first;
    bool ok = object_open(part, &reader);
    while (ok && at <= to && object_peek(&reader, iov, COUNT_OF(iov), &count) == OBJECT_BYTES) {
        uint64_t moved = 0;
        for (int i = 0; i < count && ok; i++) {
            uint64_t begin = at + moved, end = begin + iov[i].iov_len; /* [begin, end) */
            uint64_t low = begin > from ? begin : from, high = end < to + 1 ? end : to + 1;
            if (low < high)
                ok = object_append(
                    to_object, str_n((const char *)iov[i].iov_base + (low - begin), (size_t)(high - low)));
            moved += iov[i].iov_len;
        }
        object_skip(&reader, moved);
        at += moved;
    }
    object_close(&reader);
    return ok && at > to;
}

/* The newer part's head, for what both are together. */
static bool put_head(struct writer *w, struct str head, const struct content_range *place)
{
    bool is_whole = place->first == 0 && (int64_t)place->last + 1 == place->total;
    char text[80];
    struct str rest = str_from(head, (size_t)str_find(head, '\n') + 1);
    writer_status_line(w, is_whole ? 200 : 206, (struct str){ NULL, 0 });
    while (rest.len > 0) {
        size_t end = (size_t)str_find(rest, '\n') + 1;
        if (!str_has_iprefix(rest, STR("content-range:")))
            writer_put(w, str_n(rest.data, end));
        rest = str_from(rest, end);
    }
    if (!is_whole) {
        int len = snprintf(text, sizeof text, "bytes %llu-%llu/%lld", (unsigned long long)place->first,
                           (unsigned long long)place->last, (long long)place->total);
        writer_field(w, STR("Content-Range"), str_n(text, (size_t)len));
    }
    return !w->is_over;
}

bool part_whole_head(struct writer *w, struct str head)
{
    const struct content_range whole = { 0, 0, 1 };
    return put_head(w, head, &whole);
}

/* Both as one, sealed; NULL when out of memory. */
static struct object *join(struct fetch *fetch, const struct key *key, struct object *old,
                           const struct content_range *a, struct object *new, const struct content_range *b,
                           const struct content_range *both)
{
    struct writer head;
    struct object_meta meta = *object_meta(new);
    writer_init(&head, fetch->lane->forward, sizeof fetch->lane->forward);
    if (!put_head(&head, meta.head, both))
        return NULL;
    meta.head = writer_str(&head);
    meta.is_partial = both->first > 0 || (int64_t)both->last + 1 < both->total;
    meta.status = meta.is_partial ? 206 : 200;
    meta.length = (int64_t)(both->last - both->first + 1);
    struct object *object = object_new(fetch->lane->city->cache, key, &meta);
    if (!object)
        return NULL;
    /* Where both have bytes the newer one's count. */
    bool ok = (a->first >= b->first || copy(object, old, a->first, a->first, b->first - 1)) &&
              copy(object, new, b->first, b->first, b->last) &&
              (a->last <= b->last || copy(object, old, a->first, b->last + 1, a->last));
    if (ok) {
        object_seal(object);
        return object;
    }
    object_break(object, ERR_NO_MEMORY);
    return object_unref(object);
}

void part_ended(struct fetch *fetch)
{
    struct request *req = fetch->req;
    struct object *new = fetch->growing;
    struct cache *cache = fetch->lane->city->cache;
    struct content_range a, b;
    if (!part_place(object_meta(new), &b))
        return;
    struct object *old = req->partial;
    bool is_joined = old && part_place(object_meta(old), &a) &&
                     fit(fetch->lane, object_meta(old), &a, object_meta(new), &b) &&
                     object_size(old) / COPY_SHARE <= object_size(new);
    if (!is_joined)
        a = b;
    const struct content_range both = { a.first < b.first ? a.first : b.first,
                                        a.last > b.last ? a.last : b.last, b.total };
    bool is_whole = both.first == 0 && (int64_t)both.last + 1 == both.total;
    if ((!is_joined && !is_whole) || both.last - both.first + 1 > cache_object_max(cache))
        return;
    const struct key *key = is_whole ? &req->key : &req->part_key;
    struct object *joined =
        is_joined ? join(fetch, key, old, &a, new, &b, &both) : join(fetch, key, new, &b, new, &b, &both);
    if (!joined)
        return;
    /* As old as the older one: what was purged since is not brought back. */
    if (cache_insert(cache, key, joined, req->head_ns) && is_whole)
        cache_remove(cache, new);
    object_unref(joined);
}

/* --- the rest of a whole whose beginning is stored --- */

void parts_find_beginning(struct request *req)
{
    struct asker asker = request_asker(req);
    struct cache_found found;
    struct content_range place;
    const char *detail = req->cache_detail;
    enum forwarded_why why = req->forwarded;

    if (!req->part_key.primary.data &&
        !share_key_for(&asker, req->msg.target, true, &req->arena, &req->part_key))
        return;
    cache_find(req->lane->city->cache, &req->part_key, &req->msg, loop_wall_ms(req->lane->loop), &found);
    if (!found.object)
        return;
    const struct object_meta *meta = object_meta(found.object);
    if (!req->partial && object_state(found.object) == OBJECT_SEALED && etag_is_strong(meta->etag) &&
        part_place(meta, &place) && place.first == 0 && stored_judge(req, found.object) == USE_FRESH) {
        req->partial = object_ref(found.object);
        req->completes_part = true;
        why = FWD_PARTIAL;
    }
    req->forwarded = why;
    req->cache_detail = detail;
    object_unref(found.object);
}

void part_put_conditions(const struct request *req, struct writer *w)
{
    char text[64];
    struct content_range place;
    const struct object_meta *meta = object_meta(req->partial);
    if (!part_place(meta, &place))
        return;
    int len = snprintf(text, sizeof text, "bytes=%llu-", (unsigned long long)place.last + 1);
    writer_field(w, STR("Range"), str_n(text, (size_t)len));
    writer_field(w, STR("If-Range"), meta->etag);
}

bool part_completes(const struct request *req, const struct message *reply)
{
    struct content_range have, got;
    const struct object_meta *meta = object_meta(req->partial);
    return part_place(meta, &have) && part_is_usable(reply, &got) && got.total == have.total &&
           got.first == have.last + 1 && (int64_t)got.last + 1 == got.total &&
           str_eq(meta->etag, message_value(reply, FIELD_ETAG));
}

bool part_begin_whole(struct request *req, struct object *whole)
{
    struct content_range place;
    return part_place(object_meta(req->partial), &place) && copy(whole, req->partial, 0, 0, place.last);
}
