/* Arguments and exit codes (A1): 0 done, 1 the config or the request was refused, 2 wrong usage, 3 could not
 * run. */
#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/hash.h"
#include "control.h"
#include "explain.h"
#include "fleet/redis.h"
#include "http/message.h"
#include "net/loop.h"
#include "pipeline/plugin.h"
#include "pipeline/world.h"
#include "remote.h"
#include "settings.h"
#include "weir/plugin.h"

#define USAGE 2

static const char help[] =
    "weir - a caching reverse proxy that knows tenants, API versions and replicas\n"
    "\n"
    "  weir -c FILE                      run with a config file, in the foreground\n"
    "  weir --upstream ADDR [--replica ADDR]... [--listen ADDR] [--admin ADDR] [--cache SIZE]\n"
    "                                    run without one\n"
    "  weir check -c FILE                is the file right? (--schema prints its JSON Schema)\n"
    "  weir explain -c FILE METHOD URL [-H 'Name: value']...\n"
    "                                    what would this request get, and why\n"
    "  weir status | top | purge | reload | drain [--admin ADDR] [--token TOKEN]\n"
    "                                    speak to a running weir\n"
    "  weir --version | --help | COMMAND --help\n";

static const char run_help[] =
    "weir -c FILE, weir run -c FILE: runs in the foreground, logs to stderr, prints `ready` once it "
    "accepts.\n"
    "weir --upstream ADDR [--replica ADDR]... [--listen ADDR] [--admin ADDR] [--cache SIZE]: without a "
    "file;\n"
    "  defaults: --listen 127.0.0.1:8080 --admin 127.0.0.1:9900 --cache 256MiB; replicas turn on rw_split.\n"
    "SIGHUP reloads the file, SIGTERM and SIGINT drain and stop, a second one stops at once.\n";

static const char check_help[] =
    "weir check -c FILE: exit 0 and a summary on stdout, or exit 1 and every mistake on stderr as\n"
    "  FILE:LINE:COL: what is wrong, what is allowed. What is most likely not meant is a warning there, and\n"
    "  no reason to fail. --schema prints the JSON Schema of the file instead.\n";

static const char explain_help[] =
    "weir explain -c FILE METHOD URL [-H 'Name: value']... [--peer ADDRESS]: which tenant, version, route,\n"
    "  upstream, cache rule and limits this request would get, and why. Sends nothing. URL is absolute\n"
    "  (http://api.example.com/v1/items) or a path.\n";

/* Where plugins are besides the configured folders: beside the binary in a build, or where it was installed.
 */
static const char *plugin_dir(void)
{
    static const char *const beside[] = { "/../plugins", "/../lib/weir/plugins" };
    static char real[PATH_MAX];
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    path[n > 0 ? n : 0] = '\0';
    char *end = strrchr(path, '/');
    for (unsigned i = 0; end && i < COUNT_OF(beside); i++) {
        memcpy(end, beside[i], strlen(beside[i]) + 1);
        if (realpath(path, real))
            return real;
    }
    return access("/usr/lib/weir/plugins", F_OK) == 0 ? "/usr/lib/weir/plugins" : NULL;
}

static int wrong(const char *what, const char *arg)
{
    fprintf(stderr, "weir: %s%s%s; see weir --help\n", what, arg ? ": " : "", arg ? arg : "");
    return USAGE;
}

static int print_versions(void)
{
    printf("weir %s\nplugin ABI %d.%d\n", WEIR_VERSION, WEIR_PLUGIN_ABI_MAJOR, WEIR_PLUGIN_ABI_MINOR);
    printf("libevent %s\n%s\nhttp-parser %s\nlibyaml %s\njansson %s\n", loop_library_version(),
           OpenSSL_version(OPENSSL_VERSION), parser_library_version(), yaml_get_version_string(),
           JANSSON_VERSION);
    unsigned hash = hash_library_version();
    printf("hiredis %s\nxxhash %u.%u.%u\n", redis_library_version(), hash / 10000, hash / 100 % 100,
           hash % 100);
    return 0;
}

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* --- run --- */

#define REPLICAS_MAX 64

struct quick { /* what stands in for a config file */
    const char *upstream;
    const char *listen;
    const char *admin;
    const char *cache;
    const char *replicas[REPLICAS_MAX];
    unsigned replica_count;
    const char *options[REPLICAS_MAX + 16]; /* of each line of the text */
    unsigned lines;
};

