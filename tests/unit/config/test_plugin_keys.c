#include "help.h"

#include "base/check.h"

#define WITH(plugins) "upstreams: {app: {primary: [a:1], replicas: [b:1]" plugins "}}\n"

Test(plugin_keys, plain_scalars_are_typed_by_the_core_schema_and_quoted_ones_are_text)
{
    static const struct {
        const char *value;
        const char *want;
    } rows[] = {
        { "1", "1" },
        { "-3", "-3" },
        { "0x1F", "31" },
        { "0o17", "15" },
        { "007", "7" },
        { "1.5", "1.5" },
        { ".5", "0.5" },
        { "1e3", "1000.0" },
        { "true", "true" },
        { "False", "false" },
        { "yes", "\"yes\"" },
        { "\"1\"", "\"1\"" },
        { "'true'", "\"true\"" },
        { "~", "null" },
        { "", "null" },
        { "2s", "\"2s\"" },
        { "1.2.3", "\"1.2.3\"" },
        { "0x", "\"0x\"" },
        { "0x-1", "\"0x-1\"" },
        { "-", NULL },
        { "[1, [a]]", "[1, [\"a\"]]" },
        { "{x: {y: 1}}", "{\"x\": {\"y\": 1}}" },
        { "1e", "\"1e\"" },
        { "99999999999999999999", "1e20" },
        { "2026-06-30", "\"2026-06-30\"" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char yaml[256];
        char want[128];
        if (!rows[i].want)
            continue;
        snprintf(yaml, sizeof yaml,
                 "upstreams:\n  app:\n    primary: [a:1]\n    plugins:\n      - name: x\n        k: %s\n",
                 rows[i].value);
        snprintf(want, sizeof want, "{\"k\": %s}", rows[i].want);
        struct config *config = must_read(yaml);
        cr_expect_str_eq(config->upstreams[0].plugins[0].json.data, want, "%s", rows[i].value);
        config_unref(config);
    }
}

Test(plugin_keys, replicas_without_plugins_get_rw_split)
{
    struct config *config = must_read(WITH(""));
    cr_assert_eq(config->upstreams[0].plugin_count, 1);
    cr_expect(str_eq(config->upstreams[0].plugins[0].name, STR("rw_split")));
    cr_expect_str_eq(config->upstreams[0].plugins[0].json.data, "{}");
    cr_expect_eq(config->upstreams[0].plugins[0].mark.line, 1);
    config_unref(config);

    config = must_read(WITH(", plugins: []"));
    cr_expect_eq(config->upstreams[0].plugin_count, 0, "an empty list means none");
    config_unref(config);

    config = must_read(APP);
    cr_expect_eq(config->upstreams[0].plugin_count, 0, "no replicas, nothing to split");
    config_unref(config);
}

Test(plugin_keys, a_plugin_knows_its_line_and_keeps_its_keys_in_order)
{
    struct config *config = must_read("upstreams:\n  app:\n    primary: [a:1]\n    plugins:\n"
                                      "      - {name: rw_split, window: 2s, b: 1, a: 2}\n      - template\n");
    const struct config_upstream *app = &config->upstreams[0];
    cr_assert_eq(app->plugin_count, 2);
    cr_expect_str_eq(app->plugins[0].json.data, "{\"window\": \"2s\", \"b\": 1, \"a\": 2}");
    cr_expect_eq(app->plugins[0].mark.line, 5);
    cr_expect_eq(app->plugins[0].mark.column, 9);
    cr_expect(str_eq(app->plugins[1].name, STR("template")));
    config_unref(config);
}

Test(plugin_keys, a_plugin_needs_a_bare_name_and_finite_numbers)
{
    static const struct refusal rows[] = {
        { WITH(", plugins: [{window: 2s}]"), "with `name`" },
        { WITH(", plugins: [{name: ../evil}]"), "without path" },
        { WITH(", plugins: [{name: rw_split.so}]"), "without path" },
        { WITH(", plugins: [{name: [a]}]"), "a plugin's name" },
        { WITH(", plugins: [{name: x, a: .inf}]"), "must be finite" },
        { WITH(", plugins: [{name: x, a: 1e999}]"), "too large" },
        { WITH(", plugins: [[x]]"), "with `name`" },
        { WITH(", plugins: [~]"), "with `name`" },
        { WITH(", plugins: {name: x}"), "with - in front of each" },
        { WITH(", plugins: [x, {name: x}]"), "plugin x is here twice" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
}
