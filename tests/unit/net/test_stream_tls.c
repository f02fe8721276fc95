#include "tls_pair.h"

#include <stdlib.h>

TestSuite(stream_tls, .init = tls_pair_setup, .fini = tls_pair_teardown, .timeout = 20);

Test(stream_tls, shakes_hands_and_carries_bytes_both_ways)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    char bytes[8];

    for (unsigned i = 0; i < 2; i++) {
        SSL_CTX_set_max_proto_version(peer_context, versions[i]);
        connect_peer();
        cr_assert(stream_is_tls(stream));
        cr_assert(stream_is_handshaking(stream));
        cr_assert_eq(stream_read(stream, bytes, 1), STREAM_AGAIN);
        cr_assert_eq(stream_write(stream, "x", 1), 0);
        cr_assert(shake());
        cr_assert_geq(counted.readable, 1, "the end of the handshake is told");
        cr_assert_eq(SSL_version(peer), versions[i]);

        cr_assert_eq(SSL_write(peer, "ping", 4), 4);
        cr_assert_eq(read_when_ready(bytes, sizeof bytes), 4);
        cr_assert_arr_eq(bytes, "ping", 4);
        struct iovec iov[] = { piece("p"), piece("on"), piece("g") };
        cr_assert_eq(stream_writev(stream, iov, 3), 4);
        cr_assert_eq(SSL_read(peer, bytes, sizeof bytes), 4, "one record");
        cr_assert_arr_eq(bytes, "pong", 4);
        disconnect_peer();
    }
}

