/* What is said first on each connection, and what the answers mean. */
#include "fleet/redis_inside.h"

#include <stdio.h>

#include "base/check.h"

/* Loses the link for the server's own reason, of which only the first word is kept: some answer an unknown
 * AUTH with its arguments. */
static void lose_for(struct redis_link *link, const char *what, const struct redis_reply *reply)
{
    char why[96];
    struct str text = reply->kind == REDIS_ERROR ? reply->str : STR("NOTHING OF USE");
    size_t len = 0;
    while (len < text.len && len < 24 && text.data[len] >= 'A' && text.data[len] <= 'Z')
        len++;
    snprintf(why, sizeof why, "%s: the server says %.*s", what, (int)len, text.data);
    redis_lose_link(link, why);
}

static bool say(struct redis_link *link, enum ask_kind kind, int argc, const char **argv)
{
    struct ask *ask = redis_ask_new(link->redis, kind, argc, argv, NULL);
    if (ask)
        redis_link_push(link, ask);
    return ask != NULL;
}

static bool say_password(struct redis_link *link)
{
    const struct redis_url *url = &link->redis->url;
    if (!*url->password)
        return true;
    if (!*url->user)
        return say(link, ASK_AUTH, 2, (const char *[]){ "AUTH", url->password });
    return say(link, ASK_AUTH, 3, (const char *[]){ "AUTH", url->user, url->password });
}

static bool ask_for_master(struct redis_link *link)
{
    return say(link, ASK_MASTER, 3,
               (const char *[]){ "SENTINEL", "get-master-addr-by-name", link->redis->url.master });
}

static bool say_hello(struct redis_link *link)
{
    const struct redis_url *url = &link->redis->url;
    char db[16];

    if (link->role == LINK_SENTINEL)
        return ask_for_master(link);
    snprintf(db, sizeof db, "%d", url->db);
    return say_password(link) &&
           (url->db == 0 || say(link, ASK_SELECT, 2, (const char *[]){ "SELECT", db })) &&
           say(link, ASK_HELLO, 1, (const char *[]){ url->is_sentinel ? "ROLE" : "PING" });
}

void redis_greet(struct redis_link *link)
{
    struct list waiting;
    list_init(&waiting);
    list_take_all(&waiting, &link->asks);
    link->unsent = &link->asks;
    bool is_said = say_hello(link);
    if (link->unsent == &link->asks && !list_is_empty(&waiting))
        link->unsent = waiting.next;
    list_take_all(&link->asks, &waiting);
    if (!is_said)
        redis_lose_link(link, "out of memory");
}

static void on_hello(struct redis_link *link, const struct redis_reply *reply)
{
    struct redis *redis = link->redis;

    /* Not being allowed to ask that is an answer as well. */
    if (reply->kind == REDIS_ERROR && !redis_is_error(reply, "NOPERM")) {
        lose_for(link, "it does not serve", reply);
        return;
    }
    if (redis->url.is_sentinel && reply->kind != REDIS_ERROR &&
        (reply->kind != REDIS_ARRAY || reply->count == 0 || !str_eq(reply->elements[0].str, STR("master")))) {
        redis_lose_link(link, "what the Sentinel named is no master (yet)");
        return;
    }
    if (link->role == LINK_MAIN && redis->channel) {
        if (!say(link, ASK_SUBSCRIBE, 2, (const char *[]){ "SUBSCRIBE", redis->channel }))
            redis_lose_link(link, "out of memory");
        return;
    }
    redis_link_greeted(link);
    if (link->role == LINK_MAIN)
        redis_is_ready(redis);
}

static void on_subscribed(struct redis_link *link, const struct redis_reply *reply)
{
    if (reply->kind != REDIS_ARRAY || reply->count != 3 ||
        !str_eq(reply->elements[0].str, STR("subscribe"))) {
        lose_for(link, "it does not let us listen", reply);
        return;
    }
    link->is_subscribed = true;
    redis_link_greeted(link);
    redis_is_ready(link->redis);
}

static bool read_master(const struct redis_reply *reply, struct addr *out)
{
    if (reply->kind != REDIS_ARRAY || reply->count != 2)
        return false;
    struct str host = reply->elements[0].str;
    struct str port = reply->elements[1].str;
    char full[160];
    bool is_v6 = str_find(host, ':') >= 0;
    if (host.len > 100 || port.len > 5)
        return false;
    int len = snprintf(full, sizeof full, "%s%.*s%s:%.*s", is_v6 ? "[" : "", STR_FMT(host), is_v6 ? "]" : "",
                       STR_FMT(port));
    return len > 0 && addr_parse(str_n(full, (size_t)len), out) && out->kind != ADDR_UNIX && out->port != 0;
}

static void on_master(struct redis_link *link, const struct redis_reply *reply)
{
    struct redis *redis = link->redis;

    if (redis_is_error(reply, "NOAUTH") && *redis->url.password && !redis->has_told_sentinel) {
        redis->has_told_sentinel = true;
        if (!say_password(link) || !ask_for_master(link))
            redis_lose_link(link, "out of memory");
        return;
    }
    redis->has_told_sentinel = false;
    struct addr master;
    if (read_master(reply, &master))
        redis_go_to_master(link, &master);
    else if (reply->kind == REDIS_NIL)
        redis_lose_link(link, "the Sentinel does not know that master");
    else
        lose_for(link, "the Sentinel names no master", reply);
}

static void on_answer(struct redis_link *link, struct ask *ask, const struct redis_reply *reply)
{
    if (reply->kind == REDIS_ERROR && redis_redirect(link, ask, reply))
        return;
    bool is_demoted = link->redis->url.is_sentinel && redis_is_error(reply, "READONLY");
    redis_ask_end(ask, REDIS_ANSWERED, reply);
    /* There was a failover: the Sentinels know to whom. */
    if (is_demoted && !link->is_dead)
        redis_lose_link(link, "the master became a replica");
}

void redis_on_reply(struct redis_link *link, struct ask *ask, const struct redis_reply *reply)
{
    enum ask_kind kind = ask->kind;

    if (kind == ASK_USER) {
        on_answer(link, ask, reply);
        return;
    }
    redis_ask_end(ask, REDIS_ANSWERED, reply);
    switch (kind) {
    case ASK_AUTH:
        if (reply->kind == REDIS_ERROR && link->role != LINK_SENTINEL)
            lose_for(link, "it refuses the password", reply);
        break;
    case ASK_SELECT:
        if (reply->kind == REDIS_ERROR)
            lose_for(link, "it refuses the database", reply);
        break;
    case ASK_HELLO:
        on_hello(link, reply);
        break;
    case ASK_SUBSCRIBE:
        on_subscribed(link, reply);
        break;
    case ASK_MASTER:
        on_master(link, reply);
        break;
    default:
        break;
    }
}

void redis_on_push(struct redis_link *link, const struct redis_reply *reply)
{
    const struct redis *redis = link->redis;

    if (reply->kind == REDIS_ERROR) {
        lose_for(link, "it does not serve", reply);
        return;
    }
    if (!link->is_subscribed || reply->count != 3 || !str_eq(reply->elements[0].str, STR("message"))) {
        redis_lose_link(link, "a reply came that nobody asked for");
        return;
    }
    if (str_eq(reply->elements[1].str, str_n(redis->channel, redis->channel_len)) &&
        reply->elements[2].kind == REDIS_STRING)
        redis->on_message(redis->on_message_arg, reply->elements[2].str);
}
