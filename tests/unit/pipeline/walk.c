#include "walk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Criterion ends its children without the sanitizer's own check at exit, so each place asks for it. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static char why[2048];

/* --- places --- */

static void app_open(struct app *app)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    char text[32];

    *app = (struct app){ .fd = -1 };
    app->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(app->listen_fd, (struct sockaddr *)&sa, len), 0);
    cr_assert_eq(listen(app->listen_fd, 64), 0);
    cr_assert_eq(getsockname(app->listen_fd, (struct sockaddr *)&sa, &len), 0);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(sa.sin_port));
    cr_assert(addr_parse(str_of(text), &app->addr));
}

static struct world *make_world(struct place *place, const char *yaml)
{
    struct config_mistakes mistakes = { 0 };
    struct buf text = { 0 };
    for (const char *at = yaml; *at; at++) {
        bool is_app = at[0] == '@' && at[1] >= '0' && at[1] < '0' + APPS_MAX;
        cr_assert(is_app ? buf_printf(&text, "%s", place->apps[at[1] - '0'].addr.text)
                         : buf_append(&text, at, 1));
        at += is_app;
    }
    struct config *config = config_read_text(buf_str(&text), "test.yaml", &mistakes);
    struct world *world = NULL;
    if (config && !place->city.cache) {
        const struct cache_options options = { (uint64_t)config->cache.memory_bytes,
                                               (uint64_t)config->cache.object_max_bytes, 1 };
        place->city.cache = cache_new(&options);
    }
    if (config)
        world = world_new(&place->city, config, place->world, place->plugin_dir, &mistakes);
    char *lines = config_mistakes_text(&mistakes, "test.yaml");
    str_copy(str_of(lines), why, sizeof why);
    free(lines);
    config_unref(config);
    config_mistakes_fini(&mistakes);
    buf_fini(&text);
    return world;
}

void place_open(struct place *place, const char *yaml)
{
    const char *plugin_dir = place->plugin_dir;
    signal(SIGPIPE, SIG_IGN);
    *place = (struct place){ .plugin_dir = plugin_dir, .keeps_travellers = place->keeps_travellers };
    for (unsigned i = 0; i < APPS_MAX; i++)
        app_open(&place->apps[i]);
    place->city.tenants = tenants_new(10000);
    place->city.labels = labels_new(20);
    place->city.addresses = address_table_new(64);
    place->world = make_world(place, yaml);
    cr_assert_not_null(place->world, "%s", why);
    place->tally = tally_new(place->city.labels, 100);
    place->lane = lane_new(0, &place->city, place->world, place->tally);
    cr_assert_not_null(place->lane);
    for (unsigned i = 0; i < APPS_MAX; i++)
        place->apps[i].loop = place->lane->loop;
    if (!place->keeps_travellers)
        place->lane->free_request_count = place->lane->free_fetch_count = 1u << 20;
}

bool place_reload(struct place *place, const char *yaml)
{
    struct world *fresh = make_world(place, yaml);
    if (!fresh)
        return false;
    lane_enter_world(place->lane, fresh);
    world_unref(place->world);
    place->world = fresh;
    return true;
}

const char *place_why(void)
{
    return why;
}

void place_turn(struct place *place, unsigned turns)
{
    while (turns-- > 0)
        loop_turn(place->lane->loop, 0);
}

static void assert_no_concurrency(struct tenant *tenant, void *arg)
{
    (void)arg;
    cr_assert_eq(tenant->concurrency, 0, "tenant %s", tenant->name);
}

static void assert_no_request(struct str key, void *value, void *arg)
{
    const struct lane_tenant *tenant = value;
    (void)arg;
    cr_assert_eq(tenant->requests, 0, "tenant %.*s", STR_FMT(key));
}

