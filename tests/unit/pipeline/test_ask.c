/* What the app is told: each test sends a request through the corridor and reads the head as a server gets
 * it. */
#include "pipeline/ask.h"

#include <arpa/inet.h>

#include "walk.h"

#define APP "upstreams: {app: {primary: [\"@0\"]}}\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static struct place place;
static struct guest guest;

static void set_up(const char *yaml)
{
    place_open(&place, yaml);
    guest_init(&guest, &place);
}

static void tear_down(void)
{
    guest_fini(&guest);
    place_close(&place);
}

/* The head as the app gets it, until the next call. */
static const char *asked(const char *lines)
{
    const char *head = guest_meets(&guest, lines, &place.apps[0], OK);
    app_close(&place.apps[0]);
    cr_assert_eq(guest_status(&guest), 200);
    return head;
}

#define expect_field(head, name, want)                                                                 \
    do {                                                                                               \
        const char *value_ = head_field(head, name);                                                   \
        cr_expect(value_ &&strcmp(value_, want) == 0, "%s is \"%s\", not \"%s\"", name, value_, want); \
    } while (0)

#define expect_no_field(head, name)                                    \
    do {                                                               \
        const char *value_ = head_field(head, name);                   \
        cr_expect(value_ == NULL, "%s goes on: \"%s\"", name, value_); \
    } while (0)

Test(ask, method_target_host_and_ordinary_fields_go_on_as_they_came)
{
    set_up(APP);
    const char *head = asked("QUERY /a%2fb/../c?x=1&&y HTTP/1.1\nHost: Shop.Example:8080\nX-Thing:  a  b "
                             "\nx-thing: c\nAccept: */*");
    cr_expect(strncmp(head, "QUERY /a%2fb/../c?x=1&&y HTTP/1.1\r\n", 35) == 0, "%s", head);
    expect_field(head, "Host:", "Shop.Example:8080");
    cr_expect_not_null(strstr(head, "\r\nX-Thing: a  b\r\nx-thing: c\r\n"), "in their order and case: %s",
                       head);
    expect_field(head, "Accept:", "*/*");
    tear_down();
}

Test(ask, hop_by_hop_fields_and_what_connection_names_stay_here)
{
    static const char *const gone[] = {
        "Connection:", "Keep-Alive:",     "Proxy-Connection:",    "TE:",    "Upgrade:",
        "X-Hop:",      "HTTP2-Settings:", "Proxy-Authorization:", "Pragma:"
    };
    set_up(APP);
    const char *head = asked(
        "GET / HTTP/1.1\nHost: a\nConnection: keep-alive, X-Hop, Pragma, Host\nKeep-Alive: 5\nX-Hop: 1\n"
        "Proxy-Connection: close\nTE: trailers\nUpgrade: h2c\nHTTP2-Settings: x\nPragma: x\n"
        "Proxy-Authorization: Basic eA==\nX-End: 1");
    for (size_t i = 0; i < COUNT_OF(gone); i++)
        expect_no_field(head, gone[i]);
    expect_field(head, "X-End:", "1");
    expect_field(head, "Host:", "a");
    tear_down();
}

#define CLAIMS                                                                                      \
    "X-Forwarded-Prefix: /p\nX-Original-URL: /o\nX-HTTP-Method-Override: PUT\nX-Real-IP: 9.9.9.9\n" \
    "X-Forwarded-Ssl: on\nX-Rewrite-URL: /r\nX-Host: h\ntraceparent: "                              \
    "00-11111111111111111111111111111111-2222222222222222-01\n"                                     \
    "tracestate: a=b"

