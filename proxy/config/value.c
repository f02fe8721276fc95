#include "config/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"

struct unit {
    struct str name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    /* the largest first, for writing */
    { STR_INIT("h"), 3600 * 1000 },
    { STR_INIT("m"), 60 * 1000 },
    { STR_INIT("s"), 1000 },
    { STR_INIT("ms"), 1 },
};

static const struct unit size_units[] = {
    { STR_INIT("TiB"), 1LL << 40 }, { STR_INIT("GiB"), 1LL << 30 },    { STR_INIT("MiB"), 1LL << 20 },
    { STR_INIT("KiB"), 1LL << 10 }, { STR_INIT("TB"), 1000000000000 }, { STR_INIT("GB"), 1000000000 },
    { STR_INIT("MB"), 1000000 },    { STR_INIT("KB"), 1000 },          { STR_INIT("B"), 1 },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    char lower = ascii_lower(c);
    return is_digit(c) || (lower >= 'a' && lower <= 'z');
}

bool value_bool(struct str text, bool *out)
{
    if (str_eq(text, STR("true")) || str_eq(text, STR("True")) || str_eq(text, STR("TRUE")))
        *out = true;
    else if (str_eq(text, STR("false")) || str_eq(text, STR("False")) || str_eq(text, STR("FALSE")))
        *out = false;
    else
        return false;
    return true;
}

bool value_count(struct str text, int64_t *out)
{
    uint64_t number;
    if (!str_to_u64(text, &number) || number > INT64_MAX)
        return false;
    *out = (int64_t)number;
    return true;
}

bool value_number(struct str text, double *out)
{
    char copy[32];
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    int points = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '.')
            points++;
        else if (!is_digit(text.data[i]))
            return false;
    }
    if (points > 1 || !is_digit(text.data[0]) || !is_digit(text.data[text.len - 1]))
        return false;
    str_copy(text, copy, sizeof copy);
    *out = strtod(copy, NULL);
    return true;
}

/* Digits, then one of the units. A bare number is taken when there is a unit "B" to mean. */
static bool with_unit(struct str text, const struct unit *units, size_t unit_count, int64_t *out)
{
    size_t digits = 0;
    while (digits < text.len && is_digit(text.data[digits]))
        digits++;
    int64_t number;
    if (!value_count(str_n(text.data, digits), &number))
        return false;
    struct str name = str_from(text, digits);
    if (name.len == 0 && units == size_units)
        name = STR("B");
    for (size_t i = 0; i < unit_count; i++) {
        if (str_eq(name, units[i].name))
            return !__builtin_mul_overflow(number, units[i].factor, out);
    }
    return false;
}

bool value_duration(struct str text, int64_t *out_ms)
{
    int64_t ms;
    if (!with_unit(text, duration_units, COUNT_OF(duration_units), &ms))
        return false;
    *out_ms = ms;
    return true;
}

bool value_size(struct str text, int64_t *out_bytes)
{
    int64_t bytes;
    if (!with_unit(text, size_units, COUNT_OF(size_units), &bytes))
        return false;
    *out_bytes = bytes;
    return true;
}

bool value_byte_rate(struct str text, int64_t *out_bytes)
{
    return str_has_suffix(text, STR("/s")) && value_size(str_n(text.data, text.len - 2), out_bytes);
}

bool value_rate(struct str text, double *out_per_s)
{
    double number;
    double seconds = str_has_suffix(text, STR("/s")) ? 1 : str_has_suffix(text, STR("/m")) ? 60 : 0;
    if (seconds == 0 || !value_number(str_n(text.data, text.len - 2), &number) || number <= 0)
        return false;
    *out_per_s = number / seconds;
    return true;
}

bool value_date(struct str text, int64_t *out_s)
{
    uint64_t year, month, day;
    if (text.len != 10 || text.data[4] != '-' || text.data[7] != '-')
        return false;
    if (!str_to_u64(str_n(text.data, 4), &year) || !str_to_u64(str_n(text.data + 5, 2), &month) ||
        !str_to_u64(str_n(text.data + 8, 2), &day) || year < 2000)
        return false;
    struct tm tm = { .tm_year = (int)year - 1900, .tm_mon = (int)month - 1, .tm_mday = (int)day };
    time_t at = timegm(&tm);
    /* timegm() makes the 31st of June the 1st of July. */
    if (tm.tm_mon != (int)month - 1 || tm.tm_mday != (int)day)
        return false;
    *out_s = at;
    return true;
}

int value_word(struct str text, const char *words)
{
    struct str rest = str_of(words);
    struct str word;
    for (int i = 0; str_split(&rest, '|', &word); i++) {
        if (word.len > 0 && str_eq(word, text))
            return i;
    }
    return -1;
}

struct str value_word_at(const char *words, int position)
{
    struct str rest = str_of(words);
    struct str word;
    for (int i = 0; str_split(&rest, '|', &word); i++) {
        if (i == position)
            return word;
    }
    return STR("");
}

