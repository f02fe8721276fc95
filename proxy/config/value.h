/* Values as people write them, and back: durations, sizes, rates, dates, names. Each reader takes the
 * whole text or returns false and leaves *out alone. Nothing here knows a key. Pure; any thread. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

bool value_bool(struct str text, bool *out);
bool value_count(struct str text, int64_t *out);

/* "12" or "12.5"; no sign, no exponent. */
bool value_number(struct str text, double *out);

/* "250ms", "2s", "5m", "1h" to milliseconds. */
bool value_duration(struct str text, int64_t *out_ms);

/* "64KiB", "8MB", "512B", "512" to bytes. */
bool value_size(struct str text, int64_t *out_bytes);

/* "1KiB/s" to bytes a second. */
bool value_byte_rate(struct str text, int64_t *out_bytes);

/* "100/s", "6000/m" to requests a second; more than 0. */
bool value_rate(struct str text, double *out_per_s);

/* "2027-06-30" to unix seconds at 00:00 UTC; 2000 to 9999, only days that exist. */
bool value_date(struct str text, int64_t *out_s);

/* Position of text in "a|b|c", or -1. An empty text is never in it. */
int value_word(struct str text, const char *words);
struct str value_word_at(const char *words, int position);

/* RFC 9110 5.6.2: not empty, no separators. */
bool value_is_token(struct str text);
bool value_is_method(struct str text);

/* 1 to 63 of [A-Za-z0-9_.-], and of [A-Za-z0-9_-]. */
bool value_is_name(struct str text);
bool value_is_tenant(struct str text);

/* A host name or a literal address, brackets around IPv6, no port. */
bool value_is_host(struct str text);

/* "/a/x" without spaces, control characters, "?" or "#". */
bool value_is_path(struct str text);

/* The same, without empty or dot segments; "*" only as a whole segment, "**" only as the last one. */
bool value_is_route_path(struct str text);

/* Visible ASCII that may stand between < and > in a Link header. */
bool value_is_link(struct str text);

/* Visible ASCII behind one of the schemes of Redis and "://". What it means is for those who dial it. */
bool value_is_redis_url(struct str text, bool *out_has_tls);

/* True if text holds a byte below 0x20 or DEL. */
bool value_has_control(struct str text);

/* The shortest way to write a value that reads back as the same. False: out of memory. */
bool value_put_duration(int64_t ms, struct buf *out);
bool value_put_size(int64_t bytes, struct buf *out);
bool value_put_rate(double per_s, struct buf *out);
bool value_put_date(int64_t s, struct buf *out);
bool value_put_number(double number, struct buf *out);

/* A URL without its secrets: what stands before the host, and the query, may hold a password. */
bool value_put_url_hidden(struct str url, struct buf *out);

#endif
