#include "help.h"

#include <sched.h>

#include "base/check.h"
#include "base/log.h"

Test(reader, the_smallest_file_gets_every_default)
{
    struct config *c = must_read(APP);
    cr_assert_eq(c->listen_count, 1);
    cr_expect_str_eq(c->listens[0].address.text, "127.0.0.1:8080");
    cr_expect_eq(c->listens[0].certificate_count, 0);
    cr_expect_str_eq(c->admin.address.text, "127.0.0.1:9900");
    cr_expect_null(c->admin.token.data);
    cpu_set_t cores;
    cr_assert_eq(sched_getaffinity(0, sizeof cores, &cores), 0);
    cr_expect_eq(c->workers, (unsigned)CPU_COUNT(&cores));
    cr_expect_eq(c->trusted_peer_count, 0);
    cr_expect_not(c->tenants.is_given);
    cr_expect_eq(c->tenants.fallback.rate_per_s, NEVER);
    cr_expect_eq(c->tenants.fallback.burst, NEVER);
    cr_expect_eq(c->tenants.fallback.concurrency, NEVER);
    cr_expect_eq(c->tenants.fallback.weight, 1);
    cr_expect_not(c->versions.is_given);
    cr_expect_eq(c->route_count, 0);
    cr_expect_eq(c->plugin_dir_count, 0);
    cr_expect_eq(c->cache.memory_bytes, 256 << 20);
    cr_expect_eq(c->cache.object_max_bytes, 8 << 20);
    cr_expect_not(c->cache.is_set_cookie_stored);
    cr_expect_eq(c->cache.stale_if_error_ms, 3600 * 1000);
    cr_expect_eq(c->cache.leak_sample, 10000);
    cr_expect_not(c->cache.redis.is_given);
    cr_expect(c->log.has_access);
    cr_expect(str_eq(c->log.path, STR("stderr")));
    cr_expect_eq(c->log.level, LOG_INFO);
    config_unref(c);
}

Test(reader, an_upstream_gets_the_defaults_of_the_contract)
{
    struct config *c = must_read(APP);
    const struct config_upstream *app = &c->upstreams[0];
    cr_expect(str_eq(app->name, STR("app")));
    cr_expect_eq(app->primary_count, 1);
    cr_expect_eq(app->balance, BALANCE_LEAST_TIME);
    cr_expect_not(app->health.is_given);
    cr_expect_eq(app->health.interval_ms, 2000);
    cr_expect_eq(app->health.rise, 2);
    cr_expect_eq(app->health.fall, 3);
    cr_expect_eq(app->timeouts.connect_ms, 1000);
    cr_expect_eq(app->timeouts.first_byte_ms, 30000);
    cr_expect_eq(app->timeouts.idle_ms, 60000);
    cr_expect_eq(app->timeouts.total_ms, NEVER);
    cr_expect_eq(app->retry_attempts, 1);
    cr_expect_float_eq(app->retry_budget, 0.2, 1e-9);
    cr_expect_eq(app->limit_concurrency, NEVER);
    cr_expect_eq(app->limit_queue, 1000);
    cr_expect_eq(app->limit_queue_ms, 500);
    cr_expect_eq(app->buffer_request_bytes, 64 << 10);
    cr_expect_eq(app->buffer_reply_bytes, 256 << 10);
    cr_expect(str_eq(app->domain, STR("main")));
    cr_expect_not(app->has_tls);
    config_unref(c);
}

Test(reader, a_client_gets_the_defaults_of_the_contract)
{
    struct config *c = must_read(APP);
    cr_expect_eq(c->clients.head_max_bytes, 16 << 10);
    cr_expect_eq(c->clients.fields_max, 100);
    cr_expect_eq(c->clients.head_time_ms, 10000);
    cr_expect_eq(c->clients.body_idle_ms, 15000);
    cr_expect_eq(c->clients.rate_min_bytes, 1024);
    cr_expect_eq(c->clients.body_max_bytes, NEVER);
    cr_expect_eq(c->clients.write_stall_ms, 15000);
    cr_expect_eq(c->clients.keepalive_ms, 30000);
    cr_expect_eq(c->clients.keepalive_requests, 1000);
    cr_expect_eq(c->clients.per_address, 256);
    cr_expect_eq(c->clients.rate_per_s, NEVER);
    cr_expect_eq(c->clients.connections, 0);
    config_unref(c);
}

