#include "servers.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/listener.h"
#include "net/stream.h"

/* --- real ones --- */

static int listen_on_loopback(int *port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static void find_port(struct server *server)
{
    do
        close(listen_on_loopback(&server->port));
    while (server->port > 55000); /* a Cluster's bus is 10000 above */
}

void server_init(struct server *server)
{
    *server = (struct server){ .out_fd = -1 };
    snprintf(server->dir, sizeof server->dir, "/tmp/weir_redis_XXXXXX");
    cr_assert_not_null(mkdtemp(server->dir));
    snprintf(server->socket, sizeof server->socket, "%s/sock", server->dir);
    find_port(server);
}

/* Keeps the last half of what does not fit. False at the end, or after WAIT_MS. */
static bool read_output(struct server *server)
{
    struct pollfd poll_fd = { .fd = server->out_fd, .events = POLLIN };
    if (poll(&poll_fd, 1, WAIT_MS) <= 0)
        return false;
    size_t len = strlen(server->output);
    if (len > sizeof server->output / 2) {
        memmove(server->output, server->output + len - 1024, 1025);
        len = 1024;
    }
    ssize_t n = read(server->out_fd, server->output + len, sizeof server->output - len - 1);
    if (n <= 0)
        return false;
    server->output[len + (size_t)n] = '\0';
    return true;
}

void server_wait_output(struct server *server, const char *text)
{
    while (!strstr(server->output, text))
        cr_assert(read_output(server), "waited for \"%s\", it said: %s", text, server->output);
}

/* Its process. The pipe's end is all that is left open of it. */
static void spawn(struct server *server, char *const *argv)
{
    int pipe_fds[2];
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    if (server->out_fd >= 0)
        close(server->out_fd);
    server->output[0] = '\0';
    server->pid = fork();
    cr_assert_geq(server->pid, 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies leaves nobody behind */
        dup2(pipe_fds[1], STDOUT_FILENO);
        dup2(pipe_fds[1], STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(pipe_fds[1]);
    server->out_fd = pipe_fds[0];
    fcntl(server->out_fd, F_SETPIPE_SZ, 1 << 20); /* nobody reads the rest: a full pipe would stop it */
}

/* False if somebody else took the port between finding it and now. */
static bool has_started(struct server *server, const char *ready)
{
    while (!strstr(server->output, ready)) {
        if (read_output(server))
            continue;
        cr_assert_not_null(strstr(server->output, "ddress already in use"), "it said: %s", server->output);
        server_stop(server, SIGKILL);
        return false;
    }
    return true;
}

void server_start(struct server *server, const char *const *options)
{
    char port[16];
    const char *argv[64] = { "redis-server", "--port",      port,        "--unixsocket",
                             server->socket, "--dir",       server->dir, "--bind",
                             "127.0.0.1",    "--save",      "",          "--appendonly",
                             "no",           "--daemonize", "no" };
    unsigned count = 15;
    for (; options && *options; options++)
        argv[count++] = *options;
    for (unsigned tries = 0; tries < 5; tries++) {
        snprintf(port, sizeof port, "%d", server->port);
        spawn(server, (char *const *)argv);
        if (has_started(server, "eady to accept connections"))
            return;
        find_port(server);
    }
    cr_assert_fail("no port");
}

void server_start_sentinel(struct server *server, const char *config)
{
    char path[128];
    snprintf(path, sizeof path, "%s/sentinel.conf", server->dir);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file, "port %d\nbind 127.0.0.1\ndir %s\n%s\n", server->port, server->dir, config);
    fclose(file);
    spawn(server, (char *const[]){ (char *)(uintptr_t) "redis-sentinel", path, NULL });
    cr_assert(has_started(server, "+monitor"));
}

void server_stop(struct server *server, int signal)
{
    if (server->pid == 0)
        return;
    kill(server->pid, signal);
    kill(server->pid, SIGCONT);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void server_pause(struct server *server)
{
    kill(server->pid, SIGSTOP);
    waitpid(server->pid, NULL, WUNTRACED);
}

void server_go_on(struct server *server)
{
    kill(server->pid, SIGCONT);
}

void server_fini(struct server *server)
{
    char command[128];
    server_stop(server, SIGKILL);
    if (server->out_fd >= 0)
        close(server->out_fd);
    snprintf(command, sizeof command, "rm -rf '%s'", server->dir);
    cr_assert_eq(system(command), 0);
}

const char *server_do(const struct server *server, const char *command)
{
    static char reply[8192];
    char line[1024];
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)server->port) };
    struct timeval patience = { .tv_sec = WAIT_MS / 1000 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    int len = snprintf(line, sizeof line, "%s\r\n", command);
    cr_assert_eq(send(fd, line, (size_t)len, MSG_NOSIGNAL), len);
    ssize_t n = recv(fd, reply, sizeof reply - 1, 0);
    cr_assert_gt(n, 0, "%s", command);
    reply[n] = '\0';
    close(fd);
    return reply;
}

struct redis_url url_of(const char *text)
{
    struct redis_url url;
    const char *why;
    cr_assert(redis_url_parse(str_of(text), &url, &why), "%s: %s", text, why);
    return url;
}

struct redis_url server_url(const struct server *server)
{
    char text[64];
    snprintf(text, sizeof text, "redis://127.0.0.1:%d", server->port);
    return url_of(text);
}

/* Criterion ends its children without the sanitizer's own check at exit. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

void check_leaks(void)
{
    if (__lsan_do_recoverable_leak_check)
        cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "nothing leaks");
}

/* --- turning --- */

void turn_until(struct loop *loop, const bool *flag)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (!*flag) {
        cr_assert_lt(clock_mono_ns(), end_ns, "nothing happened");
        loop_turn(loop, 20);
    }
}

