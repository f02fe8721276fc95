/* GraphQL documents: what only reads. */
#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graphql.h"

static bool is_read_of(struct weir_str document, const char *name)
{
    char *copy =
        malloc(document.len + 1); /* just its size, behind one byte: a sanitizer sees what is read beyond */
    struct weir_str operation_name = { name, name ? strlen(name) : 0 };
    bool is_read;

    memcpy(copy + 1, document.data, document.len);
    is_read = graphql_kind_of((struct weir_str){ copy + 1, document.len }, operation_name) == GRAPHQL_READ;
    free(copy);
    return is_read;
}

static bool is_read(const char *document, const char *name)
{
    return is_read_of((struct weir_str){ document, strlen(document) }, name);
}

Test(graphql, queries_are_reads)
{
    static const char *const documents[] = {
        "{a}",
        "query{a}",
        "query Q { a }",
        "query mutation { mutation }",
        "query query{query}",
        "\xef\xbb\xbf , \t\r\n { a, \xef\xbb\xbf b }",
        "query Q($a: Int = 5, $b: [In!]! = [{x: \"}\"}] @d) @live @x(y: {z: [1]}) { a(b: $a) @b }",
        "{ a(b: -0, c: 12.5e-3, d: 0.0, e: 1E5, f: \"x\", g: true, h: null, i: ENUM, j: [], k: {}) }",
        "{ a: b ... on T { c } ...F ... @x { d } }  fragment F on T @y { e }",
        "# mutation { a }\n{ b } # mutation M { c }",
        "{ a(b: \"mutation { c } \\\" } #\") }",
        "{ a(b: \"\") }",
        "{ a(b: \"\"\"\"\"\") }",
        "{ a(b: \"\"\"a \"quoted\" \\\"\"\" } mutation M {x} \n\\u12\"\"\") }",
        "{ a(b: \"\\u00e4 \xc3\xa4 \xf0\x9f\x98\x80 \\n\\/\\\\\") }",
        "{ a #\xe4\xba\xba\r}",
        "query A { a } query B { b } fragment F on T { c }",
        "fragment F on T { c } query A { a }",
        "{ __schema { types { name } } }",
    };

    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        cr_assert(is_read(documents[i], NULL), "%s", documents[i]);
}

Test(graphql, all_else_is_a_write)
{
    static const char *const documents[] = {
        "",
        " ",
        "#",
        "mutation { a }",
        "mutation M { a }",
        "subscription { a }",
        "query A { a } mutation B { b }",
        "query A { a } subscription B { b }",
        "mutation B { b } query A { a }",
        "{ a } mutation B { b }",
        "{ a } { b }",
        "{ a } query B { b }",
        "query { a } query B { b }",
        "query A { a } query A { b }",
        "query A { a } fragment F on T { b } fragment F on U { c }",
        "fragment F on T { a }",
        "type T { a: Int } query A { a }",
        "extend type T { a: Int } { a }",
        "schema { query: Q }",
        "\"text\" query A { a }",
        "Query { a }",
        "QUERY { a }",
        "quer { a }",
        "querymutation { a }",
        "a",
        "1",
        "$",
        "... { a }",
    };

    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        cr_assert_not(is_read(documents[i], NULL), "%s", documents[i]);
    cr_assert_eq(graphql_kind_of((struct weir_str){ 0 }, (struct weir_str){ 0 }), GRAPHQL_WRITE);
}

