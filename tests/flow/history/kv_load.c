/* kv_load: many clients of kv_app, each with its own token, and a line of history for all that each of them
 * did.
 *
 *     kv_load --to PORT --history FILE [--operations N] [--seconds N] [--clients N] [--writes PERCENT]
 * [--keys N]
 *             [--think MS] [--eager PERCENT] [--seed N] [--no-tokens]
 *
 * A client asks for one thing at a time, thinks for a random while, and belongs to one of two tenants. Every
 * second one carries its token as a header, the others as a cookie. After a write it reads that key back at
 * once in `eager` percent of cases; otherwise every third read is of a key that it wrote lately, and every
 * third of one that it read.
 *
 * A line: client, tenant, start and end (microseconds of the machine's monotonic clock), R or W, key,
 * version, op, status (0: no answer), hit or -, the app that answered, its role, the reason of a refusal.
 * What a client could not learn is -. Operations that were going on at the end are in it. */
#include "talk.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECENT 4

static struct {
    uint16_t port;
    const char *history;
    long operations, seconds, clients, writes, keys, think_ms, eager, seed;
    int has_no_tokens;
} load = { .operations = 1000,
           .seconds = 600,
           .clients = 50,
           .writes = 10,
           .keys = 100,
           .think_ms = 50,
           .eager = 30,
           .seed = 1 };

static atomic_long begun;
static atomic_bool is_over;

struct line {
    int64_t start_us, end_us;
    long key, version;
    int status;
    bool is_write, is_hit;
    char op[40], app[24], role[12], reason[40], tenant[16];
};

struct memory {
    long keys[RECENT], count; /* the last ones, in a ring */
};

struct client {
    long number;
    const char *tenant;
    uint64_t random;
    struct talk talk; /* fd -1: not connected */
    char token[2048];
    struct memory written, read;
    long next_read; /* the key to read back; -1: none */
    struct line *lines;
    size_t count, room;
    pthread_t thread;
};

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* xorshift64*: the same clients do the same for the same seed. In [0, 1). */
static double chance(struct client *client)
{
    uint64_t x = client->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    client->random = x;
    return (double)((x * 0x2545F4914F6CDD1Dull) >> 11) / 9007199254740992.0;
}

static bool is_percent(struct client *client, long percent)
{
    return chance(client) * 100 < (double)percent;
}

static void pause_us(double us)
{
    struct timespec time = { .tv_sec = (time_t)(us / 1e6), .tv_nsec = (long)fmod(us, 1e6) * 1000 };

    nanosleep(&time, NULL);
}

