/* The client side: connections that are kept and always have one request under way.
 *
 * A closed loop: a connection asks again as soon as it was answered, so requests per second
 * are what the server can do and latencies are those of a full house. Every reply's status,
 * framing and size are checked, and with --keys that it belongs to the key that was asked for.
 * Prints one JSON line. One thread, one epoll, loopback only; ends by --seconds or --requests,
 * and at most DRAIN_MAX later when replies stay out.
 *
 * With --idle it opens its connections, asks once on each, says so, and holds them until its
 * standard input is closed.
 */
#include "bare.h"
#include "histogram.h"
#include "reply.h"
#include "zipf.h"

#include <getopt.h>

enum {
    EVENTS_MAX = 512,
    SCRATCH_SIZE = 256 << 10,
    KEYS_MAX = 100000,
    ERRORS_MAX = 100,     /* after that many the run is no use */
    IDLE_ASKING_MAX = 64, /* connections that ask at the same time while --idle opens them */
};
static const int64_t DRAIN_MAX = 5000000000;

struct connection {
    int fd; /* -1: none */
    bool is_asking;
    long key;
    int64_t asked_ns;
    struct reply reply;
};

static struct {
    int port;
    long connections;
    double seconds;
    long requests; /* 0: by time */
    long keys;     /* 0: the target as it is; else five digits are added */
    double skew;
    bool is_sequence; /* every key in turn */
    bool is_idle;
    bool may_discard;
    long status;
    long bytes; /* expected of every body; -1: any */
    const char *target, *host;
    char fields[2048];
} want = { .connections = 1,
           .seconds = 1,
           .skew = 1.0,
           .status = 200,
           .bytes = -1,
           .target = "/",
           .host = "localhost" };

static struct {
    int epoll;
    struct connection *connections;
    struct zipf *zipf;
    char request[4096];
    size_t request_length;
    char *digits; /* where the key goes in the request */
    int64_t now, end_ns;
    bool is_over;
    long asking;
    unsigned long asked, errors, reconnects, closed_idle;
    uint64_t body_bytes;
    const char *first_error;
    struct histogram took_ns; /* of good replies; its count is theirs */
    char scratch[SCRATCH_SIZE];
} load;

static long key_next(void)
{
    return want.is_sequence ? (long)(load.asked % (unsigned long)want.keys) : zipf_next(load.zipf);
}

