#include "config/table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "help.h"

#include "base/check.h"
#include "config/scalar.h"
#include "config/tree.h"

Test(table, every_preset_is_a_value_of_its_own_row)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    for (const struct setting *at = table_root(); at; at = table_next(at)) {
        union {
            int64_t whole;
            struct str texts[2];
            struct addr address;
        } field;
        if (!at->preset)
            continue;
        cr_expect_leq(at->size, sizeof field, "%s", at->path);
        cr_expect_eq(scalar_read(at, str_of(at->preset), &arena, STR(""), &field), SCALAR_OK, "%s", at->path);
    }
    arena_fini(&arena);
}

Test(table, every_row_is_reached_from_the_root_and_explains_itself)
{
    for (const struct setting *at = table_root(); at; at = table_next(at)) {
        cr_expect_gt(strlen(at->help), 5, "%s", at->path);
        cr_expect(at->help[strlen(at->help) - 1] == '.', "%s: a sentence ends with a full stop", at->path);
        bool is_parent = at->kind == SETTING_LIST || at->kind == SETTING_NAMES;
        cr_expect(!is_parent || (table_item(at) && at->size > 0 && at->count_at > 0), "%s", at->path);
        cr_expect(at->kind != SETTING_MAP || at->is_not_built || table_next_child(at, NULL), "%s", at->path);
        cr_expect(!setting_is_scalar(at) || at->size > 0, "%s goes nowhere", at->path);
        cr_expect(at->kind != SETTING_WORD || at->words, "%s", at->path);
        cr_expect(!at->shorthand || at->kind == SETTING_MAP || at->kind == SETTING_LIST, "%s", at->path);
    }
}

Test(table, keys_are_named_as_people_write_them)
{
    const struct setting *upstreams = table_child(table_root(), STR("upstreams"));
    const struct setting *primary = table_child(table_item(upstreams), STR("primary"));
    cr_expect(str_eq(setting_key(primary), STR("primary")));
    cr_expect(str_eq(setting_key(table_item(primary)), STR("primary")));
    cr_expect(str_eq(setting_key(table_item(upstreams)), STR("upstreams")));
    cr_expect_null(table_child(table_root(), STR("nothing")));
    cr_expect_null(table_child(table_root(), STR("clients.rate")));
}

/* conf/weir.yaml with what it keeps behind "#:" taken in, in a folder where the files it names are. */
static char *full_example(const char *folder)
{
    static const char *const files[] = { "api.pem", "api.key", "clients.pem", "ca.pem" };
    char path[512];
    snprintf(path, sizeof path, "%s/certs", folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof path, "%s/certs/%s", folder, files[i]);
        FILE *file = fopen(path, "w");
        cr_assert(file != NULL);
        fclose(file);
    }
    char *text = must_load(SOURCE_DIR "/conf/weir.yaml");
    for (char *at = text; (at = strstr(at, "\n#:"));)
        memmove(at + 1, at + 3, strlen(at + 3) + 1);
    snprintf(path, sizeof path, "%s/weir.yaml", folder);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
    return text;
}

