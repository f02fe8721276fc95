/* Asks and their deadlines, and being connected: everything that is not one connection's own. */
#include "fleet/redis.h"

#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "fleet/redis_inside.h"

#define REPLY_BYTES_MAX (1u << 20)
#define RETRY_MS_MIN    50
#define RETRY_MS_MAX    2000

static void on_alarm(void *arg);
static void connect_now(void *arg);

/* --- asks --- */

struct ask *redis_ask_new(struct redis *redis, enum ask_kind kind, int argc, const char **argv,
                          const size_t *lens)
{
    if (redis->ask_count >= REDIS_ASKS_MAX)
        return NULL;
    struct ask *ask = calloc(1, sizeof *ask);
    if (!ask)
        return NULL;
    int len = redisFormatCommandArgv(&ask->bytes, argc, argv, lens);
    if (len <= 0 || (size_t)len > REDIS_ASKS_BYTES_MAX - redis->ask_bytes) {
        if (len > 0)
            redisFreeCommand(ask->bytes);
        free(ask);
        return NULL;
    }
    ask->len = (size_t)len;
    ask->kind = kind;
    ask->redis = redis;
    ask->slot = REDIS_NO_SLOT;
    list_init(&ask->link);
    list_init(&ask->due);
    redis->ask_count++;
    redis->ask_bytes += ask->len;
    return ask;
}

void redis_ask_end(struct ask *ask, enum redis_end end, const struct redis_reply *reply)
{
    redis_reply_fn *fn = ask->fn;
    void *arg = ask->arg;

    list_remove(&ask->link);
    list_remove(&ask->due);
    ask->redis->ask_count--;
    ask->redis->ask_bytes -= ask->len;
    redisFreeCommand(ask->bytes);
    free(ask);
    if (fn)
        fn(arg, end, reply);
}

static void set_alarm(struct redis *redis, int64_t deadline_ns)
{
    if (redis->alarm_ns != 0 && redis->alarm_ns <= deadline_ns)
        return;
    redis->alarm_ns = deadline_ns;
    exact_set(redis->alarm, deadline_ns);
}

bool redis_ask_until(struct redis *redis, int64_t deadline_ns, redis_reply_fn *fn, void *arg, int argc,
                     const char **argv, const size_t *lens)
{
    CHECK(fn != NULL);
    if (!redis->is_up || redis->channel)
        return false;
    /* hiredis counts in int: a command that could overflow it is none of ours. */
    size_t total = 0;
    for (int i = 0; i < argc; i++)
        total += lens ? lens[i] : strlen(argv[i]);
    if (total > INT_MAX / 2)
        return false;
    struct ask *ask = redis_ask_new(redis, ASK_USER, argc, argv, lens);
    if (!ask)
        return false;
    if (redis->slots)
        ask->slot = redis_slot(argc, argv, lens);
    ask->fn = fn;
    ask->arg = arg;
    ask->deadline_ns = deadline_ns;
    list_push_back(&redis->due, &ask->due);
    set_alarm(redis, deadline_ns);
    redis_link_push(redis_link_for(redis, ask->slot), ask);
    return true;
}

bool redis_ask(struct redis *redis, int64_t timeout_ms, redis_reply_fn *fn, void *arg, int argc,
               const char **argv, const size_t *lens)
{
    return redis_ask_until(redis, loop_now_ns(redis->loop) + timeout_ms * NS_PER_MS, fn, arg, argc, argv,
                           lens);
}

static void time_out(struct ask *ask)
{
    redis_reply_fn *fn = ask->fn;
    void *arg = ask->arg;

    list_remove(&ask->due);
    ask->fn = NULL;
    redis_link_drop(ask->on, ask);
    fn(arg, REDIS_TIMEOUT, NULL);
}

static void on_alarm(void *arg)
{
    struct redis *redis = arg;
    int64_t now_ns = loop_now_ns(redis->loop);
    int64_t next_ns = INT64_MAX;
    struct list late;

    list_init(&late);
    redis->alarm_ns = 0;
    list_for_each_safe (at, &redis->due) {
        struct ask *ask = LIST_ENTRY(at, struct ask, due);
        if (ask->deadline_ns > now_ns) {
            next_ns = min_i64(next_ns, ask->deadline_ns);
            continue;
        }
        list_remove(at);
        list_push_back(&late, at);
    }
    if (next_ns != INT64_MAX)
        set_alarm(redis, next_ns);
    /* Each call may end others of them, or all. */
    while (!list_is_empty(&late))
        time_out(LIST_ENTRY(late.next, struct ask, due));
}

bool redis_is_error(const struct redis_reply *reply, const char *word)
{
    struct str w = str_of(word);
    return reply->kind == REDIS_ERROR && str_has_prefix(reply->str, w) &&
           (reply->str.len == w.len || reply->str.data[w.len] == ' ');
}

/* --- connecting --- */

static void retry_later(struct redis *redis)
{
    unsigned shift = redis->failures < 6 ? redis->failures : 6;
    int64_t wait_ms = min_i64((int64_t)RETRY_MS_MIN << shift, RETRY_MS_MAX);
    uint32_t dice = 0;

    /* Between half of it and all: a fleet that lost its Redis does not come back in step. */
    random_fill(&dice, sizeof dice);
    redis->failures++;
    timer_set(redis->loop, &redis->retry, wait_ms / 2 + dice % (wait_ms / 2 + 1));
}

