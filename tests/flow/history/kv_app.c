/* kv_app: an app with a real database behind it, one for each server of the story.
 *
 *     kv_app --dsn DSN --name NAME [--listen PORT] [--positions] [--replay weir|fly|status] [--connections N]
 *
 *     PUT /kv/KEY, POST /kv/KEY  stores the body; X-Op names the write        -> its version
 *     GET /kv/KEY                max-age=5 where KEY ends in an even digit    -> the newest it knows
 *     POST /search/KEY           reads, as GET does
 *     GET /healthz               200 while its database answers, as JSON with replication.position
 *
 * The answer's body is "VERSION OP TENANT KEY NAME primary|replica", and the value on lines of its own. A
 * write on a replica is refused with 409 and X-Read-Only, and where --replay says so in the words of who can
 * send it on. */
#include "database.h"
#include "talk.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct {
    struct database *database;
    const char *name;
    const char *replay;
    bool tells_position;
} app = { .name = "app" };

struct asked {
    char method[16], path[256], tenant[64], op[96];
    const char *key;
    char *value;
};

/* Sends a reply; `fields` are whole lines. */
static bool answer(struct talk *talk, int status, const char *fields, const char *body_format, ...)
    __attribute__((format(printf, 4, 5)));

static bool answer(struct talk *talk, int status, const char *fields, const char *body_format, ...)
{
    char *body = NULL, *whole = NULL;
    va_list arguments;
    int body_len, len;
    bool is_sent = false;

    va_start(arguments, body_format);
    body_len = vasprintf(&body, body_format, arguments);
    va_end(arguments);
    if (body_len < 0)
        return false;
    len = asprintf(&whole, "HTTP/1.1 %d Said\r\nX-App: %s\r\n%sContent-Length: %d\r\n\r\n%s", status,
                   app.name, fields, body_len, body);
    if (len > 0)
        is_sent = talk_send(talk, whole, (size_t)len);
    free(whole);
    free(body);
    return is_sent;
}

static bool answer_failed(struct talk *talk)
{
    return answer(talk, 503, "Cache-Control: no-store\r\nX-App-Trouble: database\r\n",
                  "the database does not answer\n");
}

static bool answer_read_only(struct talk *talk)
{
    const char *fields = "Cache-Control: no-store\r\nX-Read-Only: 1\r\n";

    if (app.replay && strcmp(app.replay, "weir") == 0)
        fields = "Cache-Control: no-store\r\nWeir-Replay: primary\r\n";
    else if (app.replay && strcmp(app.replay, "fly") == 0)
        fields = "Cache-Control: no-store\r\nfly-replay: instance=primary\r\n";
    return answer(talk, 409, fields, "a replica cannot write\n");
}

static bool answer_row(struct talk *talk, const struct asked *asked, const struct row *row, bool is_cacheable)
{
    char fields[256], position[96] = "";

    if (app.tells_position && row->position[0])
        snprintf(position, sizeof position, "Weir-Position: %s\r\n", row->position);
    snprintf(fields, sizeof fields, "Content-Type: text/plain\r\nCache-Control: %s\r\n%s",
             is_cacheable ? "max-age=5" : "no-store", position);
    return answer(talk, 200, fields, "%lld %s %s %s %s %s\n%s", (long long)row->version, row->op,
                  asked->tenant, asked->key, app.name, row->is_replica ? "replica" : "primary",
                  row->value ? row->value : "");
}

static bool serve_read(struct talk *talk, const struct asked *asked)
{
    size_t len = strlen(asked->key);
    bool is_even = len > 0 && (asked->key[len - 1] - '0') % 2 == 0;
    struct row row;
    bool may_go_on;

    if (database_read(app.database, asked->tenant, asked->key, &row) == DATABASE_DONE)
        may_go_on = answer_row(talk, asked, &row, is_even && strcmp(asked->method, "GET") == 0);
    else
        may_go_on = answer_failed(talk);
    free(row.value);
    return may_go_on;
}

