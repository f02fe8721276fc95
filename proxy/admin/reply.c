#include "admin/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/writer.h"

#define TYPE_JSON    "application/json"
#define TYPE_PROBLEM "application/problem+json"

void reply_init(struct reply *reply)
{
    *reply = (struct reply){ .status = 500, .type = TYPE_PROBLEM };
    buf_init(&reply->fields);
    buf_init(&reply->body);
}

void reply_fini(struct reply *reply)
{
    if (!reply)
        return;
    buf_fini(&reply->fields);
    buf_fini(&reply->body);
}

void reply_ready(struct reply *reply)
{
    CHECK(reply->is_later);
    reply->is_later = false;
    if (reply->on_ready)
        reply->on_ready(reply);
}

void reply_field(struct reply *reply, const char *name, const char *value)
{
    if (!buf_printf(&reply->fields, "%s: %s\r\n", name, value))
        reply->is_broken = true;
}

void reply_text(struct reply *reply, int status, const char *type, struct str text)
{
    reply->status = status;
    reply->type = type;
    buf_consume(&reply->body, buf_len(&reply->body));
    if (!buf_append_str(&reply->body, text))
        reply->is_broken = true;
}

static void put_json(struct reply *reply, int status, const char *type, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(json);
    if (!text) {
        reply->is_broken = true;
        return;
    }
    reply_text(reply, status, type, str_of(text));
    free(text);
    if (!buf_append(&reply->body, "\n", 1))
        reply->is_broken = true;
}

void reply_json(struct reply *reply, int status, json_t *json)
{
    put_json(reply, status, TYPE_JSON, json);
}

void reply_problem_with(struct reply *reply, int status, const char *word, const char *detail,
                        const char *member, json_t *value)
{
    char type[96];
    char title[64];
    snprintf(type, sizeof type, "urn:weir:problem:%s", word);
    str_copy(status_reason(status), title, sizeof title);
    json_t *json = json_pack("{s:s, s:s, s:i, s:o, s:s}", "type", type, "title", title, "status", status,
                             "detail", json_of_str(str_of(detail)), "reason", word);
    if (member && (!json || json_object_set_new(json, member, value) != 0)) {
        json_decref(json);
        json = NULL;
    }
    put_json(reply, status, TYPE_PROBLEM, json);
}

void reply_problem(struct reply *reply, int status, const char *word, const char *format, ...)
{
    char *detail = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&detail, format, args) < 0)
        detail = NULL;
    va_end(args);
    if (detail)
        reply_problem_with(reply, status, word, detail, NULL, NULL);
    else
        reply->is_broken = true;
    free(detail);
}

void reply_error(struct reply *reply, int err)
{
    reply_problem(reply, err_status(err), err_word(err), "%s", err_text(err));
}

json_t *json_of_str(struct str s)
{
    json_t *json = json_stringn(s.data ? s.data : "", s.len);
    if (json || s.len == 0)
        return json;
    char *plain = str_dup(s);
    for (size_t i = 0; plain && i < s.len; i++) {
        if ((unsigned char)plain[i] >= 0x80 || plain[i] == '\0')
            plain[i] = '?';
    }
    json = plain ? json_stringn(plain, s.len) : NULL;
    free(plain);
    return json;
}

json_t *json_of_word(struct str s)
{
    return s.data ? json_of_str(s) : json_null();
}

json_t *json_of_limit(int64_t limit)
{
    return limit < 0 ? json_null() : json_integer(limit);
}

json_t *json_of_seconds(int64_t ns)
{
    return json_real((double)ns / (double)NS_PER_S);
}
