#include "remote.h"

#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "http/body_in.h"
#include "http/message.h"
#include "http/target.h"

#define DONE          0
#define REFUSED       1
#define WRONG_USAGE   2
#define NOT_CONNECTED 3
#define ADMIN_DEFAULT "127.0.0.1:9900"
#define WAIT_S        10
#define REPLY_MAX     (16 * 1024 * 1024)
#define TOP_EVERY_S   2
#define TOP_ROWS      20
#define TABLE_COLUMNS 10

struct remote {
    struct addr addr;
    const char *token; /* NULL: none */
};

/* What the options of a command became. */
struct wish {
    struct remote remote;
    const char *admin;
    const char *tenant;
    const char *url;
    const char *tag;
    const char *prefix;
    bool is_all;
    bool is_soft;
    bool is_once;
};

/* --- the wire --- */

static int cannot(const struct remote *remote, const char *why)
{
    fprintf(stderr, "weir: no answer from the admin address %s: %s\n", remote->addr.text, why);
    return NOT_CONNECTED;
}

static int try_connect(const struct sockaddr *sa, socklen_t len)
{
    const struct timeval wait = { .tv_sec = WAIT_S };
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait); /* connect() keeps to it too */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, sa, len) == 0)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

/* host: what Host will say. Of a name it is the address it stands for: that is what an admin address always
 * answers to. */
static int open_socket(const struct addr *addr, char *host, size_t size)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char port[8];
    int fd = -1;

    snprintf(host, size, "localhost");
    if (addr->kind == ADDR_UNIX)
        return try_connect((const struct sockaddr *)&addr->sa, addr->sa_len);
    snprintf(port, sizeof port, "%u", (unsigned)addr->port);
    if (getaddrinfo(addr->host, port, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = try_connect(at->ai_addr, at->ai_addrlen);
        if (fd >= 0)
            addr_format(at->ai_addr, host, size);
    }
    int err = errno;
    freeaddrinfo(found);
    errno = err;
    return fd;
}

static bool send_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = str_from(bytes, (size_t)n);
    }
    return true;
}

/* Reads more; false, with errno, at the end or when it takes too long. */
static bool receive(int fd, struct buf *in)
{
    char *at = buf_len(in) < REPLY_MAX ? buf_reserve(in, 16 * 1024) : NULL;
    if (!at) {
        errno = ENOMEM;
        return false;
    }
    ssize_t n;
    do {
        n = recv(fd, at, 16 * 1024, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        errno = n == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno;
        return false;
    }
    buf_added(in, (size_t)n);
    return true;
}

static bool receive_body(int fd, struct body_in *body, struct buf *in, struct buf *out)
{
    for (;;) {
        struct str before = buf_str(in), rest = before, piece;
        int event = body_in_next(body, &rest, &piece);
        if (event == BODY_PIECE && (buf_len(out) > REPLY_MAX || !buf_append_str(out, piece)))
            event = -1;
        buf_consume(in, before.len - rest.len);
        if (event == BODY_END)
            return true;
        if (event < 0) {
            errno = EPROTO;
            return false;
        }
        if (event == BODY_MORE && !receive(fd, in))
            return false;
    }
}

/* The status, or -1 with errno. */
static int receive_reply(int fd, struct buf *out_body)
{
    static const struct head_limits limits = { .head_bytes = 64 * 1024,
                                               .line_bytes = 16 * 1024,
                                               .fields = 100 };
    struct buf in;
    struct message msg;
    size_t scanned = 0;
    int len;
    buf_init(&in);
    while ((len = head_find_end(buf_str(&in), &scanned, &limits)) == 0) {
        if (!receive(fd, &in))
            goto fail;
    }
    errno = EPROTO;
    if (len < 0 || message_read_reply(&msg, str_n(buf_str(&in).data, (size_t)len), METHOD_GET, &limits) != 0)
        goto fail;
    int status = msg.status;
    struct body_in body;
    body_in_init(&body, msg.framing, msg.content_length, 4096);
    buf_consume(&in, (size_t)len);
    bool ok = receive_body(fd, &body, &in, out_body);
    body_in_fini(&body);
    if (!ok)
        goto fail;
    buf_fini(&in);
    return status;

fail:
    buf_fini(&in);
    return -1;
}

/* Says why, as far as the reply does. */
static int refused(int status, const json_t *reply)
{
    const char *detail = json_string_value(json_object_get(reply, "detail"));
    json_t *mistakes = json_object_get(reply, "mistakes");
    size_t i;
    json_t *line;
    fprintf(stderr, "weir: refused (%d): %s\n", status, detail ? detail : "no reason was given");
    json_array_foreach(mistakes, i, line) fprintf(stderr, "%s\n", json_string_value(line));
    if (status == 401)
        fprintf(stderr, "weir: say it with --token TOKEN or in WEIR_ADMIN_TOKEN\n");
    return REFUSED;
}

/* body: taken over; NULL: GET. DONE and the reply's JSON in *out, or the exit code; then why was printed. */
static int ask(const struct remote *remote, const char *target, json_t *body, json_t **out)
{
    struct buf head, reply;
    char host[80];
    int code = NOT_CONNECTED;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    int fd = open_socket(&remote->addr, host, sizeof host);

    buf_init(&head);
    buf_init(&reply);
    *out = NULL;
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", body ? "POST" : "GET", target,
               host);
    if (remote->token)
        buf_printf(&head, "Authorization: Bearer %s\r\n", remote->token);
    if (text)
        buf_printf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(text));
    buf_printf(&head, "\r\n%s", text ? text : "");
    int status = fd >= 0 && send_all(fd, buf_str(&head)) ? receive_reply(fd, &reply) : -1;
    if (status < 0) {
        cannot(remote, strerror(errno));
    } else {
        *out = json_loadb(buf_len(&reply) ? buf_str(&reply).data : "", buf_len(&reply), 0, NULL);
        code = status / 100 != 2 ? refused(status, *out) : *out ? DONE : cannot(remote, "this is no weir");
    }
    if (code != DONE) {
        json_decref(*out);
        *out = NULL;
    }
    if (fd >= 0)
        close(fd);
    json_decref(body);
    free(text);
    buf_fini(&head);
    buf_fini(&reply);
    return code;
}

