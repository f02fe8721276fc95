/* Two connected sockets, and streams whose events are counted. */
#ifndef TESTS_NET_PAIR_H
#define TESTS_NET_PAIR_H

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/stream.h"

struct counted {
    unsigned readable;
    unsigned writable;
    struct stream *close_on_readable;
};

static inline void counted_readable(void *arg)
{
    struct counted *counted = arg;
    counted->readable++;
    stream_close(counted->close_on_readable);
    counted->close_on_readable = NULL;
}

static inline void counted_writable(void *arg)
{
    struct counted *counted = arg;
    counted->writable++;
}

static const struct stream_events counted_events = { counted_readable, counted_writable };

static inline struct iovec piece(const char *text)
{
    return (struct iovec){ .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
}

static inline void tcp_pair(int fds[2])
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listening, (struct sockaddr *)&sa, sizeof sa), 0);
    cr_assert_eq(listen(listening, 1), 0);
    getsockname(listening, (struct sockaddr *)&sa, &len);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fds[0], (struct sockaddr *)&sa, sizeof sa), 0);
    fds[1] = accept(listening, NULL, NULL);
    close(listening);
    for (unsigned i = 0; i < 2; i++) {
        int one = 1;
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

#endif