static bool serve_write(struct talk *talk, const struct asked *asked)
{
    struct row row;

    switch (database_write(app.database, asked->tenant, asked->key, asked->op, asked->value, &row)) {
    case DATABASE_DONE:
        return answer_row(talk, asked, &row, false);
    case DATABASE_READ_ONLY:
        return answer_read_only(talk);
    case DATABASE_FAILED:
        break;
    }
    return answer_failed(talk);
}

static bool serve_health(struct talk *talk)
{
    struct row row;
    char fields[160] = "Content-Type: application/json\r\n";

    if (database_look(app.database, &row) != DATABASE_DONE)
        return answer_failed(talk);
    if (app.tells_position)
        snprintf(fields, sizeof fields, "Content-Type: application/json\r\nWeir-Position: %s\r\n",
                 row.position);
    return answer(talk, 200, fields, "{\"replication\": {\"position\": \"%s\", \"is_replica\": %s}}\n",
                  row.position, row.is_replica ? "true" : "false");
}

static bool serve(struct talk *talk, struct message *message)
{
    struct asked asked = { .value = NULL };
    bool may_go_on;

    if (sscanf(message->start, "%15s %255s", asked.method, asked.path) != 2 || asked.path[0] != '/')
        return false;
    message_field(message, "Weir-Tenant", asked.tenant, sizeof asked.tenant);
    if (!asked.tenant[0])
        message_field(message, "X-Tenant", asked.tenant, sizeof asked.tenant);
    if (!asked.tenant[0])
        snprintf(asked.tenant, sizeof asked.tenant, "default");
    message_field(message, "X-Op", asked.op, sizeof asked.op);
    if (!asked.op[0])
        snprintf(asked.op, sizeof asked.op, "-");
    if (strcmp(asked.path, "/healthz") == 0)
        return serve_health(talk);
    asked.key = strrchr(asked.path, '/') + 1;
    if (strncmp(asked.path, "/search/", 8) == 0)
        return serve_read(talk, &asked);
    if (strncmp(asked.path, "/kv/", 4) != 0)
        return answer(talk, 404, "", "no such page\n");
    if (strcmp(asked.method, "GET") == 0)
        return serve_read(talk, &asked);
    asked.value = strndup(message->body, message->body_bytes);
    may_go_on = asked.value && serve_write(talk, &asked);
    free(asked.value);
    return may_go_on;
}

static void *serve_all(void *arg)
{
    struct talk talk;
    struct message message;

    if (talk_init(&talk, (int)(long)arg))
        while (talk_read(&talk, &message) && serve(&talk, &message))
            ;
    talk_fini(&talk);
    return NULL;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in here = { .sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&here, &size) != 0) {
        perror("kv_app: listen");
        exit(3);
    }
    printf("ready 127.0.0.1:%u\n", ntohs(here.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_all(int listener)
{
    pthread_attr_t small;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;

        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        if (pthread_create(&thread, &small, serve_all, (void *)(long)fd) != 0)
            shutdown(fd, SHUT_RDWR);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "dsn", 1, NULL, 'd' },    { "name", 1, NULL, 'n' },        { "listen", 1, NULL, 'l' },
        { "replay", 1, NULL, 'r' }, { "connections", 1, NULL, 'c' }, { "positions", 0, NULL, 'p' },
        { NULL, 0, NULL, 0 }
    };
    const char *dsn = "";
    unsigned long port = 0, connections = 8;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            dsn = optarg;
            break;
        case 'n':
            app.name = optarg;
            break;
        case 'l':
            port = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            app.replay = optarg;
            break;
        case 'c':
            connections = strtoul(optarg, NULL, 10);
            break;
        case 'p':
            app.tells_position = true;
            break;
        default:
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    app.database = database_new(dsn, (unsigned)connections, app.tells_position);
    if (!app.database)
        return 3;
    accept_all(listen_on((uint16_t)port));
}
