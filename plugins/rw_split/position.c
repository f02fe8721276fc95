#include "position.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- reading: each takes what it understands off the front of *rest --- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* False: no digit, or more than max. */
static bool take_number(struct weir_str *rest, unsigned base, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    size_t at = 0;

    while (at < rest->len && (unsigned)digit_of(rest->data[at]) < base) {
        unsigned digit = (unsigned)digit_of(rest->data[at++]);

        if (value > (max - digit) / base)
            return false;
        value = value * base + digit;
    }
    if (at == 0)
        return false;
    *rest = (struct weir_str){ rest->data + at, rest->len - at };
    *out = value;
    return true;
}

static bool take_mark(struct weir_str *rest, char mark)
{
    if (rest->len == 0 || rest->data[0] != mark)
        return false;
    *rest = (struct weir_str){ rest->data + 1, rest->len - 1 };
    return true;
}

static bool take_ms(struct weir_str *rest, int64_t *out)
{
    uint64_t value;

    if (!take_number(rest, 10, INT64_C(999999999999999), &value))
        return false;
    *out = (int64_t)value;
    return true;
}

static bool take_u32(struct weir_str *rest, unsigned base, uint32_t *out)
{
    uint64_t value;

    if (!take_number(rest, base, UINT32_MAX, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

/* --- positions --- */

/* PostgreSQL's two halves in hex around a slash, or one decimal number. */
static bool take_value(struct weir_str *rest, uint64_t *out)
{
    struct weir_str start = *rest;
    uint64_t low;

    if (take_number(rest, 16, UINT32_MAX, out) && take_mark(rest, '/')) {
        if (!take_number(rest, 16, UINT32_MAX, &low))
            return false;
        *out = *out << 32 | low;
        return true;
    }
    *rest = start;
    return take_number(rest, 10, UINT64_MAX, out);
}

bool position_parse(struct weir_str text, struct position *out, bool *out_has_epoch)
{
    struct weir_str rest = text;
    struct position read = { .is_known = true };
    bool has_epoch;

    if (!text.data)
        return false;
    has_epoch = take_u32(&rest, 10, &read.epoch) && take_mark(&rest, ':');
    if (!has_epoch) {
        rest = text;
        read.epoch = 0;
    }
    if (!take_value(&rest, &read.value) || rest.len > 0)
        return false;
    *out = read;
    *out_has_epoch = has_epoch;
    return true;
}

int position_order(struct position a, struct position b)
{
    if (a.is_known != b.is_known)
        return a.is_known ? 1 : -1;
    if (!a.is_known)
        return 0;
    if (a.epoch != b.epoch && a.epoch && b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return a.value < b.value ? -1 : a.value > b.value;
}

struct position position_later(struct position a, struct position b)
{
    struct position later = position_order(a, b) >= 0 ? a : b;

    if (a.is_known && b.is_known && (a.epoch == 0 || b.epoch == 0)) {
        later.epoch = a.epoch > b.epoch ? a.epoch : b.epoch;
        later.value = a.value > b.value ? a.value : b.value;
    }
    return later;
}

size_t position_put(struct position position, char out[POSITION_TEXT_SIZE])
{
    if (!position.is_known)
        return (size_t)snprintf(out, POSITION_TEXT_SIZE, "-");
    return (size_t)snprintf(out, POSITION_TEXT_SIZE, "%" PRIu32 "-%" PRIx64, position.epoch, position.value);
}

static bool take_position(struct weir_str *rest, struct position *out)
{
    *out = (struct position){ 0 };
    if (take_mark(rest, '-'))
        return true;
    out->is_known = true;
    return take_u32(rest, 10, &out->epoch) && take_mark(rest, '-') &&
           take_number(rest, 16, UINT64_MAX, &out->value);
}

/* --- what a client has seen --- */

void seen_merge(struct seen *into, const struct seen *more)
{
    into->at = position_later(into->at, more->at);
    if (!more->has_source)
        return;
    if (!into->has_source) {
        into->has_source = true;
        into->source = more->source;
        into->clock = more->clock;
        into->at_ms = more->at_ms;
        return;
    }
    /* The primary is ahead of whatever its replicas show at that time. */
    if (into->source != more->source)
        into->source = SOURCE_PRIMARY;
    if (into->clock != more->clock)
        into->clock = 0;
    if (into->at_ms < more->at_ms)
        into->at_ms = more->at_ms;
}

bool seen_is_nothing(const struct seen *seen)
{
    return !seen->at.is_known && !seen->has_source;
}

static size_t put_source(const struct seen *seen, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "*%08" PRIx32 "_%08" PRIx32, seen->source, seen->clock);
}

/* "-" is what a time alone says: the primary as it was then, by nobody knows whose clock. */
static bool is_time_alone(const struct seen *seen)
{
    return !seen->at.is_known && seen->has_source && seen->source == SOURCE_PRIMARY && seen->clock == 0;
}

size_t seen_put(const struct seen *seen, char out[SEEN_TEXT_SIZE])
{
    size_t len = position_put(seen->at, out);

    if (seen->has_source && !is_time_alone(seen))
        len += put_source(seen, out + len, SEEN_TEXT_SIZE - len);
    return len;
}

static bool take_seen(struct weir_str *rest, struct seen *out)
{
    *out = (struct seen){ 0 };
    if (!take_position(rest, &out->at))
        return false;
    if (!take_mark(rest, '*'))
        return true;
    out->has_source = true;
    return take_u32(rest, 16, &out->source) && take_mark(rest, '_') && take_u32(rest, 16, &out->clock);
}

bool seen_parse(struct weir_str text, int64_t at_ms, struct seen *out)
{
    struct weir_str rest = text;

    if (!take_seen(&rest, out) || rest.len > 0)
        return false;
    if (seen_is_nothing(out))
        *out = (struct seen){ .has_source = true, .source = SOURCE_PRIMARY };
    out->at_ms = at_ms;
    return true;
}

size_t asked_put(const struct seen *seen, char out[ORIGIN_TEXT_SIZE])
{
    size_t len = position_put(seen->at, out);

    if (seen->has_source)
        len += put_source(seen, out + len, ORIGIN_TEXT_SIZE - len);
    return len + (size_t)snprintf(out + len, ORIGIN_TEXT_SIZE - len, "@%" PRId64, seen->at_ms);
}

bool asked_parse(struct weir_str text, struct seen *out)
{
    struct weir_str rest = text;

    return take_seen(&rest, out) && take_mark(&rest, '@') && take_ms(&rest, &out->at_ms) && rest.len == 0;
}

/* --- where a stored reply comes from --- */

/* "<lower>=<upper>*<server>_<clock>@<sent>/<answered>", with a p for the primary. */
size_t origin_put(const struct origin *origin, char out[ORIGIN_TEXT_SIZE])
{
    size_t len = position_put(origin->lower, out);

    out[len++] = '=';
    len += position_put(origin->upper, out + len);
    return len + (size_t)snprintf(out + len, ORIGIN_TEXT_SIZE - len,
                                  "*%08" PRIx32 "_%08" PRIx32 "%s@%" PRId64 "/%" PRId64, origin->server,
                                  origin->clock, origin->is_primary ? "p" : "", origin->sent_ms,
                                  origin->answered_ms);
}

bool origin_parse(struct weir_str text, struct origin *out)
{
    struct weir_str rest = text;

    *out = (struct origin){ 0 };
    if (!take_position(&rest, &out->lower) || !take_mark(&rest, '=') || !take_position(&rest, &out->upper))
        return false;
    if (!take_mark(&rest, '*') || !take_u32(&rest, 16, &out->server) || !take_mark(&rest, '_') ||
        !take_u32(&rest, 16, &out->clock))
        return false;
    out->is_primary = take_mark(&rest, 'p');
    return take_mark(&rest, '@') && take_ms(&rest, &out->sent_ms) && take_mark(&rest, '/') &&
           take_ms(&rest, &out->answered_ms) && rest.len == 0;
}

bool origin_covers(const struct origin *origin, const struct seen *seen)
{
    int64_t seen_ms = seen->at_ms;

    if (position_order(origin->lower, seen->at) < 0)
        return false;
    if (!seen->has_source)
        return true;
    if (origin->clock != seen->clock || seen->clock == 0)
        seen_ms += CLOCK_SKEW_MS;
    /* The server whose state was seen, or the primary, which is ahead of it, asked after that. A
     * millisecond's halves are not told apart. */
    return (origin->is_primary || origin->server == seen->source) && origin->sent_ms > seen_ms;
}