Test(ask, identity_fields_are_taken_from_the_untrusted)
{
    static const char *const names[] = { "X-Forwarded-Prefix:",
                                         "X-Original-URL:",
                                         "X-HTTP-Method-Override:",
                                         "X-Real-IP:",
                                         "X-Forwarded-Ssl:",
                                         "X-Rewrite-URL:",
                                         "X-Host:",
                                         "tracestate:" };
    set_up(APP);
    const char *head = asked("POST / HTTP/1.1\nHost: a\n" CLAIMS);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        expect_no_field(head, names[i]);
    const char *trace = head_field(head, "traceparent:");
    cr_assert_not_null(trace, "one of our own");
    cr_expect_eq(strlen(trace), 55);
    cr_expect_null(strstr(trace, "1111111111111111"), "not the client's");

    guest.client.is_trusted = true;
    head = asked("POST / HTTP/1.1\nHost: a\n" CLAIMS);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        cr_expect_not_null(head_field(head, names[i]), "a trusted peer may say %s", names[i]);
    expect_field(head, "traceparent:", "00-11111111111111111111111111111111-2222222222222222-01");
    tear_down();
}

Test(ask, names_that_read_as_known_ones_never_go_on)
{
    set_up(APP);
    guest.client.is_trusted = true;
    const char *head =
        asked("GET / HTTP/1.1\nHost: a\nX_Forwarded_For: 1.2.3.4\nContent_Length: 5\nWeir_Tenant: x");
    expect_no_field(head, "X_Forwarded_For:");
    expect_no_field(head, "Content_Length:");
    expect_no_field(head, "Weir_Tenant:");
    tear_down();
}

Test(ask, who_asks_is_said_by_weir_alone)
{
    set_up(APP);
    const char *head =
        asked("GET /x HTTP/1.1\nHost: shop.example:81\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-Proto: https\n"
              "X-Forwarded-Host: evil\nForwarded: for=6.6.6.6\nX-Request-Id: mine\nWeir-Tenant: other\n"
              "Weir-Version: v9\nX-Forwarded-Port: 1");
    expect_field(head, "X-Forwarded-For:", "127.0.0.9");
    expect_field(head, "X-Forwarded-Proto:", "http");
    expect_field(head, "X-Forwarded-Host:", "shop.example:81");
    expect_field(head, "Forwarded:", "for=127.0.0.9;host=\"shop.example:81\";proto=http");
    expect_field(head, "Via:", "1.1 weir");
    expect_field(head, "Weir-Tenant:", "default");
    expect_no_field(head, "Weir-Version:");
    expect_no_field(head, "X-Forwarded-Port:");
    const char *id = head_field(head, "X-Request-Id:");
    cr_assert_not_null(id);
    cr_expect_eq(strlen(id), 32);
    cr_expect(strcmp(id, guest_field(&guest, "X-Request-Id")) == 0, "the client is told the same");
    tear_down();
}

Test(ask, a_trusted_peers_word_comes_first)
{
    set_up(APP);
    guest.client.is_trusted = true;
    const char *head =
        asked("GET /x HTTP/1.0\nHost: inner\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-For: "
              "7.7.7.7\nX-Forwarded-Proto: https\n"
              "X-Forwarded-Host: shop.example\nForwarded: for=6.6.6.6\nX-Request-Id: id-1\nVia: 1.1 cdn");
    expect_field(head, "X-Forwarded-For:", "6.6.6.6, 7.7.7.7, 127.0.0.9");
    expect_field(head, "X-Forwarded-Proto:", "https");
    expect_field(head, "X-Forwarded-Host:", "shop.example");
    expect_field(head, "Forwarded:", "for=6.6.6.6, for=127.0.0.9;host=\"shop.example\";proto=https");
    expect_field(head, "Host:", "inner");
    expect_field(head, "X-Request-Id:", "id-1");
    expect_field(head, "Via:", "1.1 cdn, 1.0 weir");
    cr_expect_str_eq(guest_field(&guest, "X-Request-Id"), "id-1");
    tear_down();
}

