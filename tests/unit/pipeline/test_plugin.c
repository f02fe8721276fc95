#include "pipeline/plugin.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/plugin_host.h"
#include "walk.h"

/* --- the loader --- */

static char folder[64];

static void folder_open(void)
{
    strcpy(folder, "/tmp/weir-plugins-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void folder_close(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

/* A copy of a built plugin at folder/path. */
static void put(const char *name, const char *path, mode_t mode)
{
    char from[512];
    char to[512];
    char bytes[65536];
    ssize_t n;
    snprintf(from, sizeof from, "%s/%s.so", PLUGINS, name);
    snprintf(to, sizeof to, "%s/%s", folder, path);
    int in = open(from, O_RDONLY);
    int out = open(to, O_WRONLY | O_CREAT, 0600);
    cr_assert(in >= 0 && out >= 0, "%s", to);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        cr_assert_eq(write(out, bytes, (size_t)n), n);
    cr_assert_eq(fchmod(out, mode), 0);
    close(in);
    close(out);
}

static char error[512];

/* Loads from dir (configured), then from build_dir. */
static struct plugin *load(const char *name, const char *dir, const char *build_dir, const char *json)
{
    struct str dirs[1] = { str_of(dir) };
    struct config config = { .plugin_dirs = dirs, .plugin_dir_count = dir ? 1 : 0 };
    struct config_plugin row = { .name = str_of(name), .json = str_of(json) };
    error[0] = '\0';
    return plugin_new(&config, &row, build_dir, NULL, error, sizeof error);
}

Test(plugin, is_found_by_its_name_in_the_configured_folder)
{
    folder_open();
    put("template", "template.so", 0644);
    struct plugin *plugin = load("template", folder, NULL, "{}");
    cr_assert_not_null(plugin, "%s", error);
    cr_expect(str_eq(plugin_name(plugin), STR("template")));
    plugin_unref(plugin);
    folder_close();
}

Test(plugin, is_found_in_a_folder_of_its_own)
{
    char path[128];
    folder_open();
    snprintf(path, sizeof path, "%s/template", folder);
    cr_assert_eq(mkdir(path, 0755), 0);
    put("template", "template/template.so", 0644);
    struct plugin *plugin = load("template", folder, NULL, "{}");
    cr_assert_not_null(plugin, "%s", error);
    plugin_unref(plugin);
    folder_close();
}

Test(plugin, the_builds_own_folder_comes_last)
{
    folder_open();
    put("no_symbol", "template.so", 0644);
    cr_expect_null(load("template", folder, PLUGINS, "{}"), "what the config names is taken, good or bad");
    cr_expect_not_null(strstr(error, folder), "%s", error);
    folder_close();
    struct plugin *plugin = load("template", "/nowhere", PLUGINS, "{}");
    cr_assert_not_null(plugin, "%s", error);
    plugin_unref(plugin);
}

Test(plugin, that_is_nowhere_is_a_sentence)
{
    cr_expect_null(load("nowhere", "/tmp", PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, "\"nowhere\" was not found"), "%s", error);
    cr_expect_not_null(strstr(error, PLUGINS), "%s", error);
    cr_expect_null(load("nowhere", NULL, NULL, "{}"));
    cr_expect_not_null(strstr(error, "not found"), "%s", error);
}

Test(plugin, is_refused_where_others_could_have_put_it)
{
    folder_open();
    put("template", "template.so", 0646);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, "may be written to by others"), "%s", error);
    cr_expect_not_null(strstr(error, "template.so"), "it says what: %s", error);
    folder_close();

    folder_open();
    put("template", "template.so", 0644);
    cr_assert_eq(chmod(folder, 0777), 0);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, folder), "%s", error);
    folder_close();

    char path[128];
    folder_open();
    snprintf(path, sizeof path, "%s/template", folder);
    cr_assert_eq(mkdir(path, 0755), 0);
    cr_assert_eq(chmod(path, 0757), 0);
    put("template", "template/template.so", 0644);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, path), "%s", error);
    folder_close();
}

Test(plugin, of_a_stranger_is_refused)
{
    if (geteuid() != 0)
        return; /* only root can give a file away */
    folder_open();
    put("template", "template.so", 0644);
    char path[128];
    snprintf(path, sizeof path, "%s/template.so", folder);
    cr_assert_eq(chown(path, 65534, 65534), 0);
    cr_expect_null(load("template", folder, PLUGINS, "{}"));
    cr_expect_not_null(strstr(error, "own"), "%s", error);
    folder_close();
}

