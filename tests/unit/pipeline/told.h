/* For tests of what one guest is told by one app. */
#ifndef TEST_PIPELINE_TOLD_H
#define TEST_PIPELINE_TOLD_H

#include <stdlib.h>

#include "walk.h"

#define APP  "upstreams: {app: {primary: [\"@0\"]}}\n"
#define TEN  "0123456789"
#define DATE "Thu, 01 Jan 2026 00:00:00 GMT"
#define KEEP                                                                              \
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"e\"\r\nLast-Modified: " DATE \
    "\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nX-One: 1\r\n\r\n" TEN

static struct place place;
static struct guest guest;

static inline void set_up(const char *yaml)
{
    place_open(&place, yaml);
    guest_init(&guest, &place);
}

static inline void tear_down(void)
{
    guest_fini(&guest);
    place_close(&place);
}

static inline void meet(const char *lines, const char *text)
{
    guest_meets(&guest, lines, &place.apps[0], text);
}

#define expect_reply(name, want)                                                                       \
    do {                                                                                               \
        const char *value_ = guest_field(&guest, name);                                                \
        cr_expect(value_ &&strcmp(value_, want) == 0, "%s is \"%s\", not \"%s\"", name, value_, want); \
    } while (0)

#define expect_no_reply(name) cr_expect_eq(guest_fields(&guest, name), 0, "%s is told", name)

/* Cache-Status without the ttl's digits, which depend on the moment. */
static inline const char *cache_status(void)
{
    static char text[256];
    const char *value = guest_field(&guest, "Cache-Status");
    char *out = text;
    for (const char *at = value; at && *at; at++) {
        *out++ = *at;
        if (at - value >= 3 && strncmp(at - 3, "ttl=", 4) == 0)
            at += strspn(at + 1, "0123456789");
    }
    *out = '\0';
    return text;
}

#define expect_cache(want) cr_expect(strcmp(cache_status(), want) == 0, "%s, not %s", cache_status(), want)

static inline int64_t ttl(void)
{
    const char *at = strstr(guest_field(&guest, "Cache-Status"), "ttl=");
    return at ? atoll(at + 4) : -1;
}

static inline void down(void)
{
    atomic_store(&place.world->supplies[0].upstream->servers[0]->admin, SERVER_ADMIN_DOWN);
}

#endif
