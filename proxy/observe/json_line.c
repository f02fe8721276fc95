/* One line of JSON, into memory that is already there. */
#include "base/check.h"
#include "base/clock.h"
#include "observe/access_log.h"
#include "observe/text.h"

/* Behind `end` there is always room for what closes the line: one byte for each open object, and the line
 * feed. */

void json_line_start(struct json_line *line, char *data, uint32_t size)
{
    CHECK(size >= 3);
    *line = (struct json_line){ .at = data + 1, .end = data + size - 2, .start = data, .is_first = true };
    data[0] = '{';
}

/* Writes ,"key": and returns where the value goes, NULL when there is no room. Keys are our own words. */
static char *put_key(const struct json_line *line, const char *key)
{
    size_t len = strlen(key);
    if (line->skipped > 0 || (size_t)(line->end - line->at) < len + 4)
        return NULL;
    char *at = line->at;
    if (!line->is_first)
        *at++ = ',';
    *at++ = '"';
    at = (char *)memcpy(at, key, len) + len;
    *at++ = '"';
    *at++ = ':';
    return at;
}

/* The member is there only now; until here it could be left out. */
static void done(struct json_line *line, char *at)
{
    line->at = at;
    line->is_first = false;
}

static void put_value(struct json_line *line, const char *key, struct str value)
{
    char *at = put_key(line, key);
    if (!at || (size_t)(line->end - at) < value.len)
        return;
    done(line, (char *)memcpy(at, value.data, value.len) + value.len);
}

void json_line_str(struct json_line *line, const char *key, struct str value)
{
    char *at = put_key(line, key);
    if (!at || line->end - at < 2)
        return;
    *at++ = '"';
    at = text_put_json(at, line->end - 1, value);
    if (!at)
        return;
    *at++ = '"';
    done(line, at);
}

void json_line_u64(struct json_line *line, const char *key, uint64_t value)
{
    char digits[20];
    put_value(line, key, str_n(digits, str_put_u64(digits, value)));
}

void json_line_i64(struct json_line *line, const char *key, int64_t value)
{
    char digits[21] = "-";
    if (value >= 0)
        json_line_u64(line, key, (uint64_t)value);
    else
        put_value(line, key, str_n(digits, 1 + str_put_u64(digits + 1, -(uint64_t)value)));
}

void json_line_seconds(struct json_line *line, const char *key, int64_t ns)
{
    char text[32];
    size_t len = 0;
    uint64_t us = ((ns < 0 ? -(uint64_t)ns : (uint64_t)ns) + 500) / 1000;
    if (ns < 0 && us > 0)
        text[len++] = '-';
    len += str_put_u64(text + len, us / 1000000);
    text[len++] = '.';
    uint64_t rest = us % 1000000;
    for (uint64_t unit = 100000; unit > 0; unit /= 10)
        text[len++] = (char)('0' + rest / unit % 10);
    put_value(line, key, str_n(text, len));
}

void json_line_bool(struct json_line *line, const char *key, bool value)
{
    put_value(line, key, value ? STR("true") : STR("false"));
}

void json_line_open(struct json_line *line, const char *key)
{
    char *at = put_key(line, key);
    if (!at || line->end - at < 2) {
        line->skipped++; /* all of it is left out, up to its own close */
        return;
    }
    *at++ = '{';
    line->end--;
    line->at = at;
    line->is_first = true;
}

void json_line_close(struct json_line *line)
{
    if (line->skipped > 0) {
        line->skipped--;
        return;
    }
    line->end++;
    *line->at++ = '}';
    line->is_first = false;
}

uint32_t json_line_finish(struct json_line *line)
{
    CHECK(line->skipped == 0);
    *line->at++ = '}';
    *line->at++ = '\n';
    return (uint32_t)(line->at - line->start);
}