Test(ask, a_trusted_id_that_would_spoil_a_log_is_made_anew)
{
    static const char *const bad[] = { "a\"b", "a,b", "a\\b", "",
                                       "0123456789012345678901234567890123456789012345678901234567890123x" };
    set_up(APP);
    guest.client.is_trusted = true;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char lines[256];
        snprintf(lines, sizeof lines, "GET / HTTP/1.1\nHost: a\nX-Request-Id: %s", bad[i]);
        const char *id = head_field(asked(lines), "X-Request-Id:");
        cr_expect(id && strlen(id) == 32, "row %zu: %s", i, id);
    }
    tear_down();
}

Test(ask, forwarded_quotes_ipv6_and_knows_no_name_for_unix)
{
    set_up(APP);
    guest.client.peer.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
    cr_assert_eq(inet_pton(AF_INET6, "2001:db8::7", &guest.client.peer.in6.sin6_addr), 1);
    const char *head = asked("GET / HTTP/1.1\nHost: [::1]:80");
    expect_field(head, "Forwarded:", "for=\"[2001:db8::7]\";host=\"[::1]:80\";proto=http");
    expect_field(head, "X-Forwarded-For:", "2001:db8::7");

    cr_assert_eq(inet_pton(AF_INET6, "::ffff:10.1.2.3", &guest.client.peer.in6.sin6_addr), 1);
    expect_field(asked("GET / HTTP/1.1\nHost: a"), "Forwarded:", "for=10.1.2.3;host=\"a\";proto=http");

    guest.client.peer.sa.sa_family = AF_UNIX;
    head = asked("GET / HTTP/1.1\nHost: a");
    expect_field(head, "Forwarded:", "for=unknown;host=\"a\";proto=http"); /* RFC 7239 6 */
    expect_field(head, "X-Forwarded-For:", "unknown");
    tear_down();
}

Test(ask, without_a_host_the_upstreams_name_stands_in)
{
    set_up(APP);
    const char *head = asked("GET /x HTTP/1.0");
    expect_field(head, "Host:", "app");
    expect_no_field(head, "X-Forwarded-Host:");
    tear_down();
}

Test(ask, cookies_go_on_without_weirs_own)
{
    static const struct {
        const char *lines;
        const char *want; /* NULL: none */
    } rows[] = {
        { "Cookie: a=1; weir_position=tok; b=2", "a=1; b=2" },
        { "Cookie: weir_position=tok", NULL },
        { "Cookie: weir_position=tok;a=1", "a=1" },
        { "Cookie: a=1;;  b=2;", "a=1; b=2" },
        { "Cookie: xweir_position=1; weir_positions=2", "xweir_position=1; weir_positions=2" },
        { "Cookie: flag", "flag" },
        { "Weir-Position: tok", NULL },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[256];
        snprintf(lines, sizeof lines, "GET / HTTP/1.1\nHost: a\nCache-Control: no-store\n%s", rows[i].lines);
        const char *head = asked(lines);
        const char *value = head_field(head, "Cookie:");
        cr_expect(rows[i].want ? value && strcmp(value, rows[i].want) == 0 : value == NULL, "row %zu: %s", i,
                  value);
        expect_no_field(head, "Weir-Position:");
    }
    tear_down();
}

#define CONDITIONS "If-None-Match: \"x\"\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\nIf-Range: \"x\"\n"

Test(ask, conditions_stay_here_when_the_answer_may_be_stored)
{
    set_up(APP);
    const char *head = asked("GET /c1 HTTP/1.1\nHost: a\n" CONDITIONS "X-End: 1");
    expect_no_field(head, "If-None-Match:");
    expect_no_field(head, "If-Modified-Since:");
    expect_no_field(head, "If-Range:");

    head = asked("GET /c2 HTTP/1.1\nHost: a\n" CONDITIONS "Range: bytes=0-1");
    expect_field(head, "If-None-Match:", "\"x\"");
    expect_field(head, "Range:", "bytes=0-1"); /* a part is not stored: the app may send it */
    expect_field(head, "If-Range:", "\"x\"");

    head = asked("GET /c3 HTTP/1.1\nHost: a\n" CONDITIONS "Cache-Control: no-store");
    expect_field(head, "If-None-Match:", "\"x\"");
    head = asked("PUT /c4 HTTP/1.1\nHost: a\nIf-Match: \"x\"\nContent-Length: 0");
    expect_field(head, "If-Match:", "\"x\"");
    tear_down();
}

