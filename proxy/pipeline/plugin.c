/* Instances of plugins: their life, and their ticks. Their files are found in plugin_library.c, their hooks
 * called in plugin_hooks.c. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/plugin_host.h"
#include "pipeline/plugin_library.h"
#include "pipeline/plugin_upstream.h"

#define END_WAIT_S 5 /* at the process' end, for a tick */

/* --- the end --- */

/* Whoever drops the last reference may be a worker, which must not wait for a tick that does I/O. So an
 * instance that ticks is ended by its own thread, and is kept here until that thread is joined. */
static pthread_mutex_t ended_lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin *ended;

static void end(struct plugin *plugin)
{
    if (plugin->self)
        plugin->abi->destroy(plugin->self);
    plugin_upstream_drop(plugin->upstream.face);
}

static void release(struct plugin *plugin)
{
    pthread_mutex_destroy(&plugin->tick_lock);
    pthread_cond_destroy(&plugin->tick_over);
    free(plugin->name);
    free(plugin->json);
    free(plugin);
}

static void end_on_its_thread(struct plugin *plugin)
{
    pthread_mutex_lock(&ended_lock);
    plugin->next_ended = ended;
    ended = plugin;
    pthread_mutex_unlock(&ended_lock);
    pthread_mutex_lock(&plugin->tick_lock);
    atomic_store(&plugin->is_ending, true);
    pthread_cond_signal(&plugin->tick_over);
    pthread_mutex_unlock(&plugin->tick_lock);
}

/* Those whose thread has nothing left to do, or all of them, taken out of the list. */
static struct plugin *take_ended(bool is_waiting)
{
    struct plugin *taken = NULL;
    pthread_mutex_lock(&ended_lock);
    for (struct plugin **at = &ended; *at;) {
        struct plugin *plugin = *at;
        if (!is_waiting && !atomic_load(&plugin->is_over)) {
            at = &plugin->next_ended;
            continue;
        }
        *at = plugin->next_ended;
        plugin->next_ended = taken;
        taken = plugin;
    }
    pthread_mutex_unlock(&ended_lock);
    return taken;
}

/* False: it does not come back from its tick, and is left there. */
static bool join_ticker(struct plugin *plugin)
{
    struct timespec until;
    if (atomic_load(&plugin->is_over))
        return pthread_join(plugin->ticker, NULL) == 0;
    clock_gettime(CLOCK_REALTIME, &until); /* the only clock it takes; at worst the wait is another one */
    until.tv_sec += END_WAIT_S;
    if (pthread_timedjoin_np(plugin->ticker, NULL, &until) == 0)
        return true;
    log_warn("plugin %s: its tick has not come back for %d s: weir ends without it", plugin->name,
             END_WAIT_S);
    return false;
}

static void join_ended(bool is_waiting)
{
    struct plugin *plugin = take_ended(is_waiting);
    while (plugin) {
        struct plugin *next = plugin->next_ended;
        if (join_ticker(plugin))
            release(plugin);
        plugin = next;
    }
}

void plugins_join_ended(void)
{
    join_ended(true);
}

/* --- tick, on a thread of the plugin's own --- */

static bool is_still; /* set before any thread */

void plugins_keep_still(void)
{
    is_still = true;
}

static void *tick_thread(void *arg)
{
    struct plugin *plugin = arg;
    pthread_mutex_lock(&plugin->tick_lock);
    while (!atomic_load(&plugin->is_ending)) {
        pthread_mutex_unlock(&plugin->tick_lock);
        plugin->abi->tick(plugin->self);
        pthread_mutex_lock(&plugin->tick_lock);
        if (atomic_load(&plugin->is_ending))
            break;
        int64_t until = clock_mono_ns() + plugin->abi->tick_ms * NS_PER_MS;
        struct timespec ts = { until / NS_PER_S, until % NS_PER_S };
        pthread_cond_timedwait(&plugin->tick_over, &plugin->tick_lock, &ts);
    }
    pthread_mutex_unlock(&plugin->tick_lock);
    end(plugin);
    atomic_store(&plugin->is_over, true);
    return NULL;
}