Test(graphql, what_does_not_follow_the_grammar_is_a_write)
{
    static const char *const documents[] = {
        "{",
        "}",
        "{ a",
        "{ a } }",
        "{ a ) }",
        "{ a(b: 1 }",
        "{ a(b: [1) }",
        "{ a(b: {c: 1) }",
        "{}",
        "query Q {}",
        "query Q () { a }",
        "query Q",
        "query Q { a } query",
        "query Q R { a }",
        "query Q ($a: Int) ($b: Int) { a }",
        "query Q @ { a }",
        "query Q @a () { a }",
        "query Q @a b { a }",
        "query Q [a] { a }",
        "query Q { a } { ",
        "fragment on on T { a } { b }",
        "fragment F T { a } { b }",
        "fragment F on { a } { b }",
        "fragment F($a: Int) on T { a } { b }",
        "fragment F on T { b(x: 1 } { b }",
        "{ a(b: 01) }",
        "{ a(b: 1a) }",
        "{ a(b: 1.) }",
        "{ a(b: 1.a) }",
        "{ a(b: 1.2.3) }",
        "{ a(b: 1e) }",
        "{ a(b: 0x1) }",
        "{ a(b: -) }",
        "{ a(b: -a) }",
        "{ a(b: +1) }",
        "{ a(b: \"x) }",
        "{ a(b: \"x\n\") }",
        "{ a(b: \"x\r\") }",
        "{ a(b: \"\\x\") }",
        "{ a(b: \"\\u12\") }",
        "{ a(b: \"\\u{41}\") }",
        "{ a(b: \"\\",
        "{ a(b: \"\"\"x\"\") }",
        "{ a(b: \"\"\"x\\\"\"\") }",
        "{ a(b: 'x') }",
        "{ a .. b }",
        "{ a . b }",
        "{ a ? }",
        "{\"query\":\"mutation{a}\"}",
        "{ a 1 }",
        "{ a [b] }",
        "{ a $b }",
        "{ a { b(c: 1) \"d\" } }",
        "{ a; }",
        "{ \xc3\xa4 }",
        "{ a\xc2\xa0 }",
        "{ a \x01 }",
        "{ a \x7f }",
        "{ a # \x01\n }",
        "{ a # \xff\n }",
        "{ a(b: \"\xff\") }",
        "{ a(b: \"\xc0\xa2\") }",
        "{ a(b: \"\x02\") }",
        "{ a(b: \"\"\"\x02\"\"\") }",
        "{ a } #\xe2\x80\xa8 mutation M { b }",
        "{ a } #\xe2\x80\xa9 x",
        "{ a } #\xc2\x85 x",
        "{ a } \xe2\x80\xa8",
        "{ a \v }",
    };

    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        cr_assert_not(is_read(documents[i], NULL), "row %zu: %s", i, documents[i]);
    cr_assert_not(is_read_of((struct weir_str){ "{ a \0 }", 7 }, NULL));
    cr_assert_not(is_read_of((struct weir_str){ "{ a # \0\n }", 10 }, NULL));
    cr_assert_not(is_read_of((struct weir_str){ "{ a(b: \"\\\0\") }", 14 }, NULL));
}

Test(graphql, the_operation_that_is_named_counts)
{
    static const char both[] =
        "query A { a } mutation B { b } query C { c } subscription D { d } fragment F on T { e }";

    cr_assert(is_read(both, "A"));
    cr_assert(is_read(both, "C"));
    cr_assert_not(is_read(both, "B"));
    cr_assert_not(is_read(both, "D"));
    cr_assert_not(is_read(both, "F"), "a fragment is no operation");
    cr_assert_not(is_read(both, "E"));
    cr_assert_not(is_read(both, "a"));
    cr_assert_not(is_read(both, "A "));
    cr_assert_not(is_read(both, NULL));
    cr_assert_not(is_read(both, ""), "an empty name is none");
    cr_assert(is_read("query A { a }", ""));
    cr_assert_not(is_read("{ a }", "A"));
    cr_assert_not(is_read("query A { a } mutation A { b }", "A"));
    cr_assert_not(is_read("mutation A { a } query A { b }", "A"));
    cr_assert_not(is_read("{ c } query A { a }", "A"), "one without a name must be alone");
    cr_assert_not(is_read("query A { a } mutation B { b ", "A"), "all of it must be right");
}

/* size bytes of "{a(b:[[...]])}" and the like: what is repeated, how often. */
static bool is_read_repeated(const char *begin, const char *part, size_t times, const char *middle,
                             const char *closing, const char *end)
{
    size_t part_len = strlen(part), closing_len = strlen(closing);
    char *text = malloc(strlen(begin) + times * (part_len + closing_len) + strlen(middle) + strlen(end) + 1);
    char *at = stpcpy(text, begin);
    bool said;

    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, part);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, closing);
    strcpy(at, end);
    said = is_read(text, NULL);
    free(text);
    return said;
}

Test(graphql, limits_are_kept)
{
    cr_assert(is_read_repeated("", "{a", GRAPHQL_DEPTH_MAX, "", "}", ""));
    cr_assert_not(is_read_repeated("", "{a", GRAPHQL_DEPTH_MAX + 1, "", "}", ""));
    cr_assert(is_read_repeated("{a(b:", "[", GRAPHQL_DEPTH_MAX - 2, "1", "]", ")}"));
    cr_assert_not(is_read_repeated("{a(b:", "[", GRAPHQL_DEPTH_MAX - 1, "1", "]", ")}"));
    cr_assert(is_read_repeated("{a}", "#", GRAPHQL_DOCUMENT_MAX - 3, "", "", ""));
    cr_assert_not(is_read_repeated("{a}", "#", GRAPHQL_DOCUMENT_MAX - 2, "", "", ""));
    cr_assert_not(is_read_repeated("", "(", 100000, "", "", ""));
}

