#include "pipeline/plugin_library.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "config/guess.h"

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

/* --- which there are, for who mistyped one --- */

#define NAMES_MAX 32

struct names {
    char *rows[NAMES_MAX];
    unsigned count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_name(struct names *names, const char *name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcmp(names->rows[i], name) == 0)
            return;
    }
    char *copy = names->count < NAMES_MAX ? strdup(name) : NULL;
    if (copy)
        names->rows[names->count++] = copy;
}

/* Every NAME that find_in() would find in the folder. */
static void add_names(struct names *names, const char *dir)
{
    DIR *folder = opendir(dir);
    const struct dirent *entry;
    char path[PATH_SIZE];
    while (folder && (entry = readdir(folder))) {
        struct str name = str_of(entry->d_name);
        char bare[64];
        if (str_has_suffix(name, STR(".so")))
            name.len -= 3;
        if (name.len == 0 || name.len >= sizeof bare || name.data[0] == '.')
            continue;
        snprintf(bare, sizeof bare, "%.*s", STR_FMT(name));
        bool is_file = name.len < strlen(entry->d_name);
        int n = is_file ? 0 : snprintf(path, sizeof path, "%s/%s/%s.so", dir, bare, bare);
        if (is_file || (n > 0 && n < PATH_SIZE && access(path, F_OK) == 0))
            add_name(names, bare);
    }
    if (folder)
        closedir(folder);
}

static void say_not_found(const struct config *config, const char *name, const char *build_dir, char *error,
                          size_t size)
{
    struct names names = { .count = 0 };
    struct guess guess;
    struct buf list;
    char meant[128];
    for (unsigned i = 0; i < config->plugin_dir_count; i++)
        add_names(&names, config->plugin_dirs[i].data);
    if (build_dir)
        add_names(&names, build_dir);
    qsort(names.rows, names.count, sizeof *names.rows, by_name);
    guess_init(&guess, str_of(name));
    buf_init(&list);
    for (unsigned i = 0; i < names.count; i++) {
        guess_offer(&guess, str_of(names.rows[i]));
        buf_printf(&list, "%s%s", i > 0 ? ", " : "; allowed: ", names.rows[i]);
    }
    /* What is allowed stands in front of where it was looked for: paths may be long, and be cut. */
    snprintf(error, size, "plugin \"%s\" was not found%.*s%s (in the %u configured folder%s%s%s)", name,
             STR_FMT(buf_str(&list)), guess_text(&guess, meant, sizeof meant), config->plugin_dir_count,
             config->plugin_dir_count == 1 ? "" : "s", build_dir ? " and in " : "",
             build_dir ? build_dir : "");
    for (unsigned i = 0; i < names.count; i++)
        free(names.rows[i]);
    buf_fini(&list);
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
        say_not_found(config, name, build_dir, error, size);
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
    if (!WEIR_HAS(abi, destroy)) {
        snprintf(error, size, "plugin \"%s\" is broken: its size is %u: .size = sizeof(struct weir_plugin)",
                 name, abi->size);
        return false;
    }
    if (!abi->configure || !abi->destroy) {
        snprintf(error, size, "plugin \"%s\" is broken: it has no %s", name,
                 abi->configure ? "destroy" : "configure");
        return false;
    }
    if (!abi->name || strcmp(abi->name, name) != 0) {
        snprintf(error, size, "plugin \"%s\" calls itself \"%.64s\": its .name must be that of its file",
                 name, abi->name ? abi->name : "");
        return false;
    }
    if (WEIR_HAS(abi, tick) && abi->tick && abi->tick_ms <= 0) {
        snprintf(error, size, "plugin \"%s\" has a tick, but its tick_ms is %lld: at least 1", name,
                 (long long)abi->tick_ms);
        return false;
    }
    return true;
}

/* The files that were loaded, as they were. Control thread; never freed, as libraries are never closed. */
struct loaded {
    struct loaded *next;
    struct stat st;
    char path[];
};
static struct loaded *all_loaded;

/* A library is loaded once. Whoever puts another file there and reloads would go on with the old code. */
static void tell_if_changed(const char *path)
{
    struct stat st;
    struct loaded *loaded = all_loaded;
    if (stat(path, &st) != 0)
        return;
    while (loaded && strcmp(loaded->path, path) != 0)
        loaded = loaded->next;
    if (loaded &&
        (loaded->st.st_ino != st.st_ino || loaded->st.st_dev != st.st_dev ||
         loaded->st.st_mtim.tv_sec != st.st_mtim.tv_sec || loaded->st.st_mtim.tv_nsec != st.st_mtim.tv_nsec))
        log_warn("%s is another file than was loaded: a restart takes the new one", path);
    if (loaded)
        return;
    size_t path_size = strlen(path) + 1;
    loaded = malloc(sizeof *loaded + path_size);
    if (!loaded)
        return;
    loaded->st = st;
    memcpy(loaded->path, path, path_size);
    loaded->next = all_loaded;
    all_loaded = loaded;
}

static const struct weir_plugin *load(const char *name, const char *path, char *error, size_t size)
{
    tell_if_changed(path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(error, size, "plugin \"%s\" does not load: %s", name, dlerror());
        return NULL;
    }
    const struct weir_plugin *abi = dlsym(library, "weir_plugin");
    if (!abi) {
        snprintf(error, size, "%s is no plugin: it exports no \"weir_plugin\"", path);
        return NULL;
    }
    return has_right_abi(abi, name, error, size) ? abi : NULL;
}

const struct weir_plugin *plugin_library_load(const struct config *config, const char *name,
                                              const char *build_dir, char *error, size_t size)
{
    char path[PATH_SIZE];
    return find(config, name, build_dir, path, error, size) ? load(name, path, error, size) : NULL;
}