bool value_is_token(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_alnum(text.data[i]) && (text.data[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", text.data[i])))
            return false;
    }
    return text.len > 0 && text.len <= 256;
}

bool value_is_method(struct str text)
{
    if (text.len == 0 || text.len > 32 || !(text.data[0] >= 'A' && text.data[0] <= 'Z'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!(c >= 'A' && c <= 'Z') && !is_digit(c) && c != '-' && c != '_')
            return false;
    }
    return true;
}

static bool is_made_of(struct str text, size_t len_max, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_alnum(text.data[i]) && (text.data[i] == '\0' || !strchr(others, text.data[i])))
            return false;
    }
    return text.len > 0 && text.len <= len_max;
}

bool value_is_name(struct str text)
{
    return is_made_of(text, 63, "_.-");
}

bool value_is_tenant(struct str text)
{
    return is_made_of(text, 63, "_-");
}

bool value_is_host(struct str text)
{
    if (text.len > 2 && text.data[0] == '[' && text.data[text.len - 1] == ']')
        return is_made_of(str_n(text.data + 1, text.len - 2), 45, ":.");
    return is_made_of(text, 253, "_.-");
}

bool value_has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return true;
    }
    return false;
}

bool value_is_path(struct str text)
{
    return text.len > 0 && text.len <= 1024 && text.data[0] == '/' && !value_has_control(text) &&
           str_find(text, ' ') < 0 && str_find(text, '?') < 0 && str_find(text, '#') < 0;
}

bool value_is_route_path(struct str text)
{
    if (!value_is_path(text))
        return false;
    struct str rest = str_from(text, 1);
    struct str segment;
    while (str_split(&rest, '/', &segment)) {
        bool is_last = rest.len == 0 && segment.data + segment.len == text.data + text.len;
        if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")) || (segment.len == 0 && !is_last))
            return false;
        if (str_eq(segment, STR("**")) ? !is_last : segment.len > 1 && str_find(segment, '*') >= 0)
            return false;
    }
    return true;
}

bool value_is_link(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~' || strchr("<>\"\\^`{|}", text.data[i]))
            return false;
    }
    return text.len > 0 && text.len <= 1024;
}

bool value_is_redis_url(struct str text, bool *out_has_tls)
{
    ptrdiff_t colon = str_find(text, ':');
    if (colon < 0 || text.len > 1024 || !str_has_prefix(str_from(text, (size_t)colon), STR("://")) ||
        text.len == (size_t)colon + 3)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    }
    struct str scheme = str_n(text.data, (size_t)colon);
    *out_has_tls = str_eq(scheme, STR("rediss"));
    return *out_has_tls || value_word(scheme, "redis|unix|redis+unix|redis+sentinel") >= 0;
}

/* A password that nobody escaped may hold "/" and "?" as well: everything up to the last "@" goes. */
bool value_put_url_hidden(struct str url, struct buf *out)
{
    ptrdiff_t colon = str_find(url, ':');
    struct str scheme = colon < 0 ? STR("") : str_n(url.data, (size_t)colon + 1);
    struct str rest = str_from(url, scheme.len);
    size_t from = rest.len;
    while (from > 0 && rest.data[from - 1] != '@')
        from--;
    struct str shown = str_from(rest, from);
    ptrdiff_t query = str_find(shown, '?');
    if (query >= 0)
        shown.len = (size_t)query;
    return buf_printf(out, "\"%.*s%s%.*s%s\"", STR_FMT(scheme), from == 0 ? "" : "//(hidden)@",
                      STR_FMT(shown), query >= 0 ? "?(hidden)" : "");
}

static bool put_with_unit(int64_t number, const struct unit *units, size_t unit_count, struct buf *out)
{
    for (size_t i = 0; i < unit_count; i++) {
        bool is_last = i + 1 == unit_count;
        if (is_last || (number != 0 && number % units[i].factor == 0))
            return buf_printf(out, "%lld%.*s", (long long)(number / units[i].factor), STR_FMT(units[i].name));
    }
    return false;
}

bool value_put_duration(int64_t ms, struct buf *out)
{
    if (ms == 0)
        return buf_append_str(out, STR("0s"));
    return put_with_unit(ms, duration_units, COUNT_OF(duration_units), out);
}

bool value_put_size(int64_t bytes, struct buf *out)
{
    if (bytes == 0)
        return buf_append_str(out, STR("0"));
    return put_with_unit(bytes, size_units, COUNT_OF(size_units), out);
}

bool value_put_number(double number, struct buf *out)
{
    char text[400];
    for (int digits = 0; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*f", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    return buf_append_str(out, str_of(text));
}

bool value_put_rate(double per_s, struct buf *out)
{
    bool is_by_minute = per_s != floor(per_s) && fabs(per_s * 60 - round(per_s * 60)) < 1e-9;
    return value_put_number(is_by_minute ? round(per_s * 60) : per_s, out) &&
           buf_append_str(out, is_by_minute ? STR("/m") : STR("/s"));
}

bool value_put_date(int64_t s, struct buf *out)
{
    time_t at = s;
    struct tm tm;
    if (!gmtime_r(&at, &tm))
        return false;
    return buf_printf(out, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}
