#include "pair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "net/listener.h"

static struct loop *loop;

struct accepted {
    unsigned count;
    struct listener *pause_at_first;
    struct sockaddr_storage peer;
};

static void on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    struct accepted *accepted = arg;
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    memcpy(&accepted->peer, peer, peer_len);
    accepted->count++;
    if (accepted->pause_at_first)
        listener_pause(accepted->pause_at_first);
    close(fd);
}

static struct addr address(const char *text)
{
    struct addr addr;
    cr_assert(addr_parse(str_of(text), &addr), "%s", text);
    return addr;
}

static int connect_to(const struct addr *addr)
{
    int fd = socket(addr->sa.ss_family, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&addr->sa, addr->sa_len), 0, "%s: %s", addr->text,
                 strerror(errno));
    return fd;
}

static void setup(void)
{
    loop = loop_new();
}

static void teardown(void)
{
    loop_free(loop);
}

TestSuite(listener, .init = setup, .fini = teardown, .timeout = 10);

Test(listener, a_group_shares_the_port_the_kernel_chose)
{
    struct addr bound;
    struct addr addr = address("127.0.0.1:0");
    int fds[3];
    cr_assert_eq(listener_open(&addr, 3, fds, &bound), 0);
    cr_assert_neq(bound.port, 0);
    cr_assert_str_neq(bound.text, addr.text);
    for (unsigned i = 0; i < 3; i++) {
        struct sockaddr_in sa;
        socklen_t len = sizeof sa;
        getsockname(fds[i], (struct sockaddr *)&sa, &len);
        cr_assert_eq(ntohs(sa.sin_port), bound.port);
        close(fds[i]);
    }
}

Test(listener, accepts_all_that_wait)
{
    struct addr addr = address("127.0.0.1:0");
    struct accepted accepted = { 0 };
    int clients[10];
    int fd;
    cr_assert_eq(listener_open(&addr, 1, &fd, &addr), 0);
    struct listener *listener = listener_new(loop, fd, on_accept, &accepted);
    for (unsigned i = 0; i < 10; i++)
        clients[i] = connect_to(&addr);
    loop_turn(loop, -1);
    cr_assert_eq(accepted.count, 10);
    cr_assert_eq(accepted.peer.ss_family, AF_INET);
    for (unsigned i = 0; i < 10; i++)
        close(clients[i]);
    listener_free(listener);
    close(fd);
}

Test(listener, a_paused_one_leaves_the_rest_waiting)
{
    struct addr addr = address("127.0.0.1:0");
    struct accepted accepted = { 0 };
    int fd;
    cr_assert_eq(listener_open(&addr, 1, &fd, &addr), 0);
    struct listener *listener = listener_new(loop, fd, on_accept, &accepted);
    accepted.pause_at_first = listener;
    int first = connect_to(&addr);
    int second = connect_to(&addr);
    loop_turn(loop, -1);
    loop_turn(loop, 0);
    cr_assert_eq(accepted.count, 1);
    listener_free(listener);

    accepted.pause_at_first = NULL;
    listener = listener_new(loop, fd, on_accept, &accepted);
    loop_turn(loop, -1);
    cr_assert_eq(accepted.count, 2, "the socket stayed open");
    listener_free(listener);
    listener_free(NULL);
    close(first);
    close(second);
    close(fd);
}

Test(listener, pauses_when_descriptors_are_out_and_comes_back)
{
    struct addr addr = address("127.0.0.1:0");
    struct accepted accepted = { 0 };
    struct rlimit limit;
    unsigned turns = 0;
    int fd;
    cr_assert_eq(listener_open(&addr, 1, &fd, &addr), 0);
    struct listener *listener = listener_new(loop, fd, on_accept, &accepted);
    int client = connect_to(&addr);

    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit none = { .rlim_cur = (rlim_t)client + 1, .rlim_max = limit.rlim_max };
    int hole;
    setrlimit(RLIMIT_NOFILE, &none);
    while ((hole = dup(client)) >= 0)
        ;
    loop_turn(loop, -1);
    cr_assert_eq(accepted.count, 0);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (; accepted.count == 0; turns++)
        loop_turn(loop, -1);
    cr_assert_lt(turns, 10, "no spinning meanwhile: %u turns", turns);
    listener_free(listener);
    close(client);
    close(fd);
}

static int lowest_free_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

Test(listener, an_address_in_use_is_said_so_and_nothing_stays_open)
{
    struct addr addr = address("127.0.0.1:0");
    struct addr bound;
    int fds[2];
    int others[2];
    cr_assert_eq(listener_open(&addr, 2, fds, &bound), 0);
    int free_before = lowest_free_fd();
    cr_assert_eq(listener_open(&bound, 2, others, NULL), EADDRINUSE, "also for one who would share");
    cr_assert_eq(listener_open(&bound, 1, others, NULL), EADDRINUSE);
    cr_assert_eq(lowest_free_fd(), free_before);
    close(fds[0]);
    close(fds[1]);
}

Test(listener, unix_sockets_replace_a_stale_file_but_no_live_one)
{
    char dir[] = "/tmp/weir-test-XXXXXX";
    char text[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(text, sizeof text, "unix:%s/s", dir);
    struct addr addr = address(text);
    struct accepted accepted = { 0 };
    int fds[2];
    int others[1];
    cr_assert_eq(listener_open(&addr, 2, fds, NULL), 0);
    cr_assert_eq(listener_open(&addr, 1, others, NULL), EADDRINUSE);

    struct listener *listener = listener_new(loop, fds[1], on_accept, &accepted);
    int client = connect_to(&addr);
    loop_turn(loop, -1);
    cr_assert_eq(accepted.count, 2, "with the one that tried whether somebody listens");
    listener_free(listener);
    close(client);
    close(fds[0]);
    close(fds[1]);

    cr_assert_eq(listener_open(&addr, 1, others, NULL), 0, "nobody listens on the file any more");
    close(others[0]);
    unlink(addr.host);
    close(open(addr.host, O_CREAT | O_WRONLY, 0600));
    cr_assert_eq(listener_open(&addr, 1, others, NULL), EADDRINUSE,
                 "a file that is no socket is nobody's to remove");
    unlink(addr.host);
    rmdir(dir);
}
