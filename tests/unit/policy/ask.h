/* Requests from text and numbers from a seed, for the tests of policy/. */
#ifndef TEST_ASK_H
#define TEST_ASK_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/message.h"

/* A GET of target at host with the given field lines, each with its CRLF. The views live in static memory. */
static inline void ask(struct message *request, const char *host, const char *target, const char *lines)
{
    static char heads[8][8192];
    static unsigned turn;
    char *head = heads[turn++ % 8];
    const struct head_limits limits = { .head_bytes = 8192, .line_bytes = 8192, .fields = 100 };
    int len = snprintf(head, sizeof heads[0], "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, host, lines);
    cr_assert_eq(message_read_request(request, str_n(head, (size_t)len), &limits), 0, "%s", head);
}

/* xorshift64*: the same numbers on every machine. */
static inline uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}

static inline unsigned random_below(uint64_t *seed, unsigned limit)
{
    return (unsigned)((random_next(seed) >> 32) % limit);
}

#endif
