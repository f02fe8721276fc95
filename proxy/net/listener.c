#include "net/listener.h"

#include <linux/filter.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop_int.h"

#include "base/log.h"

#define BACKLOG        4096
#define ACCEPTS_A_TURN 64 /* connections already open come first again after these */
#define PAUSE_MS       100

struct listener {
    struct event event;
    struct timer pause;
    struct loop *loop;
    accept_fn *on_accept;
    void *arg;
    int fd;
    bool is_paused;
};

/* --- opening --- */

static int socket_new(const struct addr *addr)
{
    int fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* [::]:80 beside 0.0.0.0:80 are two listeners, as written. */
    if (addr->sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    return fd;
}

/* 0 or an errno; fd stays -1 then. */
static int open_one(const struct addr *addr, bool is_shared, int *out_fd)
{
    int one = 1;
    int fd = socket_new(addr);
    if (fd < 0)
        return errno;
    if (is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0)
        goto fail;
    if (bind(fd, (const struct sockaddr *)&addr->sa, addr->sa_len) != 0)
        goto fail;
    if (listen(fd, BACKLOG) != 0)
        goto fail;
    *out_fd = fd;
    return 0;

fail:;
    int err = errno;
    close(fd);
    return err;
}

/* SO_REUSEPORT would let a second weir of the same user take half of the connections without a word: the
 * address must be free for one who does not share. */
static int check_free(const struct addr *addr)
{
    int fd = socket_new(addr);
    if (fd < 0)
        return errno;
    int err = bind(fd, (const struct sockaddr *)&addr->sa, addr->sa_len) == 0 ? 0 : errno;
    close(fd);
    return err;
}

static int remove_stale(const struct addr *addr)
{
    struct stat st;
    if (lstat(addr->host, &st) != 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(st.st_mode))
        return EADDRINUSE;
    int fd = socket_new(addr);
    if (fd < 0)
        return errno;
    /* EAGAIN: somebody listens, and is busy. */
    bool is_stale =
        connect(fd, (const struct sockaddr *)&addr->sa, addr->sa_len) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!is_stale)
        return EADDRINUSE;
    return unlink(addr->host) == 0 || errno == ENOENT ? 0 : errno;
}

static int open_first(const struct addr *addr, unsigned count, int *out_fd)
{
    int err;
    if (addr->kind == ADDR_UNIX)
        err = remove_stale(addr);
    else
        err = count > 1 ? check_free(addr) : 0;
    return err ? err : open_one(addr, count > 1 && addr->kind != ADDR_UNIX, out_fd);
}

/* *addr with the port the kernel chose. */
static void learn_bound(const struct addr *addr, int fd, struct addr *out_bound)
{
    *out_bound = *addr;
    if (addr->kind != ADDR_IP || addr->port != 0)
        return;
    char text[80];
    socklen_t len = sizeof out_bound->sa;
    if (getsockname(fd, (struct sockaddr *)&out_bound->sa, &len) != 0)
        return;
    out_bound->port = addr_port((struct sockaddr *)&out_bound->sa);
    addr_format((struct sockaddr *)&out_bound->sa, text, sizeof text);
    str_copy(str_of(text), out_bound->text, sizeof out_bound->text);
}

int listener_open(const struct addr *addr, unsigned count, int *fds, struct addr *out_bound)
{
    if (addr->kind == ADDR_NAME)
        return EADDRNOTAVAIL;
    struct addr bound;
    int err = open_first(addr, count, &fds[0]);
    if (err)
        return err;
    learn_bound(addr, fds[0], &bound);

    unsigned opened = 1;
    for (; opened < count; opened++) {
        if (addr->kind == ADDR_UNIX) {
            fds[opened] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
            err = fds[opened] < 0 ? errno : 0;
        } else {
            err = open_one(&bound, true, &fds[opened]);
        }
        if (err)
            goto fail;
    }
    if (out_bound)
        *out_bound = bound;
    return 0;

fail:
    while (opened > 0)
        close(fds[--opened]);
    return err;
}

/* --- accepting --- */

static bool is_out_of_resources(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static void pause_for_a_while(struct listener *listener, int err)
{
    static int64_t gate_ns;
    if (log_gate(&gate_ns, loop_now_ns(listener->loop)))
        log_warn("accepting pauses for %d ms: %s", PAUSE_MS, strerror(err));
    event_del(&listener->event);
    timer_set(listener->loop, &listener->pause, PAUSE_MS);
}

static void on_pause_over(void *arg)
{
    struct listener *listener = arg;
    if (event_add(&listener->event, NULL) != 0)
        timer_set(listener->loop, &listener->pause, PAUSE_MS);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;

    for (unsigned i = 0; i < ACCEPTS_A_TURN && !listener->is_paused; i++) {
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof peer;
        peer.ss_family = AF_UNSPEC;
        int connection = accept4(fd, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (connection >= 0) {
            listener->on_accept(listener->arg, connection, (struct sockaddr *)&peer, peer_len);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (is_out_of_resources(errno)) {
            pause_for_a_while(listener, errno);
            return;
        }
        /* accept(2): errors that were waiting on the new connection are reported here; it is gone. */
    }
}

struct listener *listener_new(struct loop *loop, int fd, accept_fn *on_accept, void *arg)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return NULL;
    listener->loop = loop;
    listener->fd = fd;
    listener->on_accept = on_accept;
    listener->arg = arg;
    timer_init(&listener->pause, on_pause_over, listener);
    event_assign(&listener->event, loop_base(loop), fd, EV_READ | EV_PERSIST, on_ready, listener);
    if (event_add(&listener->event, NULL) != 0) {
        free(listener);
        return NULL;
    }
    return listener;
}

void listener_deafen(int fd)
{
    /* Classic BPF on the TCP header: no SYN passes. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    struct sock_fprog program = { .len = sizeof code / sizeof *code, .filter = code };
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.ss_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void listener_pause(struct listener *listener)
{
    listener->is_paused = true;
    event_del(&listener->event);
    timer_cancel(&listener->pause);
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    listener_pause(listener);
    loop_free_later(listener->loop, listener);
}
