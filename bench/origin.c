/* The app behind the proxies: plain replies of known sizes, as cheap as they can be made.
 *
 *   /hit/1k /hit/100k /hit/1m     may be stored: Cache-Control: public, max-age=3600
 *   /pass/1k /pass/100k /pass/1m  may not: Cache-Control: no-store
 *   /route/1k ...                 says nothing, for a proxy whose own rules give the time
 *   /hit/1k-vary                  the same, with Vary: Accept-Encoding, Accept-Language
 *   /hit/cold-NAME                1 KiB that may be stored, 0.75 s after it was asked for
 *   /k/NNNNN                      1 KiB that begins with these digits (1 to 8 of them), may be stored
 *   /count                        how many of the above were asked for, as a decimal number
 *   /cold-at                      when the last cold reply was sent, in nanoseconds of the monotonic clock
 *   /healthz                      ok
 *
 * A leading version segment ("/v2") is passed over. Everything else is 404. One thread, one epoll.
 */
#include "bare.h"

#include <getopt.h>
#include <sys/queue.h>
#include <sys/uio.h>

enum {
    IN_MAX = 16384,
    HEAD_MAX = 512,
    EVENTS_MAX = 256,
    BODY_MAX = 1 << 20,
    DIGITS_MAX = 8,
};

/* Long enough for ten thousand requests to have arrived behind the first one. Between two half seconds:
 * who looks again every 500 ms whether the answer is there (nginx) has neither luck nor bad luck then. */
static const int64_t COLD_NS = 750000000;

struct client {
    int fd;
    size_t have; /* request bytes in `in` */
    size_t head_sent, head_length;
    size_t body_sent, body_length;
    bool is_owing;  /* a reply is not out yet; nothing is read meanwhile */
    int64_t due_ns; /* its reply is kept back until then; 0: it is not */
    TAILQ_ENTRY(client) due;
    char head[HEAD_MAX];
    char small[1024]; /* a body of the client's own, where replies differ */
    char *body;
    char in[IN_MAX];
};

TAILQ_HEAD(clients, client);

static struct {
    int epoll;
    unsigned long asked;
    struct clients due; /* the first is due first: all are kept back equally long */
    int64_t cold_sent_ns;
    char date[64];
    time_t date_at;
    char body[BODY_MAX];
} origin;

static const char *date_now(void)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now != origin.date_at) {
        gmtime_r(&now, &tm);
        strftime(origin.date, sizeof origin.date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        origin.date_at = now;
    }
    return origin.date;
}

static void reply_set(struct client *client, const char *status, const char *caching, char *body,
                      size_t length)
{
    client->head_length =
        (size_t)snprintf(client->head, sizeof client->head,
                         "HTTP/1.1 %s\r\nServer: origin\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                         "Content-Length: %zu\r\n%s\r\n",
                         status, date_now(), length, caching);
    client->head_sent = client->body_sent = 0;
    client->body = body;
    client->body_length = length;
    client->is_owing = true;
}

static bool starts(const char **target, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(*target, prefix, length) != 0)
        return false;
    *target += length;
    return true;
}

/* 0 when the name is none of ours. */
static size_t size_named(const char *name)
{
    if (strcmp(name, "1k") == 0)
        return 1024;
    if (strcmp(name, "100k") == 0)
        return 100 * 1024;
    return strcmp(name, "1m") == 0 ? BODY_MAX : 0;
}

static void number_reply(struct client *client, long long number)
{
    int length = snprintf(client->small, sizeof client->small, "%lld\n", number);

    reply_set(client, "200 OK", "Cache-Control: no-store\r\n", client->small, (size_t)length);
}

static void keep_back(struct client *client)
{
    client->due_ns = now_ns() + COLD_NS;
    TAILQ_INSERT_TAIL(&origin.due, client, due);
}

static void reply_for(struct client *client, const char *target)
{
    static const char stored[] = "Cache-Control: public, max-age=3600\r\nETag: \"bench-1\"\r\n";
    static const char varying[] = "Cache-Control: public, max-age=3600\r\nETag: \"bench-1\"\r\n"
                                  "Vary: Accept-Encoding, Accept-Language\r\n";
    const char *caching = stored;
    size_t size = 0;

    if (target[0] == '/' && target[1] == 'v' && target[2] && target[3] == '/')
        target += 3;
    if (starts(&target, "/k/") && *target && strlen(target) <= DIGITS_MAX) {
        origin.asked++;
        memcpy(client->small, origin.body, sizeof client->small);
        memcpy(client->small, target, strlen(target));
        reply_set(client, "200 OK", stored, client->small, sizeof client->small);
        return;
    }
    if (strcmp(target, "/healthz") == 0 || strcmp(target, "/count") == 0) {
        number_reply(client, (long long)origin.asked);
        return;
    }
    if (strcmp(target, "/cold-at") == 0) {
        number_reply(client, origin.cold_sent_ns);
        return;
    }
    if (starts(&target, "/hit/cold-")) {
        size = 1024;
        keep_back(client);
    } else if (strcmp(target, "/hit/1k-vary") == 0) {
        caching = varying;
        size = 1024;
    } else if (starts(&target, "/hit/")) {
        size = size_named(target);
    } else if (starts(&target, "/pass/")) {
        caching = "Cache-Control: no-store\r\n";
        size = size_named(target);
    } else if (starts(&target, "/route/")) {
        caching = "";
        size = size_named(target);
    }
    if (!size) {
        reply_set(client, "404 Not Found", "Cache-Control: no-store\r\n", origin.body, 0);
        return;
    }
    origin.asked++;
    reply_set(client, "200 OK", caching, origin.body, size);
}

