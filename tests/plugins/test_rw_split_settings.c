/* Which keys rw_split takes, and that it says in one sentence what is wrong with the others. */
#include <criterion/criterion.h>

#include <string.h>

#include "fake_host.h"

#define LONG_KEY "0123456789abcdef"

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
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[200] = "";

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
          "unknown key windw, did you mean window? allowed are window, consistency, keys" },
        { { { { .name = "lag_max", .text = "2s" } } },
          "unknown key lag_max, allowed are window, consistency, keys" },
        { { { { .name = "window", .text = "2" } } }, "window must be a duration such as 2s or 500ms" },
        { { { { .name = "window", .text = "unlimited" } } }, "window must be from 0s to 1h" },
        { { { { .name = "window", .text = "3601s" } } }, "window must be from 0s to 1h" },
        { { { { .name = "consistency", .text = "position" } } },
          "consistency position is not built yet, allowed are none and window" },
        { { { { .name = "consistency", .text = "strict" } } },
          "consistency strict is not built yet, allowed are none and window" },
        { { { { .name = "consistency", .text = "windows" } } }, "consistency must be none or window" },
        { { { { .name = "consistency", .items = { "none" } } } }, "consistency must be none or window" },
        { { { { .name = "keys", .text = LONG_KEY } } }, "keys must be a list of strings" },
        { { { { .name = "keys", .items = { NULL } } } },
          "keys is empty: name at least one, or leave it out to have one drawn at start" },
        { { { { .name = "keys", .items = { LONG_KEY, "" } } } }, "keys has an empty entry, number 2" },
        { { { { .name = "keys", .items = { "1", "2", "3", "4", "5", "6", "7", "8", "9" } } } },
          "keys has 9 entries, at most 8 are allowed" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[200] = "";

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
    char error[200] = "";

    cr_assert_not(
        takes((struct weir_config){ { { .name = "keys", .items = { "secret" } } } }, error, sizeof error));
    cr_assert(strstr(error, "16 bytes"), "%s", error);
}

Test(rw_split_settings, refuses_a_weir_that_cannot_keep_its_secret)
{
    const struct weir_plugin *plugin = fake_load(PLUGIN_PATH);
    struct weir_host older = fake_host;
    struct weir_config config = { 0 };
    char error[200] = "";

    older.size = offsetof(struct weir_host, secret);
    cr_assert_not(plugin->configure(&older, &config, error, sizeof error));
    cr_assert_str_eq(error, "this weir is too old for this rw_split");
}