static bool connect_to_weir(struct client *client)
{
    struct sockaddr_in there = { .sin_family = AF_INET,
                                 .sin_port = htons(load.port),
                                 .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct timeval patience = { .tv_sec = 60 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&there, sizeof there) != 0) {
        close(fd);
        return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return talk_init(&client->talk, fd);
}

/* Which key: some are asked for far more often than others. */
static long pick_key(struct client *client)
{
    double skewed = chance(client);

    return (long)(skewed * skewed * (double)load.keys);
}

static void remember(struct memory *memory, long key)
{
    memory->keys[memory->count++ % RECENT] = key;
}

static long remembered(struct client *client, const struct memory *memory)
{
    long known = memory->count < RECENT ? memory->count : RECENT;

    return known > 0 ? memory->keys[(long)(chance(client) * (double)known)] : pick_key(client);
}

static void plan(struct client *client, struct line *line)
{
    if (client->next_read >= 0) {
        line->key = client->next_read;
        client->next_read = -1;
    } else if (is_percent(client, load.writes)) {
        line->is_write = true;
        line->key = pick_key(client);
    } else if (is_percent(client, 33)) {
        line->key = remembered(client, &client->written);
    } else if (is_percent(client, 50)) {
        line->key = remembered(client, &client->read);
    } else {
        line->key = pick_key(client);
    }
}

static bool send_request(struct client *client, const struct line *line)
{
    char request[4096], token[sizeof client->token + 40] = "", value[64];
    int len;

    if (client->token[0] && client->number % 2)
        snprintf(token, sizeof token, "Weir-Position: %s\r\n", client->token);
    else if (client->token[0])
        snprintf(token, sizeof token, "Cookie: weir_position=%s\r\n", client->token);
    len = snprintf(value, sizeof value, "value of %s", line->op);
    if (line->is_write)
        len = snprintf(
            request, sizeof request,
            "PUT /kv/k%ld HTTP/1.1\r\nHost: kv\r\nX-Tenant: %s\r\nX-Op: %s\r\n%sContent-Length: %d\r\n\r\n%s",
            line->key, client->tenant, line->op, token, len, value);
    else
        len = snprintf(request, sizeof request, "GET /kv/k%ld HTTP/1.1\r\nHost: kv\r\nX-Tenant: %s\r\n%s\r\n",
                       line->key, client->tenant, token);
    return talk_send(&client->talk, request, (size_t)len);
}

static void keep_token(struct client *client, const struct message *message)
{
    char cookie[sizeof client->token];

    if (load.has_no_tokens)
        return;
    if (client->number % 2) {
        message_field(message, "Weir-Position", cookie, sizeof cookie);
        if (cookie[0])
            memcpy(client->token, cookie, sizeof cookie);
        return;
    }
    message_field(message, "Set-Cookie", cookie, sizeof cookie);
    if (strncmp(cookie, "weir_position=", 14) == 0)
        snprintf(client->token, sizeof client->token, "%.*s", (int)strcspn(cookie + 14, ";"), cookie + 14);
}

static void read_refusal(const char *body, struct line *line)
{
    const char *reason = strstr(body, "\"reason\"");

    if (!reason || sscanf(reason, "\"reason\" : \"%39[a-z-]", line->reason) != 1)
        snprintf(line->reason, sizeof line->reason, "app");
}

static void read_answer(struct client *client, const struct message *message, struct line *line)
{
    char status[16], cache[256], body[1024], key[32], expected[32], op[40], tenant[16];
    size_t len = message->body_bytes < sizeof body - 1 ? message->body_bytes : sizeof body - 1;

    memcpy(body, message->body, len);
    body[len] = '\0';
    if (sscanf(message->start, "HTTP/1.1 %15s", status) == 1)
        line->status = (int)strtol(status, NULL, 10);
    message_field(message, "Cache-Status", cache, sizeof cache);
    line->is_hit = strncmp(cache, "weir; hit", 9) == 0;
    keep_token(client, message);
    if (line->status != 200) {
        read_refusal(body, line);
        return;
    }
    snprintf(expected, sizeof expected, "k%ld", line->key);
    if (sscanf(body, "%ld %39s %15s %31s %23s %11s", &line->version, op, tenant, key, line->app,
               line->role) != 6 ||
        strcmp(key, expected) != 0)
        snprintf(line->reason, sizeof line->reason, "garbled"); /* the judge will want to know */
    else {
        memcpy(line->tenant, tenant, sizeof tenant);
        if (!line->is_write || strcmp(op, line->op) == 0)
            memcpy(line->op, op, sizeof op);
        else
            snprintf(line->reason, sizeof line->reason, "other-op");
    }
}

static struct line *line_new(struct client *client)
{
    struct line *line;

    if (client->count == client->room) {
        size_t room = client->room ? client->room * 2 : 256;
        struct line *more = realloc(client->lines, room * sizeof *more);

        if (!more)
            abort();
        client->lines = more;
        client->room = room;
    }
    line = &client->lines[client->count++];
    *line = (struct line){ .version = -1, .op = "-", .app = "-", .role = "-", .reason = "-" };
    snprintf(line->tenant, sizeof line->tenant, "%s", client->tenant);
    return line;
}

static void operate(struct client *client)
{
    struct line *line = line_new(client);
    struct message message;
    bool is_answered;

    plan(client, line);
    if (line->is_write)
        snprintf(line->op, sizeof line->op, "%ld.%zu", client->number, client->count);
    line->start_us = now_us();
    is_answered = (client->talk.fd >= 0 || connect_to_weir(client)) && send_request(client, line) &&
                  talk_read(&client->talk, &message);
    line->end_us = now_us();
    if (is_answered)
        read_answer(client, &message, line);
    else
        talk_fini(&client->talk);
    if (line->is_write && line->status == 200) {
        remember(&client->written, line->key);
        if (is_percent(client, load.eager))
            client->next_read = line->key;
    } else if (!line->is_write) {
        remember(&client->read, line->key);
    }
}

static void *live(void *arg)
{
    struct client *client = arg;

    pause_us(chance(client) * (double)load.think_ms * 1000); /* not all at once */
    while (!atomic_load(&is_over) && atomic_fetch_add(&begun, 1) < load.operations) {
        operate(client);
        if (client->talk.fd < 0)
            pause_us(20000);
        else if (client->next_read < 0)
            pause_us(-log(1 - chance(client)) * (double)load.think_ms * 1000);
    }
    talk_fini(&client->talk);
    return NULL;
}

static bool write_history(const struct client *clients)
{
    FILE *file = fopen(load.history, "w");

    if (!file)
        return false;
    for (long i = 0; i < load.clients; i++) {
        for (size_t j = 0; j < clients[i].count; j++) {
            const struct line *line = &clients[i].lines[j];

            fprintf(file, "%ld\t%s\t%s\t%lld\t%lld\t%c\tk%ld\t%ld\t%s\t%d\t%s\t%s\t%s\t%s\n", i,
                    clients[i].tenant, line->tenant, (long long)line->start_us, (long long)line->end_us,
                    line->is_write ? 'W' : 'R', line->key, line->version, line->op, line->status,
                    line->is_hit ? "hit" : "-", line->app, line->role, line->reason);
        }
    }
    return fclose(file) == 0;
}

static void read_options(int argc, char **argv)
{
    static const char *const names[] = { "to",   "operations", "seconds", "clients", "writes",
                                         "keys", "think",      "eager",   "seed" };
    long to = 0, *const values[] = { &to,        &load.operations, &load.seconds, &load.clients, &load.writes,
                                     &load.keys, &load.think_ms,   &load.eager,   &load.seed };
    struct option options[sizeof names / sizeof names[0] + 3] = {
        { "history", 1, NULL, 'h' }, { "no-tokens", 0, &load.has_no_tokens, 1 }
    };
    int which = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        options[i + 2] = (struct option){ names[i], 1, NULL, 'n' };
    for (int option; (option = getopt_long(argc, argv, "", options, &which)) != -1;) {
        if (option == 'h')
            load.history = optarg;
        else if (option == 'n')
            *values[which - 2] = strtol(optarg, NULL, 10);
        else if (option != 0)
            exit(2);
    }
    load.port = (uint16_t)to;
    if (!load.history || !to || load.clients < 1)
        exit(2);
}

static void stop(int number)
{
    atomic_store(&is_over, true);
}

int main(int argc, char **argv)
{
    static const char *const tenants[] = { "acme", "globex" };
    struct client *clients;
    pthread_attr_t small;

    read_options(argc, argv);
    clients = calloc((size_t)load.clients, sizeof *clients);
    if (!clients)
        return 3;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, stop);
    signal(SIGALRM, stop);
    alarm((unsigned)load.seconds);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    for (long i = 0; i < load.clients; i++) {
        clients[i] = (struct client){
            .number = i, .tenant = tenants[i / 2 % 2], .talk = { .fd = -1 }, .next_read = -1
        };
        clients[i].random = ((uint64_t)load.seed << 32 | (uint64_t)(i + 1)) * 0x9E3779B97F4A7C15ull;
        if (pthread_create(&clients[i].thread, &small, live, &clients[i]) != 0)
            abort();
    }
    for (long i = 0; i < load.clients; i++)
        pthread_join(clients[i].thread, NULL);
    if (!write_history(clients))
        return 3;
    for (long i = 0; i < load.clients; i++)
        free(clients[i].lines);
    free(clients);
    return 0;
}