Test(ask, conditions_that_only_the_app_may_judge_go_on)
{
    set_up(APP); /* RFC 9111 4.3.2: not even when the answer could be stored */
    const char *head = asked("GET /c1 HTTP/1.1\nHost: a\nIf-Match: \"x\"");
    expect_field(head, "If-Match:", "\"x\"");
    head = asked("GET /c2 HTTP/1.1\nHost: a\nIf-Unmodified-Since: Thu, 01 Jan 2026 00:00:00 GMT");
    expect_field(head, "If-Unmodified-Since:", "Thu, 01 Jan 2026 00:00:00 GMT");
    tear_down();
}

Test(ask, without_a_cache_conditions_are_the_apps_business)
{
    set_up(APP "cache: {memory: 0}\n");
    const char *head = asked("GET /c1 HTTP/1.1\nHost: a\nIf-None-Match: \"x\"");
    expect_field(head, "If-None-Match:", "\"x\"");
    tear_down();
}

Test(ask, a_stale_copys_validators_are_asked_about)
{
    set_up(APP);
    guest_meets(
        &guest, "GET /v HTTP/1.1\nHost: a", &place.apps[0],
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"one\"\r\n"
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    app_close(&place.apps[0]);
    cr_assert_not_null(strstr(guest_field(&guest, "Cache-Status"), "stored"));
    const char *head = asked("GET /v HTTP/1.1\nHost: a\nIf-None-Match: \"other\"");
    expect_field(head, "If-None-Match:", "\"one\"");
    expect_field(head, "If-Modified-Since:", "Thu, 01 Jan 2026 00:00:00 GMT");
    tear_down();
}

Test(ask, framing_is_written_anew)
{
    static const struct {
        const char *lines;
        const char *body;
        const char *length; /* NULL: none */
    } rows[] = {
        { "POST / HTTP/1.1\nHost: a\nContent-Length: 5", "hello", "5" },
        { "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked", "hello",
          "5" }, /* read whole: then its length is known */
        { "POST / HTTP/1.1\nHost: a\nContent-Length: 0", NULL, "0" },
        { "POST / HTTP/1.1\nHost: a", NULL, NULL },
        { "GET / HTTP/1.1\nHost: a", NULL, NULL },
    };
    set_up(APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        guest_ask(&guest, rows[i].lines);
        if (rows[i].body)
            guest_send(&guest, rows[i].body, true);
        const char *head = app_head(&place.apps[0]);
        const char *length = head_field(head, "Content-Length:");
        cr_expect(rows[i].length ? length && strcmp(length, rows[i].length) == 0 : !length, "row %zu: %s", i,
                  head);
        expect_no_field(head, "Transfer-Encoding:");
        if (rows[i].body)
            cr_expect_not_null(strstr(head, "\r\n\r\nhello"), "row %zu", i);
        app_send(&place.apps[0], OK);
        guest_until_done(&guest);
        app_close(&place.apps[0]);
    }
    tear_down();
}

Test(ask, an_upload_over_the_buffer_keeps_its_framing)
{
    set_up("upstreams: {app: {primary: [\"@0\"], buffer: {request: 8B}}}\n");
    guest_ask(&guest, "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked");
    guest_send(&guest, "0123456789", false);
    const char *head = app_head(&place.apps[0]);
    expect_field(head, "Transfer-Encoding:", "chunked");
    expect_no_field(head, "Content-Length:");
    guest_send(&guest, "x", true);
    app_expect(&place.apps[0], "1\r\nx\r\n0\r\n\r\n");
    app_send(&place.apps[0], OK);
    guest_until_done(&guest);
    app_close(&place.apps[0]);

    guest_ask(&guest, "POST / HTTP/1.1\nHost: a\nContent-Length: 12");
    guest_send(&guest, "0123456789", false);
    expect_field(app_head(&place.apps[0]), "Content-Length:", "12");
    guest_send(&guest, "ab", true);
    app_expect(&place.apps[0], "ab");
    app_send(&place.apps[0], OK);
    guest_until_done(&guest);
    tear_down();
}

Test(ask, prefixes_that_are_to_be_stripped_are_off)
{
    static const struct {
        const char *target;
        const char *want;
    } rows[] = {
        { "/t/acme/v1/items?q=1", "/items?q=1" },
        { "/t/acme/v1", "/" },
        { "/t/acme/v1?q", "/?q" },
        { "/t/acme", "/" },
        { "/t/acme?q", "/?q" },
        { "/v1/t/acme/", "/t/acme/" }, /* only in front, tenant first */
        { "/items", "/items" },
    };
    set_up("tenants: {from: [{path: \"/t/{tenant}/\", strip: true}], unknown: default}\n"
           "versions: {from: [{path: \"/{version}/\", strip: true}], default: v2, known: {v1: {}, v2: "
           "{}}}\n" APP);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[256];
        char want[256];
        snprintf(lines, sizeof lines, "GET %s HTTP/1.1\nHost: a", rows[i].target);
        snprintf(want, sizeof want, "GET %s HTTP/1.1\r\n", rows[i].want);
        const char *head = asked(lines);
        cr_expect(strncmp(head, want, strlen(want)) == 0, "row %zu: %s", i, head);
    }
    tear_down();
}

