/* The plugin as weir loads it: its keys, what it refuses, and whom it sends where. */
#include "shard_kit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SHARDS(...)                                                 \
    {                                                               \
        .name = "shards", .kind = KIT_LIST, .rows = { __VA_ARGS__ } \
    }
#define WEIGHTS(...)                                               \
    {                                                              \
        .name = "shards", .kind = KIT_MAP, .rows = { __VA_ARGS__ } \
    }
#define PINNED(...)                                                \
    {                                                              \
        .name = "pinned", .kind = KIT_MAP, .rows = { __VA_ARGS__ } \
    }

static const struct weir_config three = { .keys = { SHARDS("s1", "s2", "s3") } };

Test(shard, sends_each_tenant_to_its_own_shard)
{
    void *self = kit_new(&three);

    cr_expect_str_eq(kit_assigned(self, "acme"), "s3");
    cr_expect_str_eq(kit_assigned(self, "initech"), "s1");
    for (unsigned i = 0; i < 100; i++)
        cr_assert_str_eq(kit_assigned(self, "acme"), "s3", "and always the same");
    cr_expect_eq(kit_hashed, 102);
    cr_expect_eq(kit_pinned, 0);
    kit_load()->destroy(self);
}

Test(shard, takes_weights)
{
    static const struct weir_config config = { .keys = { WEIGHTS("s1: 1", "s2: 2") } };
    void *self = kit_new(&config);
    unsigned count = 0;

    for (unsigned i = 0; i < 3000; i++) {
        char tenant[16];

        snprintf(tenant, sizeof tenant, "t%u", i);
        count += strcmp(kit_assigned(self, tenant), "s2") == 0;
    }
    cr_expect_gt(count, 1860);
    cr_expect_lt(count, 2140);
    cr_expect_str_eq(kit_assigned(self, "acme"), "s2");
    kit_load()->destroy(self);
}

Test(shard, a_pinned_tenant_goes_where_it_is_pinned)
{
    static const struct weir_config config = { .keys = { SHARDS("s1", "s2", "s3"),
                                                         PINNED("zebra: s1", "acme: s2", "big: s4", "ac: s1",
                                                                "acme-2: s1") } };
    void *self = kit_new(&config);
    void *plain = kit_new(&three);

    cr_expect_str_eq(kit_assigned(self, "acme"), "s2");
    cr_expect_str_eq(kit_assigned(self, "big"), "s4", "a shard of its own, which takes no others");
    cr_expect_str_eq(kit_assigned(self, "zebra"), "s1");
    cr_expect_str_eq(kit_assigned(self, "ac"), "s1");
    cr_expect_str_eq(kit_assigned(self, "acme-2"), "s1");
    cr_expect_eq(kit_pinned, 5);
    for (unsigned i = 0; i < 2000; i++) {
        char tenant[16];

        snprintf(tenant, sizeof tenant, "acme%u", i);
        cr_assert_str_eq(kit_assigned(self, tenant), kit_assigned(plain, tenant), "pins move nobody else");
    }
    cr_expect_str_eq(kit_assigned(self, "acm"), kit_assigned(plain, "acm"));
    cr_expect_str_eq(kit_assigned(self, "acme-"), kit_assigned(plain, "acme-"));
    cr_expect_str_eq(kit_assigned(self, "Acme"), kit_assigned(plain, "Acme"), "another tenant");
    cr_expect_str_eq(kit_assigned(self, ""), kit_assigned(plain, ""));
    kit_load()->destroy(self);
    kit_load()->destroy(plain);
}

Test(shard, is_a_plugin_of_1_1_with_nothing_but_assign)
{
    const struct weir_plugin *plugin = kit_load();

    cr_expect_eq(plugin->abi_major, 1);
    cr_expect_eq(plugin->abi_minor, 1);
    cr_expect(plugin->assign);
    cr_expect_not(plugin->inspect);
    cr_expect_not(plugin->choose);
    cr_expect_not(plugin->answered);
    cr_expect_not(plugin->tick);
}