/* --- tables --- */

struct table {
    const char *const *heads; /* "#..." is a number: to the right */
    unsigned columns;
    char **cells;
    unsigned count; /* of cells */
};

static void put(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct table *table, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    char **cells = text ? realloc(table->cells, (table->count + 1) * sizeof *cells) : NULL;
    if (!cells) {
        free(text);
        return;
    }
    /* What came over the wire must not speak to the terminal. */
    for (char *at = text; *at; at++)
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    table->cells = cells;
    table->cells[table->count++] = text;
}

static void print_row(const struct table *table, const char *const *cells, const size_t *widths)
{
    for (unsigned i = 0; i < table->columns; i++) {
        bool is_number = table->heads[i][0] == '#';
        const char *text = cells == table->heads && is_number ? cells[i] + 1 : cells[i];
        bool is_last = i + 1 == table->columns;
        printf(is_number ? "%*s%s" : "%-*s%s", is_last && !is_number ? 0 : (int)widths[i], text,
               is_last ? "\n" : "  ");
    }
}

static void print_table(struct table *table)
{
    size_t widths[TABLE_COLUMNS];
    CHECK(table->columns <= TABLE_COLUMNS);
    for (unsigned i = 0; i < table->columns; i++) {
        widths[i] = strlen(table->heads[i]) - (table->heads[i][0] == '#');
        for (unsigned k = i; k < table->count; k += table->columns)
            widths[i] = strlen(table->cells[k]) > widths[i] ? strlen(table->cells[k]) : widths[i];
    }
    printf("\n");
    print_row(table, table->heads, widths);
    for (unsigned k = 0; k + table->columns <= table->count; k += table->columns)
        print_row(table, (const char *const *)&table->cells[k], widths);
    for (unsigned k = 0; k < table->count; k++)
        free(table->cells[k]);
    free(table->cells);
}

