#include "position.h"

#include "digits.h"

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

/* Both are known. May they be of one epoch, though they do not say so, or not be, though they do? */
static bool is_epoch_in_doubt(struct position a, struct position b)
{
    if (a.epoch == b.epoch)
        return a.is_open || b.is_open;
    if (a.epoch == 0 || b.epoch == 0)
        return true;
    return a.epoch < b.epoch ? a.is_open : b.is_open;
}

int position_order(struct position a, struct position b)
{
    if (a.is_known != b.is_known)
        return a.is_known ? 1 : -1;
    if (!a.is_known)
        return 0;
    if (a.epoch != b.epoch && !is_epoch_in_doubt(a, b))
        return a.epoch < b.epoch ? -1 : 1;
    return a.value < b.value ? -1 : a.value > b.value;
}

struct position position_later(struct position a, struct position b)
{
    struct position later = position_order(a, b) >= 0 ? a : b;

    if (a.is_known && b.is_known && is_epoch_in_doubt(a, b)) {
        later.epoch = a.epoch > b.epoch ? a.epoch : b.epoch;
        later.value = a.value > b.value ? a.value : b.value;
        later.is_open = true;
    }
    return later;
}

bool position_promises(struct position a, struct position b)
{
    if (a.is_known && b.is_known && is_epoch_in_doubt(a, b))
        return a.epoch >= b.epoch && a.value >= b.value && (a.is_open || (b.epoch && !b.is_open));
    return position_order(a, b) >= 0;
}

size_t position_put(struct position position, char out[POSITION_TEXT_SIZE])
{
    char *at = out;

    if (position.is_known)
        at = put_decimal(at, position.epoch);
    if (position.is_known && position.is_open)
        *at++ = '_';
    *at++ = '-';
    *at = '\0';
    if (position.is_known)
        at = put_hex(at, position.value, 1);
    return (size_t)(at - out);
}

static bool take_position(struct weir_str *rest, struct position *out)
{
    *out = (struct position){ 0 };
    if (take_mark(rest, '-'))
        return true;
    out->is_known = true;
    if (!take_u32(rest, 10, &out->epoch))
        return false;
    out->is_open = take_mark(rest, '_');
    return take_mark(rest, '-') && take_number(rest, 16, UINT64_MAX, &out->value);
}

/* --- what a client has seen --- */

static bool has_time(const struct seen *seen)
{
    return seen->has_source || seen->until_ms > 0;
}

void seen_merge(struct seen *into, const struct seen *more)
{
    into->at = position_later(into->at, more->at);
    if (!has_time(into))
        into->clock = more->clock;
    else if (has_time(more) && into->clock != more->clock)
        into->clock = 0;
    if (into->until_ms < more->until_ms)
        into->until_ms = more->until_ms;
    if (!more->has_source)
        return;
    if (!into->has_source) {
        into->has_source = true;
        into->source = more->source;
        into->at_ms = more->at_ms;
        return;
    }
    /* The primary is ahead of whatever its replicas show at that time. */
    if (into->source != more->source)
        into->source = SOURCE_PRIMARY;
    if (into->at_ms < more->at_ms)
        into->at_ms = more->at_ms;
}

bool seen_is_nothing(const struct seen *seen)
{
    return !seen->at.is_known && !seen->has_source;
}

static char *put_source(char *at, uint32_t source, uint32_t clock)
{
    *at++ = '*';
    at = put_hex(at, source, 8);
    *at++ = '_';
    return put_hex(at, clock, 8);
}

static char *put_clock(char *at, const struct seen *seen)
{
    if (seen->has_source)
        return put_source(at, seen->source, seen->clock);
    if (seen->clock == 0)
        return at;
    *at++ = '*';
    *at++ = '_';
    return put_hex(at, seen->clock, 8);
}

/* "-" is what a time alone says: the primary as it was then, by nobody knows whose clock. */
static bool is_time_alone(const struct seen *seen)
{
    return !seen->at.is_known && seen->has_source && seen->source == SOURCE_PRIMARY && seen->clock == 0;
}

size_t seen_put(const struct seen *seen, char out[SEEN_TEXT_SIZE])
{
    char *at = out + position_put(seen->at, out);

    if (!is_time_alone(seen))
        at = put_clock(at, seen);
    return (size_t)(at - out);
}

static bool take_seen(struct weir_str *rest, struct seen *out)
{
    *out = (struct seen){ 0 };
    if (!take_position(rest, &out->at))
        return false;
    if (!take_mark(rest, '*'))
        return true;
    out->has_source = take_u32(rest, 16, &out->source);
    return take_mark(rest, '_') && take_u32(rest, 16, &out->clock);
}

bool seen_parse(struct weir_str text, int64_t at_ms, struct seen *out)
{
    struct weir_str rest = text;

    if (!take_seen(&rest, out) || rest.len > 0)
        return false;
    if (seen_is_nothing(out))
        *out = (struct seen){ .has_source = true, .source = SOURCE_PRIMARY, .clock = out->clock };
    out->at_ms = at_ms;
    out->until_ms = at_ms;
    return true;
}

size_t asked_put(const struct seen *seen, char out[ORIGIN_TEXT_SIZE])
{
    char *at = put_clock(out + position_put(seen->at, out), seen);

    *at++ = '@';
    at = put_ms(at, seen->at_ms);
    *at++ = '/';
    return (size_t)(put_ms(at, seen->until_ms) - out);
}

bool asked_parse(struct weir_str text, struct seen *out)
{
    struct weir_str rest = text;

    return take_seen(&rest, out) && take_mark(&rest, '@') && take_ms(&rest, &out->at_ms) &&
           take_mark(&rest, '/') && take_ms(&rest, &out->until_ms) && rest.len == 0;
}

/* --- where a stored reply comes from --- */

/* "<lower>=<upper>*<server>_<clock>@<sent>/<answered>", with a p for the primary. */
size_t origin_put(const struct origin *origin, char out[ORIGIN_TEXT_SIZE])
{
    char *at = out + position_put(origin->lower, out);

    *at++ = '=';
    at += position_put(origin->upper, at);
    at = put_source(at, origin->server, origin->clock);
    if (origin->is_primary)
        *at++ = 'p';
    *at++ = '@';
    at = put_ms(at, origin->sent_ms);
    *at++ = '/';
    return (size_t)(put_ms(at, origin->answered_ms) - out);
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

/* A millisecond's halves are not told apart, and another weir's clock may be off. */
static bool was_sent_after(const struct origin *origin, const struct seen *seen, int64_t ms)
{
    if (origin->clock != seen->clock || seen->clock == 0)
        ms += CLOCK_SKEW_MS;
    return origin->sent_ms > ms;
}

bool origin_covers(const struct origin *origin, const struct seen *seen)
{
    if (origin->is_primary) {
        /* One that somebody has taken over from acknowledges nothing any more. */
        if (origin->lower.epoch && origin->lower.epoch < seen->at.epoch)
            return false;
        return was_sent_after(origin, seen, seen->until_ms > seen->at_ms ? seen->until_ms : seen->at_ms);
    }
    if (position_order(origin->lower, seen->at) < 0)
        return false;
    return !seen->has_source || (origin->server == seen->source && was_sent_after(origin, seen, seen->at_ms));
}
