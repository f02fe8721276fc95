#include "pair.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

static struct loop *loop;
static int fds[2]; /* the stream's and the peer's */
static struct counted counted;
static struct stream *stream;

static void setup(void)
{
    loop = loop_new();
    counted = (struct counted){ 0 };
    tcp_pair(fds);
    stream = stream_new(loop, fds[0], NULL, &counted_events, &counted);
    cr_assert_not_null(stream);
}

static void teardown(void)
{
    stream_close(stream);
    close(fds[1]);
    loop_free(loop);
}

TestSuite(stream, .init = setup, .fini = teardown, .timeout = 10);

static size_t fill(void)
{
    static char zeros[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = stream_write(stream, zeros, sizeof zeros)) > 0)
        total += (size_t)n;
    cr_assert_eq(n, 0, "full, not broken");
    return total;
}

static void drain(size_t size)
{
    static char bytes[65536];
    while (size > 0) {
        ssize_t n = recv(fds[1], bytes, sizeof bytes, 0);
        if (n < 0)
            cr_assert_eq(errno, EAGAIN);
        else
            size -= (size_t)n;
    }
}

Test(stream, nothing_is_told_before_it_is_wanted)
{
    cr_assert_eq(write(fds[1], "x", 1), 1);
    loop_turn(loop, 0);
    cr_assert_eq(counted.readable + counted.writable, 0);
}

Test(stream, readable_is_told_until_all_is_read)
{
    char byte;
    stream_want_read(stream, true);
    cr_assert_eq(write(fds[1], "xy", 2), 2);
    for (unsigned told = 0; told < 3; told = counted.readable) {
        loop_turn(loop, -1);
        cr_assert_gt(counted.readable, told, "again in each turn");
    }
    cr_assert_eq(stream_read(stream, &byte, 1), 1);
    cr_assert_eq(byte, 'x');
    unsigned told = counted.readable;
    loop_turn(loop, -1);
    cr_assert_gt(counted.readable, told, "a byte is left");
    cr_assert_eq(stream_read(stream, &byte, 1), 1);
    cr_assert_eq(stream_read(stream, &byte, 1), STREAM_AGAIN);
    told = counted.readable;
    loop_turn(loop, 0);
    cr_assert_eq(counted.readable, told);
}

Test(stream, an_end_that_comes_with_the_last_bytes_is_told_though_the_read_was_short)
{
    char bytes[8];
    stream_want_read(stream, true);
    cr_assert_eq(write(fds[1], "xy", 2), 2);
    shutdown(fds[1], SHUT_WR);
    loop_turn(loop, -1);
    cr_assert_eq(stream_read(stream, bytes, sizeof bytes), 2);
    unsigned told = counted.readable;
    loop_turn(loop, -1);
    cr_assert_gt(counted.readable, told);
    cr_assert_eq(stream_read(stream, bytes, sizeof bytes), 0);
}

Test(stream, not_wanted_any_more_is_not_told_any_more)
{
    stream_want_read(stream, true);
    stream_want_read(stream, false);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    cr_assert_eq(counted.readable, 0);
    stream_want_read(stream, true);
    loop_turn(loop, -1);
    cr_assert_geq(counted.readable, 1, "and what came meanwhile is told when it is wanted again");
}

Test(stream, writable_is_told_when_the_socket_takes_more_again)
{
    size_t filled = fill();
    stream_want_write(stream, true);
    loop_turn(loop, 0);
    cr_assert_eq(counted.writable, 0);
    drain(filled);
    while (counted.writable == 0)
        loop_turn(loop, -1);
    stream_want_write(stream, false);
    unsigned told = counted.writable;
    loop_turn(loop, 0);
    cr_assert_eq(counted.writable, told);
    stream_want_write(stream, true);
    loop_turn(loop, -1);
    cr_assert_gt(counted.writable, told);
}