Test(reader, listen_and_admin_take_the_short_form_too)
{
    struct config *c = must_read(APP "listen: 0.0.0.0:80\nadmin: {address: \"[::]:9\", token: secret}\n");
    cr_assert_eq(c->listen_count, 1);
    cr_expect_str_eq(c->listens[0].address.text, "0.0.0.0:80");
    cr_expect_eq(c->listens[0].mark.line, 2);
    cr_expect(str_eq(c->admin.token, STR("secret")));
    config_unref(c);

    c = must_read(APP "listen: [127.0.0.1:1, {address: \"unix:/tmp/x\"}]\nadmin: unix:/run/weir.sock\n");
    cr_assert_eq(c->listen_count, 2);
    cr_expect_eq(c->listens[1].address.kind, ADDR_UNIX);
    cr_expect_eq(c->admin.address.kind, ADDR_UNIX);
    config_unref(c);
}

Test(reader, sources_are_cut_at_their_placeholder)
{
    struct config *c = must_read(APP "tenants:\n  from:\n"
                                     "    - {host: \"{tenant}.API.example.com\"}\n"
                                     "    - {header: X-Tenant, believe: any}\n"
                                     "    - {header: X-Other}\n"
                                     "    - {path: \"/t/{tenant}\", strip: true}\n"
                                     "versions:\n  known: {v1: }\n  from:\n"
                                     "    - {accept: \"application/vnd.*.{version}+json\"}\n"
                                     "    - {query: api-version}\n");
    const struct config_source *from = c->tenants.from;
    cr_assert_eq(c->tenants.from_count, 4);
    cr_expect_eq(from[0].kind, SOURCE_HOST);
    cr_expect_eq(from[0].before.len, 0);
    cr_expect(str_eq(from[0].after, STR(".api.example.com")));
    cr_expect_not(from[0].is_trusted_only);
    cr_expect_eq(from[1].kind, SOURCE_HEADER);
    cr_expect(str_eq(from[1].name, STR("X-Tenant")));
    cr_expect_not(from[1].is_trusted_only);
    cr_expect(from[2].is_trusted_only, "the careful way is the default");
    cr_expect_eq(from[3].kind, SOURCE_PATH);
    cr_expect(str_eq(from[3].before, STR("/t/")));
    cr_expect(str_eq(from[3].after, STR("/")));
    cr_expect(from[3].is_stripped);
    cr_expect_eq(c->versions.from[0].kind, SOURCE_ACCEPT);
    cr_expect(str_eq(c->versions.from[0].before, STR("application/vnd.*.")));
    cr_expect(str_eq(c->versions.from[0].after, STR("+json")));
    cr_expect_eq(c->versions.from[1].kind, SOURCE_QUERY);
    cr_expect(str_eq(c->versions.fallback, STR("v1")), "the only one known");
    config_unref(c);
}

Test(reader, a_named_tenant_starts_from_default)
{
    struct config *c = must_read(APP "tenants:\n"
                                     "  default: {rate: 100/s, burst: 200, concurrency: 7, weight: 3}\n"
                                     "  named: {Acme: , tiny: {rate: 300/m, weight: 9}}\n");
    const struct config_tenant *acme = &c->tenants.named[0];
    const struct config_tenant *tiny = &c->tenants.named[1];
    cr_expect(str_eq(acme->name, STR("acme")), "lower-cased");
    cr_expect_eq(acme->rate_per_s, 100);
    cr_expect_eq(acme->burst, 200);
    cr_expect_eq(acme->concurrency, 7);
    cr_expect_eq(acme->weight, 3);
    cr_expect_eq(tiny->rate_per_s, 5);
    cr_expect_eq(tiny->burst, NEVER, "a burst belongs to its rate");
    cr_expect_eq(tiny->weight, 9);
    cr_expect(c->tenants.is_given);
    cr_expect(c->tenants.is_unknown_default, "no sources: everybody is the one tenant");
    config_unref(c);
}