static void key_write(char *digits, long key)
{
    for (int i = 4; i >= 0; i--, key /= 10)
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

static void ask(struct connection *conn)
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
    char digits[5];

    if (reply->status != want.status)
        return "other status";
    if (want.bytes >= 0 && reply->body_bytes != want.bytes)
        return "other size";
    if (want.keys) {
        key_write(digits, conn->key);
        if (reply->body_bytes < 5 || memcmp(reply->start, digits, 5) != 0)
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
        histogram_add(&load.took_ns, load.now - conn->asked_ns);
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
    got = recv(conn->fd, load.scratch, most, may_skip ? MSG_TRUNC : 0);
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
    else if (reply_feed(&conn->reply, load.scratch, (size_t)got, &wrong) < got && !wrong)
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

static void turn(int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(load.epoll, events, EVENTS_MAX, timeout_ms);

    load.now = now_ns();
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr)
            on_event(events[i].data.ptr, events[i].events);
}

static double own_cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_result(double seconds, double cpu_seconds)
{
    unsigned long done = load.took_ns.count;

    printf("{\"requests\": %lu, \"seconds\": %.6f, \"rps\": %.1f, \"bytes\": %llu, ", done, seconds,
           (double)done / seconds, (unsigned long long)load.body_bytes);
    printf("\"errors\": %lu, \"first_error\": \"%s\", \"reconnects\": %lu, \"closed_idle\": %lu, ",
           load.errors, load.first_error ? load.first_error : "", load.reconnects, load.closed_idle);
    printf("\"cpu_seconds\": %.6f, \"latency_us\": {", cpu_seconds);
    printf("\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}}\n",
           histogram_at(&load.took_ns, .5) / 1000, histogram_at(&load.took_ns, .9) / 1000,
           histogram_at(&load.took_ns, .99) / 1000, histogram_at(&load.took_ns, .999) / 1000,
           (double)load.took_ns.largest / 1000);
}

static void run(void)
{
    double cpu = own_cpu_seconds();
    int64_t start = load.now = now_ns();
    double seconds;

    load.end_ns = start + (int64_t)(want.seconds * 1e9);
    for (long i = 0; i < want.connections; i++)
        ask(&load.connections[i]);
    while (load.asking && load.now < load.end_ns && !load.is_over)
        turn(100);
    load.is_over = true;
    seconds = (double)(load.now - start) / 1e9;
    while (load.asking && load.now < load.end_ns + DRAIN_MAX)
        turn(100);
    if (load.asking) {
        load.errors += (unsigned long)load.asking;
        load.first_error = load.first_error ? load.first_error : "no reply";
    }
    print_result(seconds, own_cpu_seconds() - cpu);
}

static void hold(void)
{
    int64_t end = now_ns() + (int64_t)(want.seconds * 1e9);
    long open = 0;
    char rest;

    for (long i = 0; i < want.connections && !load.is_over && load.now < end; i++) {
        ask(&load.connections[i]);
        while (load.asking >= IDLE_ASKING_MAX && load.now < end)
            turn(100);
    }
    while (load.asking && load.now < end)
        turn(100);
    for (long i = 0; i < want.connections; i++)
        open += load.connections[i].fd >= 0;
    printf("{\"open\": %ld, \"errors\": %lu, \"first_error\": \"%s\"}\n", open, load.errors,
           load.first_error ? load.first_error : "");
    fflush(stdout);
    while (read(STDIN_FILENO, &rest, 1) > 0)
        ;
    load.closed_idle = 0;
    turn(0);
    for (int i = 0; i < want.connections / EVENTS_MAX + 1; i++)
        turn(0);
    printf("{\"closed_idle\": %lu}\n", load.closed_idle);
}

static void request_make(void)
{
    int length = snprintf(load.request, sizeof load.request, "GET %s%s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                          want.target, want.keys ? "00000" : "", want.host, want.fields);

    if (length < 0 || (size_t)length >= sizeof load.request) {
        fprintf(stderr, "the request is too long\n");
        exit(2);
    }
    load.request_length = (size_t)length;
    load.digits = load.request + 4 + strlen(want.target);
}

static void field_add(const char *field)
{
    size_t have = strlen(want.fields);
    int length = snprintf(want.fields + have, sizeof want.fields - have, "%s\r\n", field);

    if ((size_t)length >= sizeof want.fields - have) {
        fprintf(stderr, "--header: too long\n");
        exit(2);
    }
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: load --port PORT [--target /path] [--host NAME] [--header 'Name: value']...\n"
                    "            [--connections N] [--seconds S] [--requests N]\n"
                    "            [--keys COUNT [--skew S | --sequence]]     adds five digits to the target\n"
                    "            [--expect-status CODE] [--expect-bytes N] [--discard] [--idle]\n");
    exit(2);
}

static void arguments(int argc, char **argv)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },
        { "target", required_argument, NULL, 't' },
        { "host", required_argument, NULL, 'h' },
        { "header", required_argument, NULL, 'f' },
        { "connections", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' },
        { "requests", required_argument, NULL, 'n' },
        { "keys", required_argument, NULL, 'k' },
        { "skew", required_argument, NULL, 'z' },
        { "sequence", no_argument, NULL, 'q' },
        { "expect-status", required_argument, NULL, 'e' },
        { "expect-bytes", required_argument, NULL, 'b' },
        { "discard", no_argument, NULL, 'd' },
        { "idle", no_argument, NULL, 'i' },
        { 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            want.port = (int)must_number("--port", optarg, 1, 65535);
            break;
        case 't':
            want.target = optarg;
            break;
        case 'h':
            want.host = optarg;
            break;
        case 'f':
            field_add(optarg);
            break;
        case 'c':
            want.connections = must_number("--connections", optarg, 1, 100000);
            break;
        case 's':
            want.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            want.requests = must_number("--requests", optarg, 1, 1000000000);
            break;
        case 'k':
            want.keys = must_number("--keys", optarg, 1, KEYS_MAX);
            break;
        case 'z':
            want.skew = strtod(optarg, NULL);
            break;
        case 'q':
            want.is_sequence = true;
            break;
        case 'e':
            want.status = must_number("--expect-status", optarg, 100, 599);
            break;
        case 'b':
            want.bytes = must_number("--expect-bytes", optarg, 0, 1L << 40);
            break;
        case 'd':
            want.may_discard = true;
            break;
        case 'i':
            want.is_idle = true;
            break;
        default:
            usage();
        }
    }
    if (!want.port || optind < argc || !(want.seconds > 0) || !(want.seconds <= 3600))
        usage();
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    raise_descriptor_limit();
    request_make();
    if (want.keys && !want.is_sequence)
        load.zipf = zipf_new(want.keys, want.skew);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.connections = must_alloc((size_t)want.connections * sizeof *load.connections);
    for (long i = 0; i < want.connections; i++)
        load.connections[i].fd = -1;
    if (want.is_idle)
        hold();
    else
        run();
    for (long i = 0; i < want.connections; i++)
        reply_fini(&load.connections[i].reply);
    zipf_free(load.zipf);
    return load.errors ? 1 : 0;
}
