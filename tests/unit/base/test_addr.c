#include "base/addr.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/check.h"

Test(addr, addresses_are_ip_name_or_unix)
{
    static const struct {
        const char *text;
        enum addr_kind kind;
        const char *host;
        uint16_t port;
    } rows[] = {
        { "127.0.0.1:8080", ADDR_IP, "127.0.0.1", 8080 },
        { "[::1]:443", ADDR_IP, "::1", 443 },
        { "0.0.0.0:0", ADDR_IP, "0.0.0.0", 0 },
        { "app.internal:3000", ADDR_NAME, "app.internal", 3000 },
        { "my_app-1:65535", ADDR_NAME, "my_app-1", 65535 },
        { "unix:/run/app.sock", ADDR_UNIX, "/run/app.sock", 0 },
        { "unix:relative", ADDR_UNIX, "relative", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr addr;
        cr_assert(addr_parse(str_of(rows[i].text), &addr), "%s", rows[i].text);
        cr_expect_eq(addr.kind, rows[i].kind, "%s", rows[i].text);
        cr_expect_str_eq(addr.host, rows[i].host);
        cr_expect_str_eq(addr.text, rows[i].text);
        cr_expect_eq(addr.port, rows[i].port);
        cr_expect_eq(addr.sa_len > 0, rows[i].kind != ADDR_NAME);
    }
}

Test(addr, what_is_no_address_is_refused)
{
    static const char *const bad[] = {
        "",        "a",     ":80",      "*:80",        "a:",           "a:x",
        "a:65536", "a:-1",  "a:+1",     "1.2.3:80",    "1.2.3.4.5:80", "256.1.1.1:80",
        "::1:80",  "[::1]", "[::1]80",  "[::1:80",     "[a]:80",       "a b:80",
        "a/b:80",  "unix:", "a:000080", "http://a:80", "[1.2.3.4]:80"
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct addr addr;
        cr_expect_not(addr_parse(str_of(bad[i]), &addr), "%s", bad[i]);
    }
    char path[200] = "unix:/";
    memset(path + 6, 'a', 150);
    struct addr addr;
    cr_expect_not(addr_parse(str_of(path), &addr), "too long for a unix socket");
}

Test(addr, loopback_is_told_apart)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } rows[] = {
        { "127.0.0.1:1", true },
        { "127.9.9.9:1", true },
        { "[::1]:1", true },
        { "[::ffff:127.0.0.1]:1", true },
        { "localhost:1", true },
        { "unix:/a", true },
        { "0.0.0.0:1", false },
        { "[::]:1", false },
        { "10.0.0.1:1", false },
        { "example.com:1", false },
        { "[::ffff:10.0.0.1]:1", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr addr;
        cr_assert(addr_parse(str_of(rows[i].text), &addr));
        cr_expect_eq(addr_is_loopback(&addr), rows[i].is_loopback, "%s", rows[i].text);
    }
}

Test(addr, addresses_are_written_as_they_are_read)
{
    static const char *const rows[] = { "127.0.0.1:8080", "[::1]:443", "unix:/run/a.sock" };
    static const char *const hosts[] = { "127.0.0.1", "::1", "unix" };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr addr;
        char out[128];
        cr_assert(addr_parse(str_of(rows[i]), &addr));
        const struct sockaddr *sa = (const struct sockaddr *)&addr.sa;
        addr_format(sa, out, sizeof out);
        cr_expect_str_eq(out, rows[i]);
        addr_format_host(sa, out, sizeof out);
        cr_expect_str_eq(out, hosts[i]);
        cr_expect_eq(addr_port(sa), addr.port);
    }
}

static bool has(const char *range, const char *address)
{
    struct cidr cidr;
    struct addr addr;
    cr_assert(cidr_parse(str_of(range), &cidr), "%s", range);
    cr_assert(addr_parse(str_of(address), &addr), "%s", address);
    return cidr_has(&cidr, (const struct sockaddr *)&addr.sa);
}

Test(addr, ranges_hold_what_shares_their_prefix)
{
    cr_expect(has("10.0.0.0/8", "10.255.1.2:1"));
    cr_expect_not(has("10.0.0.0/8", "11.0.0.1:1"));
    cr_expect(has("10.0.0.0/8", "[::ffff:10.1.2.3]:1"), "mapped");
    cr_expect(has("127.0.0.1", "127.0.0.1:1"));
    cr_expect_not(has("127.0.0.1", "127.0.0.2:1"));
    cr_expect(has("192.168.4.0/23", "192.168.5.255:1"));
    cr_expect_not(has("192.168.4.0/23", "192.168.6.0:1"));
    cr_expect(has("::1/128", "[::1]:1"));
    cr_expect(has("2001:db8::/33", "[2001:db8:7fff::1]:1"));
    cr_expect_not(has("2001:db8::/33", "[2001:db8:8000::1]:1"));
    cr_expect(has("0.0.0.0/0", "1.2.3.4:1"));
    cr_expect_not(has("0.0.0.0/0", "[2001:db8::1]:1"));
    cr_expect_not(has("::/0", "unix:/a"));
}

Test(addr, odd_ranges_are_refused)
{
    static const char *const bad[] = { "",           "10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/",
                                       "10.0.0.0/x", "a/8",        "10.0.0/8",    "/8",     "::1/64" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct cidr cidr;
        cr_expect_not(cidr_parse(str_of(bad[i]), &cidr), "%s", bad[i]);
    }
}

static void key_of(const char *text, uint8_t out[16])
{
    struct addr addr;
    cr_assert(addr_parse(str_of(text), &addr));
    addr_client_key((const struct sockaddr *)&addr.sa, out);
}

Test(addr, a_client_is_an_ipv4_address_or_an_ipv6_64)
{
    uint8_t a[16];
    uint8_t b[16];
    key_of("1.2.3.4:1", a);
    key_of("1.2.3.4:2", b);
    cr_expect_arr_eq(a, b, 16);
    key_of("1.2.3.5:1", b);
    cr_expect_arr_neq(a, b, 16);
    key_of("[2001:db8::1]:1", a);
    key_of("[2001:db8::ffff:1]:1", b);
    cr_expect_arr_eq(a, b, 16);
    key_of("[2001:db8:0:1::1]:1", b);
    cr_expect_arr_neq(a, b, 16);
}
