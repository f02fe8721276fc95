/* The app behind the proxies: plain replies of known sizes, as cheap as they can be made.
 *
 *   /hit/1k /hit/100k /hit/1m     may be stored: Cache-Control: public, max-age=3600
 *   /pass/1k /pass/100k /pass/1m  may not: Cache-Control: no-store
 *   /route/1k ...                 says nothing, for a proxy whose own rules give the time
 *   /k/NNNNN                      1 KiB that begins with its five digits, may be stored
 *   /count                        how many of the above were asked for, as a decimal number
 *   /healthz                      ok
 *
 * A leading version segment ("/v2") is passed over. Everything else is 404. One thread, one epoll.
 */
#include "bare.h"

#include <getopt.h>
#include <sys/uio.h>

enum {
    IN_MAX = 16384,
    HEAD_MAX = 512,
    EVENTS_MAX = 256,
    BODY_MAX = 1 << 20
};

struct client {
    int fd;
    size_t have; /* request bytes in `in` */
    size_t head_sent, head_length;
    size_t body_sent, body_length;
    bool is_owing; /* a reply is not out yet; nothing is read meanwhile */
    char head[HEAD_MAX];
    char small[1024]; /* a body of the client's own, where replies differ */
    char *body;
    char in[IN_MAX];
};

static struct {
    int epoll;
    unsigned long asked;
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

static void reply_for(struct client *client, const char *target)
{
    static const char stored[] = "Cache-Control: public, max-age=3600\r\nETag: \"bench-1\"\r\n";
    const char *caching = stored;
    size_t size = 0;

    if (target[0] == '/' && target[1] == 'v' && target[2] && target[3] == '/')
        target += 3;
    if (starts(&target, "/k/") && strlen(target) == 5) {
        origin.asked++;
        memcpy(client->small, origin.body, sizeof client->small);
        memcpy(client->small, target, 5);
        reply_set(client, "200 OK", stored, client->small, sizeof client->small);
        return;
    }
    if (strcmp(target, "/healthz") == 0 || strcmp(target, "/count") == 0) {
        int length = snprintf(client->small, sizeof client->small, "%lu\n", origin.asked);

        reply_set(client, "200 OK", "Cache-Control: no-store\r\n", client->small, (size_t)length);
        return;
    }
    if (starts(&target, "/hit/"))
        size = size_named(target);
    else if (starts(&target, "/pass/")) {
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
        state = client_send(client);
    }
    client->have -= from;
    if (from && client->have)
        memmove(client->in, client->in + from, client->have);
    return client->have == IN_MAX ? -1 : state;
}

static void client_free(struct client *client)
{
    close(client->fd);
    free(client);
}

static void on_event(struct client *client)
{
    bool was_owing = client->is_owing;
    int state;

    if (was_owing) {
        state = client_send(client);
        if (state == 1)
            state = client_answer(client);
    } else {
        ssize_t got = read(client->fd, client->in + client->have, IN_MAX - client->have);

        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            client_free(client);
            return;
        }
        client->have += (size_t)got;
        state = client_answer(client);
    }
    if (state < 0)
        client_free(client);
    else if (was_owing != client->is_owing)
        watch(origin.epoll, EPOLL_CTL_MOD, client->fd, client->is_owing ? EPOLLOUT : EPOLLIN, client);
}

static void on_listener(int listener)
{
    int fd;

    while ((fd = accept_next(listener)) >= 0) {
        struct client *client = must_alloc(sizeof *client);

        client->fd = fd;
        watch(origin.epoll, EPOLL_CTL_ADD, fd, EPOLLIN, client);
    }
}

static _Noreturn void run(int port)
{
    struct epoll_event events[EVENTS_MAX];
    int listener = listen_on_loopback(port);

    origin.epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(origin.epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int count = epoll_wait(origin.epoll, events, EVENTS_MAX, -1);

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
    memset(origin.body, 'x', sizeof origin.body);
    run(port);
}
