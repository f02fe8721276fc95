#include "help.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

Test(config, is_freed_by_the_last_unref)
{
    struct config *config = must_read(APP);
    cr_assert_eq(config_ref(config), config);
    cr_expect_null(config_unref(config));
    cr_expect(str_eq(config->file, STR("test.yaml")));
    cr_expect_null(config_unref(config));
    cr_expect_null(config_unref(NULL));
}

Test(config, relative_paths_start_at_the_files_folder)
{
    char folder[] = "/tmp/weir-config-XXXXXX";
    char path[128];
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/weir.yaml", folder);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs("upstreams: {app: {primary: [a:1], tls: {ca: weir.yaml}}}\n"
          "listen: [{address: a:1, tls: [{certificate: weir.yaml, key: none.key}], client_ca: .}]\n"
          "plugins: [here, /there]\nlog: {path: weir.log}\n",
          file);
    fclose(file);
    struct config_mistakes mistakes;
    cr_expect_null(config_read_file(path, &mistakes));
    cr_assert_eq(mistakes.count, 2);
    cr_expect(strstr(mistakes.rows[0].text, "key: cannot read \"/tmp/weir-config-") != NULL, "%s",
              mistakes.rows[0].text);
    cr_expect(strstr(mistakes.rows[0].text, "/none.key\": No such file or directory") != NULL);
    cr_expect(strstr(mistakes.rows[1].text, "not a file") != NULL, "%s", mistakes.rows[1].text);
    config_mistakes_fini(&mistakes);

    file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs("upstreams: {app: {primary: [a:1], tls: {ca: weir.yaml}}}\n"
          "plugins: [here, /there]\nlog: {path: weir.log}\n",
          file);
    fclose(file);
    struct config *config = config_read_file(path, &mistakes);
    cr_assert(config != NULL);
    cr_expect_str_eq(config->upstreams[0].tls_ca.data, path);
    cr_expect(config->upstreams[0].has_tls);
    cr_expect(str_has_suffix(config->plugin_dirs[0], STR("/here")));
    cr_expect(str_has_prefix(config->plugin_dirs[0], str_of(folder)));
    cr_expect_str_eq(config->plugin_dirs[1].data, "/there");
    cr_expect(str_has_prefix(config->log.path, str_of(folder)));
    config_unref(config);
    unlink(path);
    rmdir(folder);
}

Test(config, a_file_that_cannot_be_read_is_a_mistake)
{
    struct config_mistakes mistakes;
    cr_expect_null(config_read_file("/nonexistent/weir.yaml", &mistakes));
    char *text = config_mistakes_text(&mistakes, "x.yaml");
    cr_expect_str_eq(text, "x.yaml: cannot read it: No such file or directory\n");
    free(text);
    config_mistakes_fini(&mistakes);
    cr_expect_null(config_read_file("/tmp", &mistakes));
    cr_assert_eq(mistakes.count, 1);
    cr_expect_str_eq(mistakes.rows[0].text, "cannot read it: it is a folder");
    config_mistakes_fini(&mistakes);
}

Test(config, mistakes_are_bounded)
{
    char *yaml = calloc(1, 100000);
    cr_assert(yaml != NULL);
    char *end = yaml + sprintf(yaml, APP);
    for (int i = 0; i < 1000; i++)
        end += sprintf(end, "key%d: 1\n", i);
    struct config_mistakes mistakes;
    cr_expect_null(config_read_text(str_of(yaml), "x", &mistakes));
    cr_expect_eq(mistakes.count, 201);
    cr_expect_str_eq(mistakes.rows[200].text, "and more: these are the first of them");
    config_mistakes_fini(&mistakes);
    free(yaml);
}

Test(config, mistakes_are_written_one_a_line)
{
    struct config_mistakes mistakes = { 0 };
    char *text = config_mistakes_text(&mistakes, "f");
    cr_expect_str_eq(text, "");
    free(text);
    config_mistake(&mistakes, (struct config_mark){ 3, 7 }, "%s is %d", "x", 5);
    text = config_mistakes_text(&mistakes, "weir.yaml");
    cr_expect_str_eq(text, "weir.yaml:3:7: x is 5\n");
    free(text);
    config_mistakes_fini(&mistakes);
    config_mistakes_fini(NULL);
}