Test(stream, pieces_are_written_as_one)
{
    struct iovec iov[] = { piece("abc"), piece(""), piece("de") };
    char bytes[8];
    cr_assert_eq(stream_writev(stream, iov, 3), 5);
    cr_assert_eq(recv(fds[1], bytes, sizeof bytes, 0), 5);
    cr_assert_arr_eq(bytes, "abcde", 5);
}

Test(stream, the_end_reads_as_zero_and_writing_goes_on)
{
    char byte;
    stream_want_read(stream, true);
    shutdown(fds[1], SHUT_WR);
    loop_turn(loop, -1);
    cr_assert_geq(counted.readable, 1);
    cr_assert_eq(stream_read(stream, &byte, 1), 0);
    cr_assert_eq(stream_write(stream, "x", 1), 1);
    cr_assert_eq(recv(fds[1], &byte, 1, 0), 1);
}

Test(stream, writing_to_a_peer_that_is_gone_is_an_error_and_no_signal)
{
    signal(SIGPIPE, SIG_DFL);
    struct linger none = { .l_onoff = 1 };
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fds[1]);
    struct iovec iov[] = { piece("x"), piece("y") };
    while (stream_write(stream, "x", 1) >= 0)
        ;
    cr_assert_eq(stream_write(stream, "x", 1), STREAM_ERROR);
    cr_assert_eq(stream_writev(stream, iov, 2), STREAM_ERROR);
    fds[1] = -1;
}

Test(stream, shutdown_ends_writing_only)
{
    char byte;
    stream_shutdown_write(stream);
    cr_assert_eq(recv(fds[1], &byte, 1, 0), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert_eq(stream_read(stream, &byte, 1), 1);
}

Test(stream, is_stale_when_the_peer_spoke_or_left)
{
    char byte;
    cr_assert_not(stream_is_stale(stream));
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert(stream_is_stale(stream));
    cr_assert_eq(stream_read(stream, &byte, 1), 1, "the check took nothing");
    cr_assert_not(stream_is_stale(stream));
    close(fds[1]);
    cr_assert(stream_is_stale(stream));
    fds[1] = -1;
}

Test(stream, close_ends_and_reset_cuts)
{
    char byte;
    stream_close(stream);
    cr_assert_eq(recv(fds[1], &byte, 1, 0), 0);
    close(fds[1]);

    tcp_pair(fds);
    stream = stream_new(loop, fds[0], NULL, &counted_events, &counted);
    stream_reset(stream);
    cr_assert_eq(recv(fds[1], &byte, 1, 0), -1);
    cr_assert_eq(errno, ECONNRESET);
    stream = NULL;
    stream_close(NULL);
    stream_reset(NULL);
}

Test(stream, may_be_closed_by_its_own_callback_with_both_events_ready)
{
    stream_want_read(stream, true);
    stream_want_write(stream, true);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    counted.close_on_readable = stream;
    loop_turn(loop, -1);
    stream = NULL;
    unsigned writable = counted.writable; /* whichever was called first */
    loop_turn(loop, 0);
    cr_assert_eq(counted.readable, 1);
    cr_assert_eq(counted.writable, writable);
}

Test(stream, events_follow_the_owner)
{
    struct counted other = { 0 };
    stream_want_read(stream, true);
    stream_set_owner(stream, &counted_events, &other);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    loop_turn(loop, -1);
    cr_assert_eq(counted.readable, 0);
    cr_assert_geq(other.readable, 1);
}

Test(stream, small_answers_are_not_held_back)
{
    int is_set = 0;
    socklen_t len = sizeof is_set;
    getsockopt(stream_fd(stream), IPPROTO_TCP, TCP_NODELAY, &is_set, &len);
    cr_assert(is_set);
    cr_assert(fcntl(stream_fd(stream), F_GETFL) & O_NONBLOCK);
}

Test(stream, a_plain_one_knows_nothing_of_tls)
{
    cr_assert_not(stream_is_tls(stream));
    cr_assert_not(stream_is_handshaking(stream));
    cr_assert_not(stream_has_pending(stream));
    cr_assert_null(stream_sni(stream).data);
    cr_assert_null(stream_alpn(stream).data);
}
