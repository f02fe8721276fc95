/* Which keys rw_split takes, and that it says in one sentence what is wrong with the others. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "fake_host.h"

#define LONG_KEY "0123456789abcdef"

#define ALLOWED                                                                                            \
    "window, consistency, keys, wait, lag_max, primary_read_share, write_hold, replay_body_max, read, "    \
    "write, "                                                                                              \
    "kind_header, graphql, graphql_reads, read_only_status, read_only_header, position_field, positions, " \
    "probe_interval"

static bool takes(struct weir_config config, char *error, size_t error_size)
{
    const struct weir_plugin *plugin = fake_load(PLUGIN_PATH);
    void *self = plugin->configure(&fake_host, &config, error, error_size);

    if (self)
        plugin->destroy(self);
    return self;
}

Test(rw_split_settings, takes_what_the_contract_names)
{
    static const struct weir_config rows[] = {
        { { { 0 } } },
        { { { .name = "window", .text = "2s" } } },
        { { { .name = "window", .text = "0s" } } },
        { { { .name = "window", .text = "3600s" } } },
        { { { .name = "consistency", .text = "none" } } },
        { { { .name = "consistency", .text = "window" } } },
        { { { .name = "keys", .items = { LONG_KEY } } } },
        { { { .name = "keys", .items = { LONG_KEY, LONG_KEY } }, { .name = "window", .text = "250ms" } } },
        { { { .name = "consistency", .text = "position" }, { .name = "wait", .text = "0s" } } },
        { { { .name = "consistency", .text = "strict" }, { .name = "lag_max", .text = "unlimited" } } },
        { { { .name = "primary_read_share", .text = "0%" }, { .name = "write_hold", .text = "60s" } } },
        { { { .name = "replay_body_max", .text = "16384KiB" },
            { .name = "probe_interval", .text = "10ms" } } },
        { { { .name = "read", .items = { "POST /search", "* /reports/**" } },
            { .name = "write", .items = { "GET /export/*/now" } } } },
        { { { .name = "kind_header", .text = "X-Kind" }, { .name = "position_field", .text = "db.at" } } },
        { { { .name = "graphql", .items = { "/api/graphql" } },
            { .name = "graphql_reads", .items = { "a1" } } } },
        { { { .name = "read_only_status", .text = "409" }, { .name = "read_only_header", .text = "X-RO" } } },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[400] = "";

        cr_assert(takes(rows[i], error, sizeof error), "row %zu: %s", i, error);
    }
    cr_assert_eq(fake_warnings, 0);
}

