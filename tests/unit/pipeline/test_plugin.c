#include "pipeline/plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/plugin_upstream.h"
#include "upstream/server.h"
#include "walk.h"

static char folder[64];

static void folder_open(void)
{
    strcpy(folder, "/tmp/weir-plugins-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void folder_close(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

/* A copy of a built plugin at folder/path. */
static void put(const char *name, const char *path, mode_t mode)
{
    char from[512];
    char to[512];
    char bytes[65536];
    ssize_t n;
    snprintf(from, sizeof from, "%s/%s.so", PLUGINS, name);
    snprintf(to, sizeof to, "%s/%s", folder, path);
    int in = open(from, O_RDONLY);
    int out = open(to, O_WRONLY | O_CREAT, 0600);
    cr_assert(in >= 0 && out >= 0, "%s", to);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        cr_assert_eq(write(out, bytes, (size_t)n), n);
    cr_assert_eq(fchmod(out, mode), 0);
    close(in);
    close(out);
}

static char error[512];

/* Loads from dir (configured), then from build_dir. */
static struct plugin *load_for(struct face *face, const char *name, const char *dir, const char *build_dir,
                               const char *json)
{
    struct str dirs[1] = { str_of(dir) };
    struct config config = { .plugin_dirs = dirs, .plugin_dir_count = dir ? 1 : 0 };
    struct config_plugin row = { .name = str_of(name), .json = str_of(json) };
    error[0] = '\0';
    static const struct config_upstream upstream = { .name = STR_INIT("app") };
    return plugin_new(&config, &upstream, &row, build_dir, face, error, sizeof error);
}

static struct plugin *load(const char *name, const char *dir, const char *build_dir, const char *json)
{
    return load_for(NULL, name, dir, build_dir, json);
}

Test(plugin, is_found_by_its_name_in_the_configured_folder)
{
    folder_open();
    put("template", "template.so", 0644);
    struct plugin *plugin = load("template", folder, NULL, "{}");
    cr_assert_not_null(plugin, "%s", error);
    cr_expect(str_eq(plugin_name(plugin), STR("template")));
    plugin_unref(plugin);
    folder_close();
}

Test(plugin, is_found_in_a_folder_of_its_own)
{
    char path[128];
    folder_open();
    snprintf(path, sizeof path, "%s/template", folder);
    cr_assert_eq(mkdir(path, 0755), 0);
    put("template", "template/template.so", 0644);
    struct plugin *plugin = load("template", folder, NULL, "{}");
    cr_assert_not_null(plugin, "%s", error);
    plugin_unref(plugin);
    folder_close();
}

Test(plugin, the_builds_own_folder_comes_last)
{
    folder_open();
    put("no_symbol", "template.so", 0644);
    cr_expect_null(load("template", folder, PLUGINS, "{}"), "what the config names is taken, good or bad");
    cr_expect_not_null(strstr(error, folder), "%s", error);
    folder_close();
    struct plugin *plugin = load("template", "/nowhere", PLUGINS, "{}");
    cr_assert_not_null(plugin, "%s", error);
    plugin_unref(plugin);
}

Test(plugin, that_is_nowhere_is_a_sentence)
{
    cr_expect_null(load("nowhere", "/tmp", PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, "\"nowhere\" was not found"), "%s", error);
    cr_expect_not_null(strstr(error, "allowed: "), "%s", error);
    cr_expect_null(strstr(error, "did you mean"), "%s", error);
    cr_expect_not_null(strstr(error, PLUGINS), "%s", error);
    cr_expect_null(load("nowhere", NULL, NULL, "{}"));
    cr_expect_not_null(strstr(error, "not found"), "%s", error);
}

Test(plugin, a_mistyped_name_gets_what_there_is)
{
    cr_expect_null(load("scriptd", NULL, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, "scripted"), "%s", error);
    cr_expect_not_null(strstr(error, "; did you mean \"scripted\"?"), "%s", error);
}

Test(plugin, is_refused_where_others_could_have_put_it)
{
    folder_open();
    put("template", "template.so", 0646);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, "may be written to by others"), "%s", error);
    cr_expect_not_null(strstr(error, "template.so"), "it says what: %s", error);
    folder_close();

    folder_open();
    put("template", "template.so", 0644);
    cr_assert_eq(chmod(folder, 0777), 0);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, folder), "%s", error);
    folder_close();

    char path[128];
    folder_open();
    snprintf(path, sizeof path, "%s/template", folder);
    cr_assert_eq(mkdir(path, 0755), 0);
    cr_assert_eq(chmod(path, 0757), 0);
    put("template", "template/template.so", 0644);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, path), "%s", error);
    folder_close();
}

