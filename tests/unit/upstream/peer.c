#include "peer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

/* Criterion ends its children without the sanitizer's own check at exit, so each world asks for it. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

#define TURNS_MAX 2000 /* of up to 5 ms: a test that waits in vain ends */

static void peer_open(struct peer *peer, struct loop *loop)
{
    *peer = (struct peer){ .loop = loop, .fd = -1 };
    peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t sa_len = sizeof sa;
    cr_assert_eq(bind(peer->listen_fd, (struct sockaddr *)&sa, sa_len), 0);
    cr_assert_eq(listen(peer->listen_fd, 64), 0);
    cr_assert_eq(getsockname(peer->listen_fd, (struct sockaddr *)&sa, &sa_len), 0);
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(sa.sin_port));
    cr_assert(addr_parse(str_of(text), &peer->addr));
}

void world_open(struct world *world, unsigned peer_count)
{
    signal(SIGPIPE, SIG_IGN);
    *world = (struct world){ .peer_count = peer_count };
    world->loop = loop_new();
    world->pools = pools_new(world->loop, 256 * 1024, 2);
    for (unsigned i = 0; i < peer_count; i++) {
        peer_open(&world->peers[i], world->loop);
        world->addrs[i] = world->peers[i].addr;
    }
    world->config = (struct config_upstream){
        .name = STR("app"),
        .primaries = world->addrs,
        .primary_count = peer_count,
        .health = { .path = STR("/healthz"), .interval_ms = 100, .timeout_ms = 5000, .rise = 2, .fall = 3 },
        .timeouts = { 1000, NEVER, NEVER, NEVER },
        .retry_budget = 0.2,
    };
    char error[256];
    world->upstream = upstream_new(&world->config, NULL, error, sizeof error);
    cr_assert_not_null(world->upstream, "%s", error);
}

void world_close(struct world *world)
{
    loop_turn(world->loop, 0);
    pools_free(world->pools);
    upstream_free(world->upstream);
    loop_free(world->loop);
    for (unsigned i = 0; i < world->peer_count; i++) {
        struct peer *peer = &world->peers[i];
        close(peer->listen_fd);
        if (peer->fd >= 0)
            close(peer->fd);
        while (peer->older_count > 0)
            close(peer->older[--peer->older_count]);
        buf_fini(&peer->got);
    }
    if (__lsan_do_recoverable_leak_check)
        cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "nothing leaks");
}

void world_wait(struct world *world, const bool *flag)
{
    for (unsigned i = 0; i < TURNS_MAX && !*flag; i++)
        loop_turn(world->loop, 5);
    cr_assert(*flag, "what the test waits for happens");
}

void world_turn(struct world *world, unsigned turns)
{
    while (turns-- > 0)
        loop_turn(world->loop, 0);
}

void peer_accept(struct peer *peer)
{
    if (peer->fd >= 0) {
        cr_assert(peer->older_count < COUNT_OF(peer->older));
        peer->older[peer->older_count++] = peer->fd;
    }
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        peer->fd = accept4(peer->listen_fd, NULL, NULL, SOCK_NONBLOCK);
        if (peer->fd >= 0)
            break;
        loop_turn(peer->loop, 5);
    }
    cr_assert(peer->fd >= 0, "a connection arrives");
    peer->accepted++;
    buf_consume(&peer->got, buf_len(&peer->got));
}

void peer_expect(struct peer *peer, const char *text)
{
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        char *at = buf_reserve(&peer->got, 65537);
        ssize_t n = read(peer->fd, at, 65536);
        if (n > 0)
            buf_added(&peer->got, (size_t)n);
        if (memmem(buf_str(&peer->got).data, buf_len(&peer->got), text, strlen(text))) {
            buf_consume(&peer->got, buf_len(&peer->got));
            return;
        }
        cr_assert(n > 0 || (n < 0 && errno == EAGAIN),
                  "the connection stays open until \"%s\" came; got \"%.*s\"", text,
                  STR_FMT(buf_str(&peer->got)));
        loop_turn(peer->loop, n > 0 ? 0 : 5);
    }
    cr_assert_fail("\"%s\" arrives; got \"%.*s\"", text, STR_FMT(buf_str(&peer->got)));
}

void peer_send_n(struct peer *peer, const void *data, size_t n)
{
    const char *at = data;
    for (unsigned i = 0; i < TURNS_MAX && n > 0; i++) {
        ssize_t sent = write(peer->fd, at, n);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        }
        if (n > 0)
            loop_turn(peer->loop, 1);
    }
    cr_assert_eq(n, 0, "the peer's bytes are taken");
}

void peer_send(struct peer *peer, const char *text)
{
    peer_send_n(peer, text, strlen(text));
}

