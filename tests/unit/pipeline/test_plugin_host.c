#include "pipeline/plugin_host.h"

#include "pipeline/plugin_upstream.h"
#include "upstream/server.h"
#include "walk.h"

/* --- in configure --- */

static struct weir_config keys_of(const char *json)
{
    struct weir_config config = { .keys = json_loads(json, 0, NULL) };
    cr_assert_not_null(config.keys);
    return config;
}

Test(plugin_host, keys_have_types)
{
    struct weir_config config = keys_of("{\"s\": \"text\", \"t\": true, \"f\": false, \"n\": 2.5, \"i\": 7, "
                                        "\"d\": \"250ms\", \"u\": \"unlimited\","
                                        " \"p\": \"50%\", \"z\": \"64KiB\", \"l\": [\"a\", \"bc\"], \"m\": "
                                        "[\"a\", 1], \"e\": [], \"0\": null}");
    const struct weir_host *host = &plugin_host;
    struct weir_str text = { "old", 3 };
    bool flag = true;
    double number = 0;
    int64_t value = 0;

    cr_expect_eq(host->config_count(&config), 13);
    cr_expect_str_eq(host->config_name(&config, 0), "s");
    cr_expect_str_eq(host->config_name(&config, 12), "0");
    cr_expect_null(host->config_name(&config, 13));

    cr_expect_eq(host->config_string(&config, "nope", &text), 0);
    cr_expect_eq(host->config_string(&config, "t", &text), -1);
    cr_expect_eq(text.len, 3, "untouched");
    cr_expect_eq(host->config_string(&config, "s", &text), 1);
    cr_expect(str_eq(str_n(text.data, text.len), STR("text")));

    cr_expect_eq(host->config_bool(&config, "f", &flag), 1);
    cr_expect_not(flag);
    cr_expect_eq(host->config_bool(&config, "t", &flag), 1);
    cr_expect(flag);
    cr_expect_eq(host->config_bool(&config, "s", &flag), -1);

    cr_expect_eq(host->config_number(&config, "n", &number), 1);
    cr_expect_eq(number, 2.5);
    cr_expect_eq(host->config_number(&config, "i", &number), 1);
    cr_expect_eq(number, 7);
    cr_expect_eq(host->config_number(&config, "s", &number), -1);

    cr_expect_eq(host->config_duration(&config, "d", &value), 1);
    cr_expect_eq(value, 250);
    cr_expect_eq(host->config_duration(&config, "u", &value), 1);
    cr_expect_eq(value, -1);
    cr_expect_eq(host->config_duration(&config, "s", &value), -1);
    cr_expect_eq(host->config_duration(&config, "i", &value), -1);
    cr_expect_eq(host->config_duration(&config, "nope", &value), 0);

    cr_expect_eq(host->config_share(&config, "p", &number), 1);
    cr_expect_eq(number, 0.5);
    cr_expect_eq(host->config_share(&config, "s", &number), -1);
    cr_expect_eq(host->config_size(&config, "z", &value), 1);
    cr_expect_eq(value, 65536);
    cr_expect_eq(host->config_size(&config, "d", &value), -1);

    cr_expect_eq(host->config_list(&config, "l"), 2);
    text = host->config_item(&config, "l", 1);
    cr_expect(str_eq(str_n(text.data, text.len), STR("bc")));
    cr_expect_null(host->config_item(&config, "l", 2).data);
    cr_expect_eq(host->config_list(&config, "m"), -1);
    cr_expect_eq(host->config_list(&config, "e"), 0);
    cr_expect_eq(host->config_list(&config, "s"), -1);
    cr_expect_eq(host->config_list(&config, "nope"), 0);
    json_decref(config.keys);
}

Test(plugin_host, a_share_is_at_most_all_of_it)
{
    static const char *const bad[] = { "{\"p\": \"101%\"}", "{\"p\": \"-1%\"}", "{\"p\": \"50\"}",
                                       "{\"p\": \"%\"}", "{\"p\": 0.5}" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct weir_config config = keys_of(bad[i]);
        double share = 7;
        cr_expect_eq(plugin_host.config_share(&config, "p", &share), -1, "row %zu", i);
        cr_expect_eq(share, 7, "row %zu", i);
        json_decref(config.keys);
    }
}

Test(plugin_host, secrets_are_of_a_label_and_stay)
{
    unsigned char a[32];
    unsigned char b[32];
    plugin_host.secret("one", a);
    plugin_host.secret("one", b);
    cr_expect_arr_eq(a, b, 32);
    plugin_host.secret("two", b);
    cr_expect_neq(memcmp(a, b, 32), 0);
}

