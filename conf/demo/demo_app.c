/* The app that conf/quickstart and docker/compose.yaml put behind weir: one primary, some replicas that lag,
 * two tenants, two API versions, one slow report. It knows nothing of weir but the headers it is told things
 * by. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "api.h"

#define LAG_MAX_MS 60000

static const char usage[] =
    "usage: demo-app --role primary --port PORT [--address IP]\n"
    "       demo-app --role replica --port PORT --primary HOST:PORT [--lag 300ms] [--address IP]\n";

struct options {
    bool is_replica;
    const char *address;
    unsigned short port;
    char primary_host[128]; /* "": not given */
    unsigned short primary_port;
    int64_t lag_ms;
};

static bool read_number(const char *text, int64_t max, const char *unit, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return !errno && end != text && strcmp(end, unit) == 0 && *out >= 0 && *out <= max;
}

static bool read_port(const char *text, unsigned short *out)
{
    int64_t port;

    if (!read_number(text, 65535, "", &port) || port == 0)
        return false;
    *out = (unsigned short)port;
    return true;
}

static bool read_primary(const char *text, struct options *options)
{
    const char *colon = strrchr(text, ':');

    if (!colon || colon == text || (size_t)(colon - text) >= sizeof options->primary_host)
        return false;
    memcpy(options->primary_host, text, (size_t)(colon - text));
    return read_port(colon + 1, &options->primary_port);
}

static bool read_lag(const char *text, int64_t *out_ms)
{
    if (read_number(text, LAG_MAX_MS, "ms", out_ms))
        return true;
    if (!read_number(text, LAG_MAX_MS / 1000, "s", out_ms))
        return false;
    *out_ms *= 1000;
    return true;
}

static bool read_option(int option, const char *value, struct options *options)
{
    switch (option) {
    case 'r':
        options->is_replica = strcmp(value, "replica") == 0;
        return options->is_replica || strcmp(value, "primary") == 0;
    case 'a':
        options->address = value;
        return true;
    case 'p':
        return read_port(value, &options->port);
    case 'f':
        return read_primary(value, options);
    case 'l':
        return read_lag(value, &options->lag_ms);
    default:
        return false;
    }
}

static bool read_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        { "role", required_argument, NULL, 'r' }, { "address", required_argument, NULL, 'a' },
        { "port", required_argument, NULL, 'p' }, { "primary", required_argument, NULL, 'f' },
        { "lag", required_argument, NULL, 'l' },  { 0 },
    };
    bool has_role = false;
    int option;

    *options = (struct options){ .address = "127.0.0.1", .lag_ms = 300 };
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (!read_option(option, optarg, options))
            return false;
        has_role |= option == 'r';
    }
    return optind == argc && has_role && options->port &&
           options->is_replica == (options->primary_host[0] != '\0');
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    event_base_loopbreak(arg);
}

static int64_t wall_ms(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

/* Makes the parts that the role has. False: out of memory. */
static bool build(struct api *api, const struct options *options)
{
    api->store = store_new();
    if (!api->store)
        return false;
    if (options->is_replica) {
        api->follower = follower_new(api->base, api->store, options->primary_host, options->primary_port,
                                     options->lag_ms);
        return api->follower;
    }
    store_seed(api->store, wall_ms());
    api->feed = feed_new(api->store);
    return api->feed;
}

static int run(struct api *api, const struct options *options)
{
    struct event *terminate = evsignal_new(api->base, SIGTERM, on_signal, api->base);
    struct event *interrupt = evsignal_new(api->base, SIGINT, on_signal, api->base);
    struct http *http = http_new(api->base, options->address, options->port, api_answer, api);

    if (!http) {
        fprintf(stderr, "demo-app: cannot listen on %s: %s\n", api->self, strerror(errno));
        return 3;
    }
    evsignal_add(terminate, NULL);
    evsignal_add(interrupt, NULL);
    fprintf(stderr, "demo-app: ready on %s as %s\n", api->self, options->is_replica ? "replica" : "primary");
    event_base_dispatch(api->base);
    http_free(http);
    event_free(terminate);
    event_free(interrupt);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct api api = { 0 };
    char self[160];
    int result = 3;

    if (!read_options(argc, argv, &options)) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    snprintf(self, sizeof self, "%s:%u", options.address, (unsigned)options.port);
    api.self = self;
    api.base = event_base_new();
    if (api.base && build(&api, &options))
        result = run(&api, &options);
    /* Connections go with the process, and so does what they point to. */
    return result;
}
