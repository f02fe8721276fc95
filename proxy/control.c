#include "control.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/log.h"
#include "doors.h"
#include "fleet/tier.h"
#include "settings.h"
#include "ties.h"
#include "upstream/news.h"
#include "worker.h"

#define TENANTS_MAX       100000
#define TENANT_LABELS_MAX 100
#define SERIES_MAX        2048
#define PATIENCE_MS       60000
#define NEWS_EVERY_MS     250

struct control {
    const struct control_options *options;
    struct loop *loop;
    struct city city;
    struct world *world;
    struct config *first; /* what a reload does not change is as this one says */
    struct worker **workers;
    struct lane **lanes;
    struct tally **tallies;
    unsigned worker_count;
    struct access_log *log;
    struct admin *admin;
    struct ties *ties; /* NULL: no fleet */
    struct addr admin_bound;
    struct doors doors;
    unsigned pending_changes; /* reloads that some workers have not heard of yet */
    pthread_t signals;
    struct post signal_post;
    _Atomic int signal;
    _Atomic unsigned to_drain;
    struct post drained_post;
    _Atomic unsigned to_deafen;
    struct post deaf_post;
    struct timer news; /* of servers that went out or came back */
    bool is_draining;
};

/* A reload that some workers have not heard of yet. */
struct change {
    struct control *control;
    _Atomic unsigned left;
    struct post post;
};

struct config *control_read(const struct control_options *options)
{
    struct config_mistakes mistakes;
    struct config *config = settings_read(options->file, options->text, settings_name(options), &mistakes);
    if (!config)
        settings_print_mistakes(options, &mistakes);
    config_mistakes_fini(&mistakes);
    return config;
}

/* --- limits of the process --- */

static void apply_limits(struct control *control, const struct config *config)
{
    struct rlimit limit;
    int64_t files = 1024;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        files = limit.rlim_cur == RLIM_INFINITY ? 1 << 20 : (int64_t)limit.rlim_cur;
    }
    /* What clients may not take is for servers, files and the admin address. */
    int64_t most = files - files / 4 - 64;
    int64_t asked = config->clients.connections;
    control->city.connections_max = asked > 0 && asked < most ? asked : max_i64(most, 64);
    if (asked > most)
        log_warn("clients.connections %lld is over what %lld file descriptors allow: %lld hold",
                 (long long)asked, (long long)files, (long long)control->city.connections_max);
    log_set_level((enum log_level)config->log.level);
}

/* --- reload --- */

static void on_changed_posted(struct post *post)
{
    struct change *change = CONTAINER_OF(post, struct change, post);
    if (--change->control->pending_changes == 0)
        doors_close_unwanted(&change->control->doors);
    free(change);
}

static void on_changed(void *arg)
{
    struct change *change = arg;
    if (atomic_fetch_sub(&change->left, 1) == 1)
        loop_post(change->control->loop, &change->post);
}

/* What the file says and a reload does not bring. */
static void warn_of_fixed(const struct control *control, struct config *fresh)
{
    const struct config *first = control->first;
    struct config_mistakes *out = &fresh->warnings;
    const struct config_mark nowhere = { 0 };
    if (fresh->workers != control->worker_count)
        config_mistake(out, nowhere, "workers: %u takes a restart; %u go on", fresh->workers,
                       control->worker_count);
    if (strcmp(fresh->admin.address.text, first->admin.address.text) != 0)
        config_mistake(out, nowhere, "admin: another address takes a restart; %s goes on",
                       first->admin.address.text);
    if (fresh->log.has_access != first->log.has_access || !str_eq(fresh->log.path, first->log.path))
        config_mistake(out, fresh->log.mark, "log: another access log takes a restart");
    if (!str_eq(fresh->cache.redis.url, first->cache.redis.url) ||
        !str_eq(fresh->cache.redis.prefix, first->cache.redis.prefix))
        config_mistake(out, fresh->cache.redis.mark, "cache.redis: another Redis takes a restart");
}

static void hand_over(struct control *control, struct world *fresh, struct change *change)
{
    struct world *old = control->world;
    struct cache_options options = settings_cache(fresh->config);
    int fds[GATES_MAX];

    doors_want(&control->doors, fresh->config);
    apply_limits(control, fresh->config);
    cache_set(control->city.cache, &options);
    settings_share(control->city.cache, fresh->config);
    world_stop_health(old);
    world_start_health(fresh, control->loop);
    control->world = fresh;
    control->pending_changes++;
    atomic_init(&change->left, control->worker_count);
    for (unsigned i = 0; i < control->worker_count; i++) {
        doors_fds(&control->doors, fresh->config, i, fds);
        if (!worker_enter_world(control->workers[i], fresh, fds, on_changed, change))
            on_changed(change);
    }
    world_unref(old);
}

