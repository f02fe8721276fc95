/* Reading an object: the many sides of object.h. No lock for bytes: the size is read with acquire order, and
 * everything before it is there. The object's lock is for coming, waiting and leaving while it grows. */
#include "cache/object.h"

#include "cache/object_inside.h"

bool object_open(struct object *object, struct object_reader *reader)
{
    void (*on_more)(struct object_reader *) = reader->on_more;
    *reader = (struct object_reader){ .object = object, .on_more = on_more };
    list_init(&reader->link);
    bool is_open = !object_is_window(object);
    if (object_state(object) != OBJECT_SEALED) {
        pthread_mutex_t *lock = object_lock(object);
        pthread_mutex_lock(lock);
        struct growth *growth = object_growth(object);
        is_open = !object_is_window(object);
        if (is_open && growth) {
            reader->holds_pieces = true;
            growth->readers++;
            if (growth->front)
                atomic_fetch_add_explicit(&growth->front->refs, 1, memory_order_relaxed);
            else
                growth->unstarted++;
            reader->piece = growth->front;
        }
        pthread_mutex_unlock(lock);
    }
    if (!is_open) {
        reader->object = NULL;
        return false;
    }
    object_ref(object);
    if (!reader->holds_pieces)
        reader->piece = object->first;
    return true;
}

/* Under the object's lock: the first piece, on which this reader holds a reference since it came. */
static struct object_piece *front_of(const struct object *object)
{
    const struct growth *growth = object_growth(object);
    return growth ? growth->front : object->first;
}

void object_close(struct object_reader *reader)
{
    struct object *object = reader->object;
    if (!object)
        return;
    struct object_piece *piece = reader->piece;
    if (reader->holds_pieces) {
        object_wait_cancel(reader);
        struct held_news news = { 0 };
        pthread_mutex_t *lock = object_lock(object);
        pthread_mutex_lock(lock);
        struct growth *growth = object_growth(object);
        if (!piece) {
            piece = front_of(object);
            if (growth && !piece)
                growth->unstarted--;
        }
        if (growth && --growth->readers == 0)
            news = growth_held_news(growth);
        pthread_mutex_unlock(lock);
        object_release_piece(object, piece);
        if (news.fn)
            news.fn(news.arg);
    }
    /* Not the link: on_more may be on its way to this reader, on another thread. */
    reader->object = NULL;
    reader->piece = NULL;
    object_unref(object);
}

/* There are bytes, so there is a first piece. */
static void begin(struct object_reader *reader)
{
    pthread_mutex_t *lock = object_lock(reader->object);
    pthread_mutex_lock(lock);
    reader->piece = front_of(reader->object);
    pthread_mutex_unlock(lock);
}

/* The size is past this piece, so its next one is there. */
static void step(struct object_reader *reader)
{
    struct object_piece *piece = reader->piece;
    reader->piece = piece->next;
    reader->used = 0;
    if (reader->holds_pieces) {
        atomic_fetch_add_explicit(&reader->piece->refs, 1, memory_order_relaxed);
        object_release_piece(reader->object, piece);
    }
}

static int view_pieces(struct object_reader *reader, uint64_t left, struct iovec *iov, int iov_max)
{
    if (!reader->piece)
        begin(reader);
    if (reader->used == reader->piece->size)
        step(reader);
    struct object_piece *piece = reader->piece;
    uint32_t used = reader->used;
    int count = 0;
    while (left > 0 && count < iov_max) {
        uint64_t n = piece->size - used;
        if (n > left)
            n = left;
        iov[count++] = (struct iovec){ piece->bytes + used, n };
        left -= n;
        used = 0;
        if (left > 0)
            piece = piece->next;
    }
    return count;
}

enum object_more object_peek(struct object_reader *reader, struct iovec *iov, int iov_max, int *out_count)
{
    const struct object *object = reader->object;
    /* The state first: once it is final, so is the size. */
    enum object_state state = object_state(object);
    uint64_t left = object_size(object) - reader->at;
    *out_count = 0;
    if (left == 0)
        return state == OBJECT_GROWING ? OBJECT_NONE : state == OBJECT_SEALED ? OBJECT_END : OBJECT_CUT;
    CHECK(iov_max > 0);
    char *body = object_inline_body(object);
    if (body) {
        iov[0] = (struct iovec){ body + reader->at, left };
        *out_count = 1;
    } else {
        *out_count = view_pieces(reader, left, iov, iov_max);
    }
    return OBJECT_BYTES;
}

void object_skip(struct object_reader *reader, uint64_t n)
{
    CHECK(n <= object_size(reader->object) - reader->at);
    reader->at += n;
    if (object_inline_body(reader->object))
        return;
    if (n > 0 && !reader->piece)
        begin(reader);
    while (n > 0) {
        if (reader->used == reader->piece->size)
            step(reader);
        uint64_t left = reader->piece->size - reader->used;
        uint32_t here = (uint32_t)(n < left ? n : left);
        reader->used += here;
        n -= here;
    }
    /* Let go of what is read now, not with the next bytes: a window's writer may wait for it. */
    if (reader->piece && reader->used == reader->piece->size && object_size(reader->object) > reader->at)
        step(reader);
}

bool object_wait(struct object_reader *reader)
{
    struct object *object = reader->object;
    pthread_mutex_t *lock = object_lock(object);
    pthread_mutex_lock(lock);
    struct growth *growth = object_growth(object);
    bool is_waiting = object_state(object) == OBJECT_GROWING && object_size(object) == reader->at;
    if (is_waiting) {
        CHECK(list_is_empty(&reader->link) || reader->round != growth->round);
        reader->round = growth->round;
        list_push_back(&growth->waiting, &reader->link);
    }
    pthread_mutex_unlock(lock);
    reader->is_waiting = is_waiting;
    return is_waiting;
}

bool object_wait_cancel(struct object_reader *reader)
{
    if (!reader->object || !reader->is_waiting)
        return false;
    reader->is_waiting = false;
    pthread_mutex_t *lock = object_lock(reader->object);
    pthread_mutex_lock(lock);
    struct growth *growth = object_growth(reader->object);
    bool is_in_time = growth && growth->round == reader->round;
    if (is_in_time)
        list_remove(&reader->link);
    pthread_mutex_unlock(lock);
    return is_in_time;
}
