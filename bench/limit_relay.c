/* The machine's limit for pass-through: what it costs to carry a request over and its reply back.
 *
 * One thread, one epoll. A request head goes, unread but for its end, to a server connection
 * from a small pool of kept ones; the reply comes back by its Content-Length through a buffer
 * of 256 KiB. Sockets are watched once, edge-triggered, and never again: a read that comes up
 * short has emptied the socket. Understands GET and replies with Content-Length, nothing else;
 * whatever surprises it closes both ends.
 */
#include "bare.h"

#include <getopt.h>

enum {
    IN_MAX = 4096,
    EVENTS_MAX = 256,
    BUFFER_SIZE = 256 << 10,
    SERVERS_MAX = 1024
};

enum kind {
    LISTENER,
    CLIENT,
    SERVER
};

/* Reply bytes on their way. Most are sent at once, so one hot buffer serves everybody; a client
 * whose socket is full keeps the buffer until it has drained. */
struct buffer {
    struct buffer *next;
    size_t from, to;
    char bytes[BUFFER_SIZE];
};

struct client {
    enum kind kind;
    int fd;
    struct server *server; /* that answers it now, or NULL */
    struct client *next;   /* while it waits for one */
    bool is_waiting;
    bool may_read; /* the edge has come and was not used up */
    bool is_dead;  /* to be freed after this turn of the loop */
    struct buffer *unsent;
    size_t have;
    char in[IN_MAX];
};

struct server {
    enum kind kind;
    int fd;
    struct client *client; /* NULL: idle, on the stack */
    struct server *next;
    int64_t left; /* of the reply; -1 before its head */
    bool is_dead;
};

static struct {
    int epoll;
    int port; /* of the app */
    int servers, servers_max;
    struct server *idle; /* the last one used comes first: its memory is warm */
    struct client *waiting_first, *waiting_last;
    struct buffer *spare;
    struct client *dead_clients;
    struct server *dead_servers;
} relay;

static struct buffer *buffer_take(void)
{
    struct buffer *buffer = relay.spare;

    if (buffer)
        relay.spare = buffer->next;
    else if (!(buffer = malloc(sizeof *buffer)))
        die("malloc");
    buffer->from = buffer->to = 0;
    return buffer;
}

static void buffer_give(struct buffer *buffer)
{
    buffer->next = relay.spare;
    relay.spare = buffer;
}

/* Events of this turn may still name them, so they are freed when the turn is over. */
static void client_end(struct client *client)
{
    if (client->is_dead)
        return;
    client->is_dead = true;
    close(client->fd);
    if (client->unsent)
        buffer_give(client->unsent);
    client->unsent = NULL;
    if (client->is_waiting)
        return; /* freed when its turn comes */
    client->next = relay.dead_clients;
    relay.dead_clients = client;
}

static void server_end(struct server *server)
{
    if (server->is_dead)
        return;
    server->is_dead = true;
    close(server->fd);
    relay.servers--;
    if (server->client) {
        server->client->server = NULL;
        client_end(server->client);
        server->client = NULL;
    } else {
        struct server **link = &relay.idle;

        while (*link && *link != server)
            link = &(*link)->next;
        if (*link)
            *link = server->next;
    }
    server->next = relay.dead_servers;
    relay.dead_servers = server;
}

static void client_gone(struct client *client)
{
    struct server *server = client->server;

    if (server)
        server_end(server); /* takes the client along */
    else
        client_end(client);
}

static struct server *server_take(void)
{
    struct server *server = relay.idle;

    if (server) {
        relay.idle = server->next;
        return server;
    }
    if (relay.servers == relay.servers_max)
        return NULL;
    server = must_alloc(sizeof *server);
    server->kind = SERVER;
    server->fd = dial_loopback(relay.port);
    if (server->fd < 0)
        die("connect to the app");
    relay.servers++;
    watch(relay.epoll, EPOLL_CTL_ADD, server->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, server);
    return server;
}

/* Sends the first request the client has read, when it is whole and a server is free.
 * False: nothing more can be done for this client now. */
static bool client_forward(struct client *client)
{
    size_t length = head_length(client->in, client->have);
    struct server *server;

    if (!length) {
        if (client->have == IN_MAX)
            client_gone(client);
        return false;
    }
    server = server_take();
    if (!server) {
        client->is_waiting = true;
        client->next = NULL;
        if (relay.waiting_last)
            relay.waiting_last->next = client;
        else
            relay.waiting_first = client;
        relay.waiting_last = client;
        return false;
    }
    server->client = client;
    server->left = -1;
    client->server = server;
    if (send(server->fd, client->in, length, MSG_NOSIGNAL) != (ssize_t)length) {
        server_end(server);
        return false;
    }
    client->have -= length;
    if (client->have)
        memmove(client->in, client->in + length, client->have);
    return true;
}

static void client_pump(struct client *client)
{
    while (!client->server && !client->is_waiting && !client->is_dead) {
        ssize_t got;

        if (client->have && (client_forward(client) || client->is_waiting || client->is_dead))
            return;
        if (!client->may_read)
            return;
        got = recv(client->fd, client->in + client->have, IN_MAX - client->have, 0);
        if (got < 0 && errno == EAGAIN) {
            client->may_read = false;
            return;
        }
        if (got <= 0) {
            client_gone(client);
            return;
        }
        client->may_read = (size_t)got == IN_MAX - client->have;
        client->have += (size_t)got;
    }
}