/* Lines for whoever asked: mistakes, or of a config that was taken warnings. */
static bool reload(void *arg, char **out_lines)
{
    struct control *control = arg;
    const struct control_options *options = control->options;
    const char *name = settings_name(options);
    struct config_mistakes mistakes = { 0 };
    const struct addr *which;
    struct world *fresh = NULL;
    struct change *change = calloc(1, sizeof *change);
    struct config *config = settings_read(options->file, options->text, name, &mistakes);

    if (control->is_draining) {
        config_mistake(&mistakes, (struct config_mark){ 1, 1 },
                       "weir is draining: nothing is reloaded any more");
    } else if (config && change) {
        int err = doors_open(&control->doors, config, &which);
        if (err)
            config_mistake(&mistakes, (struct config_mark){ 1, 1 }, "cannot listen on %s: %s", which->text,
                           strerror(err));
        else
            fresh = world_new(&control->city, config, control->world, options->plugin_dir, &mistakes);
    }
    if (!fresh) {
        *out_lines = settings_text(options, &mistakes, "");
        doors_want(&control->doors, control->world->config);
        if (control->pending_changes == 0)
            doors_close_unwanted(&control->doors);
        free(change);
    } else {
        fresh->loaded_wall_ms = clock_wall_ns() / NS_PER_MS;
        warn_of_fixed(control, config);
        *out_lines = settings_text(options, &config->warnings, "");
        change->control = control;
        change->post.fn = on_changed_posted;
        hand_over(control, fresh, change);
        if (control->log)
            access_log_reopen(control->log);
        log_info("reloaded %s: generation %llu", name, (unsigned long long)fresh->generation);
        settings_log_warnings(options, config);
    }
    config_unref(config);
    config_mistakes_fini(&mistakes);
    return fresh != NULL;
}

static void reload_on_signal(struct control *control)
{
    char *lines = NULL;
    if (!reload(control, &lines)) {
        log_error("the config was not reloaded, the old one stays:");
        settings_log_lines(LOG_ERROR, lines);
    }
    free(lines);
}

/* --- news of servers --- */

static void tell_news(void *arg)
{
    struct control *control = arg;
    char line[NEWS_SIZE];
    for (unsigned i = 0; i < control->world->supply_count; i++) {
        const struct upstream *upstream = control->world->supplies[i].upstream;
        for (unsigned k = 0; k < upstream->server_count; k++) {
            enum news news;
            while ((news = server_news(upstream, upstream->servers[k], loop_now_ns(control->loop), line)) !=
                   NEWS_NONE)
                log_line(news == NEWS_BAD ? LOG_WARN : LOG_INFO, "%s", line);
        }
    }
    timer_set(control->loop, &control->news, NEWS_EVERY_MS);
}

/* --- drain --- */

static void on_all_drained(struct post *post)
{
    loop_stop(CONTAINER_OF(post, struct control, drained_post)->loop);
}

static void on_drained(void *arg)
{
    struct control *control = arg;
    if (atomic_fetch_sub(&control->to_drain, 1) == 1)
        loop_post(control->loop, &control->drained_post);
}

/* Nobody accepts any more: who comes now is refused at once instead of waiting for nobody. */
static void on_all_deaf(struct post *post)
{
    struct control *control = CONTAINER_OF(post, struct control, deaf_post);
    doors_close(&control->doors);
}

static void on_deaf(void *arg)
{
    struct control *control = arg;
    if (atomic_fetch_sub(&control->to_deafen, 1) == 1)
        loop_post(control->loop, &control->deaf_post);
}

static void drain(void *arg)
{
    struct control *control = arg;
    if (control->is_draining)
        return;
    control->is_draining = true;
    log_info("draining: replies in progress are finished, then weir stops");
    atomic_store(&control->city.is_draining, true);
    control->drained_post.fn = on_all_drained;
    control->deaf_post.fn = on_all_deaf;
    atomic_store(&control->to_drain, control->worker_count);
    atomic_store(&control->to_deafen, control->worker_count);
    for (unsigned i = 0; i < control->worker_count; i++)
        worker_drain(control->workers[i], PATIENCE_MS, on_deaf, on_drained, control);
}

/* --- signals: one thread waits for them, the control thread acts --- */

