#include "help.h"

#include "base/check.h"

Test(summary, reads_back_as_the_same_config)
{
    char *yaml = must_load(SOURCE_DIR "/conf/weir.yaml");
    const char *const rows[] = {
        yaml,
        APP,
        APP "tenants: {named: {a: {rate: 1/m, burst: 3}}}\nadmin: {address: 0.0.0.0:1, token: \"a b\"}\n",
        APP "versions: {known: {v1: {canary: {upstream: app, percent: 0.1}}}}\n",
        APP
        "routes: [{cache: {cookies: []}}]\ntrusted_peers: [\"::/0\", 0.0.0.0/0, \"::ffff:1.2.3.4/128\"]\n",
        APP "cache: {leak_sample: off, redis: {url: \"redis://a:b@c:1/2?x=y\"}}\n",
        APP "routes: [{cache: {heuristic: false, ignore: [max-age], query: sorted, refresh_ahead: false,\n"
            "stale_if_error: 0s, stale_while_revalidate: 1s, brownout: 2s, tags: [a]}}]\n",
        "upstreams: {app: {primary: [\"unix:/a b\"], tls: {}, plugins: [{name: x, k: {a: [1, \"2\", "
        "~]}}]}}\n",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config *first = must_read(rows[i]);
        char *once = config_summary(first);
        struct config *second = must_read(once);
        char *twice = config_summary(second);
        cr_expect_str_eq(once, twice, "row %zu", i);
        free(once);
        free(twice);
        config_unref(first);
        config_unref(second);
    }
    free(yaml);
}

Test(summary, hides_the_token_and_says_what_was_understood)
{
    struct config *config = must_read(APP "admin: {address: 0.0.0.0:1, token: sesame}\nworkers: 3\n");
    char *text = config_summary(config);
    cr_expect(strstr(text, "sesame") == NULL);
    cr_expect(strstr(text, "1 upstream with 1 server, 0 versions") != NULL, "%s", text);
    cr_expect(strstr(text, "\nworkers: 3\n") != NULL, "%s", text);
    cr_expect(strstr(text, "first_byte: 30s") != NULL, "%s", text);
    free(text);
    config_unref(config);
}

Test(summary, shows_where_redis_is_and_no_password)
{
    static const struct {
        const char *url;
        const char *want;
    } rows[] = {
        { "redis://127.0.0.1:6379/0", "url: \"redis://127.0.0.1:6379/0\"" },
        { "redis+sentinel://app:sesame@a:1,b:2/m/0", "url: \"redis+sentinel://(hidden)@a:1,b:2/m/0\"" },
        { "redis://:sesame/ses@ame?@cache:6379/2", "url: \"redis://(hidden)@cache:6379/2\"" },
        { "unix:///run/redis.sock?db=1&password=sesame", "url: \"unix:///run/redis.sock?(hidden)\"" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char yaml[256];
        snprintf(yaml, sizeof yaml, APP "cache: {redis: {url: \"%s\"}}\n", rows[i].url);
        struct config *config = must_read(yaml);
        char *text = config_summary(config);
        cr_expect(strstr(text, rows[i].want) != NULL, "row %zu: %s", i, text);
        cr_expect(strstr(text, "ses") == NULL, "row %zu: %s", i, text);
        free(text);
        config_unref(config);
    }
}

/* Secrets all have "ses" in them. */
Test(summary, shows_plugins_without_their_secrets)
{
    static const struct {
        const char *keys;
        const char *want;
    } rows[] = {
        { "keys: [sesame-1, \"sesame 2\"]", "\"keys\": [\"(hidden)\", \"(hidden)\"]" },
        { "token: sesame", "\"token\": \"(hidden)\"" },
        { "a: {Password: sesame, b: 1}", "\"a\": {\"Password\": \"(hidden)\", \"b\": 1}" },
        { "api_key: sesame", "\"api_key\": \"(hidden)\"" },
        { "secret: {x: [sesame, ~, true, 1]}", "{\"x\": [\"(hidden)\", null, true, \"(hidden)\"]}" },
        { "a: \"postgresql://weir:ses/a@me@10.0.0.1/app?x=y\"",
          "\"postgresql://(hidden)@10.0.0.1/app?x=y\"" },
        { "a: \"postgresql://weir@h/app?password=ses a'me&x=y\"",
          "\"postgresql://weir@h/app?password=(hidden)&x=y\"" },
        { "a: [\"host=h password=ses&ame user=weir\"]", "[\"host=h password=(hidden) user=weir\"]" },
        { "a: \"PASSWORD = 'ses \\\\' ses' sslpassword=ses\\\\ ses host=h\"",
          "\"PASSWORD = (hidden) sslpassword=(hidden) host=h\"" },
        { "a: \"password='sesame\"", "\"password=(hidden)\"" },
        { "a: \"password=ses\\\\\"", "\"password=(hidden)\"" },
        { "a: \"host=h password=\"", "\"host=h password=(hidden)\"" },
        { "a: \"see http://user@h/x\", passwords: ~", "\"see http://user@h/x\", \"passwords\": null" },
        { "a: [\"no password\", \"\", 1.5, {monkey: b}]",
          "[\"no password\", \"\", 1.5, {\"monkey\": \"b\"}]" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char yaml[256];
        snprintf(yaml, sizeof yaml, "upstreams: {app: {primary: [a:1], plugins: [{name: x, %s}]}}\n",
                 rows[i].keys);
        struct config *config = must_read(yaml);
        char *text = config_summary(config);
        cr_expect(strstr(text, rows[i].want) != NULL, "row %zu: %s", i, text);
        cr_expect(strstr(text, "ses") == NULL, "row %zu: %s", i, text);
        free(text);
        config_unref(config);
    }
}