Test(stream_tls, old_protocols_fail_with_an_error_on_reading)
{
    char byte;
    SSL_CTX_set_security_level(peer_context, 0);
    SSL_CTX_set_min_proto_version(peer_context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(peer_context, TLS1_1_VERSION);
    connect_peer();
    cr_assert_not(shake());
    cr_assert_eq(read_when_ready(&byte, 1), STREAM_ERROR);
    cr_assert_eq(stream_write(stream, "x", 1), STREAM_ERROR);
}

Test(stream_tls, bytes_that_are_no_tls_are_an_error)
{
    char byte;
    connect_peer();
    cr_assert_eq(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    cr_assert_eq(read_when_ready(&byte, 1), STREAM_ERROR);
}

Test(stream_tls, a_failure_while_nobody_wants_to_read_is_told_later)
{
    connect_peer();
    stream_want_read(stream, false);
    cr_assert_eq(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(loop, 0);
    cr_assert_eq(counted.readable, 0);
    stream_want_read(stream, true);
    loop_turn(loop, -1);
    cr_assert_geq(counted.readable, 1);
}

Test(stream_tls, a_cut_is_an_error_and_a_goodbye_is_the_end)
{
    char byte;
    connect_peer();
    cr_assert(shake());
    SSL_shutdown(peer);
    cr_assert_eq(read_when_ready(&byte, 1), 0);
    cr_assert_eq(stream_write(stream, "x", 1), 1, "the other direction goes on");
    cr_assert_eq(SSL_read(peer, &byte, 1), 1);
    disconnect_peer();

    connect_peer();
    cr_assert(shake());
    shutdown(fds[1], SHUT_WR);
    cr_assert_eq(read_when_ready(&byte, 1), STREAM_ERROR);
}

Test(stream_tls, shutdown_and_close_say_goodbye)
{
    char byte;
    connect_peer();
    cr_assert(shake());
    stream_shutdown_write(stream);
    cr_assert_leq(SSL_read(peer, &byte, 1), 0);
    cr_assert(SSL_get_shutdown(peer) & SSL_RECEIVED_SHUTDOWN);
    cr_assert_eq(SSL_write(peer, "x", 1), 1);
    cr_assert_eq(read_when_ready(&byte, 1), 1);
    disconnect_peer();

    connect_peer();
    cr_assert(shake());
    stream_close(stream);
    stream = NULL;
    cr_assert_leq(SSL_read(peer, &byte, 1), 0);
    cr_assert(SSL_get_shutdown(peer) & SSL_RECEIVED_SHUTDOWN);
    SSL_free(peer);
    close(fds[1]);
}

Test(stream_tls, decrypted_bytes_are_told_though_the_socket_is_silent)
{
    char bytes[4];
    connect_peer();
    cr_assert(shake());
    cr_assert_eq(SSL_write(peer, "abcdef", 6), 6);
    cr_assert_eq(read_when_ready(bytes, 2), 2);
    cr_assert(stream_has_pending(stream));
    counted.readable = 0;
    loop_turn(loop, -1);
    cr_assert_eq(counted.readable, 1);
    loop_turn(loop, 0);
    cr_assert_eq(counted.readable, 1, "only after the next read");

    cr_assert_eq(stream_read(stream, bytes, 2), 2);
    stream_want_read(stream, false);
    loop_turn(loop, 0);
    cr_assert_eq(counted.readable, 1);
    stream_want_read(stream, true);
    loop_turn(loop, -1);
    cr_assert_eq(counted.readable, 2);
    cr_assert_eq(stream_read(stream, bytes, 4), 2);
    cr_assert_not(stream_has_pending(stream));
    cr_assert_eq(stream_read(stream, bytes, 4), STREAM_AGAIN);
}

/* So that far less is under way than is sent: by itself the kernel lets the buffers of such a pair grow to
 * many MiB, and then whether the socket is ever full hangs on what else the machine does. */
static void keep_buffers_small(void)
{
    static const int size = 64 * 1024;
    cr_assert_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

/* The stream is filled until it takes no more, the peer reads by and by: nothing is lost, doubled or changed.
 */
Test(stream_tls, a_slow_reader_gets_every_byte_once)
{
    static unsigned char out[4 << 20];
    static unsigned char in[sizeof out];
    size_t sent = 0;
    size_t received = 0;
    unsigned times_full = 0;

    srand(7);
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (unsigned char)rand();
    connect_peer();
    keep_buffers_small();
    cr_assert(shake());
    stream_want_write(stream, true);
    while (received < sizeof out) {
        for (;;) {
            size_t left = sizeof out - sent;
            size_t first = left < 1000 ? left : (size_t)rand() % 1000;
            size_t second = left - first < 70000 ? left - first : (size_t)rand() % 70000;
            struct iovec iov[] = { { out + sent, first }, { out, 0 }, { out + sent + first, second } };
            ssize_t n = stream_writev(stream, iov, 3);
            cr_assert_geq(n, 0);
            sent += (size_t)n;
            if ((size_t)n < first + second)
                times_full++;
            if (n == 0)
                break;
        }
        for (unsigned i = 0; i < 40 && received < sizeof out; i++) {
            int n = SSL_read(peer, in + received, (int)(sizeof in - received));
            if (n <= 0) {
                cr_assert_eq(SSL_get_error(peer, n), SSL_ERROR_WANT_READ);
                break;
            }
            received += (size_t)n;
        }
        loop_turn(loop, 0);
    }
    cr_assert_gt(times_full, 0);
    cr_assert_eq(sent, sizeof out);
    cr_assert_eq(memcmp(in, out, sizeof out), 0);
}

/* A record the socket took half of must not get lost when all was taken and the stream is closed. */
Test(stream_tls, all_taken_and_closed_arrives_whole)
{
    static char zeros[65536];
    size_t taken = 0;
    size_t received = 0;
    bool is_last = false;

    connect_peer();
    cr_assert(shake());
    while (!is_last) {
        ssize_t n = stream_write(stream, zeros, sizeof zeros);
        cr_assert_geq(n, 0);
        taken += (size_t)n;
        is_last = n < (ssize_t)sizeof zeros;
    }
    /* Now the last byte of that write, as an owner would who has just this one left. */
    stream_want_write(stream, true);
    while (stream) {
        ssize_t n = stream_write(stream, zeros, 1);
        cr_assert_geq(n, 0);
        if (n == 1) {
            taken++;
            stream_close(stream);
            stream = NULL;
            break;
        }
        int got = SSL_read(peer, zeros, sizeof zeros);
        received += got > 0 ? (size_t)got : 0;
        loop_turn(loop, 0);
    }
    for (int n; (n = SSL_read(peer, zeros, sizeof zeros)) > 0;)
        received += (size_t)n;
    cr_assert_eq(received, taken);
    SSL_free(peer);
    close(fds[1]);
}

Test(stream_tls, large_reads_take_many_records)
{
    static char big[100000];
    static char got[200000];
    size_t total = 0;
    connect_peer();
    cr_assert(shake());
    cr_assert_eq(SSL_write(peer, big, sizeof big), (int)sizeof big);
    unsigned reads = 0;
    for (; total < sizeof big; reads++)
        total += (size_t)read_when_ready(got, sizeof got);
    cr_assert_leq(reads, 3);
}

Test(stream_tls, a_key_update_is_answered_without_anyone_noticing)
{
    char byte;
    connect_peer();
    cr_assert(shake());
    cr_assert_eq(SSL_key_update(peer, SSL_KEY_UPDATE_REQUESTED), 1);
    cr_assert_eq(SSL_write(peer, "x", 1), 1);
    cr_assert_eq(read_when_ready(&byte, 1), 1);
    cr_assert_eq(stream_write(stream, "y", 1), 1);
    cr_assert_eq(SSL_read(peer, &byte, 1), 1);
    cr_assert_eq(byte, 'y');
}

Test(stream_tls, renegotiation_is_refused_and_the_connection_lives)
{
    char byte;
    SSL_CTX_set_max_proto_version(peer_context, TLS1_2_VERSION);
    connect_peer();
    cr_assert(shake());
    SSL_renegotiate(peer);
    SSL_do_handshake(peer);
    cr_assert_eq(stream_read(stream, &byte, 1), STREAM_AGAIN);
    cr_assert_leq(SSL_do_handshake(peer), 0);
    cr_assert_not(stream_is_handshaking(stream));
}

Test(stream_tls, is_stale_by_what_was_said_not_by_records)
{
    char byte;
    connect_peer();
    cr_assert(shake());
    cr_assert_not(stream_is_stale(stream));
    SSL_key_update(peer, SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(peer);
    cr_assert_not(stream_is_stale(stream), "bytes came, but nothing was said");
    SSL_write(peer, "x", 1);
    cr_assert(stream_is_stale(stream));
    cr_assert_eq(stream_read(stream, &byte, 1), 1);
    SSL_shutdown(peer);
    cr_assert(stream_is_stale(stream));
}

Test(stream_tls, closing_in_the_middle_of_a_handshake_is_fine)
{
    connect_peer();
    SSL_do_handshake(peer);
    loop_turn(loop, 0);
    stream_reset(stream);
    stream = NULL;
    SSL_free(peer);
    close(fds[1]);
    loop_turn(loop, 0);
}