Test(plugin_host, hmac_is_sha256s)
{
    /* RFC 4231, test case 2 */
    static const unsigned char want[] = { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e };
    unsigned char out[32];
    plugin_host.hmac((struct weir_str){ "Jefe", 4 }, (struct weir_str){ "what do ya want for nothing?", 28 },
                     out);
    cr_expect_arr_eq(out, want, sizeof want);
    plugin_host.wake(NULL); /* `weir check` has no upstream */
}

/* --- about a request --- */

static struct place place;
static struct guest guest;

#define is_text(got, want) str_eq(str_n((got).data, (got).len), str_of(want))

Test(plugin_host, a_request_can_be_asked_about)
{
    place_open(&place, "upstreams: {app: {primary: [\"@0\"], domain: orders}}\n"
                       "tenants: {from: [{path: \"/t/{tenant}/\"}], unknown: default}\n"
                       "versions: {from: [{path: \"/{version}/\"}], default: v1, known: {v1: {}}}\n"
                       "routes: [{name: items, path: /items/**}]\n");
    guest_init(&guest, &place);
    guest_ask(&guest, "POST /t/acme/v1/items/1?x=1 HTTP/1.1\nHost: a\nx-one: 1\nX-One: 2\nCookie: a=1; "
                      "ab=2\nCookie: c=3; d");
    struct weir_request handle = { guest.req, 3 };
    const struct weir_host *host = &plugin_host;
    cr_expect(is_text(host->method(&handle), "POST"));
    cr_expect(is_text(host->target(&handle), "/t/acme/v1/items/1?x=1"));
    cr_expect(is_text(host->path(&handle), "/items/1"));
    cr_expect(is_text(host->tenant(&handle), "acme"));
    cr_expect(is_text(host->version(&handle), "v1"));
    cr_expect(is_text(host->route(&handle), "items"));
    cr_expect(is_text(host->domain(&handle), "orders"));
    cr_expect_not(host->is_trusted(&handle));
    cr_expect(is_text(host->field(&handle, "X-ONE"), "1"), "the first, in any case");
    cr_expect_null(host->field(&handle, "X-Two").data);
    cr_expect(is_text(host->cookie(&handle, "ab"), "2"));
    cr_expect(is_text(host->cookie(&handle, "a"), "1"));
    cr_expect(is_text(host->cookie(&handle, "c"), "3"));
    cr_expect_null(host->cookie(&handle, "d").data, "no value at all");
    cr_expect_null(host->cookie(&handle, "A").data);
    cr_expect_null(host->get(&handle));
    host->set(&handle, &place);
    cr_expect_eq(host->get(&handle), &place);
    handle.index = 2;
    cr_expect_null(host->get(&handle), "each instance has its own");
    cr_expect_not_null(host->alloc(&handle, 1000));
    cr_expect_null(host->alloc(&handle, 1 << 20), "within limits");
    guest_leave(&guest);
    guest_fini(&guest);
    place_close(&place);
}

Test(plugin_host, what_is_absent_has_an_hmac_as_what_is_empty)
{
    unsigned char of_absent[32];
    unsigned char of_empty[32];
    plugin_host.hmac((struct weir_str){ NULL, 0 }, (struct weir_str){ NULL, 0 }, of_absent);
    plugin_host.hmac((struct weir_str){ "", 0 }, (struct weir_str){ "", 0 }, of_empty);
    cr_expect_arr_eq(of_absent, of_empty, sizeof of_empty);
}

Test(plugin_host, a_log_level_that_is_not_there_does_no_harm)
{
    plugin_host.log((enum weir_log_level)42, "a newer minor's");
    plugin_host.log((enum weir_log_level) - 1, NULL);
}

Test(plugin_host, an_instance_of_an_older_world_reports_no_more)
{
    struct addr addr;
    cr_assert(addr_parse(STR("127.0.0.1:1"), &addr));
    struct server *server = server_new(&addr, ROLE_REPLICA);
    struct upstream upstream = { .servers = &server, .server_count = 1 };
    struct plugin plugin = { .upstream.face = plugin_upstream_new() };
    const struct weir_report found = { .size = sizeof found, .has_role = true, .role = WEIR_PRIMARY };
    const struct weir_str address = { "127.0.0.1:1", 11 };
    cr_assert_not_null(plugin.upstream.face);
    plugin_upstream_set(plugin.upstream.face, &upstream);

    cr_expect(plugin_host.report(&plugin.upstream, address, &found));
    cr_expect_eq(server_role(server), ROLE_PRIMARY);
    server->role_now = ROLE_REPLICA;
    plugin_retire(&plugin);
    cr_expect_not(plugin_host.report(&plugin.upstream, address, &found));
    cr_expect_eq(server_role(server), ROLE_REPLICA);
    plugin_upstream_free(plugin.upstream.face);
    server_unref(server);
}
