/* How an object grows: the fetch's side of object.h. One thread appends; what readers see is published by
 * the object's size and state, who waits is woken with no lock held. */
#include <malloc.h>
#include <stdlib.h>

#include "cache/memory.h"
#include "cache/object_inside.h"

#define LOCKS       64
#define PIECE_MIN   512
#define PIECE_LEAST 2048 /* what a block has left may be that little, and is used up */

static pthread_mutex_t locks[LOCKS] = { [0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER };

pthread_mutex_t *object_lock(const struct object *object)
{
    uintptr_t at = (uintptr_t)object;
    return &locks[(at >> 4 ^ at >> 12) % LOCKS];
}

struct growth *object_growth(const struct object *object)
{
    bool is_done = atomic_load_explicit(&object->state, memory_order_relaxed) == OBJECT_SEALED &&
                   !atomic_load_explicit(&object->is_window, memory_order_relaxed);
    return is_done ? NULL : object->growth;
}

/* --- pieces --- */

/* least: it may be smaller, where that fills up a block of the store. */
static struct object_piece *piece_new(struct object *object, uint32_t size, uint32_t least)
{
    struct object_piece *piece;
    const size_t head = sizeof *piece;
    size_t bytes;
    piece = account_alloc(object->tenant, head + size, head + least, object->hash, &bytes);
    if (!piece)
        return NULL;
    *piece = (struct object_piece){ .refs = 1, .size = (uint32_t)(bytes - head) };
    return piece;
}

uint64_t pieces_release(struct account *tenant, struct object_piece *piece)
{
    uint64_t freed = 0;
    while (piece && atomic_fetch_sub_explicit(&piece->refs, 1, memory_order_acq_rel) == 1) {
        struct object_piece *next = piece->next;
        freed += piece->fill;
        account_free(tenant, piece);
        piece = next;
    }
    return freed;
}

void object_release_piece(struct object *object, struct object_piece *piece)
{
    uint64_t freed = pieces_release(object->tenant, piece);
    if (freed == 0)
        return;
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    struct growth *growth = object_growth(object);
    struct held_news news = { 0 };
    if (growth) {
        growth->held -= (int64_t)freed;
        news = growth_held_news(growth);
    }
    pthread_mutex_unlock(lock);
    if (news.fn)
        news.fn(news.arg);
}

/* How large the next piece is. Of a declared length: all of it, in pieces of PIECE_MAX. Else what is here now
 * (a small reply often comes at once), or half of what came before, so that at most a third is ever unused.
 */
static uint32_t next_piece_size(const struct object *object, uint64_t size, size_t len)
{
    int64_t length = object_declared_length(object);
    uint64_t want =
        length >= 0 ? (uint64_t)length - size : (uint64_t)max_i64((int64_t)len, (int64_t)size / 2);
    if (length < 0 && want < PIECE_MIN && len < want)
        want = PIECE_MIN;
    return want < PIECE_MAX ? (uint32_t)want : PIECE_MAX;
}

/* Links a new piece behind the last one. Readers follow `next` only once the size is past it. */
static bool add_piece(struct object *object, struct growth *growth, uint64_t size, size_t len)
{
    uint32_t want = next_piece_size(object, size, len);
    struct object_piece *piece = piece_new(object, want, want < PIECE_LEAST ? want : PIECE_LEAST);
    if (!piece)
        return false;
    struct object_piece *before = growth->last;
    growth->last = piece;
    if (before) {
        piece->refs = 2; /* before's and the writer's */
        before->next = piece;
        object_release_piece(object, before);
        return true;
    }
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    bool is_window = atomic_load_explicit(&object->is_window, memory_order_relaxed);
    piece->refs = 1 + growth->unstarted + (is_window ? 0 : 1);
    growth->first = is_window ? NULL : piece;
    growth->front = piece;
    pthread_mutex_unlock(lock);
    return true;
}

/* --- writing --- */

/* Publishes, takes who waits off the list as one, and calls them with no lock held. They stay in memory until
 * they were called: object_wait_cancel() tells them by the round that it is too late. */
static void publish(struct object *object, uint64_t added, enum object_state state)
{
    struct list woken;
    struct held_news news = { 0 };
    list_init(&woken);
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    struct growth *growth = object->growth;
    uint64_t size = atomic_load_explicit(&object->size, memory_order_relaxed) + added;
    growth->held += (int64_t)added;
    growth->round++;
    list_take_all(&woken, &growth->waiting);
    atomic_store_explicit(&object->size, size, memory_order_release);
    if (state == OBJECT_SEALED && !object_is_window(object)) {
        account_discharge(object->tenant, malloc_usable_size(growth) + MALLOC_OVERHEAD);
        news = (struct held_news){ growth->on_held, growth->on_held_arg }; /* nothing will be held back now */
        object->first = growth->first;
        free(growth);
    }
    atomic_store_explicit(&object->state, state, memory_order_release);
    pthread_mutex_unlock(lock);
    if (news.fn)
        news.fn(news.arg);

    for (struct list *at = woken.next, *next; at != &woken; at = next) {
        next = at->next;
        struct object_reader *reader = LIST_ENTRY(at, struct object_reader, link);
        reader->on_more(reader);
    }
}

static bool append_pieces(struct object *object, struct growth *growth, struct str bytes)
{
    uint64_t size = object_size(object);
    while (bytes.len > 0) {
        struct object_piece *last = growth->last;
        size_t room = last ? last->size - last->fill : 0;
        if (room == 0) {
            if (!add_piece(object, growth, size, bytes.len))
                return false;
            continue;
        }
        size_t n = bytes.len < room ? bytes.len : room;
        memcpy(last->bytes + last->fill, bytes.data, n);
        last->fill += (uint32_t)n;
        size += n;
        bytes = str_from(bytes, n);
    }
    return true;
}

bool object_append(struct object *object, struct str bytes)
{
    CHECK(object_state(object) == OBJECT_GROWING);
    if (bytes.len == 0)
        return true;
    uint64_t size = object_size(object);
    int64_t length = object_declared_length(object);
    CHECK(length < 0 || bytes.len <= (uint64_t)length - size);
    char *body = object_inline_body(object);
    if (body)
        memcpy(body + size, bytes.data, bytes.len);
    else if (!append_pieces(object, object->growth, bytes))
        return false;
    publish(object, bytes.len, OBJECT_GROWING);
    if (object->tenant)
        cache_make_room(object->tenant->cache, object->hash);
    return true;
}

/* The last piece of a body whose length nobody knew is too large. A reader looks at no piece's size once it
 * has read all of the body, so it may shrink under its eyes; `size` stays. */
static void trim(struct object *object)
{
    struct object_piece *last = object->growth->last;
    if (last && last->fill < last->size)
        account_shrink(object->tenant, last, sizeof *last + last->fill);
}

static void end_writing(struct object *object)
{
    struct growth *growth = object->growth;
    struct object_piece *last = growth->last;
    growth->last = NULL;
    object_release_piece(object, last);
}

void object_seal(struct object *object)
{
    CHECK(object_state(object) == OBJECT_GROWING);
    int64_t length = object_declared_length(object);
    CHECK(length < 0 || (uint64_t)length == object_size(object));
    if (length < 0)
        trim(object);
    end_writing(object);
    publish(object, 0, OBJECT_SEALED);
    if (length < 0 && object->tenant) {
        struct shard *shard = shard_of(object->tenant->cache, object->hash);
        pthread_mutex_lock(&shard->lock);
        shard_reweigh(shard, object);
        pthread_mutex_unlock(&shard->lock);
    }
}

void object_break(struct object *object, int err)
{
    CHECK(object_state(object) == OBJECT_GROWING);
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    object->growth->err = err;
    pthread_mutex_unlock(lock);
    end_writing(object);
    publish(object, 0, OBJECT_BROKEN);
}

/* --- windows --- */

void object_become_window(struct object *object)
{
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    struct growth *growth = object_growth(object);
    struct object_piece *first = growth ? growth->first : NULL;
    if (growth) {
        growth->first = NULL;
        atomic_store_explicit(&object->is_window, 1, memory_order_release);
    }
    pthread_mutex_unlock(lock);
    object_release_piece(object, first);
}

struct held_news growth_held_news(struct growth *growth)
{
    struct held_news news = { growth->on_held, growth->on_held_arg };
    if (!news.fn || (growth->held > growth->on_held_bytes && growth->readers > 0))
        return (struct held_news){ 0 };
    growth->on_held = NULL;
    return news;
}

bool object_on_held(struct object *object, uint64_t held_bytes, void (*fn)(void *arg), void *arg)
{
    struct held_news news = { 0 };
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    struct growth *growth = object_growth(object);
    bool was_asked = growth && growth->on_held;
    if (growth) {
        growth->on_held = fn;
        growth->on_held_arg = arg;
        growth->on_held_bytes = max_i64((int64_t)held_bytes, PIECE_MAX);
        news = growth_held_news(growth);
    } else {
        news = (struct held_news){ fn, arg };
    }
    pthread_mutex_unlock(lock);
    if (news.fn)
        news.fn(news.arg);
    return fn || was_asked;
}