static const char **quick_slot(struct quick *quick, const char *name)
{
    if (strcmp(name, "--upstream") == 0)
        return &quick->upstream;
    if (strcmp(name, "--listen") == 0)
        return &quick->listen;
    if (strcmp(name, "--admin") == 0)
        return &quick->admin;
    if (strcmp(name, "--cache") == 0)
        return &quick->cache;
    if (strcmp(name, "--replica") == 0 && quick->replica_count < COUNT_OF(quick->replicas))
        return &quick->replicas[quick->replica_count++];
    return NULL;
}

static void put_quoted(struct buf *out, const char *value)
{
    buf_append_str(out, STR("\""));
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_append_str(out, STR("\\"));
        buf_append(out, value, 1);
    }
    buf_append_str(out, STR("\""));
}

/* One line of the text, and the option that it stands for; NULL: none. */
static void put_line(struct quick *quick, struct buf *out, const char *option, const char *before,
                     const char *value, const char *after)
{
    buf_printf(out, "%s", before);
    if (value)
        put_quoted(out, value);
    buf_printf(out, "%s\n", after);
    CHECK(quick->lines < COUNT_OF(quick->options));
    quick->options[quick->lines++] = option;
}

/* The same reader and the same checks as for a file. */
static char *quick_yaml(struct quick *quick)
{
    struct buf out;
    buf_init(&out);
    put_line(quick, &out, "--listen", "listen: [", quick->listen ? quick->listen : "127.0.0.1:8080", "]");
    put_line(quick, &out, "--admin", "admin: ", quick->admin ? quick->admin : "127.0.0.1:9900", "");
    put_line(quick, &out, NULL, "upstreams:", NULL, "");
    put_line(quick, &out, "--upstream", "  app:", NULL, "");
    put_line(quick, &out, "--upstream", "    primary: [", quick->upstream, "]");
    if (quick->replica_count > 0)
        put_line(quick, &out, "--replica", "    replicas:", NULL, "");
    for (unsigned i = 0; i < quick->replica_count; i++)
        put_line(quick, &out, "--replica", "      - ", quick->replicas[i], "");
    if (quick->cache)
        put_line(quick, &out, "--cache", "cache: {memory: ", quick->cache, "}");
    char *text = str_dup(buf_str(&out));
    buf_fini(&out);
    return text;
}

static int run(int argc, char **argv)
{
    struct quick quick = { 0 };
    struct control_options options = { .plugin_dir = plugin_dir() };

    for (int i = 0; i < argc; i++) {
        if (is_help(argv[i])) {
            fputs(run_help, stdout);
            return 0;
        }
        bool is_file = strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0;
        const char **slot = is_file ? &options.file : quick_slot(&quick, argv[i]);
        if (!slot)
            return wrong("unknown option", argv[i]);
        if (i + 1 == argc)
            return wrong("this option needs a value", argv[i]);
        *slot = argv[++i];
    }
    bool is_quick = quick.upstream || quick.listen || quick.admin || quick.cache || quick.replica_count > 0;
    if (options.file && is_quick)
        return wrong("a config file and other options do not go together", NULL);
    if (!options.file && !quick.upstream)
        return wrong("-c FILE or --upstream ADDR is needed", NULL);
    if (!options.file) {
        options.text = quick_yaml(&quick);
        options.text_options = quick.options;
        options.text_lines = quick.lines;
    }
    struct config *config = control_read(&options);
    int code = config ? control_run(config, &options) : 1;
    plugins_join_ended();
    free((char *)(uintptr_t)options.text);
    return code;
}

/* --- check --- */

/* Whether the access log could be opened, without making it: who checks a config may not be who runs it. */
static void check_log(const struct config *config, struct config_mistakes *mistakes)
{
    const char *path = config->log.path.data;
    char folder[PATH_MAX];
    if (!config->log.has_access || strcmp(path, "stderr") == 0 || strcmp(path, "stdout") == 0)
        return;
    if (access(path, F_OK) == 0) {
        if (access(path, W_OK) != 0)
            config_mistake(mistakes, config->log.mark, "path: cannot write to \"%s\": %s", path,
                           strerror(errno));
        return;
    }
    snprintf(folder, sizeof folder, "%s", path);
    const char *parent = dirname(folder);
    if (access(parent, W_OK | X_OK) != 0)
        config_mistake(mistakes, config->log.mark, "path: cannot make \"%s\": %s: %s", path, parent,
                       strerror(errno));
}

