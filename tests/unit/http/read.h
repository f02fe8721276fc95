/* Heads from text, for the tests of http/. */
#ifndef TEST_READ_H
#define TEST_READ_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "http/message.h"

static const struct head_limits limits = { .head_bytes = 16384, .line_bytes = 8192, .fields = 100 };

/* Reads a head as a client's bytes would be: its end is found first. */
static inline int read_request(struct message *msg, struct str head)
{
    size_t scanned = 0;
    int len = head_find_end(head, &scanned, &limits);
    if (len < 0)
        return len;
    return message_read_request(msg, len > 0 ? str_n(head.data, (size_t)len) : head, &limits);
}

static inline int read_reply(struct message *msg, struct str head, enum method to_method)
{
    size_t scanned = 0;
    int len = head_find_end(head, &scanned, &limits);
    if (len <= 0)
        return ERR_UPSTREAM_BAD_REPLY;
    return message_read_reply(msg, str_n(head.data, (size_t)len), to_method, &limits);
}

/* "GET / HTTP/1.1" with Host and the given field lines; the message's views live in static memory. */
static inline void get_with(struct message *msg, const char *lines)
{
    static char heads[8][4096];
    static unsigned turn;
    char *head = heads[turn++ % 8];
    int len = snprintf(head, sizeof heads[0], "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    cr_assert_eq(read_request(msg, str_n(head, (size_t)len)), 0, "%s", lines);
}

static inline void reply_with(struct message *msg, int status, const char *lines)
{
    static char heads[8][4096];
    static unsigned turn;
    char *head = heads[turn++ % 8];
    int len = snprintf(head, sizeof heads[0], "HTTP/1.1 %d \r\nContent-Length: 0\r\n%s\r\n", status, lines);
    cr_assert_eq(read_reply(msg, str_n(head, (size_t)len), METHOD_GET), 0, "%s", lines);
}

#define assert_str(got, want)                                                                  \
    do {                                                                                       \
        struct str got_ = (got);                                                               \
        cr_assert(str_eq(got_, str_of(want)), "got '%.*s', want '%s'", STR_FMT(got_), (want)); \
    } while (0)

#endif