static void on_signal_posted(struct post *post)
{
    struct control *control = CONTAINER_OF(post, struct control, signal_post);
    int signal = atomic_exchange(&control->signal, 0);
    if (signal == SIGHUP)
        reload_on_signal(control);
    else if (signal == SIGUSR1 && control->log)
        access_log_reopen(control->log);
    else if (signal == SIGTERM || signal == SIGINT)
        drain(control);
}

static void *wait_for_signals(void *arg)
{
    struct control *control = arg;
    bool is_ending = false;
    sigset_t set;
    int signal;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2); /* ours: end of this thread */
    while (sigwait(&set, &signal) == 0 && signal != SIGUSR2) {
        bool ends = signal == SIGTERM || signal == SIGINT;
        if (ends && is_ending)
            _exit(0); /* the second one: at once */
        is_ending = is_ending || ends;
        int none = 0;
        /* One at a time on its way; a stop is never overwritten by a reload. */
        while (!atomic_compare_exchange_strong(&control->signal, &none, signal)) {
            none = 0;
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        }
        loop_post(control->loop, &control->signal_post);
    }
    return NULL;
}

static bool start_signals(struct control *control)
{
    control->signal_post.fn = on_signal_posted;
    return pthread_create(&control->signals, NULL, wait_for_signals, control) == 0;
}

/* --- beginning and end --- */

static struct world *present_world(void *arg)
{
    return ((struct control *)arg)->world;
}

static struct lane *const *all_lanes(void *arg)
{
    return ((struct control *)arg)->lanes;
}

static void purge_everywhere(void *arg, const struct cache_purge *purge, purge_done_fn *done, void *done_arg)
{
    ties_purge(((struct control *)arg)->ties, purge, done, done_arg);
}

static bool read_fleet(void *arg, struct fleet_state *out)
{
    const struct control *control = arg;
    if (!control->ties)
        return false;
    ties_state(control->ties, out);
    const struct tier *tier = control->lanes[0]->tier;
    out->is_usable = tier && (tier_state(tier) == TIER_UP || tier_state(tier) == TIER_READ_ONLY);
    return true;
}

static bool join_fleet(struct control *control, const struct config *config)
{
    const char *why;
    if (!config->cache.redis.is_given)
        return true;
    control->ties = ties_new(control->loop, &control->city, &config->cache.redis, &why);
    if (!control->ties)
        fprintf(stderr, "weir: cache.redis: %s\n", why);
    return control->ties != NULL;
}

static bool start_admin(struct control *control)
{
    const struct config_admin *config = &control->world->config->admin;
    const struct admin_hooks hooks = {
        .arg = control,
        .city = &control->city,
        .world = present_world,
        .lanes = all_lanes,
        .lane_count = control->worker_count,
        .tallies = control->tallies,
        .log = control->log,
        .reload = reload,
        .drain = drain,
        .fleet = read_fleet,
        .purge = control->ties ? purge_everywhere : NULL,
    };
    int err = 0;
    control->admin = admin_new(control->loop, config, &hooks, &control->admin_bound, &err);
    if (!control->admin)
        fprintf(stderr, "weir: cannot listen on admin address %s: %s\n", config->address.text, strerror(err));
    return control->admin != NULL;
}

static bool build_city(struct control *control, struct config *config)
{
    struct cache_options options = settings_cache(config);
    options.began_ns = clock_mono_ns();
    control->city.cache = cache_new(&options);
    if (control->city.cache)
        settings_share(control->city.cache, config);
    control->city.tenants = tenants_new(TENANTS_MAX);
    control->city.labels = labels_new(TENANT_LABELS_MAX);
    control->city.addresses =
        address_table_new((unsigned)min_i64(control->city.connections_max + 65536, 1 << 20));
    control->city.started_wall_ms = clock_wall_ns() / NS_PER_MS;
    return control->city.cache && control->city.tenants && control->city.labels && control->city.addresses;
}

static int build_world(struct control *control, struct config *config)
{
    struct config_mistakes mistakes = { 0 };
    control->world = world_new(&control->city, config, NULL, control->options->plugin_dir, &mistakes);
    if (!control->world) {
        settings_print_mistakes(control->options, &mistakes);
    } else {
        control->world->loaded_wall_ms = clock_wall_ns() / NS_PER_MS;
    }
    config_mistakes_fini(&mistakes);
    return control->world ? 0 : 1;
}

