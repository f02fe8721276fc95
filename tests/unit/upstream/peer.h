/* What the room's tests share: scripted servers on loopback sockets in this process, a world of one upstream
 * that reaches them, and an owner of an exchange who writes down what happens. Nothing sleeps: each step
 * turns the loop until it is done. */
#ifndef TEST_UPSTREAM_PEER_H
#define TEST_UPSTREAM_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "net/loop.h"
#include "upstream/exchange.h"
#include "upstream/upstream.h"

#define PEERS_MAX 4

struct peer {
    struct loop *loop;
    struct addr addr;
    int listen_fd;
    int fd;        /* the connection accepted last, -1: none */
    int older[32]; /* those before, still open */
    unsigned older_count;
    unsigned accepted;
    struct buf got; /* what was read from it so far */
};

struct world {
    struct loop *loop;
    struct pools *pools;
    struct config_upstream config;
    struct addr addrs[PEERS_MAX];
    struct upstream *upstream;
    struct peer peers[PEERS_MAX];
    unsigned peer_count;
};

/* A test between its file's set_up() and tear_down(). Not Criterion's .init and .fini: what fails in those,
 * such as the search for leaks in world_close(), is only a warning. */
#define WorldTest(suite, name)                \
    static void suite##_##name##_steps(void); \
    Test(suite, name)                         \
    {                                         \
        set_up();                             \
        suite##_##name##_steps();             \
        tear_down();                          \
    }                                         \
    static void suite##_##name##_steps(void)

void world_open(struct world *world, unsigned peer_count);
void world_close(struct world *world);
/* Turns until *flag, at most some seconds. */
void world_wait(struct world *world, const bool *flag);
void world_turn(struct world *world, unsigned turns); /* without waiting */

void peer_accept(struct peer *peer);
/* Reads until what was got contains text; then forgets all of it. */
void peer_expect(struct peer *peer, const char *text);
/* Stops quietly when the other side has closed. */
void peer_send(struct peer *peer, const char *text);
void peer_send_n(struct peer *peer, const void *data, size_t n);
void peer_close(struct peer *peer);
void peer_reset(struct peer *peer);
/* What the other side did to the connection, after turning until something shows: 0 closed, -1 reset. */
int peer_wait_end(struct peer *peer);

enum act {
    ACT_NONE,
    ACT_ABORT,
    ACT_PAUSE,
    ACT_START
};

struct owner {
    struct world *world;
    struct exchange *exchange; /* NULL once it is over */
    char log[1024];            /* "head:200 piece:5 end flush" */
    struct buf body;
    char trailers[256];
    int status;
    int err;
    bool is_over; /* ended and flushed, failed, or aborted */
    bool is_ended;
    bool is_drained;
    const char *act_on; /* the event at which act happens, once: "head" */
    enum act act;
    struct owner *other; /* ACT_START: whose exchange starts there */
};

void owner_init(struct owner *owner, struct world *world);
void owner_fini(struct owner *owner);
/* A plain GET, or whatever request says; server 0. */
void owner_start(struct owner *owner, const struct exchange_request *request);
bool owner_try(struct owner *owner, const struct exchange_request *request); /* false: out of memory */
void owner_get(struct owner *owner);
bool owner_has_body(const struct owner *owner, const char *text);
struct exchange_request request_of(const char *head, enum method method);

#define GET_HEAD  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST_HEAD "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
#define OK_REPLY  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

#endif