static void link_to(struct redis *redis, enum link_role role, const struct addr *addr,
                    struct endpoint *endpoint)
{
    struct endpoint *own = endpoint ? NULL : endpoint_new(addr);
    if (endpoint || own)
        redis->main = redis_link_new(redis, role, addr, endpoint ? endpoint : own);
    endpoint_unref(own);
    if (!redis->main)
        retry_later(redis);
}

/* The url's addresses in turn; of a Cluster also those of its nodes, for the one in the url may be gone. */
static void connect_now(void *arg)
{
    struct redis *redis = arg;
    const struct addr *others[REDIS_NODES_MAX];
    unsigned count = 0;

    if (redis->has_master) {
        link_to(redis, LINK_MAIN, &redis->master, NULL);
        return;
    }
    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        if (redis->nodes[i])
            others[count++] = &redis->nodes[i]->addr;
    }
    unsigned turn = redis->turn++ % (redis->url.addr_count + count);
    enum link_role role = redis->url.is_sentinel ? LINK_SENTINEL : LINK_MAIN;
    if (turn < redis->url.addr_count)
        link_to(redis, role, &redis->url.addrs[turn], redis->endpoints[turn]);
    else
        link_to(redis, role, others[turn - redis->url.addr_count], NULL);
}

void redis_is_ready(struct redis *redis)
{
    redis->is_up = true;
    redis->up_ns = loop_now_ns(redis->loop);
    if (redis->events->on_up)
        redis->events->on_up(redis->arg);
}

static void end_all(struct list *asks)
{
    while (!list_is_empty(asks))
        redis_ask_end(LIST_ENTRY(asks->next, struct ask, link), REDIS_DISCONNECTED, NULL);
}

void redis_go_to_master(struct redis_link *link, const struct addr *master)
{
    struct redis *redis = link->redis;
    struct list none;

    redis->master = *master;
    redis->has_master = true;
    redis->main = NULL;
    list_init(&none);
    redis_link_close(link, &none);
    end_all(&none);
    connect_now(redis);
}

void redis_lose_link(struct redis_link *link, const char *why)
{
    struct redis *redis = link->redis;
    bool is_main = link->role != LINK_NODE;
    bool was_up = is_main && redis->is_up;
    bool is_news = is_main && !was_up && strcmp(redis->why, why) != 0;
    struct list asks;

    list_init(&asks);
    if (is_main) {
        str_copy(str_of(why), redis->why, sizeof redis->why);
        redis->main = NULL;
        redis->is_up = false;
        redis->has_master = false;
        if (was_up && loop_now_ns(redis->loop) - redis->up_ns > RETRY_MS_MAX * NS_PER_MS)
            redis->failures = 0;
        retry_later(redis);
    } else {
        redis_forget_node(link);
    }
    redis_link_close(link, &asks);
    end_all(&asks);
    if (was_up && !redis->is_freed && redis->events->on_down)
        redis->events->on_down(redis->arg, redis->why);
    if (is_news && !redis->is_freed && redis->events->on_refused)
        redis->events->on_refused(redis->arg, redis->why);
}

/* --- its life --- */

struct redis *redis_new(struct loop *loop, const struct redis_url *url, const struct redis_options *options,
                        const struct redis_events *events, void *arg)
{
    static const struct redis_events no_events = { 0 };
    struct redis *redis = calloc(1, sizeof *redis);
    if (!redis)
        return NULL;
    redis->loop = loop;
    redis->url = *url;
    redis->reply_bytes_max = options && options->reply_bytes_max ? options->reply_bytes_max : REPLY_BYTES_MAX;
    redis->events = events ? events : &no_events;
    redis->arg = arg;
    list_init(&redis->due);
    timer_init(&redis->retry, connect_now, redis);
    redis->alarm = exact_new(loop, on_alarm, redis);
    bool is_whole = redis->alarm != NULL;
    for (unsigned i = 0; i < url->addr_count && is_whole; i++)
        is_whole = (redis->endpoints[i] = endpoint_new(&url->addrs[i])) != NULL;
    if (!is_whole) {
        redis_free(redis);
        return NULL;
    }
    connect_now(redis); /* only begins to: nothing is told before the next turn */
    return redis;
}

static void end_link(struct redis_link *link)
{
    struct list asks;

    if (!link)
        return;
    list_init(&asks);
    redis_link_close(link, &asks);
    end_all(&asks);
}

void redis_free(struct redis *redis)
{
    if (!redis || redis->is_freed)
        return;
    redis->is_freed = true;
    redis->is_up = false;
    timer_cancel(&redis->retry);
    struct redis_link *main = redis->main;
    redis->main = NULL;
    end_link(main);
    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        struct redis_link *node = redis->nodes[i];
        redis->nodes[i] = NULL;
        end_link(node);
    }
    for (unsigned i = 0; i < REDIS_ADDRS_MAX; i++)
        endpoint_unref(redis->endpoints[i]);
    exact_free(redis->alarm);
    free(redis->slots);
    free(redis->channel);
    loop_free_later(redis->loop, redis);
}

bool redis_is_up(const struct redis *redis)
{
    return redis->is_up;
}

const char *redis_why(const struct redis *redis)
{
    return redis->is_up ? "" : redis->why;
}

bool redis_subscribe(struct redis *redis, struct str channel, redis_message_fn *fn, void *arg)
{
    char *copy = str_dup(channel);
    if (!copy)
        return false;
    free(redis->channel);
    redis->channel = copy;
    redis->channel_len = channel.len;
    redis->on_message = fn;
    redis->on_message_arg = arg;
    return true;
}

#define TEXT_OF(number)     #number
#define VERSION_OF(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

const char *redis_library_version(void)
{
    return VERSION_OF(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}