void place_assert_idle(struct place *place)
{
    cr_assert_eq(place->lane->now->requests, 0, "requests that hold their world: %llu",
                 (unsigned long long)place->lane->now->requests);
    cr_assert_null(place->lane->earlier, "worlds end with their last request");
    cr_assert_eq(place->lane->errands, 0, "what no client waits for comes to its end too");
    cr_assert_null(place->lane->check);
    map_each(place->lane->now->tenants, assert_no_request, NULL);
    tenants_each(place->city.tenants, assert_no_concurrency, NULL);
    for (unsigned i = 0; i < place->world->supply_count; i++) {
        const struct supply *supply = &place->world->supplies[i];
        if (supply->line) {
            cr_assert_eq(line_inside(supply->line), 0);
            cr_assert_eq(line_waiting(supply->line), 0);
        }
        for (unsigned k = 0; k < supply->upstream->server_count; k++)
            cr_assert_eq(supply->upstream->servers[k]->inflight, 0);
    }
}

void place_close(struct place *place)
{
    place_turn(place, 3);
    place_assert_idle(place);
    lane_free(place->lane);
    world_unref(place->world);
    tally_free(place->tally);
    cache_free(place->city.cache);
    tenants_free(place->city.tenants);
    labels_free(place->city.labels);
    address_table_free(place->city.addresses);
    for (unsigned i = 0; i < APPS_MAX; i++) {
        struct app *app = &place->apps[i];
        close(app->listen_fd);
        if (app->fd >= 0)
            close(app->fd);
        while (app->older_count > 0)
            close(app->older[--app->older_count]);
        buf_fini(&app->got);
    }
    *place = (struct place){ .world = NULL };
    if (__lsan_do_recoverable_leak_check)
        cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "nothing leaks");
}

/* --- apps --- */

void app_accept(struct app *app)
{
    if (app->fd >= 0) {
        cr_assert(app->older_count < COUNT_OF(app->older));
        app->older[app->older_count++] = app->fd;
        app->fd = -1;
    }
    for (unsigned i = 0; i < TURNS_MAX && app->fd < 0; i++) {
        app->fd = accept4(app->listen_fd, NULL, NULL, SOCK_NONBLOCK);
        if (app->fd < 0)
            loop_turn(app->loop, 5);
    }
    cr_assert(app->fd >= 0, "a connection arrives");
}

const char *app_expect(struct app *app, const char *text)
{
    buf_consume(&app->got, buf_len(&app->got));
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        ssize_t n = read(app->fd, buf_reserve(&app->got, 65537), 65536);
        if (n > 0)
            buf_added(&app->got, (size_t)n);
        struct str got = buf_str(&app->got);
        ((char *)(uintptr_t)got.data)[got.len] = '\0';
        if (memmem(got.data, got.len, text, strlen(text)))
            return got.data;
        cr_assert(n > 0 || (n < 0 && errno == EAGAIN), "it stays open until \"%s\" came; got \"%s\"", text,
                  got.data);
        loop_turn(app->loop, n > 0 ? 0 : 5);
    }
    cr_assert_fail("\"%s\" arrives; got \"%s\"", text, buf_str(&app->got).data);
    return NULL;
}

/* On the connection at hand, or on a new one if that is where it comes. */
const char *app_head(struct app *app)
{
    char byte;
    for (unsigned i = 0; i < TURNS_MAX && app->fd >= 0 && recv(app->fd, &byte, 1, MSG_PEEK) <= 0; i++) {
        struct pollfd waiting = { .fd = app->listen_fd, .events = POLLIN };
        if (poll(&waiting, 1, 0) > 0)
            app_accept(app);
        loop_turn(app->loop, 1);
    }
    if (app->fd < 0)
        app_accept(app);
    return app_expect(app, "\r\n\r\n");
}

void app_send_n(struct app *app, const void *data, size_t n)
{
    const char *at = data;
    for (unsigned i = 0; i < TURNS_MAX && n > 0; i++) {
        ssize_t sent = write(app->fd, at, n);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        }
        if (n > 0)
            loop_turn(app->loop, 1);
    }
    cr_assert_eq(n, 0, "the app's bytes are taken");
}

void app_send(struct app *app, const char *text)
{
    app_send_n(app, text, strlen(text));
}

void app_close(struct app *app)
{
    close(app->fd);
    app->fd = -1;
}
