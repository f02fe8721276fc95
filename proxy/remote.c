#include "remote.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/client.h"
#include "admin/tables.h"
#include "base/check.h"
#include "base/clock.h"

#define WRONG_USAGE   2
#define ADMIN_DEFAULT "127.0.0.1:9900"
#define TOP_EVERY_S   2

/* What the options of a command became. */
struct wish {
    struct client_peer peer;
    const char *admin;
    const char *tenant;
    const char *url;
    const char *tag;
    const char *prefix;
    bool is_all;
    bool is_soft;
    bool is_once;
};

static long long number(const json_t *reply, const char *key)
{
    return (long long)json_integer_value(json_object_get(reply, key));
}

/* --- looking --- */

static int do_status(const struct wish *wish)
{
    json_t *status;
    int code = client_ask(&wish->peer, "/api/status", NULL, &status);
    if (code != CLIENT_DONE)
        return code;
    tables_head(status);
    tables_upstreams(status);
    tables_versions(status);
    json_decref(status);
    return CLIENT_DONE;
}

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

/* before: the requests counted at the turn before; -1: this is the first. */
static int do_top_once(const struct wish *wish, bool clears, int64_t *before, int64_t *before_ns)
{
    json_t *status, *latency;
    int code = client_ask(&wish->peer, "/api/status", NULL, &status);
    if (code != CLIENT_DONE)
        return code;
    code = client_ask(&wish->peer, "/api/latency", NULL, &latency);
    if (code == CLIENT_DONE) {
        int64_t now_ns = clock_mono_ns();
        int64_t requests = number(status, "requests");
        if (clears)
            printf("\033[H\033[2J");
        tables_head(status);
        if (*before >= 0 && requests >= *before)
            printf("now          %.1f requests/s\n",
                   (double)(requests - *before) * (double)NS_PER_S / (double)max_i64(now_ns - *before_ns, 1));
        tables_upstreams(status);
        tables_latency(latency);
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
    while ((code = do_top_once(wish, clears, &before, &before_ns)) == CLIENT_DONE && !wish->is_once &&
           !is_interrupted)
        sleep(TOP_EVERY_S);
    return is_interrupted ? CLIENT_DONE : code;
}

/* --- changes --- */

static void print_purged(const json_t *reply)
{
    long long count = number(reply, "purged");
    bool is_soft = json_is_true(json_object_get(reply, "soft"));
    const json_t *nodes = json_object_get(reply, "nodes");
    printf("purged %lld object%s%s", count, count == 1 ? "" : "s", is_soft ? " (stale from now on)" : "");
    if (nodes)
        printf("; %lld weir%s did it", (long long)json_integer_value(nodes),
               json_integer_value(nodes) == 1 ? "" : "s");
    printf("\n");
}

static int do_purge(const struct wish *wish)
{
    json_t *reply;
    json_t *body = json_pack("{s:s*, s:s*, s:s*, s:s*}", "tenant", wish->tenant, "url", wish->url, "tag",
                             wish->tag, "prefix", wish->prefix);
    if (wish->is_all)
        json_object_set_new(body, "all", json_true());
    if (wish->is_soft)
        json_object_set_new(body, "soft", json_true());
    int code = client_ask(&wish->peer, "/api/purge", body, &reply);
    if (code == CLIENT_DONE)
        print_purged(reply);
    json_decref(reply);
    return code;
}

static int do_reload(const struct wish *wish)
{
    json_t *reply;
    int code = client_ask(&wish->peer, "/api/reload", json_object(), &reply);
    if (code == CLIENT_DONE)
        printf("reloaded: generation %lld\n", number(reply, "generation"));
    json_decref(reply);
    return code;
}

static int do_drain(const struct wish *wish)
{
    json_t *reply;
    int code = client_ask(&wish->peer, "/api/drain", json_object(), &reply);
    if (code == CLIENT_DONE)
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
      "  --tag TAG       all that carries a tag\n"
      "  --prefix PATH   all whose path begins so; a URL: of that origin\n"
      "  --tenant NAME   only this tenant's; --url needs it where there are tenants\n"
      "  --soft          they stay, stale from now on: validated or renewed before they are fresh again\n" },
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
        { "--admin", &wish->admin, true },       { "--token", &wish->peer.token, true },
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
    if (!wish->peer.token)
        wish->peer.token = getenv("WEIR_ADMIN_TOKEN");
    if (wish->peer.token && !wish->peer.token[0])
        wish->peer.token = NULL;
    if (!wish->admin)
        wish->admin = ADMIN_DEFAULT;
    if (!addr_parse(str_of(wish->admin), &wish->peer.addr))
        return wrong(name, "--admin must be host:port or unix:/path, not", wish->admin);
    /* It goes into a header line. */
    for (const char *at = wish->peer.token; at && *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return wrong(name, "the token holds a control character", NULL);
    }
    unsigned ways = wish->is_all + (wish->url != NULL) + (wish->tag != NULL) + (wish->prefix != NULL);
    if (strcmp(name, "purge") == 0 && ways != 1)
        return wrong(name, "say one of --all, --url, --tag and --prefix", NULL);
    return CLIENT_DONE;
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
            return CLIENT_DONE;
        }
    }
    int code = read_options(name, argc, argv, &wish);
    return code == CLIENT_DONE ? command->run(&wish) : code;
}
