/* What the room's tests share: real Redis servers on free ports, a fake one that says what a test wants, and
 * turning a loop until something happened. Nothing sleeps: each wait ends with an event, or fails after a
 * bound. */
#ifndef TEST_FLEET_SERVERS_H
#define TEST_FLEET_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "fleet/redis.h"
#include "net/loop.h"

#define WAIT_MS 20000

/* --- real ones --- */

struct server {
    pid_t pid; /* 0: not running */
    int out_fd;
    int port;
    char dir[64];      /* its own, made by server_init() */
    char socket[96];   /* unix */
    char output[4096]; /* what it said last */
};

/* A directory and a free port; nothing runs yet. */
void server_init(struct server *server);
/* Starts redis-server with these options added ("--requirepass", "x", ..., NULL; NULL: none) and waits until
 * it serves. Again after server_stop(): same port and directory. Nothing is kept on disk unless asked for. */
void server_start(struct server *server, const char *const *options);
void server_start_sentinel(struct server *server, const char *config);
/* Ends it (SIGKILL, SIGTERM) and waits until it is gone. */
void server_stop(struct server *server, int signal);
void server_pause(struct server *server);
void server_go_on(struct server *server);
void server_fini(struct server *server); /* kills, and removes the directory */
/* Waits until the server has said that. */
void server_wait_output(struct server *server, const char *text);

/* One inline command over a connection of its own; the reply's first bytes as they come, in static storage.
 */
const char *server_do(const struct server *server, const char *command);

struct redis_url server_url(const struct server *server); /* by port */
struct redis_url url_of(const char *text);

/* Nothing leaks: for the end of each test. */
void check_leaks(void);

/* --- turning --- */

/* Turns until *flag, or fails the test. */
void turn_until(struct loop *loop, const bool *flag);
void turn_until_count(struct loop *loop, const unsigned *count, unsigned want);
void turn_until_up(struct loop *loop, const struct redis *redis);
void turn_until_down(struct loop *loop, const struct redis *redis);

/* --- fakes --- */

#define FAKE_CONNECTIONS 16

struct fake;
/* Called for each command that came whole: argv are its parts. What it returns is sent (NULL: nothing). */
typedef const char *fake_fn(struct fake *fake, int argc, const struct str *argv);

struct fake_connection {
    struct fake *fake;
    struct stream *stream;
    struct buf in;
};

struct fake {
    struct loop *loop;
    struct listener *listener;
    int fd;
    int port;
    unsigned accepted;
    unsigned commands;
    const char *welcome; /* said at once to who connects, may be NULL */
    fake_fn *answer;     /* after PING, AUTH and SELECT, which it agrees to by itself */
    bool is_plain;       /* answer() gets those as well */
    void *arg;
    char text[1024]; /* for answer() to write into */
    struct fake_connection connections[FAKE_CONNECTIONS];
};

void fake_open(struct fake *fake, struct loop *loop, fake_fn *answer);
void fake_close(struct fake *fake); /* all connections and the port */
void fake_hang_up(struct fake *fake);
void fake_say(struct fake *fake, const void *data, size_t len); /* to the newest connection */
struct redis_url fake_url(const struct fake *fake);

#endif
