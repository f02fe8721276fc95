/* The machine's limit for cache hits: what a reply of this size costs when nothing is decided.
 *
 * One thread, one epoll. One read and one writev per request; looks for the empty line and for
 * nothing else. With --keys it also reads the target and finds the reply in a hash table of
 * that many keys, each with a body of its own: the limit for "parse, look up, answer".
 */
#include "bare.h"

#include <getopt.h>
#include <sys/uio.h>

enum {
    IN_MAX = 4096,
    EVENTS_MAX = 256,
    KEYS_MAX = 1000000,
    DIGITS_MAX = 8,
};

/* A reply as it goes out. Made before the first connection, never changed. */
struct reply {
    char target[32]; /* "/k/00042", with --keys */
    char head[256];
    size_t head_length;
    char *body;
};

struct client {
    int fd;
    unsigned have;
    const struct reply *unsent; /* NULL while nothing is owed */
    size_t sent;
    char in[IN_MAX];
};

static struct {
    int epoll;
    size_t size;
    long keys; /* 0: one reply for everyone */
    int digits;
    struct reply *replies;
    struct reply **table; /* open addressing, a power of two, at most half full */
    uint32_t mask;
} limit;

static uint32_t hash_of(const char *bytes, size_t count)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static void reply_make(struct reply *reply, long key)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    snprintf(reply->target, sizeof reply->target, "/k/%0*ld", limit.digits, key);
    reply->head_length = (size_t)snprintf(
        reply->head, sizeof reply->head,
        "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
        "Cache-Control: public, max-age=3600\r\nETag: \"bench\"\r\nAge: 1\r\nVia: 1.1 limit\r\n\r\n",
        date, limit.size);
    reply->body = must_alloc(limit.size + 1);
    memset(reply->body, 'x', limit.size);
    if (limit.keys && limit.size >= (size_t)limit.digits)
        memcpy(reply->body, reply->target + 3, (size_t)limit.digits);
}

static void replies_make(void)
{
    long count = limit.keys ? limit.keys : 1;
    uint32_t slots = 4;

    while (slots < 2 * (uint32_t)count)
        slots *= 2;
    limit.mask = slots - 1;
    limit.table = must_alloc(slots * sizeof *limit.table);
    limit.replies = must_alloc((size_t)count * sizeof *limit.replies);
    for (long key = 0; key < count; key++) {
        struct reply *reply = &limit.replies[key];
        uint32_t slot;

        reply_make(reply, key);
        slot = hash_of(reply->target, strlen(reply->target)) & limit.mask;
        while (limit.table[slot])
            slot = (slot + 1) & limit.mask;
        limit.table[slot] = reply;
    }
}

/* The reply for a whole request head; NULL when it is no request or no key of ours. */
static const struct reply *reply_find(const char *head, size_t length)
{
    const char *target = head + 4;
    const char *end;
    size_t count;

    if (!limit.keys)
        return limit.replies;
    if (length < 4 + 4 || memcmp(head, "GET /", 5) != 0)
        return NULL;
    end = memchr(target, ' ', length - 4);
    if (!end || memcmp(end, " HTTP/1.1\r\n", 11) != 0)
        return NULL;
    /* The version's path segment is the proxies' affair. */
    if (target[1] == 'v' && target[3] == '/')
        target += 3;
    count = (size_t)(end - target);
    if (count >= sizeof limit.replies->target)
        return NULL;
    for (uint32_t slot = hash_of(target, count) & limit.mask; limit.table[slot];
         slot = (slot + 1) & limit.mask) {
        const struct reply *reply = limit.table[slot];

        if (memcmp(reply->target, target, count) == 0 && reply->target[count] == '\0')
            return reply;
    }
    return NULL;
}

/* Sends what is owed. Returns 1 when all went out, 0 when the socket is full, -1 on error. */
static int client_send(struct client *client)
{
    const struct reply *reply = client->unsent;
    size_t total = reply->head_length + limit.size;
    struct iovec parts[2];
    int count = 0;
    ssize_t sent;

    if (client->sent < reply->head_length)
        parts[count++] =
            (struct iovec){ (char *)reply->head + client->sent, reply->head_length - client->sent };
    parts[count++] =
        client->sent <= reply->head_length
            ? (struct iovec){ reply->body, limit.size }
            : (struct iovec){ reply->body + (client->sent - reply->head_length), total - client->sent };
    sent = writev(client->fd, parts, count);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -1;
    client->sent += (size_t)sent;
    if (client->sent < total)
        return 0;
    client->unsent = NULL;
    client->sent = 0;
    return 1;
}

/* Answers every whole request that was read. Returns like client_send(). */
static int client_answer(struct client *client)
{
    size_t from = 0;
    int state = 1;

    while (state == 1) {
        size_t length = head_length(client->in + from, client->have - from);

        if (!length)
            break;
        client->unsent = reply_find(client->in + from, length);
        if (!client->unsent)
            return -1;
        from += length;
        state = client_send(client);
    }
    client->have -= (unsigned)from;
    if (from && client->have)
        memmove(client->in, client->in + from, client->have);
    return client->have == IN_MAX ? -1 : state;
}

static void client_free(struct client *client)
{
    close(client->fd);
    free(client);
}

static void on_event(struct client *client, uint32_t events)
{
    bool was_full = client->unsent != NULL;
    int state = 1;

    if (was_full) {
        state = client_send(client);
        if (state == 1)
            state = client_answer(client);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t got = read(client->fd, client->in + client->have, IN_MAX - client->have);

        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            client_free(client);
            return;
        }
        client->have += (unsigned)got;
        state = client_answer(client);
    }
    if (state < 0)
        client_free(client);
    else if (was_full != (client->unsent != NULL))
        watch(limit.epoll, EPOLL_CTL_MOD, client->fd, client->unsent ? EPOLLOUT : EPOLLIN, client);
}

static void on_listener(int listener)
{
    int fd;

    while ((fd = accept_next(listener)) >= 0) {
        struct client *client = must_alloc(sizeof *client);

        client->fd = fd;
        watch(limit.epoll, EPOLL_CTL_ADD, fd, EPOLLIN, client);
    }
}

static _Noreturn void run(int port)
{
    struct epoll_event events[EVENTS_MAX];
    int listener = listen_on_loopback(port);

    limit.epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(limit.epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int count = epoll_wait(limit.epoll, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                on_listener(listener);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },
        { "size", required_argument, NULL, 's' },
        { "keys", required_argument, NULL, 'k' },
        { "digits", required_argument, NULL, 'd' },
        { 0 },
    };
    int port = 0;
    int option;

    limit.size = 1024;
    limit.digits = 5;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'p')
            port = (int)must_number("--port", optarg, 1, 65535);
        else if (option == 's')
            limit.size = (size_t)must_number("--size", optarg, 1, 64 << 20);
        else if (option == 'k')
            limit.keys = must_number("--keys", optarg, 1, KEYS_MAX);
        else if (option == 'd')
            limit.digits = (int)must_number("--digits", optarg, 1, DIGITS_MAX);
        else
            return 2;
    }
    if (!port || optind < argc) {
        fprintf(stderr, "usage: limit_responder --port PORT [--size BYTES] [--keys COUNT [--digits 5]]\n");
        return 2;
    }
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    replies_make();
    run(port);
}
