/* What an app sends of the whole, and what is known then. */
#ifndef TEST_PIPELINE_PARTLY_H
#define TEST_PIPELINE_PARTLY_H

#include "pipeline/parts.h"
#include "standing.h"

#define STRONG "ETag: \"e\"\r\n"

/* A 206 for these bytes of `total`, each of them `byte`, or its digit where that is 0. */
static inline void send_part(const char *fields, unsigned first, unsigned last, unsigned total, char byte)
{
    static char text[4000];
    size_t len = (size_t)snprintf(text, sizeof text,
                                  "HTTP/1.1 206 Part\r\nCache-Control: max-age=60\r\nContent-Range: bytes "
                                  "%u-%u/%u\r\nContent-Length: %u\r\n%s\r\n",
                                  first, last, total, last - first + 1, fields);
    for (unsigned i = first; i <= last; i++)
        text[len++] = byte ? byte : (char)('0' + i % 10);
    app_send_n(&place.apps[0], text, len);
}

static inline void ask_range(const char *range)
{
    char lines[200];
    snprintf(lines, sizeof lines, "GET /x HTTP/1.1\nHost: a\nRange: bytes=%s", range);
    guest_ask(&guest, lines);
}

static inline void fetch_part(const char *fields, unsigned first, unsigned last, unsigned total, char byte)
{
    char range[40];
    snprintf(range, sizeof range, "%u-%u", first, last);
    ask_range(range);
    app_head(&place.apps[0]);
    send_part(fields, first, last, total, byte);
    guest_until_done(&guest);
    cr_expect_eq(guest_status(&guest), 206);
}

/* What the request at hand is answered with out of the cache; NULL: the app is asked (and refuses). */
static inline const char *known(void)
{
    static char body[4000];
    if (guest.req) {
        app_head(&place.apps[0]);
        app_send(&place.apps[0], "HTTP/1.1 404 No\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n");
        guest_until_done(&guest);
        return NULL;
    }
    str_copy(buf_str(&guest.body), body, sizeof body);
    return body;
}

static inline const char *known_part(const char *range)
{
    ask_range(range);
    return known();
}

static inline void expect_known(const char *range, const char *want, size_t row)
{
    const char *got = known_part(range);
    cr_expect(want ? got && strcmp(got, want) == 0 : !got, "row %zu: %s is \"%s\"", row, range, got);
}

#endif