static void server_release(struct server *server)
{
    struct client *client = server->client;
    struct client *first;

    client->server = NULL;
    server->client = NULL;
    server->next = relay.idle;
    relay.idle = server;
    client_pump(client);
    while (relay.idle && (first = relay.waiting_first)) {
        relay.waiting_first = first->next;
        if (!relay.waiting_first)
            relay.waiting_last = NULL;
        first->is_waiting = false;
        if (first->is_dead) {
            first->next = relay.dead_clients;
            relay.dead_clients = first;
        } else {
            client_pump(first);
        }
    }
}

/* 1: all of it went out; 0: the client keeps the rest; -1: it is gone. */
static int client_send(struct client *client, struct buffer *buffer)
{
    ssize_t sent = send(client->fd, buffer->bytes + buffer->from, buffer->to - buffer->from, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN)
        return -1;
    buffer->from += sent > 0 ? (size_t)sent : 0;
    if (buffer->from == buffer->to)
        return 1;
    client->unsent = buffer;
    return 0;
}

/* Counts the bytes just read against the reply. False: this is no reply we understand. */
static bool server_count(struct server *server, const struct buffer *buffer)
{
    if (server->left < 0) {
        size_t head = head_length(buffer->bytes, buffer->to);

        server->left = head ? content_length(buffer->bytes, head) : -1;
        if (server->left < 0)
            return false;
        server->left += (int64_t)head;
    }
    server->left -= (int64_t)buffer->to;
    return server->left >= 0;
}

static void server_pump(struct server *server)
{
    bool may_read = true;

    while (may_read && server->client && !server->client->unsent) {
        struct buffer *buffer = buffer_take();
        ssize_t got = recv(server->fd, buffer->bytes, BUFFER_SIZE, 0);
        int state = -1;

        if (got <= 0) {
            buffer_give(buffer);
            if (got == 0 || errno != EAGAIN)
                server_end(server);
            return;
        }
        buffer->to = (size_t)got;
        may_read = got == BUFFER_SIZE;
        if (server_count(server, buffer))
            state = client_send(server->client, buffer);
        if (state != 0)
            buffer_give(buffer);
        if (state < 0)
            server_end(server);
        else if (state == 1 && server->left == 0)
            server_release(server);
        if (state < 0 || server->left == 0)
            return;
    }
}

static void on_client(struct client *client, uint32_t events)
{
    if (client->is_dead)
        return;
    if (events & (EPOLLERR | EPOLLHUP)) {
        client_gone(client);
        return;
    }
    if (client->unsent && events & EPOLLOUT) {
        struct buffer *buffer = client->unsent;
        struct server *server = client->server;
        int state;

        client->unsent = NULL;
        state = client_send(client, buffer);
        if (state != 0)
            buffer_give(buffer);
        if (state < 0) {
            client_gone(client);
            return;
        }
        if (state == 1 && server->left == 0)
            server_release(server);
        else if (state == 1)
            server_pump(server);
    }
    if (events & (EPOLLIN | EPOLLRDHUP)) {
        client->may_read = true;
        client_pump(client);
    }
}

static void on_server(struct server *server, uint32_t events)
{
    if (server->is_dead)
        return;
    if (!server->client) {
        if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
            server_end(server);
        return;
    }
    server_pump(server);
}

static void on_listener(int listener)
{
    int fd;

    while ((fd = accept_next(listener)) >= 0) {
        struct client *client = must_alloc(sizeof *client);

        client->kind = CLIENT;
        client->fd = fd;
        watch(relay.epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, client);
    }
}

static void bury(void)
{
    while (relay.dead_clients) {
        struct client *client = relay.dead_clients;

        relay.dead_clients = client->next;
        free(client);
    }
    while (relay.dead_servers) {
        struct server *server = relay.dead_servers;

        relay.dead_servers = server->next;
        free(server);
    }
}

static _Noreturn void run(int port)
{
    struct epoll_event events[EVENTS_MAX];
    enum kind listening = LISTENER;
    int listener = listen_on_loopback(port);

    relay.epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(relay.epoll, EPOLL_CTL_ADD, listener, EPOLLIN, &listening);
    for (;;) {
        int count = epoll_wait(relay.epoll, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            enum kind kind = *(enum kind *)events[i].data.ptr;

            if (kind == CLIENT)
                on_client(events[i].data.ptr, events[i].events);
            else if (kind == SERVER)
                on_server(events[i].data.ptr, events[i].events);
            else
                on_listener(listener);
        }
        bury();
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },
        { "to", required_argument, NULL, 't' },
        { "servers", required_argument, NULL, 's' },
        { 0 },
    };
    int port = 0;
    int option;

    relay.servers_max = 64;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'p')
            port = (int)must_number("--port", optarg, 1, 65535);
        else if (option == 't')
            relay.port = (int)must_number("--to", optarg, 1, 65535);
        else if (option == 's')
            relay.servers_max = (int)must_number("--servers", optarg, 1, SERVERS_MAX);
        else
            return 2;
    }
    if (!port || !relay.port || optind < argc) {
        fprintf(stderr, "usage: limit_relay --port PORT --to APP_PORT [--servers COUNT]\n");
        return 2;
    }
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    run(port);
}