/* What only building the world can tell: certificates, plugins and their keys. */
static int try_world(const struct control_options *options, struct config *config)
{
    struct city city = { 0 };
    struct config_mistakes mistakes = { 0 };
    city.labels = labels_new(1);
    plugins_keep_still();
    check_log(config, &mistakes);
    struct world *world = city.labels ? world_new(&city, config, NULL, plugin_dir(), &mistakes) : NULL;
    bool is_good = world != NULL && mistakes.count == 0;
    if (!is_good)
        settings_print_mistakes(options, &mistakes);
    config_mistakes_fini(&mistakes);
    world_unref(world);
    labels_free(city.labels);
    return is_good ? 0 : 1;
}

static int check(int argc, char **argv)
{
    struct control_options options = { 0 };
    for (int i = 0; i < argc; i++) {
        if (is_help(argv[i])) {
            fputs(check_help, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--schema") == 0) {
            char *schema = config_schema();
            fputs(schema ? schema : "", stdout);
            free(schema);
            return schema ? 0 : 3;
        }
        if (strcmp(argv[i], "-c") != 0 && strcmp(argv[i], "--config") != 0)
            return wrong("unknown option", argv[i]);
        if (++i == argc)
            return wrong("-c needs a file", NULL);
        options.file = argv[i];
    }
    if (!options.file)
        return wrong("check needs -c FILE", NULL);
    struct config *config = control_read(&options);
    if (!config)
        return 1;
    int code = try_world(&options, config);
    settings_print_warnings(&options, config);
    char *summary = code == 0 ? config_summary(config) : NULL;
    if (summary)
        fputs(summary, stdout);
    free(summary);
    config_unref(config);
    return code;
}

/* --- explain --- */

static int explain(int argc, char **argv)
{
    struct control_options options = { 0 };
    struct str headers[64];
    const char *words[2];
    const char *peer = NULL;
    unsigned header_count = 0;
    unsigned word_count = 0;

    for (int i = 0; i < argc; i++) {
        if (is_help(argv[i])) {
            fputs(explain_help, stdout);
            return 0;
        }
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "-c") == 0 && has_value)
            options.file = argv[++i];
        else if (strcmp(argv[i], "--peer") == 0 && has_value)
            peer = argv[++i];
        else if (strcmp(argv[i], "-H") == 0 && has_value && header_count < COUNT_OF(headers))
            headers[header_count++] = str_of(argv[++i]);
        else if (argv[i][0] != '-' && word_count < 2)
            words[word_count++] = argv[i];
        else
            return wrong("unknown or incomplete option", argv[i]);
    }
    if (!options.file || word_count != 2)
        return wrong("explain needs -c FILE METHOD URL", NULL);
    struct config *config = control_read(&options);
    if (!config)
        return 1;
    plugins_keep_still();
    int code = explain_request(config, plugin_dir(), words[0], words[1], headers, header_count, peer, stdout);
    config_unref(config);
    return code;
}

int main(int argc, char **argv)
{
    static const char *const remotes[] = { "status", "top", "purge", "reload", "drain" };
    if (!hash_init_secret()) {
        fprintf(stderr, "weir: the system gives no randomness\n");
        return 3;
    }
    if (argc < 2)
        return fputs(help, stderr), USAGE;
    const char *word = argv[1];
    if (is_help(word) || strcmp(word, "help") == 0)
        return fputs(help, stdout), 0;
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return print_versions();
    if (strcmp(word, "check") == 0)
        return check(argc - 2, argv + 2);
    if (strcmp(word, "explain") == 0)
        return explain(argc - 2, argv + 2);
    for (unsigned i = 0; i < COUNT_OF(remotes); i++) {
        if (strcmp(word, remotes[i]) == 0)
            return remote_command(word, argc - 2, argv + 2);
    }
    if (strcmp(word, "run") == 0)
        return run(argc - 2, argv + 2);
    if (word[0] == '-')
        return run(argc - 1, argv + 1);
    return wrong("unknown command", word);
}