Test(graphql, more_definitions_than_are_counted_are_a_write)
{
    char text[(GRAPHQL_DEFINITIONS_MAX + 1) * 20];

    for (int count = GRAPHQL_DEFINITIONS_MAX; count <= GRAPHQL_DEFINITIONS_MAX + 1; count++) {
        size_t len = 0;

        for (int i = 0; i < count; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "query Q%d{a}", i);
        cr_assert_eq(is_read(text, NULL), count == GRAPHQL_DEFINITIONS_MAX);
    }
}

/* --- random documents, of which it is known what they are --- */

static uint32_t state = 1;

static unsigned below(unsigned n)
{
    state = state * 1664525 + 1013904223;
    return (state >> 10) % n;
}

static char made[65536];
static size_t made_len;

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    made_len += (size_t)vsnprintf(made + made_len, sizeof made - made_len, format, args);
    va_end(args);
    cr_assert_lt(made_len, sizeof made);
}

static void put_ignored(void)
{
    static const char *const pieces[] = {
        " ", "\n", ",", "\t", "\r\n", "\xef\xbb\xbf", "# mutation M { \" }\n", "#\"\"\"\r"
    };

    do
        put("%s", pieces[below(8)]);
    while (below(3) == 0);
}

static void put_value(unsigned depth)
{
    static const char *const values[] = {
        "1",
        "-2.5e3",
        "\"} mutation { a }\"",
        "\"\\\"{\"",
        "\"\"",
        "\"\"\"\"\"\"",
        "\"\"\" \\\"\"\" ) ] } \"\"\"",
        "true",
        "$v",
        "E",
    };
    unsigned kind = depth < 4 ? below(4) : 0;

    if (kind < 2) {
        put("%s", values[below(10)]);
    } else {
        put(kind == 2 ? "[" : "{ x:");
        put_value(depth + 1);
        put_ignored();
        put(kind == 2 ? "]" : "}");
    }
    put_ignored();
}

static void put_selections(unsigned depth)
{
    put("{");
    for (unsigned i = 0; i < 1 + below(3); i++) {
        put_ignored();
        put(below(5) ? "mutation" : "...");
        if (below(3) == 0) {
            put("(b:");
            put_value(0);
            put(")");
        }
        if (depth < 4 && below(3) == 0)
            put_selections(depth + 1);
        put_ignored();
    }
    put("}");
}

static void put_operation(const char *word, unsigned number)
{
    put_ignored();
    put("%s ", word);
    put_ignored();
    put("Q%u", number);
    if (below(3) == 0) {
        put("($v: T =");
        put_value(0);
        put(")");
    }
    if (below(3) == 0) {
        put("@d(a:");
        put_value(0);
        put(")");
    }
    put_ignored();
    put_selections(0);
}

Test(graphql, a_random_documents_kind_is_the_one_it_was_made_with)
{
    for (unsigned round = 0; round < 20000; round++) {
        unsigned count = 1 + below(4), writes = 0, wanted = below(count);
        bool is_wanted_write = false;
        char name[16];

        made_len = 0;
        for (unsigned i = 0; i < count; i++) {
            bool is_write = below(4) == 0;

            writes += is_write;
            is_wanted_write = i == wanted ? is_write : is_wanted_write;
            put_operation(!is_write ? "query" : below(2) ? "mutation" : "subscription", i);
            if (below(3) == 0) {
                put(" fragment F%u on T", i);
                put_selections(0);
            }
        }
        put_ignored();
        snprintf(name, sizeof name, "Q%u", wanted);
        cr_assert_eq(is_read(made, NULL), writes == 0, "%s", made);
        cr_assert_eq(is_read(made, name), !is_wanted_write, "%s of %s", name, made);
        /* Without its end it is nothing. */
        made[strlen(made) - 1 - below(3)] = '\1';
        cr_assert_not(is_read(made, NULL), "%s", made);
    }
}

/* A byte changed anywhere: if it is still a read, a mutation behind it is still seen. */
Test(graphql, a_mutation_is_seen_behind_any_noise_that_is_a_read)
{
    static const char bytes[] = "{}()[]\"\\#\n\r,.:@$!|&=aq0-\xef\xbb\xbf\x01\xe2";
    unsigned reads = 0;

    for (unsigned round = 0; round < 60000; round++) {
        if (round % 4 == 0) {
            made_len = 0;
            put_operation("query", 0);
        }
        for (unsigned i = 0; i < 1 + round % 3; i++)
            made[below((unsigned)made_len)] = bytes[below(sizeof bytes - 1)];
        if (!is_read_of((struct weir_str){ made, made_len }, NULL))
            continue;
        reads++;
        memcpy(made + made_len, "\nmutation Mx{a}", 16);
        cr_assert_not(is_read_of((struct weir_str){ made, made_len + 15 }, NULL), "%s", made);
    }
    cr_assert_gt(reads, 1000);
}
