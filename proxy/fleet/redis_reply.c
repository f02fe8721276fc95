/* Replies as views, within a bound. hiredis' reader finds the parts; where they are kept is ours, so that an
 * array header of 2^31 elements or a string of 512 MB costs nothing but the connection. */
#include "fleet/redis_inside.h"

#include <string.h>

#include "base/check.h"

/* What one more read may bring beyond the bound. */
#define SLACK_BYTES 65536

static struct redis_reply *place_of(const redisReadTask *task)
{
    struct reply_maker *maker = task->privdata;
    if (!task->parent)
        return &maker->root;
    struct redis_reply *parent = task->parent->obj;
    return (struct redis_reply *)&parent->elements[task->idx];
}

static void *take(const redisReadTask *task, size_t size)
{
    struct reply_maker *maker = task->privdata;
    if (size > maker->bytes_max - maker->charged)
        return NULL;
    void *memory = arena_alloc(&maker->arena, size > 0 ? size : 1);
    if (memory)
        maker->charged += size;
    return memory;
}

static void *make_string(const redisReadTask *task, char *text, size_t len)
{
    struct redis_reply *reply = place_of(task);
    char *copy = take(task, len);
    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, text, len);
    *reply = (struct redis_reply){ .kind = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                                           : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                                              : REDIS_STRING,
                                   .str = str_n(copy, len) };
    return reply;
}

static void *make_array(const redisReadTask *task, int count)
{
    struct redis_reply *reply = place_of(task);
    if (count < 0)
        return NULL;
    struct redis_reply *elements = take(task, (size_t)count * sizeof *elements);
    if (!elements)
        return NULL;
    memset(elements, 0, (size_t)count * sizeof *elements);
    *reply = (struct redis_reply){ .kind = REDIS_ARRAY, .count = (size_t)count, .elements = elements };
    return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = place_of(task);
    *reply = (struct redis_reply){ .kind = REDIS_INTEGER, .integer = value };
    return reply;
}

static void *make_nil(const redisReadTask *task)
{
    struct redis_reply *reply = place_of(task);
    *reply = (struct redis_reply){ .kind = REDIS_NIL };
    return reply;
}

static void forget(void *reply)
{
}

static redisReplyObjectFunctions makers = { make_string, make_array, make_integer, make_nil, forget };

bool reply_maker_init(struct reply_maker *maker, size_t bytes_max)
{
    maker->bytes_max = bytes_max;
    /* Blocks of the arena are larger than what lies in them; the bound is kept by charging. */
    arena_init(&maker->arena, maker->first, sizeof maker->first, bytes_max * 2 + SLACK_BYTES * 4);
    maker->reader = redisReaderCreateWithFunctions(&makers);
    if (!maker->reader)
        return false;
    maker->reader->privdata = maker;
    return true;
}

void reply_maker_fini(struct reply_maker *maker)
{
    if (maker->reader)
        redisReaderFree(maker->reader);
    maker->reader = NULL;
    arena_fini(&maker->arena);
}

bool reply_maker_feed(struct reply_maker *maker, const char *data, size_t len)
{
    maker->fed += len;
    return maker->fed <= maker->bytes_max + SLACK_BYTES &&
           redisReaderFeed(maker->reader, data, len) == REDIS_OK;
}

int reply_maker_next(struct reply_maker *maker, const struct redis_reply **out)
{
    /* Nothing of the last one is looked at any more, unless this one has begun already. */
    if (maker->reader->ridx < 0) {
        arena_reset(&maker->arena);
        maker->charged = 0;
    }
    void *reply = NULL;
    if (redisReaderGetReply(maker->reader, &reply) != REDIS_OK)
        return -1;
    if (!reply)
        return 0;
    maker->fed = maker->reader->len - maker->reader->pos;
    *out = reply;
    return 1;
}