/* 1: all sent; 0: the socket is full; -1: gone. */
static int client_send(struct client *client)
{
    struct iovec parts[2] = {
        { client->head + client->head_sent, client->head_length - client->head_sent },
        { client->body + client->body_sent, client->body_length - client->body_sent },
    };
    ssize_t sent = writev(client->fd, parts, 2);
    size_t of_head;

    if (sent < 0)
        return errno == EAGAIN ? 0 : -1;
    of_head = (size_t)sent < parts[0].iov_len ? (size_t)sent : parts[0].iov_len;
    client->head_sent += of_head;
    client->body_sent += (size_t)sent - of_head;
    client->is_owing = client->head_sent < client->head_length || client->body_sent < client->body_length;
    return !client->is_owing;
}

static int client_answer(struct client *client)
{
    size_t from = 0;
    int state = 1;

    while (state == 1) {
        char *head = client->in + from;
        size_t length = head_length(head, client->have - from);
        char *target;
        char *end;

        if (!length)
            break;
        target = memchr(head, ' ', length);
        end = target ? memchr(target + 1, ' ', length - (size_t)(target + 1 - head)) : NULL;
        if (!end)
            return -1;
        *end = '\0';
        reply_for(client, target + 1);
        from += length;
        state = client->due_ns ? 0 : client_send(client);
    }
    client->have -= from;
    if (from && client->have)
        memmove(client->in, client->in + from, client->have);
    return client->have == IN_MAX ? -1 : state;
}

static void client_free(struct client *client)
{
    if (client->due_ns)
        TAILQ_REMOVE(&origin.due, client, due);
    close(client->fd);
    free(client);
}

/* What epoll is to tell: nothing while the reply is kept back, but an error it tells always. */
static void client_watch(struct client *client, int operation)
{
    uint32_t events = client->due_ns ? 0 : client->is_owing ? EPOLLOUT : EPOLLIN;

    watch(origin.epoll, operation, client->fd, events, client);
}

static void client_go_on(struct client *client, bool is_watched)
{
    int state = client_send(client);

    if (state == 1)
        state = client_answer(client);
    if (state < 0)
        client_free(client);
    else if (!is_watched || !client->is_owing || client->due_ns)
        client_watch(client, EPOLL_CTL_MOD);
}

static void on_event(struct client *client)
{
    ssize_t got;

    if (client->due_ns) { /* it is gone */
        client_free(client);
        return;
    }
    if (client->is_owing) {
        client_go_on(client, true);
        return;
    }
    got = read(client->fd, client->in + client->have, IN_MAX - client->have);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        client_free(client);
        return;
    }
    client->have += (size_t)got;
    if (client_answer(client) < 0)
        client_free(client);
    else if (client->is_owing)
        client_watch(client, EPOLL_CTL_MOD);
}

/* Sends what has been kept back long enough. Returns the milliseconds until the next, or -1. */
static int send_due(void)
{
    struct client *client;

    while ((client = TAILQ_FIRST(&origin.due))) {
        int64_t now = now_ns();

        if (now < client->due_ns)
            return (int)((client->due_ns - now) / 1000000) + 1;
        TAILQ_REMOVE(&origin.due, client, due);
        client->due_ns = 0;
        origin.cold_sent_ns = now;
        client_go_on(client, false);
    }
    return -1;
}

static void on_listener(int listener)
{
    int fd;

    while ((fd = accept_next(listener)) >= 0) {
        struct client *client = must_alloc(sizeof *client);

        client->fd = fd;
        client_watch(client, EPOLL_CTL_ADD);
    }
}

static _Noreturn void run(int port)
{
    struct epoll_event events[EVENTS_MAX];
    int listener = listen_on_loopback(port);

    origin.epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(origin.epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int count = epoll_wait(origin.epoll, events, EVENTS_MAX, send_due());

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr);
            else
                on_listener(listener);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "port", required_argument, NULL, 'p' }, { 0 } };
    int port = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'p')
            return 2;
        port = (int)must_number("--port", optarg, 1, 65535);
    }
    if (!port || optind < argc) {
        fprintf(stderr, "usage: origin --port PORT\n");
        return 2;
    }
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    TAILQ_INIT(&origin.due);
    memset(origin.body, 'x', sizeof origin.body);
    run(port);
}