Test(plugin, that_breaks_the_abi_is_refused)
{
    static const struct {
        const char *name;
        const char *says;
    } rows[] = {
        { "other_major", "ABI 2.0, this weir speaks 1.0" },
        { "newer_minor", "ABI 1.1, this weir speaks 1.0" },
        { "no_symbol", "exports no \"weir_plugin\"" },
        { "other_name", "is broken" },
        { "too_small", "is broken" },
        { "no_configure", "is broken" },
        { "refuses", "refuses its keys" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_null(load(rows[i].name, NULL, PLUGINS, "{}"), "%s", rows[i].name);
        cr_expect_not_null(strstr(error, rows[i].says), "%s: %s", rows[i].name, error);
        cr_expect_not_null(strstr(error, rows[i].name), "%s: %s", rows[i].name, error);
    }
}

Test(plugin, that_is_no_library_is_refused)
{
    char path[128];
    folder_open();
    snprintf(path, sizeof path, "%s/text.so", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    cr_assert_eq(write(fd, "hello", 5), 5);
    close(fd);
    cr_expect_null(load("text", folder, NULL, "{}"));
    cr_expect_not_null(strstr(error, "does not load"), "%s", error);
    folder_close();
}

Test(plugin, with_unknown_keys_says_so_in_its_own_words)
{
    cr_expect_null(load("template", NULL, PLUGINS, "{\"x\": 1}"));
    cr_expect_str_eq(error, "plugin \"template\" refuses its keys: unknown key x: template takes none");
}

Test(plugin, is_the_same_with_the_same_name_and_keys_only)
{
    struct plugin *plugin = load("scripted", NULL, PLUGINS, "{\"choose\": \"pass\"}");
    cr_assert_not_null(plugin, "%s", error);
    struct config_plugin row = { .name = STR("scripted"), .json = STR("{\"choose\": \"pass\"}") };
    cr_expect(plugin_is_same(plugin, &row));
    row.json = STR("{}");
    cr_expect_not(plugin_is_same(plugin, &row));
    row = (struct config_plugin){ .name = STR("other"), .json = STR("{\"choose\": \"pass\"}") };
    cr_expect_not(plugin_is_same(plugin, &row));
    cr_expect_eq(plugin_ref(plugin), plugin);
    plugin_unref(plugin);
    cr_expect(str_eq(plugin_name(plugin), STR("scripted")), "the second reference holds it");
    plugin_unref(plugin);
}

/* --- what the host offers in configure --- */

static struct weir_config keys_of(const char *json)
{
    struct weir_config config = { .keys = json_loads(json, 0, NULL) };
    cr_assert_not_null(config.keys);
    return config;
}

Test(plugin, keys_have_types)
{
    struct weir_config config = keys_of("{\"s\": \"text\", \"t\": true, \"f\": false, \"n\": 2.5, \"i\": 7, \"d\": \"250ms\", \"u\": \"unlimited\","
                                        " \"p\": \"50%\", \"z\": \"64KiB\", \"l\": [\"a\", \"bc\"], \"m\": [\"a\", 1], \"e\": [], \"0\": null}");
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

Test(plugin, a_share_is_at_most_all_of_it)
{
    static const char *const bad[] = { "{\"p\": \"101%\"}", "{\"p\": \"-1%\"}", "{\"p\": \"50\"}", "{\"p\": \"%\"}", "{\"p\": 0.5}" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct weir_config config = keys_of(bad[i]);
        double share = 7;
        cr_expect_eq(plugin_host.config_share(&config, "p", &share), -1, "row %zu", i);
        cr_expect_eq(share, 7, "row %zu", i);
        json_decref(config.keys);
    }
}

Test(plugin, secrets_are_of_a_label_and_stay)
{
    unsigned char a[32];
    unsigned char b[32];
    plugin_host.secret("one", a);
    plugin_host.secret("one", b);
    cr_expect_arr_eq(a, b, 32);
    plugin_host.secret("two", b);
    cr_expect_neq(memcmp(a, b, 32), 0);
}

Test(plugin, hmac_is_sha256s)
{
    /* RFC 4231, test case 2 */
    static const unsigned char want[] = { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e };
    unsigned char out[32];
    plugin_host.hmac((struct weir_str){ "Jefe", 4 }, (struct weir_str){ "what do ya want for nothing?", 28 }, out);
    cr_expect_arr_eq(out, want, sizeof want);
    plugin_host.wake(NULL); /* `weir check` has no upstream */
}

/* --- what it offers about a request --- */

static struct place place;
static struct guest guest;

#define is_text(got, want) str_eq(str_n((got).data, (got).len), str_of(want))

Test(plugin, a_request_can_be_asked_about)
{
    place_open(&place, "upstreams: {app: {primary: [\"@0\"], domain: orders}}\n"
                       "tenants: {from: [{path: \"/t/{tenant}/\"}], unknown: default}\n"
                       "versions: {from: [{path: \"/{version}/\"}], default: v1, known: {v1: {}}}\n"
                       "routes: [{name: items, path: /items/**}]\n");
    guest_init(&guest, &place);
    guest_ask(&guest, "POST /t/acme/v1/items/1?x=1 HTTP/1.1\nHost: a\nx-one: 1\nX-One: 2\nCookie: a=1; ab=2\nCookie: c=3; d");
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

/* --- the hooks --- */

#define REPLICAS(keys)                                                                                       \
    "upstreams: {app: {primary: [\"@0\"], replicas: [\"@1\"], plugins: [{name: scripted, " keys "}]}}\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
#define KEEP "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static void set_up(const char *yaml)
{
    place.plugin_dir = PLUGINS;
    place_open(&place, yaml);
    guest_init(&guest, &place);
}

static void tear_down(void)
{
    guest_fini(&guest);
    place_close(&place);
}

Test(plugin, choose_names_roles)
{
    static const char *const yamls[] = { REPLICAS("choose: primary"), REPLICAS("choose: replica") };
    for (unsigned i = 0; i < 2; i++) {
        set_up(yamls[i]);
        for (unsigned k = 0; k < 4; k++) {
            guest_meets(&guest, "POST / HTTP/1.1\nHost: a", &place.apps[i], OK);
            app_close(&place.apps[i]);
            cr_expect_eq(guest_status(&guest), 200);
        }
        atomic_store(&place.world->supplies[0].upstream->servers[i]->admin, SERVER_ADMIN_DOWN);
        guest_meets(&guest, "POST / HTTP/1.1\nHost: a", &place.apps[1 - i], OK);
        cr_expect_eq(guest_status(&guest), 200, "it falls back");
        tear_down();
    }
}

Test(plugin, choose_may_refuse_in_known_words)
{
    static const struct {
        const char *yaml;
        const char *reason;
    } rows[] = {
        { REPLICAS("choose: refuse, reason: position-behind"), "position-behind" },
        { REPLICAS("choose: refuse, reason: write-held"), "write-held" },
        { REPLICAS("choose: refuse, reason: nonsense"), "plugin-refused" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(rows[i].yaml);
        guest_meets(&guest, "GET / HTTP/1.1\nHost: a", NULL, NULL);
        cr_expect_eq(guest_status(&guest), 503, "row %zu", i);
        cr_expect_str_eq(guest_reason(&guest), rows[i].reason, "row %zu", i);
        cr_expect_str_eq(guest_field(&guest, "Retry-After"), "17", "row %zu", i);
        tear_down();
    }
}

Test(plugin, inspect_may_pass_the_cache_by)
{
    set_up(REPLICAS("choose: primary, bypass: true"));
    for (unsigned i = 0; i < 2; i++) {
        guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
        app_close(&place.apps[0]);
        cr_expect_str_eq(guest_field(&guest, "Cache-Status"), "weir; fwd=bypass");
    }
    tear_down();
}

Test(plugin, answered_may_forbid_storing)
{
    set_up(REPLICAS("choose: primary, forbid: true"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    cr_expect_str_eq(guest_field(&guest, "Cache-Status"), "weir; fwd=uri-miss");
    tear_down();
}

Test(plugin, a_stored_position_may_be_behind)
{
    set_up(REPLICAS("choose: primary, behind: true"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    app_close(&place.apps[0]);
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], KEEP);
    cr_expect_eq(strncmp(guest_field(&guest, "Cache-Status"), "weir; fwd=request; stored", 25), 0, "%s", guest_field(&guest, "Cache-Status"));
    cr_expect_not_null(strstr(guest_field(&guest, "Cache-Status"), "detail=read-your-writes"));
    tear_down();
}

Test(plugin, answered_may_have_it_sent_again_to_the_primary)
{
    set_up(REPLICAS("choose: replica, replay: true"));
    guest_ask(&guest, "POST / HTTP/1.1\nHost: a\nContent-Length: 4");
    guest_send(&guest, "body", true);
    app_head(&place.apps[1]);
    app_send(&place.apps[1], "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno");
    const char *again = app_head(&place.apps[0]);
    cr_expect_not_null(strstr(again, "\r\n\r\nbody"), "with its body: %s", again);
    app_send(&place.apps[0], OK);
    guest_until_done(&guest);
    cr_expect_eq(guest_status(&guest), 200);
    cr_expect(guest_has_body(&guest, "ok"));
    tear_down();
}

Test(plugin, calls_are_counted)
{
    struct plugin_stats stats;
    set_up(REPLICAS("choose: primary"));
    guest_meets(&guest, "GET / HTTP/1.1\nHost: a", &place.apps[0], OK);
    plugin_stats_read(place.world->supplies[0].plugins[0], &stats);
    cr_expect_eq(stats.calls, 3, "inspect, choose, answered");
    tear_down();
}

Test(plugin, check_finds_every_mistake)
{
    struct config_mistakes mistakes = { 0 };
    struct config *config = config_read_text(STR("upstreams:\n"
                                                 "  a: {primary: [127.0.0.1:1], plugins: [{name: template, x: 1}, {name: nowhere}]}\n"
                                                 "  b: {primary: [127.0.0.1:1], plugins: [{name: template}, {name: refuses}]}\n"
                                                 "routes: [{path: /**, upstream: a}]\n"),
                                             "test.yaml", &mistakes);
    cr_assert_not_null(config);
    plugins_check(config, PLUGINS, &mistakes);
    cr_expect_eq(mistakes.count, 3);
    config_mistakes_fini(&mistakes);
    config_unref(config);
}
