#include "pipeline/plugin.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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
static struct plugin *load(const char *name, const char *dir, const char *build_dir, const char *json)
{
    struct str dirs[1] = { str_of(dir) };
    struct config config = { .plugin_dirs = dirs, .plugin_dir_count = dir ? 1 : 0 };
    struct config_plugin row = { .name = str_of(name), .json = str_of(json) };
    error[0] = '\0';
    return plugin_new(&config, &row, build_dir, NULL, error, sizeof error);
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
    cr_expect_not_null(strstr(error, PLUGINS), "%s", error);
    cr_expect_null(load("nowhere", NULL, NULL, "{}"));
    cr_expect_not_null(strstr(error, "not found"), "%s", error);
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
        { "other_major", "ABI 2.0, this weir speaks 1.0" },
        { "newer_minor", "ABI 1.1, this weir speaks 1.0" },
        { "no_symbol", "exports no \"weir_plugin\"" },
        { "other_name", "is broken" },
        { "too_small", "is broken" },
        { "no_configure", "is broken" },
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

Test(plugin, check_finds_every_mistake)
{
    struct config_mistakes mistakes = { 0 };
    struct config *config = config_read_text(
        STR("upstreams:\n"
            "  a: {primary: [127.0.0.1:1], plugins: [{name: template, x: 1}, {name: nowhere}]}\n"
            "  b: {primary: [127.0.0.1:1], plugins: [{name: template}, {name: refuses}]}\n"
            "routes: [{path: /**, upstream: a}]\n"),
        "test.yaml", &mistakes);
    cr_assert_not_null(config);
    plugins_check(config, PLUGINS, &mistakes);
    cr_expect_eq(mistakes.count, 3);
    config_mistakes_fini(&mistakes);
    config_unref(config);
}