static const char *word(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void put_time(struct table *table, const json_t *seconds)
{
    double s = json_number_value(seconds);
    if (!json_is_number(seconds))
        put(table, "-");
    else if (s < 0.001)
        put(table, "%.0f us", s * 1e6);
    else if (s < 1)
        put(table, "%.*f ms", s < 0.01 ? 2 : 1, s * 1e3);
    else
        put(table, "%.2f s", s);
}

/* --- status --- */

static void print_head(const json_t *status)
{
    const json_t *config = json_object_get(status, "config");
    const json_t *cache = json_object_get(status, "cache");
    double answered = real(cache, "hits") + real(cache, "collapsed") + real(cache, "stale");
    double asked = answered + real(cache, "misses");
    long long up = (long long)real(status, "uptime");
    const char *state = json_is_true(json_object_get(status, "draining")) ? "draining"
                        : json_is_true(json_object_get(status, "ready"))  ? "ready"
                                                                          : "not ready";
    printf("weir %s  %s  up %lldh %02lldm %02llds  %lld workers\n", word(status, "version"), state, up / 3600,
           up / 60 % 60, up % 60, number(status, "workers"));
    printf("config       %s, generation %lld, loaded %s\n", word(config, "file"),
           number(config, "generation"), word(config, "loaded_at"));
    printf("clients      %lld connections, %lld requests so far\n", number(status, "connections"),
           number(status, "requests"));
    printf("cache        %lld objects, %.1f of %.0f MiB, %.1f %% hits\n", number(cache, "objects"),
           real(cache, "bytes") / 0x1p20, real(cache, "memory") / 0x1p20,
           asked > 0 ? answered / asked * 100 : 0.0);
}

static void print_upstreams(const json_t *status)
{
    static const char *const heads[] = {
        "UPSTREAM", "SERVER", "ROLE",      "STATE",   "#IN FLIGHT",
        "#MEAN",    "#LAG",   "#REQUESTS", "#ERRORS", "#INSIDE/LIMIT+QUEUED"
    };
    struct table table = { .heads = heads, .columns = COUNT_OF(heads) };
    size_t i, k;
    json_t *upstream, *server;
    json_array_foreach(json_object_get(status, "upstreams"), i, upstream)
    {
        json_array_foreach(json_object_get(upstream, "servers"), k, server)
        {
            bool is_up = strcmp(word(server, "admin"), "up") == 0;
            bool is_usable = json_is_true(json_object_get(server, "usable"));
            put(&table, "%s", word(upstream, "name"));
            put(&table, "%s", word(server, "address"));
            put(&table, "%s", word(server, "role"));
            put(&table, "%s", !is_up ? word(server, "admin") : is_usable ? "up" : "out");
            put(&table, "%lld", number(server, "inflight"));
            put_time(&table, json_object_get(server, "mean"));
            put_time(&table, json_object_get(server, "lag"));
            put(&table, "%lld", number(server, "requests"));
            put(&table, "%lld", number(server, "errors"));
            if (json_is_integer(json_object_get(upstream, "limit")))
                put(&table, "%lld/%lld+%lld", number(upstream, "inflight"), number(upstream, "limit"),
                    number(upstream, "queued"));
            else
                put(&table, "%lld/-", number(upstream, "inflight"));
        }
    }
    print_table(&table);
}

static void print_versions(const json_t *status)
{
    static const char *const heads[] = { "VERSION", "UPSTREAM", "CANARY", "#PERCENT", "SET BY" };
    struct table table = { .heads = heads, .columns = COUNT_OF(heads) };
    size_t i;
    json_t *version;
    json_array_foreach(json_object_get(status, "versions"), i, version)
    {
        const json_t *canary = json_object_get(version, "canary");
        bool has_canary = json_is_object(canary);
        put(&table, "%s", word(version, "name")[0] ? word(version, "name") : "(only one)");
        put(&table, "%s", word(version, "upstream"));
        put(&table, "%s", has_canary ? word(canary, "upstream") : "-");
        put(&table, "%g", has_canary ? real(canary, "percent") : 0.0);
        put(&table, "%s",
            !has_canary                                         ? "-"
            : json_is_true(json_object_get(canary, "override")) ? "admin"
                                                                : "file");
    }
    print_table(&table);
}

static int do_status(const struct wish *wish)
{
    json_t *status;
    int code = ask(&wish->remote, "/api/status", NULL, &status);
    if (code != DONE)
        return code;
    print_head(status);
    print_upstreams(status);
    print_versions(status);
    json_decref(status);
    return DONE;
}

/* --- top --- */

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

static int by_count(const void *a, const void *b)
{
    long long x = number(*(json_t *const *)a, "count"), y = number(*(json_t *const *)b, "count");
    return x < y ? 1 : x > y ? -1 : 0;
}

static void print_latency(const json_t *latency)
{
    static const char *const heads[] = { "TENANT", "VERSION", "ROUTE", "#REQUESTS", "#P50",
                                         "#P90",   "#P99",    "#P999", "#MAX" };
    static const char *const times[] = { "p50", "p90", "p99", "p999", "max" };
    struct table table = { .heads = heads, .columns = COUNT_OF(heads) };
    json_t *all = json_object_get(latency, "rows");
    size_t count = json_array_size(all);
    json_t **rows = calloc(count + 1, sizeof *rows);
    for (size_t i = 0; rows && i < count; i++)
        rows[i] = json_array_get(all, i);
    if (rows && count > 0)
        qsort(rows, count, sizeof *rows, by_count);
    for (size_t i = 0; rows && i < count && i < TOP_ROWS; i++) {
        put(&table, "%s", word(rows[i], "tenant"));
        put(&table, "%s", word(rows[i], "version"));
        put(&table, "%s", word(rows[i], "route"));
        put(&table, "%lld", number(rows[i], "count"));
        for (unsigned k = 0; k < COUNT_OF(times); k++)
            put_time(&table, json_object_get(rows[i], times[k]));
    }
    free(rows);
    print_table(&table);
}

/* before: the requests counted at the turn before; -1: this is the first. */
static int do_top_once(const struct wish *wish, bool clears, int64_t *before, int64_t *before_ns)
{
    json_t *status, *latency;
    int code = ask(&wish->remote, "/api/status", NULL, &status);
    if (code != DONE)
        return code;
    code = ask(&wish->remote, "/api/latency", NULL, &latency);
    if (code == DONE) {
        int64_t now_ns = clock_mono_ns();
        int64_t requests = number(status, "requests");
        if (clears)
            printf("\033[H\033[2J");
        print_head(status);
        if (*before >= 0 && requests >= *before)
            printf("now          %.1f requests/s\n",
                   (double)(requests - *before) * (double)NS_PER_S / (double)max_i64(now_ns - *before_ns, 1));
        print_upstreams(status);
        print_latency(latency);
        fflush(stdout);
        *before = requests;
        *before_ns = now_ns;
    }
    json_decref(status);
    json_decref(latency);
    return code;
}

static int do_top(const struct wish *wish)
{
    const struct sigaction action = { .sa_handler = on_interrupt };
    bool clears = isatty(STDOUT_FILENO) && !wish->is_once;
    int64_t before = -1, before_ns = 0;
    int code;
    sigaction(SIGINT, &action, NULL);
    while ((code = do_top_once(wish, clears, &before, &before_ns)) == DONE && !wish->is_once &&
           !is_interrupted)
        sleep(TOP_EVERY_S);
    return is_interrupted ? DONE : code;
}

/* --- changes --- */

static int do_purge(const struct wish *wish)
{
    json_t *reply;
    json_t *body = json_pack("{s:s*, s:s*, s:s*, s:s*}", "tenant", wish->tenant, "url", wish->url, "tag",
                             wish->tag, "prefix", wish->prefix);
    if (wish->is_all)
        json_object_set_new(body, "all", json_true());
    if (wish->is_soft)
        json_object_set_new(body, "soft", json_true());
    int code = ask(&wish->remote, "/api/purge", body, &reply);
    if (code == DONE)
        printf("purged %lld objects\n", number(reply, "purged"));
    json_decref(reply);
    return code;
}

static int do_reload(const struct wish *wish)
{
    json_t *reply;
    int code = ask(&wish->remote, "/api/reload", json_object(), &reply);
    if (code == DONE)
        printf("reloaded: generation %lld\n", number(reply, "generation"));
    json_decref(reply);
    return code;
}

static int do_drain(const struct wish *wish)
{
    json_t *reply;
    int code = ask(&wish->remote, "/api/drain", json_object(), &reply);
    if (code == DONE)
        printf("draining: weir stops once its replies are out\n");
    json_decref(reply);
    return code;
}

/* --- arguments --- */

#define EVERYWHERE                                                                                        \
    "  --admin ADDR    host:port or unix:/path of the running weir's admin address (" ADMIN_DEFAULT ")\n" \
    "  --token TOKEN   its token; WEIR_ADMIN_TOKEN in the environment is not shown in `ps`\n"

static const struct command {
    const char *name;
    int (*run)(const struct wish *wish);
    const char *help;
} commands[] = {
    { "status", do_status,
      "weir status: what a running weir is doing now: clients, cache, servers, versions.\n" EVERYWHERE },
    { "top", do_top,
      "weir top: the same with latencies, every 2 s until Ctrl-C.\n" EVERYWHERE
      "  --once          print it once\n" },
    { "purge", do_purge,
      "weir purge: takes stored answers out of the cache; says how many.\n" EVERYWHERE
      "  --all           everything, or everything of --tenant\n"
      "  --url URL       all that is stored for one absolute URL\n"
      "  --tag TAG       all that carries a tag (not built yet)\n"
      "  --prefix PATH   all below a path (not built yet)\n"
      "  --tenant NAME   of this tenant\n"
      "  --soft          keep them to be validated (not built yet)\n" },
    { "reload", do_reload,
      "weir reload: reads the config file again; with mistakes in it the old one stays.\n" EVERYWHERE },
    { "drain", do_drain, "weir drain: finishes what is in progress, then stops.\n" EVERYWHERE },
};

static int wrong(const char *name, const char *what, const char *arg)
{
    fprintf(stderr, "weir %s: %s%s%s; see weir %s --help\n", name, what, arg ? ": " : "", arg ? arg : "",
            name);
    return WRONG_USAGE;
}

static const char **value_slot(struct wish *wish, const char *name, const char *option)
{
    bool is_purge = strcmp(name, "purge") == 0;
    const struct {
        const char *option;
        const char **slot;
        bool is_here;
    } rows[] = {
        { "--admin", &wish->admin, true },       { "--token", &wish->remote.token, true },
        { "--tenant", &wish->tenant, is_purge }, { "--url", &wish->url, is_purge },
        { "--tag", &wish->tag, is_purge },       { "--prefix", &wish->prefix, is_purge },
    };
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].is_here && strcmp(rows[i].option, option) == 0)
            return rows[i].slot;
    }
    return NULL;
}