void peer_close(struct peer *peer)
{
    close(peer->fd);
    peer->fd = -1;
}

void peer_reset(struct peer *peer)
{
    struct linger none = { .l_onoff = 1 };
    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    peer_close(peer);
}

int peer_wait_end(struct peer *peer)
{
    char waste[65536];
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        ssize_t n = read(peer->fd, waste, sizeof waste);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EAGAIN)
            return -1;
        loop_turn(peer->loop, 5);
    }
    cr_assert_fail("the connection ends");
    return 0;
}

/* --- the owner --- */

static void note(struct owner *owner, const char *event, int value)
{
    size_t len = strlen(owner->log);
    if (value >= 0)
        snprintf(owner->log + len, sizeof owner->log - len, "%s%s:%d", len ? " " : "", event, value);
    else
        snprintf(owner->log + len, sizeof owner->log - len, "%s%s", len ? " " : "", event);

    if (!owner->act_on || strcmp(owner->act_on, event) != 0)
        return;
    owner->act_on = NULL;
    switch (owner->act) {
    case ACT_ABORT:
        exchange_abort(owner->exchange);
        owner->exchange = NULL;
        owner->is_over = true;
        break;
    case ACT_PAUSE:
        exchange_pause(owner->exchange);
        break;
    case ACT_START:
        owner_get(owner->other);
        break;
    case ACT_NONE:
        break;
    }
}

static void on_interim(void *arg, const struct message *interim)
{
    note(arg, "interim", interim->status);
}

static void on_continue(void *arg)
{
    note(arg, "continue", -1);
}

static void on_head(void *arg, const struct message *reply)
{
    struct owner *owner = arg;
    owner->status = reply->status;
    note(owner, "head", reply->status);
}

static void on_piece(void *arg, struct str piece)
{
    struct owner *owner = arg;
    cr_assert(piece.len > 0);
    buf_append_str(&owner->body, piece);
    note(owner, "piece", (int)piece.len);
}

static void on_end(void *arg, const struct body_in *trailers)
{
    struct owner *owner = arg;
    size_t at = 0;
    size_t len = 0;
    struct str name;
    struct str value;
    while (trailers && body_in_trailer(trailers, &at, &name, &value))
        len += (size_t)snprintf(owner->trailers + len, sizeof owner->trailers - len, "%.*s=%.*s;",
                                STR_FMT(name), STR_FMT(value));
    owner->is_ended = true;
    note(owner, "end", -1);
}

static void on_flush(void *arg)
{
    struct owner *owner = arg;
    if (owner->is_ended)
        owner->is_over = true;
    note(owner, "flush", -1);
    if (owner->is_ended)
        owner->exchange = NULL;
}

static void on_failed(void *arg, int err)
{
    struct owner *owner = arg;
    owner->err = err;
    owner->is_over = true;
    note(owner, "failed", -1);
    owner->exchange = NULL;
}

static void on_drained(void *arg)
{
    struct owner *owner = arg;
    owner->is_drained = true;
    note(owner, "drained", -1);
}

static const struct exchange_events owner_events = {
    .on_interim = on_interim,
    .on_continue = on_continue,
    .on_head = on_head,
    .on_piece = on_piece,
    .on_end = on_end,
    .on_flush = on_flush,
    .on_failed = on_failed,
    .on_drained = on_drained,
};

void owner_init(struct owner *owner, struct world *world)
{
    *owner = (struct owner){ .world = world };
}

void owner_fini(struct owner *owner)
{
    exchange_abort(owner->exchange);
    buf_fini(&owner->body);
    *owner = (struct owner){ .world = owner->world };
}

bool owner_has_body(const struct owner *owner, const char *text)
{
    return buf_len(&owner->body) == strlen(text) &&
           (text[0] == '\0' || memcmp(buf_str(&owner->body).data, text, strlen(text)) == 0);
}

struct exchange_request request_of(const char *head, enum method method)
{
    return (struct exchange_request){
        .head = str_of(head),
        .method = method,
        .is_body_whole = true,
        .timeouts = { 1000, NEVER, NEVER, NEVER },
    };
}

bool owner_try(struct owner *owner, const struct exchange_request *request)
{
    struct world *world = owner->world;
    owner->exchange = exchange_start(world->pools, world->upstream, world->upstream->servers[0], request,
                                     &owner_events, owner);
    return owner->exchange != NULL;
}

void owner_start(struct owner *owner, const struct exchange_request *request)
{
    cr_assert(owner_try(owner, request));
    cr_assert_eq(owner->log[0], '\0', "no event within exchange_start()");
}

void owner_get(struct owner *owner)
{
    const struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
    owner_start(owner, &request);
}
