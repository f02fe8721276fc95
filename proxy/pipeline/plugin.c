/* Finding, loading and keeping plugins. Their hooks are called in plugin_hooks.c. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "pipeline/plugin_host.h"
#include "pipeline/plugin_upstream.h"

#define PATH_SIZE 1024

/* A plugin runs as weir: nobody but its owner and weir's own user may be able to put one there. */
static bool is_safe(const char *path, char *error, size_t size)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    if ((st.st_mode & S_IWOTH) || (st.st_uid != 0 && st.st_uid != geteuid())) {
        snprintf(error, size,
                 "%s may be written to by others: chmod o-w it, and let root or weir's user own it", path);
        return false;
    }
    return true;
}

/* DIR/NAME/NAME.so or DIR/NAME.so. False with an error set: it is there, but must not be loaded. */
static bool find_in(const char *dir, const char *name, char *path, char *error, size_t size)
{
    for (unsigned i = 0; i < 2; i++) {
        int n = i == 0 ? snprintf(path, PATH_SIZE, "%s/%s/%s.so", dir, name, name)
                       : snprintf(path, PATH_SIZE, "%s/%s.so", dir, name);
        if (n <= 0 || n >= PATH_SIZE || access(path, F_OK) != 0)
            continue;
        char own[PATH_SIZE];
        snprintf(own, sizeof own, "%.*s", (int)(strrchr(path, '/') - path), path);
        return is_safe(dir, error, size) && is_safe(own, error, size) && is_safe(path, error, size);
    }
    return false;
}

static bool find(const struct config *config, const char *name, const char *build_dir, char *path,
                 char *error, size_t size)
{
    error[0] = '\0';
    for (unsigned i = 0; i < config->plugin_dir_count; i++) {
        if (find_in(config->plugin_dirs[i].data, name, path, error, size))
            return true;
        if (error[0])
            return false;
    }
    if (build_dir && find_in(build_dir, name, path, error, size))
        return true;
    if (!error[0])
        snprintf(error, size, "plugin \"%s\" was not found in the %u configured folder%s%s%s", name,
                 config->plugin_dir_count, config->plugin_dir_count == 1 ? "" : "s",
                 build_dir ? " or in " : "", build_dir ? build_dir : "");
    return false;
}

static bool has_right_abi(const struct weir_plugin *abi, const char *name, char *error, size_t size)
{
    if (abi->abi_major != WEIR_PLUGIN_ABI_MAJOR || abi->abi_minor > WEIR_PLUGIN_ABI_MINOR) {
        snprintf(error, size,
                 "plugin \"%s\" was built for plugin ABI %u.%u, this weir speaks %d.%d (major must be equal, "
                 "minor at most this)",
                 name, abi->abi_major, abi->abi_minor, WEIR_PLUGIN_ABI_MAJOR, WEIR_PLUGIN_ABI_MINOR);
        return false;
    }
    if (!WEIR_HAS(abi, destroy) || !abi->configure || !abi->destroy || !abi->name ||
        strcmp(abi->name, name) != 0) {
        snprintf(error, size,
                 "plugin \"%s\" is broken: it has no configure or destroy, or calls itself something else",
                 name);
        return false;
    }
    return true;
}

static bool open_library(struct plugin *plugin, const char *path, char *error, size_t size)
{
    plugin->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->library) {
        snprintf(error, size, "plugin \"%s\" does not load: %s", plugin->name, dlerror());
        return false;
    }
    plugin->abi = dlsym(plugin->library, "weir_plugin");
    if (!plugin->abi) {
        snprintf(error, size, "%s is no plugin: it exports no \"weir_plugin\"", path);
        return false;
    }
    return has_right_abi(plugin->abi, plugin->name, error, size);
}

/* --- the end --- */

/* Whoever drops the last reference may be a worker, which must not wait for a tick that does I/O. So an
 * instance that ticks is ended by its own thread, and is kept here until that thread is joined. */
static pthread_mutex_t ended_lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin *ended;

static void end(struct plugin *plugin)
{
    if (plugin->self)
        plugin->abi->destroy(plugin->self);
    plugin_upstream_drop(plugin->face);
}

/* The library stays loaded: its code may still be on another thread's stack (thread-local destructors), and a
 * reload would map it again anyway. */
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

static void join_ended(bool is_waiting)
{
    struct plugin *plugin = take_ended(is_waiting);
    while (plugin) {
        struct plugin *next = plugin->next_ended;
        pthread_join(plugin->ticker, NULL);
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
        int64_t until = clock_wall_ns() + plugin->abi->tick_ms * NS_PER_MS;
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

struct plugin *plugin_new(const struct config *config, const struct config_upstream *upstream,
                          const struct config_plugin *row, const char *build_dir, struct weir_upstream *face,
                          char *error, size_t error_size)
{
    char path[PATH_SIZE];
    char said[256] = "";
    struct plugin *plugin = calloc(1, sizeof *plugin);

    join_ended(false);
    snprintf(error, error_size, "out of memory");
    if (!plugin)
        return NULL;
    atomic_init(&plugin->references, 1);
    pthread_mutex_init(&plugin->tick_lock, NULL);
    pthread_cond_init(&plugin->tick_over, NULL);
    plugin->face = plugin_upstream_hold(face);
    plugin->name = str_dup(row->name);
    plugin->json = str_dup(row->json);
    struct weir_config handle = { .keys = plugin->json ? json_loads(plugin->json, 0, NULL) : NULL,
                                  .face = face,
                                  .config = config,
                                  .upstream = upstream,
                                  .row = row };
    if (!plugin->name || !handle.keys)
        goto fail;
    if (!find(config, plugin->name, build_dir, path, error, error_size) ||
        !open_library(plugin, path, error, error_size))
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
    out->calls = atomic_load_explicit(&plugin->calls, memory_order_relaxed);
    out->ns = atomic_load_explicit(&plugin->ns, memory_order_relaxed);
}