Test(reader, a_version_keeps_its_dates_and_canary)
{
    struct config *c =
        must_read("upstreams: {a: {primary: [a:1]}, b: {primary: [b:1]}}\n"
                  "versions:\n  known:\n"
                  "    v1: {upstream: a, deprecated: 2026-06-30, sunset: 2027-06-30, link: \"https://x/y\","
                  " after_sunset: gone}\n"
                  "    v2: {upstream: a, canary: {upstream: b, percent: 2.5, tenants: [ACME]}}\n");
    const struct config_version *v1 = config_find_version(c, STR("v1"));
    const struct config_version *v2 = config_find_version(c, STR("v2"));
    cr_assert(v1 && v2);
    cr_expect_eq(v1->deprecated_s, 1782777600);
    cr_expect_gt(v1->sunset_s, v1->deprecated_s);
    cr_expect(v1->is_gone_after_sunset);
    cr_expect_null(v1->canary.upstream.data);
    cr_expect_float_eq(v2->canary.percent, 2.5, 1e-9);
    cr_expect(str_eq(v2->canary.tenants[0], STR("acme")));
    cr_expect_null(c->versions.fallback.data, "two are known and none is the default");
    cr_expect_null(config_find_upstream(c, STR("c")));
    config_unref(c);
}

Test(reader, a_route_says_only_what_it_changes)
{
    struct config *c = must_read(
        APP "routes:\n"
            "  - {path: /a/**, timeouts: {first_byte: 120s}, cache: {}}\n"
            "  - {host: Shop.example.com, path: /b, methods: [POST, PUT], upgrade: none, priority: high}\n"
            "  - {name: all, cache: {ttl: 10s, cookies: [], scope: all_tenants, share: credential}}\n");
    const struct config_route *routes = c->routes;
    cr_expect(str_eq(routes[0].name, STR("/a/**")));
    cr_expect_eq(routes[0].timeouts.first_byte_ms, 120000);
    cr_expect_eq(routes[0].timeouts.connect_ms, INT64_MIN);
    cr_expect(routes[0].has_cache);
    cr_expect_eq(routes[0].cache.ttl_ms, NEVER);
    cr_expect_not(routes[0].cache.has_cookies);
    cr_expect_eq(routes[0].priority, PRIORITY_NORMAL);
    cr_expect(str_eq(routes[1].name, STR("POST,PUT shop.example.com/b")));
    cr_expect(str_eq(routes[1].host, STR("shop.example.com")));
    cr_expect(routes[1].is_upgrade_refused);
    cr_expect_eq(routes[1].method_count, 2);
    cr_expect_eq(routes[1].mark.line, 4);
    cr_expect_null(routes[2].path.data);
    cr_expect(routes[2].cache.has_cookies);
    cr_expect_eq(routes[2].cache.cookie_count, 0);
    cr_expect(routes[2].cache.is_for_all_tenants);
    cr_expect_eq(routes[2].cache.share, SHARE_CREDENTIAL);
    config_unref(c);
}

Test(reader, a_cache_rule_that_says_nothing_leaves_it_to_the_reply)
{
    struct config *c = must_read(APP "routes: [{path: /a, cache: {}}, {path: /b}]\n");
    for (unsigned i = 0; i < c->route_count; i++) {
        const struct config_cache_rule *rule = &c->routes[i].cache;
        cr_expect_eq(c->routes[i].has_cache, i == 0);
        cr_expect_eq(rule->ttl_ms, NEVER);
        cr_expect_eq(rule->stale_while_revalidate_ms, NEVER);
        cr_expect_eq(rule->stale_if_error_ms, NEVER);
        cr_expect_eq(rule->brownout_ms, 0);
        cr_expect_eq(rule->tag_count, 0);
        cr_expect_eq(rule->ignored, 0);
        cr_expect_not(rule->is_heuristic_off);
        cr_expect_not(rule->is_query_sorted);
        cr_expect_not(rule->is_refresh_off);
    }
    config_unref(c);
}

