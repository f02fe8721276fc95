#include "asking.h"

#include "bare.h"
#include "zipf.h"

enum {
    EVENTS_MAX = 512,
    SCRATCH_SIZE = 256 << 10,
    ERRORS_MAX = 100, /* after that many the run is no use */
};

struct wanted want = { .connections = 1,
                       .seconds = 1,
                       .skew = 1.0,
                       .digits = 5,
                       .status = 200,
                       .bytes = -1,
                       .target = "/",
                       .host = "localhost" };
struct load load;

static char scratch[SCRATCH_SIZE];

static long key_next(void)
{
    return want.is_sequence ? (long)(load.asked % (unsigned long)want.keys) : zipf_next(load.zipf);
}

static void key_write(char *digits, long key)
{
    for (long i = want.digits - 1; i >= 0; i--, key /= 10)
        digits[i] = (char)('0' + key % 10);
}

static void connection_close(struct connection *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    if (conn->is_asking)
        load.asking--;
    conn->is_asking = false;
    reply_next(&conn->reply);
}

static void failed(struct connection *conn, const char *why)
{
    load.errors++;
    if (!load.first_error)
        load.first_error = why;
    if (load.errors >= ERRORS_MAX)
        load.is_over = true;
    connection_close(conn);
}

void ask(struct connection *conn)
{
    if (load.is_over || (want.requests && load.asked >= (unsigned long)want.requests))
        return;
    if (conn->fd < 0) {
        conn->fd = dial_loopback(want.port);
        if (conn->fd < 0) {
            failed(conn, "cannot connect");
            return;
        }
        watch(load.epoll, EPOLL_CTL_ADD, conn->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, conn);
    }
    if (want.keys) {
        conn->key = key_next();
        key_write(load.digits, conn->key);
    }
    load.asked++;
    conn->is_asking = true;
    load.asking++;
    conn->asked_ns = load.now;
    if (send(conn->fd, load.request, load.request_length, MSG_NOSIGNAL) != (ssize_t)load.request_length)
        failed(conn, "request not sent");
}

static const char *reply_check(const struct connection *conn)
{
    const struct reply *reply = &conn->reply;
    char digits[REPLY_START_MAX];

    if (reply->status != want.status)
        return "other status";
    if (want.bytes >= 0 && reply->body_bytes != want.bytes)
        return "other size";
    if (want.keys) {
        key_write(digits, conn->key);
        if (reply->body_bytes < want.digits || memcmp(reply->start, digits, (size_t)want.digits) != 0)
            return "another key's body";
    }
    return NULL;
}

static void answered(struct connection *conn)
{
    const char *wrong = reply_check(conn);

    if (wrong) {
        failed(conn, wrong);
    } else {
        load.now = now_ns();
        load.body_bytes += (uint64_t)conn->reply.body_bytes;
        conn->took_ns = load.now - conn->asked_ns;
        histogram_add(&load.took_ns, conn->took_ns);
        if (conn->reply.is_last) {
            load.reconnects++;
            connection_close(conn);
        } else {
            conn->is_asking = false;
            load.asking--;
            reply_next(&conn->reply);
        }
    }
    if (!want.is_idle)
        ask(conn);
}

static void closed(struct connection *conn)
{
    if (conn->is_asking) {
        failed(conn, conn->reply.state == REPLY_HEAD ? "closed before its reply" : "closed within a body");
    } else {
        load.closed_idle++;
        connection_close(conn);
    }
}

/* One read. True when there may be more in the socket. */
static bool receive(struct connection *conn)
{
    /* The kernel can count a body without copying it to us; the load core has more room then. */
    bool may_skip = want.may_discard && conn->reply.state == REPLY_BODY;
    size_t most = want.may_discard ? 16384 : SCRATCH_SIZE;
    const char *wrong = NULL;
    ssize_t got;

    if (may_skip)
        most = conn->reply.left < SCRATCH_SIZE ? (size_t)conn->reply.left : SCRATCH_SIZE;
    got = recv(conn->fd, scratch, most, may_skip ? MSG_TRUNC : 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0) {
        closed(conn);
        return false;
    }
    if (may_skip)
        reply_skip(&conn->reply, got);
    else if (!conn->is_asking)
        wrong = "bytes nobody asked for";
    else if (reply_feed(&conn->reply, scratch, (size_t)got, &wrong) < got && !wrong)
        wrong = "bytes after the reply";
    if (wrong) {
        failed(conn, wrong);
        return false;
    }
    if (conn->reply.state == REPLY_DONE) {
        answered(conn);
        return false;
    }
    return (size_t)got == most;
}

/* Edge-triggered, so that epoll need not look at the socket again: the load must be cheaper
 * than whom it loads. A short read has emptied the socket, but for its end. */
static void on_event(struct connection *conn, uint32_t events)
{
    int fd = conn->fd;

    if (fd < 0)
        return;
    while (receive(conn))
        ;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) && conn->fd == fd)
        receive(conn);
    if (conn->fd < 0 && !want.is_idle)
        ask(conn);
}

void turn(int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(load.epoll, events, EVENTS_MAX, timeout_ms);

    load.now = now_ns();
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr)
            on_event(events[i].data.ptr, events[i].events);
}

void request_make(void)
{
    int length = snprintf(load.request, sizeof load.request, "GET %s%.*s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                          want.target, want.keys ? (int)want.digits : 0, "00000000", want.host, want.fields);

    if (length < 0 || (size_t)length >= sizeof load.request) {
        fprintf(stderr, "the request is too long\n");
        exit(2);
    }
    load.request_length = (size_t)length;
    load.digits = load.request + 4 + strlen(want.target);
}

void asking_init(void)
{
    request_make();
    if (want.keys && !want.is_sequence)
        load.zipf = zipf_new(want.keys, want.skew);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.connections = must_alloc((size_t)want.connections * sizeof *load.connections);
    for (long i = 0; i < want.connections; i++)
        load.connections[i].fd = -1;
}

void asking_fini(void)
{
    for (long i = 0; i < want.connections; i++)
        reply_fini(&load.connections[i].reply);
    free(load.connections);
    zipf_free(load.zipf);
}