Test(shard, says_what_is_wrong)
{
    static const struct {
        struct weir_config config;
        const char *sentence;
    } rows[] = {
        { { .keys = { { 0 } } }, "shards is empty: name the upstreams that tenants are spread over" },
        { { .keys = { SHARDS(NULL) } }, "shards is empty: name the upstreams that tenants are spread over" },
        { { .keys = { WEIGHTS(NULL) } }, "shards is empty: name the upstreams that tenants are spread over" },
        { { .keys = { { .name = "shards", .kind = KIT_TEXT } } },
          "shards must be a list of upstreams, or a mapping of upstream: weight" },
        { { .keys = { { .name = "shard", .kind = KIT_LIST } } },
          "unknown key shard, did you mean shards? allowed are shards, pinned" },
        { { .keys = { SHARDS("s1"), { .name = "pined", .kind = KIT_MAP } } },
          "unknown key pined, did you mean pinned? allowed are shards, pinned" },
        { { .keys = { SHARDS("s1"), { .name = "replicas", .kind = KIT_MAP } } },
          "unknown key replicas, allowed are shards, pinned" },
        { { .keys = { SHARDS("s1", "s2", "s1") } },
          "shards: s1 is here twice; to give it more tenants, give it a weight" },
        { { .keys = { SHARDS("s1", "") } },
          "shards: there is no upstream \"\"; each shard is one of `upstreams`" },
        { { .keys = { SHARDS("s1", "elsewhere") } },
          "shards: there is no upstream \"elsewhere\"; each shard is one of `upstreams`" },
        { { .keys = { SHARDS("s1", "s9") } }, "shards: there is no upstream s9, did you mean s1?" },
        { { .keys = { WEIGHTS("s1: 0") } }, "shards: the weight of s1 must be a whole number from 1 to 100" },
        { { .keys = { WEIGHTS("s1: 101") } },
          "shards: the weight of s1 must be a whole number from 1 to 100" },
        { { .keys = { WEIGHTS("s1: 99999999999999999999") } },
          "shards: the weight of s1 must be a whole number from 1 to 100" },
        { { .keys = { WEIGHTS("s1: 1.5") } },
          "shards: the weight of s1 must be a whole number from 1 to 100" },
        { { .keys = { WEIGHTS("s1: -1") } },
          "shards: the weight of s1 must be a whole number from 1 to 100" },
        { { .keys = { WEIGHTS("s1: ") } }, "shards: the weight of s1 must be a whole number from 1 to 100" },
        { { .keys = { WEIGHTS("s1: heavy") } },
          "shards: the weight of s1 must be a whole number from 1 to 100" },
        { { .keys = { SHARDS("s1"), { .name = "pinned", .kind = KIT_LIST } } },
          "pinned must be a mapping of tenant: upstream" },
        { { .keys = { SHARDS("s1"), PINNED("acme: s5") } },
          "pinned: acme: there is no upstream s5, did you mean s1?" },
        { { .keys = { SHARDS("s1"), PINNED("acme: moon") } },
          "pinned: acme: there is no upstream \"moon\"; each shard is one of `upstreams`" },
        { { .keys = { SHARDS("s1"), PINNED("Acme Corp: s1") } },
          "pinned: no tenant is called \"Acme Corp\": 1 to 63 of the characters A-Z a-z 0-9 _ -" },
        { { .keys = { SHARDS("s1"), PINNED(": s1") } },
          "pinned: no tenant is called \"\": 1 to 63 of the characters A-Z a-z 0-9 _ -" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_str_eq(kit_refusal(&rows[i].config), rows[i].sentence, "row %zu", i);
}

Test(shard, guesses_the_upstream_that_was_meant)
{
    static const char *const typed[] = { "shard-on",  "shard-noe", "shrad-one", "shard-onee", "hard-one",
                                         "xhard-one", "shard_one", "Shard-one", "ssard-one",  "shardone" };
    struct weir_config config = { .keys = { SHARDS(NULL) } };

    kit_upstreams[0] = "shard-one";
    kit_upstreams[1] = NULL;
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
        config.keys[0].rows[0] = typed[i];
        cr_expect(strstr(kit_refusal(&config), "did you mean shard-one?"), "%s", typed[i]);
    }
    config.keys[0].rows[0] = "shards-two";
    cr_expect_not(strstr(kit_refusal(&config), "did you mean"));
}

Test(shard, sentences_about_endless_names_end)
{
    char name[4000];
    struct weir_config config = { .keys = { SHARDS(name) } };

    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_expect(strstr(kit_refusal(&config), "each shard is one of `upstreams`"));
    memcpy(name + sizeof name - 5, ": s1", 5);
    config.keys[1] = (struct kit_key)PINNED(name);
    config.keys[0].rows[0] = "s1";
    cr_expect(strstr(kit_refusal(&config), "1 to 63 of the characters"));
}

Test(shard, has_limits_and_says_so)
{
    static char names[KIT_ROWS_MAX][16];
    struct weir_config config = { .keys = { SHARDS(NULL) } };

    for (unsigned i = 0; i < 257; i++) {
        snprintf(names[i], sizeof names[i], "u%u", i);
        kit_upstreams[i] = config.keys[0].rows[i] = names[i];
    }
    cr_expect_str_eq(kit_refusal(&config), "shards names 257 upstreams, at most 256 are allowed");
    config.keys[0].rows[256] = NULL;
    kit_load()->destroy(kit_new(&config));
    config.keys[0].kind = KIT_MAP;
    for (unsigned i = 0; i < 11; i++) {
        static char rows[11][32];

        snprintf(rows[i], sizeof rows[i], "u%u: %u", i, i < 10 ? 100 : 25);
        config.keys[0].rows[i] = rows[i];
    }
    config.keys[0].rows[11] = NULL;
    cr_expect_str_eq(kit_refusal(&config), "shards: all weights together are 1025, at most 1024 are allowed");
}