static bool *flag_slot(struct wish *wish, const char *name, const char *option)
{
    if (strcmp(name, "top") == 0 && strcmp(option, "--once") == 0)
        return &wish->is_once;
    if (strcmp(name, "purge") == 0 && strcmp(option, "--all") == 0)
        return &wish->is_all;
    if (strcmp(name, "purge") == 0 && strcmp(option, "--soft") == 0)
        return &wish->is_soft;
    return NULL;
}

static int read_options(const char *name, int argc, char **argv, struct wish *wish)
{
    for (int i = 0; i < argc; i++) {
        bool *flag = flag_slot(wish, name, argv[i]);
        const char **slot = value_slot(wish, name, argv[i]);
        if (flag)
            *flag = true;
        else if (slot && i + 1 < argc)
            *slot = argv[++i];
        else
            return wrong(name, slot ? "this option needs a value" : "unknown option", argv[i]);
    }
    if (!wish->remote.token)
        wish->remote.token = getenv("WEIR_ADMIN_TOKEN");
    if (!wish->admin)
        wish->admin = ADMIN_DEFAULT;
    if (!addr_parse(str_of(wish->admin), &wish->remote.addr))
        return wrong(name, "--admin must be host:port or unix:/path, not", wish->admin);
    /* It goes into a header line. */
    for (const char *at = wish->remote.token; at && *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return wrong(name, "the token holds a control character", NULL);
    }
    unsigned ways = wish->is_all + (wish->url != NULL) + (wish->tag != NULL) + (wish->prefix != NULL);
    if (strcmp(name, "purge") == 0 && ways != 1)
        return wrong(name, "say one of --all, --url, --tag and --prefix", NULL);
    return DONE;
}

int remote_command(const char *name, int argc, char **argv)
{
    const struct command *command = NULL;
    struct wish wish = { 0 };
    for (unsigned i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            command = &commands[i];
    }
    if (!command)
        return wrong(name, "no such command", NULL);
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(command->help, stdout);
            return DONE;
        }
    }
    int code = read_options(name, argc, argv, &wish);
    return code == DONE ? command->run(&wish) : code;
}
