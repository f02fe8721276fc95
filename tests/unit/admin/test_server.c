#include <criterion/criterion.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/server.h"
#include "base/check.h"
#include "net/loop.h"

static struct loop *loop;
static struct admin_server *server;
static struct addr bound;
static unsigned asked;
static size_t body_bytes;
static struct reply *late; /* of the last GET /later */

/* Says how long the body was; /big sends more than a socket takes at once. */
static void on_ask(const struct ask *ask, struct reply *reply, void *arg)
{
    (void)arg;
    asked++;
    body_bytes = ask->body.len;
    if (str_eq(ask->msg->path, STR("/later"))) {
        reply->is_later = true;
        late = reply;
        return;
    }
    reply_text(reply, 200, "text/plain", STR("ok"));
    for (unsigned i = 0; str_eq(ask->msg->path, STR("/big")) && i < 1024 * 1024; i++)
        buf_append(&reply->body, "0123456789abcdef", 16);
}

static void setup(void)
{
    struct addr addr;
    int err;
    CHECK(addr_parse(STR("127.0.0.1:0"), &addr));
    loop = loop_new();
    server = admin_server_new(loop, &addr, on_ask, NULL, &bound, &err);
    cr_assert_not_null(server, "%s", strerror(err));
}

static void teardown(void)
{
    admin_server_free(server);
    loop_free(loop);
}

TestSuite(server, .init = setup, .fini = teardown);

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&bound.sa, bound.sa_len), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Turns until the peer has size bytes, or its end. */
static size_t receive(int fd, char *data, size_t size)
{
    size_t len = 0;
    for (unsigned turn = 0; turn < 20000 && len < size; turn++) {
        loop_turn(loop, 0);
        ssize_t n = recv(fd, data + len, size - len, 0);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else
            poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1);
    }
    return len;
}

/* Sends, and all that comes until the server ends the connection, as a string. */
static const char *talk(const char *bytes)
{
    static char data[8192];
    int fd = dial();
    cr_assert_eq(send(fd, bytes, strlen(bytes), 0), (ssize_t)strlen(bytes));
    data[receive(fd, data, sizeof data - 1)] = '\0';
    close(fd);
    return data;
}

#define HOST "Host: a\r\n"
#define LAST "Connection: close\r\n"

Test(server, one_connection_carries_many_requests)
{
    const char *said = talk("GET / HTTP/1.1\r\n" HOST "\r\n\r\nPOST / HTTP/1.1\r\n" HOST
                            "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" HOST LAST "\r\n");
    cr_expect_eq(asked, 3);
    cr_expect_not_null(strstr(said, "Connection: close\r\n\r\nok"));
}

Test(server, bodies_come_in_all_framings)
{
    talk("POST / HTTP/1.1\r\n" HOST LAST
         "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    cr_expect_eq(asked, 1);
    cr_expect_eq(body_bytes, 5);
}

Test(server, too_much_is_refused_and_the_connection_ends)
{
    static const struct {
        const char *bytes;
        const char *status;
    } rows[] = {
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n", "HTTP/1.1 413 " },
        { "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 " },
        { "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          "HTTP/1.1 400 " },
        { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 400 " },
        { "nonsense\r\n\r\n", "HTTP/1.1 400 " },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *said = talk(rows[i].bytes);
        cr_expect(str_has_prefix(str_of(said), str_of(rows[i].status)), "row %zu: %.40s", i, said);
    }
    cr_expect_eq(asked, 0);
}

Test(server, a_caller_who_waits_for_100_gets_it)
{
    char data[4096];
    int fd = dial();
    static const char head[] =
        "POST / HTTP/1.1\r\n" HOST LAST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    send(fd, head, sizeof head - 1, 0);
    cr_expect_eq(receive(fd, data, 25), 25);
    cr_expect_eq(memcmp(data, "HTTP/1.1 100 Continue\r\n\r\n", 25), 0);
    cr_expect_eq(asked, 0);
    send(fd, "{}", 2, 0);
    receive(fd, data, sizeof data);
    cr_expect_eq(asked, 1);
    close(fd);
}

Test(server, head_has_no_body)
{
    const char *said = talk("HEAD / HTTP/1.1\r\n" HOST LAST "\r\n");
    cr_expect_not_null(strstr(said, "Content-Length: 2\r\n"));
    cr_expect(str_has_suffix(str_of(said), STR("\r\n\r\n")));
}

Test(server, a_reply_larger_than_the_socket_arrives_whole)
{
    static char data[17 * 1024 * 1024];
    int fd = dial();
    static const char head[] = "GET /big HTTP/1.1\r\n" HOST LAST "\r\n";
    send(fd, head, sizeof head - 1, 0);
    size_t len = receive(fd, data, sizeof data);
    cr_expect_gt(len, 16u * 1024 * 1024);
    cr_expect_eq(memcmp(data + len - 16, "0123456789abcdef", 16), 0);
    close(fd);
}

Test(server, idle_connections_make_room_for_a_new_one)
{
    char data[4096];
    int idle[CALLERS_MAX];
    for (unsigned i = 0; i < CALLERS_MAX; i++)
        idle[i] = dial();
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    const char *said = talk("GET / HTTP/1.1\r\n" HOST LAST "\r\n");
    cr_expect(str_has_prefix(str_of(said), STR("HTTP/1.1 200 ")));
    cr_expect_eq(receive(idle[0], data, sizeof data), 0, "the longest idle one went");
    for (unsigned i = 0; i < CALLERS_MAX; i++)
        close(idle[i]);
}

static int ask_later(void)
{
    static const char bytes[] = "GET /later HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST LAST "\r\n";
    int fd = dial();
    late = NULL;
    cr_assert_eq(send(fd, bytes, sizeof bytes - 1, 0), (ssize_t)sizeof bytes - 1);
    for (unsigned turn = 0; turn < 1000 && !late; turn++)
        loop_turn(loop, 1);
    cr_assert_not_null(late);
    return fd;
}

static void answer_late(void)
{
    reply_text(late, 202, "text/plain", STR("at last"));
    reply_ready(late);
}

Test(server, a_reply_may_come_later_and_the_next_request_waits_for_it)
{
    char data[4096];
    int fd = ask_later();
    for (unsigned turn = 0; turn < 10; turn++)
        loop_turn(loop, 0);
    cr_expect_eq(recv(fd, data, sizeof data, 0), -1, "nothing is said before");
    cr_expect_eq(asked, 1);
    answer_late();
    data[receive(fd, data, sizeof data - 1)] = '\0';
    cr_expect(str_has_prefix(str_of(data), STR("HTTP/1.1 202 ")), "%s", data);
    cr_expect_not_null(strstr(data, "\r\n\r\nat lastHTTP/1.1 200 "), "%s", data);
    cr_expect_eq(asked, 2);
    close(fd);
}

Test(server, a_reply_that_comes_when_its_caller_left_goes_nowhere)
{
    int fd = ask_later();
    const struct linger at_once = { .l_onoff = 1 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    for (unsigned turn = 0; turn < 10; turn++)
        loop_turn(loop, 0);
    answer_late();
    cr_expect(str_has_prefix(str_of(talk("GET / HTTP/1.1\r\n" HOST LAST "\r\n")), STR("HTTP/1.1 200 ")));
}

Test(server, a_reply_may_outlive_the_server)
{
    int fd = ask_later();
    admin_server_free(server);
    server = NULL;
    loop_turn(loop, 0);
    answer_late();
    close(fd);
}