Test(ask, a_prefix_that_stays_stands_before_one_that_goes)
{
    set_up("tenants: {from: [{path: \"/t/{tenant}/\"}], unknown: default}\n"
           "versions: {from: [{path: \"/{version}/\", strip: true}], default: v2, known: {v1: {}, v2: "
           "{}}}\n" APP);
    const char *head = asked("GET /t/acme/v1/items?q=1 HTTP/1.1\nHost: a");
    cr_expect(strncmp(head, "GET /t/acme/items?q=1 HTTP/1.1\r\n", 32) == 0, "%s", head);
    expect_field(head, "Weir-Tenant:", "acme");
    expect_field(head, "Weir-Version:", "v1");
    head = asked("GET /t/acme/v1 HTTP/1.1\nHost: a");
    cr_expect(strncmp(head, "GET /t/acme HTTP/1.1\r\n", 22) == 0, "%s", head);
    tear_down();
}

Test(ask, a_tenants_header_is_believed_of_the_trusted_only)
{
    set_up("tenants: {from: [{header: X-Tenant, believe: trusted}], unknown: default}\n" APP);
    const char *head = asked("GET / HTTP/1.1\nHost: a\nX-Tenant: acme\nX_Tenant: acme");
    expect_field(head, "Weir-Tenant:", "default");
    expect_no_field(head, "X-Tenant:");
    expect_no_field(head, "X_Tenant:");

    guest.client.is_trusted = true;
    head = asked("GET / HTTP/1.1\nHost: a\nX-Tenant: acme");
    expect_field(head, "Weir-Tenant:", "acme");
    expect_field(head, "X-Tenant:", "acme");
    tear_down();
}

Test(ask, a_head_that_would_be_too_large_is_refused)
{
    static char lines[16000];
    set_up(APP);
    guest.client.is_trusted = true;
    int n = snprintf(lines, sizeof lines, "GET / HTTP/1.1\nHost: a\nX-Forwarded-For: ");
    memset(lines + n, 'a', 8000);
    strcpy(lines + n + 8000, "\nX-Long: ");
    memset(lines + n + 8009, 'b', 7000);
    const char *head = asked(lines); /* what our limits let in fits, with all that weir adds */
    cr_expect_not_null(strstr(head, ", 127.0.0.9\r\n"));
    tear_down();
}
