/* GraphQL requests: what of a POST is a document, and which of two contradictory things counts. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graphql_request.h"

#define JSON  "application/json"
#define READ  "{\"query\":\"{a}\"}"
#define WRITE "{\"query\":\"mutation{a}\"}"

static const struct weir_str ids[] = { { "abc123", 6 }, { "77", 2 } };

static struct weir_str str_of(const char *text)
{
    return (struct weir_str){ text, text ? strlen(text) : 0 };
}

static bool is_read_as(const char *body, const char *type, const char *query_string)
{
    size_t len = strlen(body);
    char *copy = malloc(len + 1);
    struct graphql_request request = { { copy + 1, len }, str_of(type), str_of(query_string) };
    bool said;

    memcpy(copy + 1, body, len);
    said = graphql_request_is_read(&request, ids, 2);
    free(copy);
    return said;
}

static bool is_read(const char *body)
{
    return is_read_as(body, JSON, "");
}

Test(graphql_request, the_document_in_the_body_decides)
{
    cr_assert(is_read(READ));
    cr_assert_not(is_read(WRITE));
    cr_assert(is_read(
        " {\"operationName\":null,\"variables\":{\"query\":\"x\"},\"query\":\"query A{a}\",\"tag\":1} "));
    cr_assert(is_read("{\"query\":\"query A {\\n  a(b: \\\"\\u007d\\\")\\n}\\n\"}"),
              "escapes are undone first");
    cr_assert_not(is_read("{\"query\":\"\\u007ba} mutation M{b}\"}"));
    cr_assert(is_read("{\"query\":\"query A{a} mutation B{b}\",\"operationName\":\"A\"}"));
    cr_assert(is_read("{\"query\":\"query A{a} mutation B{b}\",\"operationName\":\"\\u0041\"}"));
    cr_assert_not(is_read("{\"query\":\"query A{a} mutation B{b}\",\"operationName\":\"B\"}"));
    cr_assert_not(is_read("{\"query\":\"query A{a} mutation B{b}\"}"));
    cr_assert_not(is_read("{\"query\":\"query A{a}\",\"operationName\":7}"));
    cr_assert_not(is_read("{\"query\":\"query A{a}\",\"operationName\":\"\\ud800\"}"));
}

Test(graphql_request, what_is_no_request_is_a_write)
{
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "null",
        "\"{a}\"",
        "1",
        "{\"query\":null}",
        "{\"query\":\"\"}",
        "{\"query\":{}}",
        "{\"query\":[\"{a}\"]}",
        "{\"query\":1}",
        "{\"query\":\"{a}\"",
        "{\"query\":\"{a}\"}x",
        "{\"query\":\"\\ud800{a}\"}",
        "{\"query\":\"{a}\\u0000\"}",
        "{a}",
        "query=%7Ba%7D",
        "\xef\xbb\xbf" READ,
        "{\"query\":\"{a}\",}",
        "{\"variables\":{\"query\":\"{a}\"}}",
        "[" READ "",
        "[1]",
        "[[" READ "]]",
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        cr_assert_not(is_read(bodies[i]), "%s", bodies[i]);
    cr_assert_not(graphql_request_is_read(&(struct graphql_request){ .content_type = str_of(JSON) }, ids, 2));
}

Test(graphql_request, what_is_there_twice_is_a_write)
{
    static const char *const bodies[] = {
        "{\"query\":\"{a}\",\"query\":\"{a}\"}",
        "{\"query\":\"{a}\",\"Query\":\"mutation{a}\"}",
        "{\"QUERY\":\"{a}\"}",
        "{\"query\":\"{a}\",\"qu\\u0065ry\":\"mutation{a}\"}",
        "{\"query\":\"{a}\",\"extension\xc5\xbf\":{}}",
        "{\"query\":\"query A{a} mutation B{b}\",\"operationName\":\"A\",\"operationname\":\"B\"}",
        "{\"query\":\"query A{a} mutation B{b}\",\"operationName\":\"A\",\"operationName\":\"A\"}",
        "{\"query\":\"{a}\",\"mutation\":\"mutation{a}\"}",
        "{\"query\":\"{a}\",\"document\":\"mutation{a}\"}",
        "{\"query\":\"{a}\",\"documentId\":\"unknown\"}",
        "{\"id\":\"abc123\",\"documentId\":\"unknown\"}",
        "{\"id\":\"abc123\",\"ID\":\"abc123\"}",
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        cr_assert_not(is_read(bodies[i]), "%s", bodies[i]);
    cr_assert(is_read("{\"query\":\"{a}\",\"documentId\":\"abc123\"}"), "both read");
    cr_assert_not(is_read("{\"query\":\"mutation{a}\",\"documentId\":\"abc123\"}"));
}

Test(graphql_request, a_stored_documents_id_reads_if_it_is_listed)
{
    cr_assert(is_read("{\"id\":\"abc123\"}"));
    cr_assert(is_read("{\"doc_id\":77,\"variables\":{}}"));
    cr_assert(is_read("{\"queryId\":\"77\"}"));
    cr_assert(is_read("{\"extensions\":{\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"abc123\"}}}"));
    cr_assert_not(is_read("{\"extensions\":{\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"abc124\"}}}"));
    cr_assert_not(is_read("{\"id\":\"\"}"));
    cr_assert_not(is_read("{\"id\":\"abc12\"}"));
    cr_assert_not(is_read("{\"id\":\"abc1234\"}"));
    cr_assert_not(is_read("{\"id\":{\"x\":\"abc123\"}}"));
    cr_assert_not(is_read("{\"id\":true}"));
    cr_assert_not(is_read("{\"extensions\":\"abc123\"}"));
    cr_assert_not(is_read("{\"extensions\":{\"persistedQuery\":\"abc123\"}}"));
    cr_assert_not(
        is_read("{\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"abc123\",\"sha256hash\":\"x\"}}}"));
    cr_assert(is_read("{\"query\":\"{a}\",\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"new\"}}}"),
              "a document that is about to be stored");
    cr_assert_not(graphql_request_is_read(
        &(struct graphql_request){ str_of("{\"id\":\"abc123\"}"), str_of(JSON), str_of("") }, NULL, 0));
}

Test(graphql_request, a_batch_reads_if_all_of_it_does)
{
    char body[GRAPHQL_BATCH_MAX * 24];
    size_t len;

    cr_assert(is_read("[" READ "]"));
    cr_assert(is_read(" [ " READ " , {\"id\":\"77\"}," READ "] "));
    cr_assert_not(is_read("[" READ "," WRITE "]"));
    cr_assert_not(is_read("[" WRITE "," READ "]"));
    cr_assert_not(is_read("[" READ ",null]"));
    for (unsigned count = GRAPHQL_BATCH_MAX; count <= GRAPHQL_BATCH_MAX + 1; count++) {
        len = (size_t)snprintf(body, sizeof body, "[");
        for (unsigned i = 0; i < count; i++)
            len += (size_t)snprintf(body + len, sizeof body - len, "%s" READ, i ? "," : "");
        snprintf(body + len, sizeof body - len, "]");
        cr_assert_eq(is_read(body), count == GRAPHQL_BATCH_MAX);
    }
}

Test(graphql_request, the_content_type_says_what_the_bytes_are)
{
    cr_assert(is_read_as(READ, "Application/JSON ; charset=UTF-8", ""));
    cr_assert(is_read_as(READ, "application/json; x=y; charset=\"utf-8\"", ""));
    cr_assert(is_read_as("{a}", "application/graphql", ""));
    cr_assert_not(is_read_as("mutation{a}", "application/graphql", ""));
    cr_assert_not(is_read_as(READ, "application/graphql", ""));
    cr_assert_not(is_read_as(READ, "application/json; charset=utf-16", ""));
    cr_assert_not(is_read_as(READ, "application/json;charset=", ""));
    cr_assert_not(is_read_as(READ, "text/plain", ""));
    cr_assert_not(is_read_as(READ, "application/jsonx", ""));
    cr_assert_not(is_read_as(READ, "multipart/form-data; boundary=x", ""));
    cr_assert_not(is_read_as(READ, "application/x-www-form-urlencoded", ""));
    cr_assert_not(is_read_as(READ, "", ""));
    cr_assert_not(is_read_as(READ, NULL, ""));
}

Test(graphql_request, a_document_in_the_url_is_a_write)
{
    static const char *const bad[] = {
        "query=mutation{a}", "a=b&query=x", "QUERY=x",      "operationName=B", "query",
        "query[]=x",         "query[a]=x",  "a;query=x",    "qu%65ry=x",       "+query=x",
        "extensions={}",     "id=5",        "documentId=5", "a&&hash=",        "qu\xc3\xa9ry=",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(is_read_as(READ, JSON, bad[i]), "%s", bad[i]);
    cr_assert(is_read_as(READ, JSON, NULL));
    cr_assert(is_read_as(READ, JSON, "op=GetUser&trace=1&x=query&queries=1&="));
}

Test(graphql_request, limits_are_kept)
{
    char *body = malloc(GRAPHQL_BODY_MAX + 2);

    for (size_t size = GRAPHQL_BODY_MAX; size <= GRAPHQL_BODY_MAX + 1; size++) {
        memset(body, ' ', size);
        memcpy(body, READ, sizeof READ - 1);
        body[size] = '\0';
        cr_assert_eq(is_read(body), size == GRAPHQL_BODY_MAX);
    }
    free(body);
}

/* Bytes of a write changed at random: it never becomes a read while its mutation is whole. */
Test(graphql_request, noise_does_not_make_a_write_a_read)
{
    static const char seed[] =
        "[" READ
        ",{\"operationName\":\"M\",\"query\":\"query Q{a} mutation M{b}\",\"variables\":{\"x\":[1]}}]";
    static const char bytes[] = "{}[]\",:\\u0 \nqM";
    static const char kept[] = "{\"operationName\":\"M\",\"query\":\"query Q{a} mutation M{b}\"";
    const size_t from = (size_t)(strstr(seed, kept) - seed), to = from + sizeof kept - 1;
    uint32_t state = 1;

    for (unsigned round = 0; round < 60000; round++) {
        char text[sizeof seed];

        memcpy(text, seed, sizeof seed);
        for (unsigned i = 0; i < 1 + round % 4; i++) {
            size_t at;

            state = state * 1664525 + 1013904223;
            at = (state >> 8) % (sizeof seed - 1);
            if (at < from || at >= to)
                text[at] = bytes[(state >> 24) % (sizeof bytes - 1)];
        }
        cr_assert_not(is_read(text), "%s", text);
    }
}