Test(reader, a_cache_rule_may_say_how_long_stale_is_good_without_a_ttl)
{
    struct config *c =
        must_read(APP "routes:\n"
                      "  - {path: /a, cache: {stale_while_revalidate: 30s, stale_if_error: 0s,\n"
                      "      brownout: 10m, tags: [items, shop], heuristic: false, query: sorted,\n"
                      "      refresh_ahead: false, ignore: [only-if-cached, no-cache, no-cache]}}\n"
                      "  - {path: /b, cache: {heuristic: true, refresh_ahead: true, query: exact,\n"
                      "      ignore: [no-store, max-age, min-fresh, max-stale]}}\n");
    const struct config_cache_rule *rule = &c->routes[0].cache;
    cr_expect_eq(rule->ttl_ms, NEVER);
    cr_expect_eq(rule->stale_while_revalidate_ms, 30 * 1000);
    cr_expect_eq(rule->stale_if_error_ms, 0, "0s is said: not even for the reply's own word");
    cr_expect_eq(rule->brownout_ms, 600 * 1000);
    cr_assert_eq(rule->tag_count, 2);
    cr_expect(str_eq(rule->tags[1], STR("shop")));
    cr_expect(rule->is_heuristic_off);
    cr_expect(rule->is_query_sorted);
    cr_expect(rule->is_refresh_off);
    cr_expect_eq(rule->ignored, 1U << IGNORABLE_ONLY_IF_CACHED | 1U << IGNORABLE_NO_CACHE);
    rule = &c->routes[1].cache;
    cr_expect_not(rule->is_heuristic_off);
    cr_expect_not(rule->is_query_sorted);
    cr_expect_not(rule->is_refresh_off);
    cr_expect_eq(rule->ignored, 2 | 4 | 8 | 16);
    config_unref(c);
}

Test(reader, a_second_tier_needs_its_url_only)
{
    struct config *c = must_read(APP "cache: {stale_if_error: 0s, leak_sample: off,\n"
                                     "  redis: {url: \"redis://:secret@cache:6379/1\"}}\n");
    cr_expect(c->cache.redis.is_given);
    cr_expect(str_eq(c->cache.redis.url, STR("redis://:secret@cache:6379/1")));
    cr_expect_eq(c->cache.redis.budget_ms, 5);
    cr_expect_eq(c->cache.redis.mark.line, 3);
    cr_expect(str_eq(c->cache.redis.prefix, STR("weir")));
    cr_expect_eq(c->cache.leak_sample, 0);
    cr_expect_eq(c->cache.stale_if_error_ms, 0);
    config_unref(c);
    c = must_read(APP "cache: {leak_sample: 0, redis: {url: \"unix:///run/redis.sock\", budget: 20ms,\n"
                      "  prefix: shop.test}}\n");
    cr_expect_eq(c->cache.redis.budget_ms, 20);
    cr_expect(str_eq(c->cache.redis.prefix, STR("shop.test")));
    cr_expect_eq(c->cache.leak_sample, 0);
    config_unref(c);
}

