#include "help.h"

#include "base/check.h"

#define TWO "upstreams: {app: {primary: [a:1]}, next: {primary: [b:1]}}\n"

Test(checks, names_lead_somewhere)
{
    static const struct refusal rows[] = {
        { APP "routes: [{path: /a, upstream: ap}]\n",
          ":2:31: upstream: there is no upstream \"ap\"; allowed: a name under upstreams" },
        { APP "routes: [{path: /a, upstream: apps}]\n", "did you mean \"app\"?" },
        { APP "versions: {known: {v1: {upstream: nope}}}\n",
          ":2:35: upstream: there is no upstream \"nope\"" },
        { APP "versions: {known: {v1: {canary: {upstream: nope}}}}\n",
          "canary: there is no upstream \"nope\"" },
        { APP "versions: {default: v3, known: {v1: }}\n", ":2:21: default: there is no version \"v3\"" },
        { APP "tenants: {named: {acme: {version: v1}}}\n", "version: there is no version \"v1\"" },
        { APP "tenants: {unlisted: refuse, named: {acme: }}\n"
              "versions: {known: {v1: {canary: {upstream: app, tenants: [acmee]}}}}\n",
          ":3:59: tenants: there is no tenant \"acmee\", and unlisted ones are refused; allowed: a name "
          "under "
          "tenants.named; did you mean \"acme\"?" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
}

Test(checks, with_several_upstreams_every_request_has_one)
{
    static const struct refusal rows[] = {
        { TWO, ":1:1: there are 2 upstreams, and nothing says who gets what" },
        { TWO "versions: {known: {v1: {upstream: app}, v2: }}\n",
          ":2:41: there are 2 upstreams, and this version" },
        { TWO "routes: [{path: /a, upstream: app}]\n", "nothing says who gets what" },
        { TWO "routes: [{upstream: app}, {path: /a}]\n",
          ":2:27: there are 2 upstreams, and neither this route" },
        { TWO "routes: [{path: /**, methods: [GET], upstream: app}]\n", "nothing says who gets what" },
    };
    must_refuse_all(rows, COUNT_OF(rows));

    static const char *const fine[] = {
        TWO "versions: {known: {v1: {upstream: app}, v2: {upstream: next}}}\n",
        TWO "routes: [{path: /**, upstream: app}, {path: /a, upstream: next}]\n",
        TWO "routes: [{upstream: app}]\n",
        TWO "versions: {known: {v1: }}\nroutes: [{upstream: app}]\n",
        TWO "versions: {known: {v1: {upstream: app}}}\nroutes: [{path: /a}]\n",
        APP "versions: {known: {v1: , v2: }}\n",
    };
    for (size_t i = 0; i < COUNT_OF(fine); i++)
        config_unref(must_read(fine[i]));
}

Test(checks, nothing_is_said_twice)
{
    static const struct refusal rows[] = {
        { APP "listen: [127.0.0.1:1, 127.0.0.1:1]\n", ":2:23: listen: 127.0.0.1:1 is here twice" },
        { APP "listen: [\"[::1]:1\", \"[0:0::1]:1\"]\n", "is here twice" },
        { APP "listen: [\"unix:/a\", \"unix:/a\"]\n", "is here twice" },
        { APP "listen: 127.0.0.1:9900\n", "is the admin address too" },
        { "upstreams: {app: {primary: [a:1, a:1]}}\n", ":1:34: a:1 is here twice" },
        { "upstreams: {app: {primary: [a:1], replicas: [A:1]}}\n", "each server once, with one role" },
        { APP "tenants: {named: {acme: , ACME: }}\n",
          "tenant \"acme\" is here twice (names are lower-cased)" },
        { APP "routes: [{path: /a}, {path: /a}]\n",
          ":2:22: this route matches what the one on line 2 matches" },
        { APP "routes: [{path: /a, host: X}, {path: /a, host: x}]\n", "this route matches" },
        { APP "routes: [{}, {path: /**}]\n", "this route matches" },
        { APP "routes: [{path: /a, methods: [GET, PUT]}, {path: /a, methods: [PUT]}]\n",
          "this route matches" },
        { APP "routes: [{name: x, path: /a}, {name: x, path: /b}]\n", "route name \"x\" is here twice" },
    };
    must_refuse_all(rows, COUNT_OF(rows));

    static const char *const fine[] = {
        APP "listen: [127.0.0.1:0, 127.0.0.1:0]\n",
        APP "listen: [127.0.0.1:1, \"[::1]:1\", 127.0.0.2:1]\n",
        APP
        "routes: [{path: /a, methods: [GET]}, {path: /a, methods: [PUT]}, {path: /a}, {path: /a, host: x}]\n",
        APP "routes: [{path: /a}, {path: /a/}, {path: /a/*}, {path: /a/**}]\n",
    };
    for (size_t i = 0; i < COUNT_OF(fine); i++)
        config_unref(must_read(fine[i]));
}

Test(checks, the_admin_address_needs_a_token_beyond_loopback)
{
    static const struct refusal rows[] = {
        { APP "admin: 0.0.0.0:9900\n", ":2:8: admin: 0.0.0.0:9900 can be reached by others" },
        { APP "admin: {address: \"[::]:9900\"}\n", "can be reached by others" },
        { APP "admin: weir.internal:9900\n", "can be reached by others" },
        { APP "admin: {address: 0.0.0.0:9900, token: \"\"}\n", "token: it is empty" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
    static const char *const fine[] = {
        APP "admin: 127.0.0.2:9900\n",
        APP "admin: \"[::1]:9900\"\n",
        APP "admin: localhost:9900\n",
        APP "admin: unix:/run/weir/admin.sock\n",
        APP "admin: {address: 0.0.0.0:9900, token: x}\n",
        APP "admin: {token: x}\n",
    };
    for (size_t i = 0; i < COUNT_OF(fine); i++)
        config_unref(must_read(fine[i]));
}

Test(checks, contradictions_are_mistakes)
{
    static const struct refusal rows[] = {
        { APP "routes: [{path: /a, cache: {share: tenant, scope: all_tenants}}]\n", "contradict each other" },
        { APP "versions: {known: {v1: {deprecated: 2027-01-01, sunset: 2026-01-01}}}\n",
          ":2:57: sunset is before deprecated" },
        { APP "versions: {known: {v1: {after_sunset: gone}}}\n", "after_sunset needs a sunset" },
        { APP "listen: [{address: a:1, client_ca: /dev/null}]\n", "client_ca needs tls" },
        { APP "tenants: {default: {burst: 5}}\n", "burst needs a rate" },
        { APP "tenants: {named: {a: {rate: 5/s, burst: 0}}}\n", "burst: \"0\" is out of range" },
        { "upstreams: {app: {primary: [a:0]}}\n", "a server's port must be 1 to 65535" },
    };
    must_refuse_all(rows, COUNT_OF(rows));
    config_unref(must_read(APP "versions: {known: {v1: {deprecated: 2027-01-01, sunset: 2027-01-01}}}\n"));
}

Test(checks, one_wrong_value_is_one_mistake)
{
    static const char *const rows[] = {
        "upstreams: {app: {primary: [x]}}\n",
        "upstreams: [app]\nroutes: [{path: /a, upstream: app}]\n",
        APP "routes: [{path: a}, {path: b}]\nworkers: 1\n" /* two, of two */,
        APP "versions: {known: {v1: {sunset: never, after_sunset: gone}}}\n",
        TWO "versions: {known: {v1: {upstream: \"a b\"}}}\n",
        APP "admin: {address: 0.0.0.0:9900, token: [x]}\n",
    };
    static const int want[] = { 1, 1, 2, 1, 1, 1 };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *text = must_refuse(rows[i]);
        int lines = 0;
        for (const char *at = text; *at; at++)
            lines += *at == '\n';
        cr_expect_eq(lines, want[i], "%s%s", rows[i], text);
        free(text);
    }
}

/* The warnings of a config without mistakes as ":LINE:COL: text" lines, malloc'd. */
static char *warnings_of(const char *yaml)
{
    struct config *config = must_read(yaml);
    char *text = config_mistakes_text(&config->warnings, "");
    config_unref(config);
    return text;
}

static void expect_warnings(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *text = warnings_of(rows[i].yaml);
        bool is_right = rows[i].want ? strstr(text, rows[i].want) != NULL : text[0] == '\0';
        cr_expect(is_right, "row %zu\n%s\nwanted: %s\ngot: %s", i, rows[i].yaml,
                  rows[i].want ? rows[i].want : "nothing", text);
        free(text);
    }
}

#define LOOP(listen, server) "listen: [" listen "]\nupstreams: {app: {primary: [" server "]}}\n"

Test(checks, weir_before_itself_is_warned_of)
{
    static const struct refusal rows[] = {
        { LOOP("127.0.0.1:81", "127.0.0.1:81"), ":2:29: upstream app: 127.0.0.1:81 is weir itself, which "
                                                "listens on 127.0.0.1:81: each request would go in "
                                                "circles" },
        { "upstreams:\n  app:\n    primary: [a:1]\n    replicas: [127.0.0.1:8080]\n", ":4:16: upstream app" },
        { LOOP("0.0.0.0:81", "127.0.0.1:81"), "is weir itself" },
        { LOOP("0.0.0.0:81", "localhost:81"), "is weir itself" },
        { LOOP("0.0.0.0:81", "0.0.0.0:81"), "is weir itself" },
        { LOOP("127.0.0.1:81", "0.0.0.0:81"), "is weir itself" },
        { LOOP("127.0.0.1:81", "localhost:81"), "is weir itself" },
        { LOOP("\"[::]:81\"", "\"[::1]:81\""), "is weir itself" },
        { LOOP("\"[::]:81\"", "127.0.0.1:81"), "is weir itself" },
        { LOOP("a:1, \"unix:/run/a\"", "\"unix:/run/a\""), "is weir itself, which listens on unix:/run/a" },
        { LOOP("127.0.0.1:81", "127.0.0.1:82"), NULL },
        { LOOP("127.0.0.1:81", "127.0.0.2:81"), NULL },
        { LOOP("0.0.0.0:81", "10.0.0.1:81"), NULL },
        { LOOP("0.0.0.0:81", "\"[::1]:81\""), NULL },
        { LOOP("0.0.0.0:81", "app.internal:81"), NULL },
        { LOOP("127.0.0.1:0", "127.0.0.1:1"), NULL },
        { LOOP("\"unix:/run/a\"", "\"unix:/run/b\""), NULL },
    };
    expect_warnings(rows, COUNT_OF(rows));
}

Test(checks, writes_that_rw_split_does_not_see_are_warned_of)
{
    static const struct refusal rows[] = {
        { "upstreams:\n  app: {primary: [a:1], replicas: [a:2]}\n  old: {primary: [b:1]}\n",
          ":3:3: upstream old has no rw_split, and shares the domain \"main\" with app: writes through it "
          "give no "
          "token, and `consistency: strict` does not see them; give it `plugins: [rw_split]`, or a domain" },
        { "upstreams:\n  app: {primary: [a:1], plugins: [rw_split], domain: d}\n"
          "  old: {primary: [b:1], domain: d}\n",
          ":3:33: upstream old" },
        { "upstreams:\n  app: {primary: [a:1], replicas: [a:2]}\n"
          "  old: {primary: [b:1], replicas: [b:2], plugins: []}\n",
          "upstream old" },
        { "upstreams: {app: {primary: [a:1], replicas: [a:2]}, old: {primary: [b:1], domain: old}}\n", NULL },
        { "upstreams: {app: {primary: [a:1], replicas: [a:2]}, old: {primary: [b:1], plugins: [rw_split]}}\n",
          NULL },
        { "upstreams: {app: {primary: [a:1], replicas: [a:2]}, old: {primary: [b:1], plugins: [shard]}}\n"
          "routes: [{path: /**, upstream: app}]\n",
          NULL },
        { TWO "routes: [{path: /**, upstream: app}]\n", NULL },
    };
    static const char *const ways = "routes: [{path: /**, upstream: app}]\n";
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char yaml[512];
        bool has_ways = strstr(rows[i].yaml, "routes") != NULL;
        snprintf(yaml, sizeof yaml, "%s%s", rows[i].yaml, has_ways ? "" : ways);
        expect_warnings(&(struct refusal){ yaml, rows[i].want }, 1);
    }
}

Test(checks, warnings_are_sorted_by_line)
{
    char *text = warnings_of("upstreams:\n  app: {primary: [a:1], replicas: [a:2]}\n"
                             "  old: {primary: [127.0.0.1:80]}\n"
                             "listen: [0.0.0.0:80]\nroutes: [{path: /**, upstream: app}]\n");
    const char *first = strstr(text, ":3:3: ");
    cr_assert_not_null(first, "%s", text);
    cr_assert_not_null(strstr(first, ":3:19: "), "%s", text);
    free(text);
}

Test(checks, a_domain_is_not_too_long_for_a_token)
{
    char yaml[512];
    char domain[DOMAIN_MAX + 2];
    memset(domain, 'd', sizeof domain);
    domain[DOMAIN_MAX + 1] = '\0';
    snprintf(yaml, sizeof yaml, "upstreams: {app: {primary: [a:1], domain: %s}}\n", domain);
    must_refuse_all(&(struct refusal){ yaml, ":1:43: domain: it has 129 bytes; allowed: at most 128" }, 1);
    snprintf(yaml, sizeof yaml, "upstreams: {app: {primary: [a:1], domain: %s}}\n", domain + 1);
    config_unref(must_read(yaml));
}

Test(checks, values_say_what_is_wrong_with_them)
{
    static const struct refusal rows[] = {
        { "upstreams: {app: {primary: [127.0.0.1:99999]}}\n",
          "\"127.0.0.1:99999\" is wrong; allowed: host:port, [::1]:port or unix:/path; a port is at most "
          "65535" },
        { "upstreams: {app: {primary: [\"[::1]:65536\"]}}\n", "a port is at most 65535" },
        { APP "admin: {address: 127.0.0.1:1, token: \"\"}\n",
          ":2:38: token: it is empty; allowed: text without control characters" },
        { APP "admin: 0.0.0.0:1\n", "unix:/path, or, in a config file, {address: ..." },
    };
    must_refuse_all(rows, COUNT_OF(rows));
    char *text = must_refuse("upstreams: {app: {primary: [\"a b:1\"]}}\n");
    cr_assert_null(strstr(text, "65535"), "%s", text);
    free(text);
}
