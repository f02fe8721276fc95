/* What the tests of this room share: a small world, an admin without a socket, and short ways to ask it. */
#ifndef TEST_ADMIN_FIXTURE_H
#define TEST_ADMIN_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/clock.h"
#include "net/loop.h"

struct room {
    struct city city;
    struct world *world;
    struct tally *tally;
    struct lane *lane;
    struct admin admin;
    unsigned reloads;
    unsigned drains;
    const char *mistakes; /* NULL: a reload works */
    const char *warnings; /* of one that works */
};

static const char room_yaml[] =
    "admin: {address: 127.0.0.1:9900, token: \"s3cret\"}\n"
    "tenants:\n"
    "  from: [{header: X-Tenant, believe: any}]\n"
    "  unknown: default\n"
    "  named:\n"
    "    acme: {rate: 500/s, burst: 1000, concurrency: 100, weight: 4}\n"
    "versions:\n"
    "  from: [{path: \"/{version}/\"}]\n"
    "  default: v2\n"
    "  known:\n"
    "    v1: {upstream: app}\n"
    "    v2: {upstream: app, canary: {upstream: next, percent: 5, tenants: [acme]}}\n"
    "upstreams:\n"
    "  app:\n"
    "    primary: [127.0.0.1:3000, \"unix:/run/app.sock\"]\n"
    "    limit: {concurrency: 50, queue: 10}\n"
    "  next: {primary: [127.0.0.1:3100]}\n"
    "routes:\n"
    "  - {path: /items/**, methods: [GET], cache: {ttl: 10s}}\n";

static inline struct world *room_world(void *arg)
{
    return ((struct room *)arg)->world;
}

static inline struct lane *const *room_lanes(void *arg)
{
    return &((struct room *)arg)->lane;
}

static inline bool room_reload(void *arg, char **out_mistakes)
{
    struct room *room = arg;
    room->reloads++;
    if (room->mistakes)
        *out_mistakes = str_dup(str_of(room->mistakes));
    else if (room->warnings)
        *out_mistakes = str_dup(str_of(room->warnings));
    return room->mistakes == NULL;
}

static inline void room_drain(void *arg)
{
    ((struct room *)arg)->drains++;
}

static inline void room_init(struct room *room)
{
    struct cache_options options = { .memory_bytes = 1 << 20, .object_max_bytes = 1 << 16 };
    struct config_mistakes mistakes = { 0 };
    *room = (struct room){ .mistakes = NULL };
    struct config *config = config_read_text(str_of(room_yaml), "room.yaml", &mistakes);
    CHECK(config != NULL);
    room->city.cache = cache_new(&options);
    room->city.tenants = tenants_new(100);
    room->city.labels = labels_new(20);
    room->city.started_wall_ms = clock_wall_ns() / NS_PER_MS;
    room->world = world_new(&room->city, config, NULL, NULL, &mistakes);
    CHECK(room->world != NULL);
    config_unref(config);
    config_mistakes_fini(&mistakes);
    room->tally = tally_new(room->city.labels, 100);
    room->lane = lane_new(0, &room->city, room->world, room->tally);
    CHECK(room->lane != NULL);
    room->admin = (struct admin){
        .loop = room->lane->loop,
        .hooks = { .arg = room,
                   .city = &room->city,
                   .world = room_world,
                   .lanes = room_lanes,
                   .lane_count = 1,
                   .tallies = &room->tally,
                   .reload = room_reload,
                   .drain = room_drain },
        .token = str_dup(STR("s3cret")),
    };
    CHECK(addr_parse(STR("127.0.0.1:9900"), &room->admin.bound));
}

static inline void room_fini(struct room *room)
{
    free(room->admin.token);
    lane_free(room->lane);
    world_unref(room->world);
    tally_free(room->tally);
    cache_free(room->city.cache);
    tenants_free(room->city.tenants);
    labels_free(room->city.labels);
}

/* Sends a head (with "\n" for its line ends, without the empty line) and a body through the api. */
static inline struct reply room_send(struct room *room, const char *lines, const char *body, bool is_unix)
{
    static const struct head_limits limits = { .head_bytes = 8192, .line_bytes = 4096, .fields = 64 };
    static struct message msg;
    static char head[8192];
    struct reply reply;
    size_t len = 0;
    for (const char *at = lines; *at; at++) {
        if (*at == '\n')
            head[len++] = '\r';
        head[len++] = *at;
    }
    len += (size_t)snprintf(head + len, sizeof head - len, "\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    CHECK(message_read_request(&msg, str_n(head, len), &limits) == 0);
    const struct ask ask = { .msg = &msg, .body = str_of(body), .is_unix = is_unix };
    reply_init(&reply);
    api_ask(&ask, &reply, &room->admin);
    return reply;
}

#define ROOM_HEAD  "HTTP/1.1\nHost: 127.0.0.1:9900\nAuthorization: Bearer s3cret"
#define ROOM_GET   " " ROOM_HEAD
#define ROOM_POST  " " ROOM_HEAD "\nContent-Type: application/json"
#define GET(path)  "GET " path ROOM_GET
#define POST(path) "POST " path ROOM_POST

/* The status alone. */
static inline int room_status(struct room *room, const char *lines, const char *body)
{
    struct reply reply = room_send(room, lines, body, false);
    int status = reply.status;
    reply_fini(&reply);
    return status;
}

/* The reply's JSON, which is the caller's, and its status. */
static inline json_t *room_json(struct room *room, const char *lines, const char *body, int *out_status)
{
    struct reply reply = room_send(room, lines, body, false);
    *out_status = reply.status;
    json_t *json = json_loadb(buf_str(&reply.body).data, buf_len(&reply.body), 0, NULL);
    CHECK(json != NULL);
    reply_fini(&reply);
    return json;
}

/* True if the reply's field lines hold that text. */
static inline bool room_has_field(const struct reply *reply, const char *text)
{
    struct str fields = buf_str(&reply->fields);
    return fields.len > 0 && memmem(fields.data, fields.len, text, strlen(text)) != NULL;
}

#endif