static void make_folder(char *folder, size_t size)
{
    snprintf(folder, size, "/tmp/weir-config-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
}

static void remove_folder(const char *folder)
{
    char command[600];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    cr_assert_eq(system(command), 0);
}

/* True if the key that path names is somewhere in the tree. */
static bool is_in(const struct node *node, struct str path)
{
    if (path.len == 0)
        return true;
    if (str_has_prefix(path, STR("[]")) || str_has_prefix(path, STR(".*"))) {
        for (const struct node *at = node->child; at; at = at->next) {
            if (is_in(at, str_from(path, 2)))
                return true;
        }
        return false;
    }
    if (path.data[0] == '.')
        path = str_from(path, 1);
    size_t len = 0;
    while (len < path.len && path.data[len] != '.' && path.data[len] != '[')
        len++;
    const struct node *child = node_find(node, str_n(path.data, len));
    return child && is_in(child, str_from(path, len));
}

Test(table, the_annotated_example_holds_every_built_key_and_reads)
{
    char folder[64];
    make_folder(folder, sizeof folder);
    char *text = full_example(folder);
    struct config_mistakes mistakes = { 0 };
    struct arena arena;
    arena_init(&arena, NULL, 0, 16 << 20);
    setenv("WEIR_ADMIN_TOKEN", "open sesame", 1);
    const struct node *root = tree_parse(str_of(text), &arena, &mistakes);
    cr_assert(root != NULL);
    for (const struct setting *at = table_root(); at; at = table_next(at))
        cr_expect_eq(is_in(root, str_of(at->path)), !at->is_not_built, "%s", at->path);
    arena_fini(&arena);

    char path[128];
    snprintf(path, sizeof path, "%s/weir.yaml", folder);
    struct config *config = config_read_file(path, &mistakes);
    char *found = config_mistakes_text(&mistakes, path);
    cr_assert(config != NULL, "%s", found);
    cr_expect_eq(config->listen_count, 2);
    free(found);
    config_unref(config);
    free(text);
    remove_folder(folder);
}

Test(table, the_annotated_example_reads_as_it_is)
{
    struct config_mistakes mistakes;
    struct config *config = config_read_file(SOURCE_DIR "/conf/weir.yaml", &mistakes);
    char *found = config_mistakes_text(&mistakes, "conf/weir.yaml");
    cr_assert(config != NULL, "%s", found);
    free(found);
    config_unref(config);
}

/* True if some line says "key:" and has a comment behind it. */
static bool is_explained(const char *text, struct str key)
{
    struct str rest = str_of(text);
    struct str line;
    char wanted[80];
    snprintf(wanted, sizeof wanted, "%.*s:", STR_FMT(key));
    while (str_split(&rest, '\n', &line)) {
        const char *at = memmem(line.data, line.len, wanted, strlen(wanted));
        if (at && memchr(at, '#', line.len - (size_t)(at - line.data)))
            return true;
    }
    return false;
}

Test(table, the_annotated_example_explains_every_built_key)
{
    char *text = must_load(SOURCE_DIR "/conf/weir.yaml");
    for (const struct setting *at = table_next(table_root()); at; at = table_next(at)) {
        bool is_key =
            !str_has_suffix(str_of(at->path), STR("[]")) && !str_has_suffix(str_of(at->path), STR("*"));
        cr_expect(!is_key || at->is_not_built || is_explained(text, setting_key(at)), "%s", at->path);
    }
    free(text);
}

Test(table, the_schema_file_is_what_the_table_says)
{
    char *want = config_schema();
    char *got = must_load(SOURCE_DIR "/conf/weir.schema.json");
    cr_assert(want != NULL);
    cr_expect(strcmp(want, got) == 0, "write config_schema() to conf/weir.schema.json again");
    free(want);
    free(got);
}

Test(table, keys_that_are_not_built_are_refused_and_not_in_the_schema)
{
    char *schema = config_schema();
    static const char *const words[] = { "jwt", "api_key", "client_certificate", "adaptive" };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        cr_expect(strstr(schema, words[i]) == NULL, "%s", words[i]);
    free(schema);
    static const struct refusal rows[] = {
        { APP "tenants: {from: [{jwt: {claim: org}}]}\n", ":2:19: jwt is not built yet" },
        { APP "tenants: {from: [{api_key: {header: X}}]}\n", "api_key is not built yet" },
        { APP "tenants: {from: [{client_certificate: {field: san_dns}}]}\n",
          "client_certificate is not built yet" },
        { APP "listen: [{address: 127.0.0.1:1, proxy_protocol: true}]\n",
          "proxy_protocol: \"true\" is not built yet" },
        { "upstreams: {app: {primary: [a:1], limit: {concurrency: adaptive}}}\n",
          "concurrency: \"adaptive\" is not built yet" },
        { "upstreams: {app: {primary: [a:1], limit: {concurrency: 5, max: 9}}}\n", "max is not built yet" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
}