static bool start_ticking(struct plugin *plugin)
{
    if (is_still || !WEIR_HAS(plugin->abi, tick) || !plugin->abi->tick || plugin->abi->tick_ms <= 0)
        return true;
    plugin->has_ticker = pthread_create(&plugin->ticker, NULL, tick_thread, plugin) == 0;
    return plugin->has_ticker;
}

/* --- lifecycle --- */

/* By the clock that never jumps: a wall clock set back by an hour must not stop ticks for an hour. */
static void init_tick_over(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

struct plugin *plugin_new(const struct config *config, const struct config_upstream *upstream,
                          const struct config_plugin *row, const char *build_dir, struct face *face,
                          char *error, size_t error_size)
{
    char said[1024] = "";
    struct plugin *plugin = calloc(1, sizeof *plugin);

    join_ended(false);
    snprintf(error, error_size, "out of memory");
    if (!plugin)
        return NULL;
    atomic_init(&plugin->references, 1);
    pthread_mutex_init(&plugin->tick_lock, NULL);
    init_tick_over(&plugin->tick_over);
    plugin->upstream.face = plugin_upstream_hold(face);
    plugin->name = str_dup(row->name);
    plugin->json = str_dup(row->json);
    struct weir_config handle = { .keys = plugin->json ? json_loads(plugin->json, 0, NULL) : NULL,
                                  .upstream_handle = &plugin->upstream,
                                  .config = config,
                                  .upstream = upstream,
                                  .row = row };
    if (!plugin->name || !handle.keys)
        goto fail;
    plugin->abi = plugin_library_load(config, plugin->name, build_dir, error, error_size);
    if (!plugin->abi)
        goto fail;
    plugin->self = plugin->abi->configure(&plugin_host, &handle, said, sizeof said);
    if (!plugin->self) {
        said[sizeof said - 1] = '\0';
        snprintf(error, error_size, "plugin \"%s\" refuses its keys: %s", plugin->name,
                 said[0] ? said : "it does not say why");
        goto fail;
    }
    json_decref(handle.keys);
    handle.keys = NULL;
    if (!start_ticking(plugin)) {
        snprintf(error, error_size, "plugin \"%s\": no thread for its tick", plugin->name);
        goto fail;
    }
    return plugin;

fail:
    json_decref(handle.keys);
    plugin_unref(plugin);
    return NULL;
}

struct plugin *plugin_ref(struct plugin *plugin)
{
    atomic_fetch_add_explicit(&plugin->references, 1, memory_order_relaxed);
    return plugin;
}

struct plugin *plugin_unref(struct plugin *plugin)
{
    if (!plugin || atomic_fetch_sub_explicit(&plugin->references, 1, memory_order_acq_rel) > 1)
        return NULL;
    if (plugin->has_ticker) {
        end_on_its_thread(plugin);
    } else {
        end(plugin);
        release(plugin);
    }
    return NULL;
}

void plugin_retire(struct plugin *plugin)
{
    atomic_store(&plugin->upstream.is_retired, true);
}

bool plugin_is_same(const struct plugin *plugin, const struct config_plugin *row)
{
    return str_eq(str_of(plugin->name), row->name) && str_eq(str_of(plugin->json), row->json);
}

struct str plugin_name(const struct plugin *plugin)
{
    return str_of(plugin->name);
}

void plugin_stats_read(const struct plugin *plugin, struct plugin_stats *out)
{
    *out = (struct plugin_stats){ 0 };
    for (unsigned i = 0; i < TALLY_LINES; i++) {
        out->calls += atomic_load_explicit(&plugin->calls[i].count, memory_order_relaxed);
        out->ns += atomic_load_explicit(&plugin->calls[i].ns, memory_order_relaxed);
    }
}