Test(reader, mistakes_about_the_cache_name_what_is_allowed)
{
    static const struct refusal rows[] = {
        { APP "cache: {redis: {budget: 5ms}}\n", ":2:9: redis needs `url`" },
        { APP "cache: {redis: {url: \"http://:hush@x:6379\"}}\n",
          "url: this value is wrong; allowed: a URL such as redis://HOST:6379/0 (redis, unix, redis+unix "
          "or redis+sentinel)" },
        { APP "cache: {redis: {url: \"redis:\"}}\n", "url: this value is wrong" },
        { APP "cache: {redis: {url: \"redis://\"}}\n", "url: this value is wrong" },
        { APP "cache: {redis: {url: \"redis:/x\"}}\n", "url: this value is wrong" },
        { APP "cache: {redis: {url: \"rediss://a\"}}\n",
          ":2:22: url: this value is not built yet; allowed: " },
        { APP "cache: {redis: {url: \"redis://a b\"}}\n", "url: this value is wrong" },
        { APP "cache: {redis: {url: \"redis://a\", budget: 0ms}}\n", "is out of range; allowed: a duration" },
        { APP "cache: {redis: {url: \"redis://a\", prefix: \"a b\"}}\n", "prefix: \"a b\" is wrong" },
        { APP "cache: {redis: {url: \"redis://a\", password: x}}\n",
          "unknown key \"password\" in redis; allowed: url, budget, prefix" },
        { APP "cache: {redis: \"redis://a\"}\n", "allowed: a mapping of url, budget, prefix" },
        { APP "cache: {leak_sample: -1}\n", "leak_sample: " },
        { APP "cache: {leak_sample: on}\n", ", or off" },
        { APP "cache: {stale_if_error: unlimited}\n", "stale_if_error: \"unlimited\" is wrong" },
        { APP "routes: [{path: /a, cache: {ignore: [no-cash]}}]\n", "did you mean \"no-cache\"?" },
        { APP "routes: [{path: /a, cache: {ignore: no-cache}}]\n", "ignore: " },
        { APP "routes: [{path: /a, cache: {query: ordered}}]\n", "one of exact, sorted" },
        { APP "routes: [{path: /a, cache: {heuristic: 10%}}]\n", "allowed: true or false" },
        { APP "routes: [{path: /a, cache: {refresh_ahead: 1s}}]\n", "allowed: true or false" },
        { APP "routes: [{path: /a, cache: {tags: [\"a b\"]}}]\n", "tags: \"a b\" is wrong" },
        { APP "routes: [{path: /a, cache: {brownout: 366h, stale_if_error: 8761h}}]\n", "is out of range" },
        { APP "tenants: {default: {cache_share: 0%}}\n",
          "cache_share: \"0%\" is out of range; allowed: a percentage" },
        { APP "tenants: {named: {a: {cache_share: 101%}}}\n", "is out of range" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
    char *text = must_refuse(rows[1].yaml);
    cr_expect(strstr(text, "hush") == NULL, "%s", text);
    free(text);
}

Test(reader, each_mistake_names_the_place_the_wrong_and_the_allowed)
{
    static const struct refusal rows[] = {
        { APP "lsten: 127.0.0.1:80\n", ":2:1: unknown key \"lsten\" in the file; allowed: listen, admin, " },
        { APP "lsten: 127.0.0.1:80\n", "; did you mean \"listen\"?" },
        { APP "listen:\n  - {adress: a:1}\n", ":3:6: unknown key \"adress\" in listen" },
        { APP "listen:\n  - {adress: a:1}\n", ":3:5: listen needs `address`" },
        { APP "workers: many\n",
          ":2:10: workers: \"many\" is wrong; allowed: a whole number from 1 to 256, or auto" },
        { APP "workers: 0\n", "workers: \"0\" is out of range" },
        { APP "workers: [1]\n", ":2:10: workers: a list is wrong here; allowed: a whole number" },
        { APP "workers:\n", ":2:1: workers: it is empty; allowed" },
        { APP "clients: {head_time: 10}\n", "did you mean \"10s\"?" },
        { APP "clients: {head_time: 0s}\n",
          "\"0s\" is out of range; allowed: a duration such as 250ms, 2s, 5m or 1h, "
          "from 1ms to 24h, or unlimited" },
        { APP "clients: {head_max: 64K}\n", "did you mean \"64KiB\"?" },
        { APP "clients: {rate: 100}\n", "did you mean \"100/s\"?" },
        { APP "clients: {connections: atuo}\n", "did you mean \"auto\"?" },
        { APP "clients: {body_max: unlimted}\n", "did you mean \"unlimited\"?" },
        { APP "clients: 5\n", "clients: a single value is wrong here; allowed: a mapping of head_max, " },
        { APP "log: {access: jsno}\n",
          ":2:15: access: \"jsno\" is wrong; allowed: one of off, json; did you mean \"json\"?" },
        { APP "trusted_peers: 10.0.0.0/8\n",
          "trusted_peers: a single value is wrong here; allowed: a list, in [ ]" },
        { APP "trusted_peers: [10.0.0.1/8]\n", "trusted_peers: \"10.0.0.1/8\" is wrong" },
        { APP "listen: 8080\n", "did you mean \"127.0.0.1:8080\"?" },
        { APP "listen: []\n", ":2:1: listen is empty; at least 1 is needed" },
        { APP "admin: {address: \"*:80\"}\n", "address: \"*:80\" is wrong" },
        { APP "routes: {path: /a}\n",
          "routes: a mapping is wrong here; allowed: a list, with - in front of each" },
        { APP "routes: [{path: a}]\n", "path: \"a\" is wrong; allowed: a path such as /items/**" },
        { APP "routes: [{path: /a, methods: [get]}]\n", "did you mean \"GET\"?" },
        { APP "routes: [{path: /a, host: \"a:80\"}]\n", "without port" },
        { APP "versions: {known: {v1: {after_sunset: stay}}}\n", "allowed: gone" },
        { APP "versions: {known: {v1: {link: \"<x>\"}}}\n", "a URL, without spaces" },
        { APP "versions: {known: {}}\n", "known is empty" },
        { APP "versions: {default: v1}\n", "versions needs `known`" },
        { APP "versions: {known: {v1: {canary: {percent: 5}}}}\n", "canary needs `upstream`" },
        { APP "versions: {known: {v1: {canary: {upstream: app, percent: 101}}}}\n", "from 0 to 100" },
        { "upstreams: {app: {replicas: [a:1]}}\n", ":1:13: app needs `primary`" },
        { "upstreams: {app: {primary: []}}\n", "primary is empty" },
        { "upstreams: {app: {primary: a:1}}\n", "primary: a single value is wrong here" },
        { "upstreams: {app: {primary: [a:1], limit: {queue: 5}}}\n", "limit needs `concurrency`" },
        { "upstreams: {app: {primary: [a:1], retries: {budget: 20}}}\n", "did you mean \"20%\"?" },
        { "upstreams: {\"my app\": {primary: [a:1]}}\n", "upstreams: \"my app\" is wrong" },
        { "upstreams: {}\n", "upstreams is empty" },
        { "workers: 1\n", ":1:1: the file needs `upstreams`" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
}

Test(reader, all_mistakes_are_reported_in_the_files_order)
{
    char *text =
        must_refuse("workers: x\nlog: {level: y}\nupstreams: {a: {primary: [z]}}\ncache: {memory: w}\n");
    static const char *const want[] = { ":1:10:", ":2:14:", ":3:27:", ":4:17:" };
    const char *at = text;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        at = strstr(at, want[i]);
        cr_assert(at != NULL, "%s in:\n%s", want[i], text);
    }
    free(text);
}

Test(reader, a_secret_is_never_repeated)
{
    char *text = must_refuse(APP "admin: {address: 127.0.0.1:1, token: \"hush\\nhush\"}\n");
    cr_expect(strstr(text, "hush") == NULL, "%s", text);
    free(text);
}

Test(reader, patterns_hold_their_placeholder_once_as_a_whole_part)
{
    static const char *const rows[] = {
        "tenants: {from: [{host: api.example.com}]}",
        "tenants: {from: [{host: \"{tenant}.{tenant}.com\"}]}",
        "tenants: {from: [{host: \"x{tenant}.com\"}]}",
        "tenants: {from: [{host: \"{tenant}x.com\"}]}",
        "tenants: {from: [{host: \"{tenant}.com:80\"}]}",
        "tenants: {from: [{host: \"{version}.com\"}]}",
        "tenants: {from: [{path: \"/t/\"}]}",
        "tenants: {from: [{path: \"t/{tenant}/\"}]}",
        "tenants: {from: [{path: \"/t{tenant}/\"}]}",
        "tenants: {from: [{path: \"/{tenant}x/\"}]}",
        "tenants: {from: [{path: \"/{tenant}/{tenant}/\"}]}",
        "tenants: {from: [{path: \"/*/{tenant}/\"}]}",
        "tenants: {from: [{path: \"/{tenant}/?a\"}]}",
        "versions: {known: {v1: }, from: [{path: \"/{tenant}/\"}]}",
        "versions: {known: {v1: }, from: [{accept: \"{version}\"}]}",
        "versions: {known: {v1: }, from: [{accept: \"application/vnd.x+json\"}]}",
        "versions: {known: {v1: }, from: [{accept: \"application/{version};q=1\"}]}",
        "versions: {known: {v1: }, from: [{header: \"a b\"}]}",
        "versions: {known: {v1: }, from: [{query: \"a&b\"}]}",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char yaml[256];
        snprintf(yaml, sizeof yaml, APP "%s\n", rows[i]);
        char *text = must_refuse(yaml);
        cr_expect(strstr(text, "is wrong; allowed: ") != NULL, "%s: %s", rows[i], text);
        free(text);
    }
}

Test(reader, an_entry_of_from_names_one_source)
{
    static const struct refusal rows[] = {
        { APP "tenants: {from: [{header: A, host: \"{tenant}.x\"}]}\n",
          ":2:30: one source an entry: header is already here" },
        { APP "tenants: {from: [{believe: any}]}\n", "this entry names no source" },
        { APP "tenants: {from: [{}]}\n", "this entry names no source" },
        { APP "tenants: {from: [{header: A, strip: true}]}\n", "strip does not go with header" },
        { APP "tenants: {from: [{query: a}]}\n", "unknown key \"query\"" },
        { APP "tenants: {from: [{header: A}, {header: a}]}\n", "this source is here twice" },
        { APP "tenants: {from: []}\n", "from is empty" },
        { APP "tenants: {unknown: refuse}\n",
          ":2:20: unknown: refuse without `from` would refuse every request" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
}
