#include "http/date.h"

#include "base/check.h"

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

#define DAY_S 86400

/* Howard Hinnant's days_from_civil and civil_from_days: the Gregorian calendar in years that start in
 * March, so that the leap day is the last one. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    *day = (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1);
    *month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static void put_two(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

void http_date_format(int64_t unix_s, char out[HTTP_DATE_LEN])
{
    int64_t year;
    unsigned month;
    unsigned day;
    /* Four digits is all the format has. */
    unix_s = max_i64(0, min_i64(unix_s, 253402300799LL));
    int64_t days = unix_s / DAY_S;
    unsigned second = (unsigned)(unix_s % DAY_S);
    civil_from_days(days, &year, &month, &day);

    memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", HTTP_DATE_LEN);
    memcpy(out, day_names + (days + 4) % 7 * 3, 3);
    put_two(out + 5, day);
    memcpy(out + 8, month_names + (month - 1) * 3, 3);
    put_two(out + 12, (unsigned)(year / 100));
    put_two(out + 14, (unsigned)(year % 100));
    put_two(out + 17, second / 3600);
    put_two(out + 20, second / 60 % 60);
    put_two(out + 23, second % 60);
}

struct parts {
    unsigned year, month, day, hour, minute, second;
};

/* Reads a date by its shape: D, Y, h, m, s a digit of the day, year or time; "_" one of the day or a blank;
 * B a month's name; anything else itself. */
static bool match(struct str text, const char *shape, struct parts *out)
{
    *out = (struct parts){ 0 };
    size_t at = 0;
    for (; *shape; shape++) {
        if (at >= text.len)
            return false;
        char c = text.data[at];
        unsigned digit = (unsigned)(c - '0');
        bool is_digit = c >= '0' && c <= '9';
        unsigned *field = *shape == 'D' || *shape == '_' ? &out->day
                          : *shape == 'Y'                ? &out->year
                          : *shape == 'h'                ? &out->hour
                          : *shape == 'm'                ? &out->minute
                          : *shape == 's'                ? &out->second
                                                         : NULL;
        if (*shape == 'B') {
            if (text.len - at < 3)
                return false;
            for (unsigned i = 0; i < 12; i++) {
                if (memcmp(text.data + at, month_names + i * 3, 3) == 0)
                    out->month = i + 1;
            }
            at += 3;
            continue;
        }
        if (field && is_digit)
            *field = *field * 10 + digit;
        else if (*shape == '_' ? c != ' ' : field || c != *shape)
            return false;
        at++;
    }
    return at == text.len;
}

/* The length of a weekday's name at the front: short with is_long false. 0 if there is none. */
static size_t weekday_len(struct str text, bool is_long)
{
    static const char *const names[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                         "Thursday", "Friday", "Saturday" };
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        struct str name = is_long ? str_of(names[i]) : str_n(names[i], 3);
        if (str_has_prefix(text, name))
            return name.len;
    }
    return 0;
}

static bool to_unix(const struct parts *parts, int64_t *out)
{
    static const uint8_t lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (parts->month < 1 || parts->day < 1 || parts->day > lengths[parts->month - 1])
        return false;
    bool is_leap = (parts->year % 4 == 0 && parts->year % 100 != 0) || parts->year % 400 == 0;
    if (parts->month == 2 && parts->day == 29 && !is_leap)
        return false;
    /* A leap second may be written; the clocks that wrote it count it as the next one. */
    if (parts->hour > 23 || parts->minute > 59 || parts->second > 60)
        return false;
    *out = days_from_civil(parts->year, parts->month, parts->day) * DAY_S + parts->hour * 3600 +
           parts->minute * 60 + parts->second;
    return true;
}

bool http_date_parse(struct str text, int64_t now_s, int64_t *out_unix_s)
{
    struct parts parts;
    size_t skip = weekday_len(text, false);
    if (skip && (match(str_from(text, skip), ", DD B YYYY hh:mm:ss GMT", &parts) ||
                 match(str_from(text, skip), " B _D hh:mm:ss YYYY", &parts)))
        return to_unix(&parts, out_unix_s);

    skip = weekday_len(text, true);
    if (!skip || !match(str_from(text, skip), ", DD-B-YY hh:mm:ss GMT", &parts))
        return false;
    /* RFC 9110 5.6.7: a year that seems more than 50 years in the future is the last one that ended so. */
    int64_t year_now;
    unsigned month;
    unsigned day;
    civil_from_days(now_s / DAY_S, &year_now, &month, &day);
    int64_t year = year_now - year_now % 100 + parts.year;
    if (year > year_now + 50)
        year -= 100;
    else if (year <= year_now - 50)
        year += 100;
    parts.year = (unsigned)year;
    return to_unix(&parts, out_unix_s);
}