Test(rw_split_settings, refuses_the_rest_in_a_sentence)
{
    static const struct {
        struct weir_config config;
        const char *says;
    } rows[] = {
        { { { { .name = "windw", .text = "2s" } } },
          "unknown key windw, did you mean window? allowed are " ALLOWED },
        { { { { .name = "lagging", .text = "2s" } } }, "unknown key lagging, allowed are " ALLOWED },
        { { { { .name = "window", .text = "2" } } }, "window must be a duration such as 2s or 500ms" },
        { { { { .name = "window", .text = "unlimited" } } }, "window must be from 0s to 1h" },
        { { { { .name = "window", .text = "3601s" } } }, "window must be from 0s to 1h" },
        { { { { .name = "wait", .text = "61s" } } }, "wait must be from 0s to 1m" },
        { { { { .name = "wait", .text = "50" } } }, "wait must be a duration such as 2s or 500ms" },
        { { { { .name = "lag_max", .text = "3601s" } } }, "lag_max must be from 0s to 1h, or unlimited" },
        { { { { .name = "write_hold", .text = "unlimited" } } }, "write_hold must be from 0s to 1m" },
        { { { { .name = "probe_interval", .text = "9ms" } } }, "probe_interval must be from 10ms to 1m" },
        { { { { .name = "primary_read_share", .text = "101%" } } },
          "primary_read_share must be a share such as 50%, at most 100%" },
        { { { { .name = "replay_body_max", .text = "1" } } }, "replay_body_max must be a size such as 1MiB" },
        { { { { .name = "replay_body_max", .text = "16385KiB" } } },
          "replay_body_max must be from 0B to 16MiB" },
        { { { { .name = "consistency", .text = "windows" } } },
          "consistency must be none, window, position or strict" },
        { { { { .name = "consistency", .items = { "none" } } } },
          "consistency must be none, window, position or strict" },
        { { { { .name = "read", .text = "POST /search" } } }, "read must be a list of strings" },
        { { { { .name = "read", .items = { "/search" } } } },
          "read, number 1: /search needs a method and a path, as in POST /search" },
        { { { { .name = "write", .items = { "GET /a", "GET export" } } } },
          "write, number 2: GET export needs a path that begins with a slash" },
        { { { { .name = "write", .items = { "GET /a/**/b" } } } },
          "write, number 1: GET /a/**/b may have ** at its end only" },
        { { { { .name = "write", .items = { " /a" } } } },
          "write, number 1:  /a needs a method before its path" },
        { { { { .name = "read", .items = { "post /search" } } } },
          "read, number 1: post /search needs its method in capitals, as in POST /search" },
        { { { { .name = "write", .items = { "GET /a?b" } } } },
          "write, number 1: GET /a?b needs a path without spaces and queries" },
        { { { { .name = "kind_header", .text = "" } } }, "kind_header must be a name" },
        { { { { .name = "kind_header", .text = "A B" } } }, "kind_header must be one word" },
        { { { { .name = "graphql_reads", .text = "x" } } }, "graphql_reads must be a list of strings" },
        { { { { .name = "read_only_status", .text = "409" } } },
          "read_only_status and read_only_header need each other" },
        { { { { .name = "read_only_status", .text = "200" } } },
          "read_only_status must be a status from 400 to 599" },
        { { { { .name = "positions", .text = "x" } } },
          "positions must be {postgres: {\"ADDRESS\": \"DSN\", ...}}" },
        { { { { .name = "keys", .text = LONG_KEY } } }, "keys must be a list of strings" },
        { { { { .name = "keys", .items = { NULL } } } },
          "keys is empty: name at least one, or leave it out to have one drawn at start" },
        { { { { .name = "keys", .items = { LONG_KEY, "" } } } }, "keys has an empty entry, number 2" },
        { { { { .name = "keys", .items = { "1", "2", "3", "4", "5", "6", "7", "8", "9" } } } },
          "keys has 9 entries, at most 8 are allowed" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[400] = "";

        cr_assert_not(takes(rows[i].config, error, sizeof error), "row %zu", i);
        cr_assert_str_eq(error, rows[i].says, "row %zu: %s", i, error);
    }
}

Test(rw_split_settings, a_long_unknown_key_overruns_nothing)
{
    char name[5000];
    char error[64] = "";

    memset(name, 'w', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_assert_not(takes((struct weir_config){ { { .name = name, .text = "1" } } }, error, sizeof error));
    cr_assert_lt(strlen(error), sizeof error);
}

Test(rw_split_settings, refuses_a_key_that_could_be_guessed)
{
    char error[400] = "";

    cr_assert_not(
        takes((struct weir_config){ { { .name = "keys", .items = { "secret" } } } }, error, sizeof error));
    cr_assert(strstr(error, "16 bytes"), "%s", error);
}

Test(rw_split_settings, refuses_a_weir_that_cannot_keep_its_secret)
{
    const struct weir_plugin *plugin = fake_load(PLUGIN_PATH);
    struct weir_host older = fake_host;
    struct weir_config config = { 0 };
    char error[400] = "";

    older.size = offsetof(struct weir_host, add_reply_field);
    cr_assert_not(plugin->configure(&older, &config, error, sizeof error));
    cr_assert_str_eq(error, "this weir is too old for this rw_split");
}

Test(rw_split_settings, warns_of_a_drawn_key_where_tokens_matter)
{
    char error[400];

    cr_assert(takes((struct weir_config){ 0 }, error, sizeof error));
    cr_assert_eq(fake_config_warnings, 1);
    cr_assert(
        takes((struct weir_config){ { { .name = "keys", .items = { LONG_KEY } } } }, error, sizeof error));
    cr_assert(
        takes((struct weir_config){ { { .name = "consistency", .text = "none" } } }, error, sizeof error));
    cr_assert_eq(fake_config_warnings, 1);
}

/* --- what the warnings say --- */

static char warned[1024];

static void keep_warning(const struct weir_config *config, const char *line)
{
    size_t len = strlen(warned);

    snprintf(warned + len, sizeof warned - len, "%s\n", line);
}

#define DSN "host=127.0.0.1 dbname=app password=sesame"

static const char *databases[4]; /* addresses; ends with NULL */

static int count_databases(const struct weir_config *config, const char *path)
{
    int count = 0;

    while (databases[count])
        count++;
    return count;
}

static bool database(const struct weir_config *config, const char *path, unsigned index,
                     struct weir_str *out_key, struct weir_str *out_value)
{
    *out_key = (struct weir_str){ databases[index], strlen(databases[index]) };
    *out_value = (struct weir_str){ DSN, strlen(DSN) };
    return true;
}

/* Needs a rw_split that was built with libpq; without, it refuses in the end, and has warned before. */
static void asks(const char *first, const char *second)
{
    const struct weir_plugin *plugin = fake_load(PLUGIN_PATH);
    struct weir_config config = { { { .name = "keys", .items = { LONG_KEY } }, { 0 } } };
    struct weir_host host = fake_host;
    char error[400] = "";
    void *self;

    host.config_warn = keep_warning;
    host.config_map = count_databases;
    host.config_entry = database;
    databases[0] = first;
    databases[1] = second;
    if (first)
        config.keys[1] = (struct fake_key){ .name = "positions", .text = "" };
    warned[0] = '\0';
    self = plugin->configure(&host, &config, error, sizeof error);
    cr_assert(self || strstr(error, "libpq"), "%s", error);
    if (self)
        plugin->destroy(self);
}

Test(rw_split_settings, warns_of_databases_without_a_server_and_servers_without_a_database)
{
    asks("127.0.0.1:3000", NULL);
    cr_assert_str_eq(warned, "", "no server is known, nothing is strange");
    fake_add_server("127.0.0.1:3000", WEIR_PRIMARY);
    fake_add_server("127.0.0.1:3001", WEIR_REPLICA);
    asks("127.0.0.1:3000", "127.0.0.1:3001");
    cr_assert_str_eq(warned, "");
    asks("127.0.0.1:3000", "localhost:3001");
    cr_assert_str_eq(
        warned, "positions.postgres names localhost:3001, which is no server of this upstream: write it "
                "as in primary or replicas\n"
                "positions.postgres has no database for 127.0.0.1:3001: how far it has come, and whether "
                "it is the primary, is known only from what its app says\n");
    asks(NULL, NULL);
    cr_assert_str_eq(warned, "", "without positions there is nothing to compare");
}