static bool build_workers(struct control *control, const struct config *config)
{
    control->workers = calloc(control->worker_count, sizeof *control->workers);
    control->lanes = calloc(control->worker_count, sizeof *control->lanes);
    control->tallies = calloc(control->worker_count, sizeof *control->tallies);
    if (!control->workers || !control->lanes || !control->tallies)
        return false;
    if (config->log.has_access) {
        control->log = access_log_open(config->log.path.data, control->worker_count);
        if (!control->log) {
            fprintf(stderr, "weir: cannot open the access log %s: %s\n", config->log.path.data,
                    strerror(errno));
            return false;
        }
    }
    for (unsigned i = 0; i < control->worker_count; i++) {
        control->tallies[i] = tally_new(control->city.labels, SERIES_MAX);
        if (!control->tallies[i])
            return false;
        control->workers[i] = worker_new(i, &control->city, control->world, control->tallies[i],
                                         control->log ? access_log_ring(control->log, i) : NULL);
        if (!control->workers[i])
            return false;
        control->lanes[i] = worker_lane(control->workers[i]);
    }
    return true;
}

static void say_ready(struct control *control)
{
    struct buf line;
    buf_init(&line);
    buf_printf(&line, "ready:");
    for (unsigned i = 0; i < control->world->config->listen_count; i++) {
        const struct config_listen *listen = &control->world->config->listens[i];
        const struct addr *bound = doors_bound(&control->doors, control->world->config, i);
        const char *scheme = listen->certificate_count ? "https://" : "http://";
        buf_printf(&line, " %s%s", bound->kind == ADDR_UNIX ? "" : scheme, bound->text);
    }
    buf_printf(&line, " admin %s%s", control->admin_bound.kind == ADDR_UNIX ? "" : "http://",
               control->admin_bound.text);
    log_info("%.*s", STR_FMT(buf_str(&line)));
    printf("%.*s\n", STR_FMT(buf_str(&line)));
    fflush(stdout);
    buf_fini(&line);
}

static int start(struct control *control, struct config *config)
{
    const struct addr *which = NULL;
    int fds[GATES_MAX];

    apply_limits(control, config);
    control->first = config_ref(config);
    control->loop = loop_new();
    if (!control->loop || !build_city(control, config) || !join_fleet(control, config))
        return 3;
    int code = build_world(control, config);
    if (code)
        return code;
    int err = doors_open(&control->doors, config, &which);
    if (err) {
        fprintf(stderr, "weir: cannot listen on %s: %s\n", which->text, strerror(err));
        return 3;
    }
    if (!build_workers(control, config) || !start_admin(control))
        return 3;
    world_start_health(control->world, control->loop);
    tell_news(control);
    for (unsigned i = 0; i < control->worker_count; i++) {
        doors_fds(&control->doors, config, i, fds);
        if (!worker_start(control->workers[i], fds))
            return 3;
    }
    return start_signals(control) ? 0 : 3;
}

static void stop(struct control *control)
{
    admin_free(control->admin);
    for (unsigned i = 0; control->workers && i < control->worker_count; i++)
        worker_join(control->workers[i]);
    /* Twice: what one ends may be posted to another. */
    for (unsigned i = 0; control->workers && i < 2 * control->worker_count; i++)
        worker_end(control->workers[i % control->worker_count]);
    for (unsigned i = 0; control->workers && i < control->worker_count; i++)
        worker_free(control->workers[i]);
    doors_close(&control->doors);
    access_log_close(control->log);
    timer_cancel(&control->news);
    if (control->world)
        world_stop_health(control->world);
    ties_free(control->ties);
    if (control->loop)
        loop_turn(control->loop, 0);
    world_unref(control->world);
    config_unref(control->first);
    for (unsigned i = 0; control->tallies && i < control->worker_count; i++)
        tally_free(control->tallies[i]);
    if (control->city.cache)
        cache_free(control->city.cache);
    tenants_free(control->city.tenants);
    labels_free(control->city.labels);
    address_table_free(control->city.addresses);
    loop_free(control->loop);
    free(control->workers);
    free(control->lanes);
    free(control->tallies);
}

int control_run(struct config *config, const struct control_options *options)
{
    static struct control control;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread: all of them inherit it */
    signal(SIGPIPE, SIG_IGN);

    control.options = options;
    control.worker_count = config->workers;
    timer_init(&control.news, tell_news, &control);
    control.doors.worker_count = config->workers;
    int code = start(&control, config);
    config_unref(config);
    if (code == 0) {
        say_ready(&control);
        settings_log_warnings(options, control.world->config);
        loop_run(control.loop);
        log_info("stopped");
        pthread_kill(control.signals, SIGUSR2);
        pthread_join(control.signals, NULL);
    }
    stop(&control);
    return code;
}