void turn_until_count(struct loop *loop, const unsigned *count, unsigned want)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (*count < want) {
        cr_assert_lt(clock_mono_ns(), end_ns, "only %u of %u happened", *count, want);
        loop_turn(loop, 20);
    }
}

static void turn_until_is(struct loop *loop, const struct redis *redis, bool is_up)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (redis_is_up(redis) != is_up) {
        cr_assert_lt(clock_mono_ns(), end_ns, "not %s: %s", is_up ? "up" : "down", redis_why(redis));
        loop_turn(loop, 20);
    }
}

void turn_until_up(struct loop *loop, const struct redis *redis)
{
    turn_until_is(loop, redis, true);
}

void turn_until_down(struct loop *loop, const struct redis *redis)
{
    turn_until_is(loop, redis, false);
}

/* --- fakes --- */

static void hang_up(struct fake_connection *connection)
{
    stream_close(connection->stream);
    connection->stream = NULL;
    buf_fini(&connection->in);
}

/* "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n": its length once it is whole, else 0. */
static size_t read_command(struct str in, int *argc, struct str *argv)
{
    size_t at = 0;
    unsigned long count = 0;
    for (unsigned long i = 0; i <= count; i++) {
        char *line_end = at < in.len ? memchr(in.data + at, '\n', in.len - at) : NULL;
        if (!line_end)
            return 0;
        unsigned long number = strtoul(in.data + at + 1, NULL, 10);
        at = (size_t)(line_end - in.data) + 1;
        if (i == 0) {
            count = number;
            cr_assert_leq(count, 16);
            continue;
        }
        if (in.len - at < number + 2)
            return 0;
        argv[i - 1] = str_n(in.data + at, number);
        at += number + 2;
    }
    *argc = (int)count;
    return at;
}

static void say(struct fake_connection *connection, const char *data, size_t len)
{
    while (connection->stream && len > 0) {
        ssize_t n = stream_write(connection->stream, data, len);
        if (n < 0)
            return;
        data += n;
        len -= (size_t)n;
        if (n == 0)
            loop_turn(connection->fake->loop, 0);
    }
}

static bool is_greeting(struct str word)
{
    return str_eq(word, STR("PING")) || str_eq(word, STR("AUTH")) || str_eq(word, STR("SELECT"));
}

static void on_readable(void *arg)
{
    struct fake_connection *connection = arg;
    struct fake *fake = connection->fake;
    struct str argv[16];
    size_t len;
    int argc;

    char *room = buf_reserve(&connection->in, 65536);
    ssize_t n = stream_read(connection->stream, room, 65536);
    if (n == STREAM_AGAIN)
        return;
    if (n <= 0) {
        hang_up(connection);
        return;
    }
    buf_added(&connection->in, (size_t)n);
    while (connection->stream && (len = read_command(buf_str(&connection->in), &argc, argv)) > 0) {
        const char *answer =
            !fake->is_plain && is_greeting(argv[0]) ? "+OK\r\n" : fake->answer(fake, argc, argv);
        if (!connection->stream)
            return;
        fake->commands++;
        buf_consume(&connection->in, len);
        if (answer)
            say(connection, answer, strlen(answer));
    }
}

static void on_never(void *arg)
{
}

static void on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    static const struct stream_events events = { on_readable, on_never };
    struct fake *fake = arg;
    struct fake_connection *connection = &fake->connections[fake->accepted++ % FAKE_CONNECTIONS];

    hang_up(connection);
    connection->fake = fake;
    connection->stream = stream_new(fake->loop, fd, NULL, &events, connection);
    stream_want_read(connection->stream, true);
    if (fake->welcome)
        say(connection, fake->welcome, strlen(fake->welcome));
}

void fake_open(struct fake *fake, struct loop *loop, fake_fn *answer)
{
    *fake = (struct fake){ .loop = loop, .answer = answer };
    fake->fd = listen_on_loopback(&fake->port);
    fake->listener = listener_new(loop, fake->fd, on_accept, fake);
    cr_assert_not_null(fake->listener);
}

void fake_hang_up(struct fake *fake)
{
    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
        hang_up(&fake->connections[i]);
}

void fake_close(struct fake *fake)
{
    fake_hang_up(fake);
    listener_free(fake->listener);
    close(fake->fd);
}

void fake_say(struct fake *fake, const void *data, size_t len)
{
    say(&fake->connections[(fake->accepted - 1) % FAKE_CONNECTIONS], data, len);
}

struct redis_url fake_url(const struct fake *fake)
{
    char text[64];
    snprintf(text, sizeof text, "redis://127.0.0.1:%d", fake->port);
    return url_of(text);
}
