#include "help.h"

#include "base/check.h"
#include "config/tree.h"

Test(tree, every_node_knows_its_line_and_column)
{
    struct config_mistakes mistakes = { 0 };
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    const struct node *root = tree_parse(STR("a: 1\nb:\n  - x\n  - {c: \"y\"}\n"), &arena, &mistakes);
    cr_assert(root != NULL);
    cr_expect_eq(root->count, 2);
    const struct node *b = node_find(root, STR("b"));
    cr_assert(b != NULL);
    cr_expect_eq(b->name_mark.line, 2);
    cr_expect_eq(b->count, 2);
    const struct node *c = node_find(b->child->next, STR("c"));
    cr_assert(c != NULL);
    cr_expect_eq(c->mark.line, 4);
    cr_expect_eq(c->mark.column, 9);
    cr_expect(c->is_quoted);
    cr_expect_not(b->child->is_quoted);
    arena_fini(&arena);
}

Test(tree, what_is_no_plain_yaml_is_refused_with_a_place)
{
    static const struct refusal rows[] = {
        { "", ":1:1: the file is empty" },
        { "# nothing\n", "the file is empty" },
        { "upstreams:\n\tapp: 1\n",
          ":2:1: not YAML: found character that cannot start any token; there is a tab" },
        { "listen: [${X}]\n", "put \"${NAME}\" in quotes" },
        { "a: [1\n", "not YAML" },
        { "a: 1\n  b: 2\n", ":2:4: not YAML" },
        { APP "x: \"open\n", "not YAML" },
        { APP "workers: 1\nworkers: 2\n", ":3:1: key \"workers\" is here twice; the first is on line 2" },
        { APP "log: &x {level: info}\n", ":2:6: anchors (&x) are not allowed" },
        { APP "log: *x\n", ":2:6: aliases (*x) are not allowed" },
        { APP "workers: !!int 5\n", ":2:10: tags (tag:yaml.org,2002:int) are not allowed" },
        { APP "? [a]\n: b\n", ":2:3: a key must be a word, not a list" },
        { APP "\"\": b\n", "a key must be a word, not nothing" },
        { APP "\"a\\0b\": b\n", "a key must be a word, not text with control characters" },
        { APP "---\nworkers: 5\n", ":2:1: a second document" },
        { APP "# caf\xc3\xa9 \xe9\n", ":2:8: not UTF-8" },
        { APP "# \xed\xa0\x80\n", "not UTF-8" },
        { APP "# \xc0\xaf\n", "not UTF-8" },
        { APP "# \x01\n", ":2:3: a control character" },
        { "- a\n", ":1:1: the file: a list is wrong here; allowed: a mapping" },
        { "upstreams", "the file: a single value is wrong here" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
}

Test(tree, bombs_are_refused_before_they_grow)
{
    static char text[TREE_TEXT_MAX + 2];
    memset(text, '#', TREE_TEXT_MAX + 1);
    static const struct refusal large = { text, "at most 1 MiB" };
    must_refuse_all(&large, 1);

    memset(text, '[', 100000);
    text[100000] = '\0';
    static const struct refusal deep = { text, "at most 32 levels" };
    must_refuse_all(&deep, 1);

    strcpy(text, "a: [");
    for (int i = 0; i < 60000; i++)
        strcat(text + 4 + i * 2, "x,");
    static const struct refusal many = { text, "too many values" };
    must_refuse_all(&many, 1);
}

Test(tree, a_byte_order_mark_and_crlf_are_fine)
{
    config_unref(must_read("\xef\xbb\xbfupstreams:\r\n  app: {primary: [127.0.0.1:3000]}\r\nworkers: 3\r\n"));
}

Test(tree, environment_variables_stand_in_for_values)
{
    setenv("WEIR_TEST_PORT", "3999", 1);
    setenv("WEIR_TEST_EMPTY", "", 1);
    unsetenv("WEIR_TEST_NONE");
    struct config *config =
        must_read("upstreams: {app: {primary: [\"127.0.0.1:${WEIR_TEST_PORT}\"], domain: $x}}\n"
                  "workers: ${WEIR_TEST_NONE:-7}\n"
                  "log: {level: \"${WEIR_TEST_EMPTY:-warn}\", path: \"a${WEIR_TEST_EMPTY}b\"}\n");
    cr_expect_eq(config->upstreams[0].primaries[0].port, 3999);
    cr_expect(str_eq(config->upstreams[0].domain, STR("$x")));
    cr_expect_eq(config->workers, 7);
    cr_expect_eq(config->log.level, 2);
    cr_expect(str_eq(config->log.path, STR("ab")));
    config_unref(config);
}

Test(tree, variables_that_are_not_there_or_not_names_are_mistakes)
{
    setenv("WEIR_TEST_BAD", "\xff", 1);
    setenv("WEIR_TEST_NESTED", "${WEIR_TEST_NONE}", 1);
    unsetenv("WEIR_TEST_NONE");
    static const struct refusal rows[] = {
        { APP "workers: ${WEIR_TEST_NONE}\n", ":2:10: the environment variable WEIR_TEST_NONE is not set" },
        { APP "workers: ${1A}\n", "write ${NAME}" },
        { APP "workers: ${}\n", "write ${NAME}" },
        { APP "workers: ${A\n", "${ without }" },
        { APP "log: {path: \"${WEIR_TEST_BAD}\"}\n", "WEIR_TEST_BAD does not hold text" },
        { APP "workers: ${WEIR_TEST_NESTED}\n", "workers: \"${WEIR_TEST_NONE}\" is wrong" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
}
