#include <criterion/criterion.h>

#include "fake_host.h"

Test(template, loads_and_has_no_opinion)
{
    const struct weir_plugin *plugin = fake_load(PLUGIN_PATH);
    struct weir_config config = { 0 };
    char error[200] = "";
    void *self = plugin->configure(&fake_host, &config, error, sizeof error);

    cr_assert(self, "%s", error);
    cr_assert_str_eq(plugin->name, "template");
    cr_assert_not(plugin->inspect);
    cr_assert_not(plugin->choose);
    plugin->destroy(self);
}

Test(template, refuses_keys_it_does_not_know)
{
    const struct weir_plugin *plugin = fake_load(PLUGIN_PATH);
    struct weir_config config = { .keys = { { .name = "speed", .text = "11" } } };
    char error[200] = "";

    cr_assert_not(plugin->configure(&fake_host, &config, error, sizeof error));
    cr_assert_str_eq(error, "unknown key speed: template takes none");
}