Test(plugin, of_a_stranger_is_refused)
{
    if (geteuid() != 0)
        return; /* only root can give a file away */
    folder_open();
    put("template", "template.so", 0644);
    char path[128];
    snprintf(path, sizeof path, "%s/template.so", folder);
    cr_assert_eq(chown(path, 65534, 65534), 0);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, "own"), "%s", error);
    folder_close();
}

Test(plugin, that_breaks_the_abi_is_refused)
{
    static const struct {
        const char *name;
        const char *says;
    } rows[] = {
        { "other_major", "ABI 2.0, this weir speaks 1.1" },
        { "newer_minor", "ABI 1.2, this weir speaks 1.1" },
        { "no_symbol", "exports no \"weir_plugin\"" },
        { "other_name", "calls itself \"" },
        { "too_small", "its size is" },
        { "no_configure", "has no configure" },
        { "refuses", "refuses its keys" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_null(load(rows[i].name, NULL, PLUGINS, "{}"), "%s", rows[i].name);
        cr_expect_not_null(strstr(error, rows[i].says), "%s: %s", rows[i].name, error);
        cr_expect_not_null(strstr(error, rows[i].name), "%s: %s", rows[i].name, error);
    }
}

Test(plugin, that_is_no_library_is_refused)
{
    char path[128];
    folder_open();
    snprintf(path, sizeof path, "%s/text.so", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    cr_assert_eq(write(fd, "hello", 5), 5);
    close(fd);
    cr_expect_null(load("text", folder, NULL, "{}"));
    cr_expect_not_null(strstr(error, "does not load"), "%s", error);
    folder_close();
}

Test(plugin, with_unknown_keys_says_so_in_its_own_words)
{
    cr_expect_null(load("template", NULL, PLUGINS, "{\"x\": 1}"));
    cr_expect_str_eq(error, "plugin \"template\" refuses its keys: unknown key x: template takes none");
}

Test(plugin, is_the_same_with_the_same_name_and_keys_only)
{
    struct plugin *plugin = load("scripted", NULL, PLUGINS, "{\"choose\": \"pass\"}");
    cr_assert_not_null(plugin, "%s", error);
    struct config_plugin row = { .name = STR("scripted"), .json = STR("{\"choose\": \"pass\"}") };
    cr_expect(plugin_is_same(plugin, &row));
    row.json = STR("{}");
    cr_expect_not(plugin_is_same(plugin, &row));
    row = (struct config_plugin){ .name = STR("other"), .json = STR("{\"choose\": \"pass\"}") };
    cr_expect_not(plugin_is_same(plugin, &row));
    cr_expect_eq(plugin_ref(plugin), plugin);
    plugin_unref(plugin);
    cr_expect(str_eq(plugin_name(plugin), STR("scripted")), "the second reference holds it");
    plugin_unref(plugin);
}

/* --- the end of one that ticks --- */

struct ticker {
    int in[2]; /* a byte ends a tick */
    int out[2];
    struct face *face;
    struct plugin *plugin;
};

static void ticker_open(struct ticker *ticker)
{
    char keys[64];
    cr_assert_eq(pipe(ticker->in), 0);
    cr_assert_eq(pipe(ticker->out), 0);
    snprintf(keys, sizeof keys, "{\"in\": %d, \"out\": %d}", ticker->in[0], ticker->out[1]);
    ticker->face = plugin_upstream_new();
    ticker->plugin = load_for(ticker->face, "ticking", NULL, PLUGINS, keys);
    cr_assert_not_null(ticker->plugin, "%s", error);
}

static void ticker_close(struct ticker *ticker)
{
    for (unsigned i = 0; i < 2; i++) {
        close(ticker->in[i]);
        close(ticker->out[i]);
    }
}

static char ticker_says(struct ticker *ticker)
{
    char what = '\0';
    cr_assert_eq(read(ticker->out[0], &what, 1), 1);
    return what;
}

static bool ticker_is_silent(struct ticker *ticker)
{
    struct pollfd fd = { .fd = ticker->out[0], .events = POLLIN };
    return poll(&fd, 1, 0) == 0;
}

static void ticker_let_go(struct ticker *ticker)
{
    cr_assert_eq(write(ticker->in[1], "x", 1), 1);
}

Test(plugin, that_ticks_is_let_go_without_waiting_for_its_tick, .timeout = 20)
{
    struct ticker ticker;
    ticker_open(&ticker);
    cr_expect_eq(ticker_says(&ticker), 't');
    plugin_unref(ticker.plugin); /* would stand still here */
    cr_expect(ticker_is_silent(&ticker), "it is in its tick: it is not destroyed");
    ticker_let_go(&ticker);
    plugins_join_ended();
    cr_expect_eq(ticker_says(&ticker), 'd');
    plugins_join_ended(); /* once more does no harm */
    plugin_upstream_free(ticker.face);
    ticker_close(&ticker);
}

Test(plugin, whose_last_tick_is_not_over_may_ask_after_its_world_is_gone, .timeout = 20)
{
    struct ticker ticker;
    struct addr addr;
    cr_assert(addr_parse(STR("127.0.0.1:1"), &addr));
    struct server *server = server_new(&addr, ROLE_PRIMARY);
    struct upstream upstream = { .servers = &server, .server_count = 1 };
    ticker_open(&ticker);
    cr_expect_eq(ticker_says(&ticker), 't');
    plugin_upstream_set(ticker.face, &upstream);
    server_unref(server);

    struct weir_server told = { .size = sizeof told };
    cr_expect_eq(plugin_upstream_servers(ticker.face, &told, 1), 1, "the world that had it is gone");
    cr_expect_str_eq(told.address, "127.0.0.1:1");

    plugin_unref(ticker.plugin);
    plugin_upstream_free(ticker.face);
    ticker_let_go(&ticker);
    plugins_join_ended();
    cr_expect_eq(ticker_says(&ticker), 'd');
    cr_expect_eq(ticker_says(&ticker), '0', "and its last upstream has none");
    ticker_close(&ticker);
}

Test(plugin, that_is_over_is_joined_when_another_comes, .timeout = 20)
{
    struct ticker tickers[3];
    for (unsigned i = 0; i < COUNT_OF(tickers); i++) {
        ticker_open(&tickers[i]);
        cr_expect_eq(ticker_says(&tickers[i]), 't');
        plugin_unref(tickers[i].plugin);
        plugin_upstream_free(tickers[i].face);
        if (i != 1) { /* that one is still in its tick when the third comes */
            ticker_let_go(&tickers[i]);
            cr_expect_eq(ticker_says(&tickers[i]), 'd');
        }
    }
    ticker_let_go(&tickers[1]);
    plugins_join_ended();
    cr_expect_eq(ticker_says(&tickers[1]), 'd');
    for (unsigned i = 0; i < COUNT_OF(tickers); i++)
        ticker_close(&tickers[i]);
}

Test(plugin, does_not_tick_for_those_who_only_look)
{
    struct ticker ticker;
    plugins_keep_still();
    ticker_open(&ticker);
    plugin_unref(ticker.plugin);
    cr_expect_eq(ticker_says(&ticker), 'd', "the first thing, and at once");
    plugin_upstream_free(ticker.face);
    ticker_close(&ticker);
}
