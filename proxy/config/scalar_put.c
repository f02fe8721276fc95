#include <arpa/inet.h>
#include <ctype.h>

#include "base/addr.h"
#include "base/check.h"
#include "config/config.h"
#include "config/scalar.h"
#include "config/value.h"

bool scalar_put_number(enum setting_kind kind, int64_t number, struct buf *out)
{
    switch (kind) {
    case SETTING_DURATION:
        return value_put_duration(number, out);
    case SETTING_SIZE:
        return value_put_size(number, out);
    case SETTING_BYTE_RATE:
        return value_put_size(number, out) && buf_append_str(out, STR("/s"));
    case SETTING_SHARE:
        return buf_printf(out, "%lld%%", (long long)number);
    default:
        return buf_printf(out, "%lld", (long long)number);
    }
}

/* Letters, digits and what never means something in YAML: the rest is quoted. */
static bool is_plain(struct str text)
{
    if (text.len == 0 || !(isalnum((unsigned char)text.data[0]) || text.data[0] == '/'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c > 0x7e || (!isalnum(c) && !strchr("_./:%+*-", c)))
            return false;
    }
    return text.data[text.len - 1] != ':' && !str_ieq(text, STR("null"));
}

bool scalar_put_text(struct str text, struct buf *out)
{
    if (is_plain(text))
        return buf_append_str(out, text);
    bool ok = buf_append_str(out, STR("\""));
    for (size_t i = 0; ok && i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            ok = buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            ok = buf_printf(out, "\\x%02x", c);
        else
            ok = buf_append(out, &text.data[i], 1);
    }
    return ok && buf_append_str(out, STR("\""));
}

static bool put_cidr(const struct cidr *cidr, struct buf *out)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    char text[INET6_ADDRSTRLEN] = "";
    bool is_v4 = cidr->bits >= 96 && memcmp(cidr->bytes, mapped, sizeof mapped) == 0;
    inet_ntop(is_v4 ? AF_INET : AF_INET6, cidr->bytes + (is_v4 ? 12 : 0), text, sizeof text);
    return buf_printf(out, is_v4 ? "%s/%d" : "\"%s/%d\"", text, cidr->bits - (is_v4 ? 96 : 0));
}

static bool put_whole(const struct setting *setting, const void *field, struct buf *out, bool *out_is_there)
{
    int64_t whole = setting->size == sizeof(int64_t) ? *(const int64_t *)field : *(const int *)field;
    *out_is_there = true;
    if (whole == NEVER && setting->may_be_unlimited)
        return buf_append_str(out, STR("unlimited"));
    if (whole == 0 && setting->words)
        return buf_append_str(out, value_word_at(setting->words, 0));
    *out_is_there = whole >= 0;
    return whole < 0 || scalar_put_number(setting->kind, whole, out);
}

static bool put_real(const struct setting *setting, double real, struct buf *out, bool *out_is_there)
{
    *out_is_there = true;
    if (real == NEVER && setting->may_be_unlimited)
        return buf_append_str(out, STR("unlimited"));
    *out_is_there = real >= 0;
    if (real < 0)
        return true;
    if (setting->kind == SETTING_RATE)
        return value_put_rate(real, out);
    if (setting->kind == SETTING_SHARE)
        return buf_printf(out, "%.6g%%", real * 100);
    return value_put_number(real, out);
}

static bool put_word(const struct setting *setting, const void *field, struct buf *out, bool *out_is_there)
{
    int position = setting->size == sizeof(bool) ? *(const bool *)field : *(const int *)field;
    if (setting->is_negated)
        position = !position;
    struct str word = setting->kind == SETTING_WORD ? value_word_at(setting->words, position)
                      : position                    ? STR("true")
                                                    : STR("false");
    *out_is_there = word.len > 0;
    return buf_append_str(out, word);
}

static bool put_pattern(const struct setting *setting, const struct str *parts, struct buf *out,
                        bool *out_is_there)
{
    *out_is_there = parts[0].data != NULL;
    return !parts[0].data ||
           buf_printf(out, "\"%.*s%s%.*s\"", STR_FMT(parts[0]), setting->words, STR_FMT(parts[1]));
}

bool scalar_put(const struct setting *setting, const void *field, struct buf *out, bool *out_is_there)
{
    const struct str *text = field;
    int64_t s;
    *out_is_there = true;
    switch (setting->kind) {
    case SETTING_BOOL:
    case SETTING_WORD:
        return put_word(setting, field, out, out_is_there);
    case SETTING_COUNT:
    case SETTING_DURATION:
    case SETTING_SIZE:
    case SETTING_BYTE_RATE:
        return put_whole(setting, field, out, out_is_there);
    case SETTING_AMOUNT:
    case SETTING_RATE:
    case SETTING_PERCENT:
    case SETTING_SHARE:
        return put_real(setting, *(const double *)field, out, out_is_there);
    case SETTING_DATE:
        s = *(const int64_t *)field;
        *out_is_there = s != 0;
        return s == 0 || value_put_date(s, out);
    case SETTING_ADDRESS:
        return scalar_put_text(str_of(((const struct addr *)field)->text), out);
    case SETTING_CIDR:
        return put_cidr(field, out);
    case SETTING_HOST_PATTERN:
    case SETTING_PATH_PATTERN:
    case SETTING_MEDIA_PATTERN:
        return put_pattern(setting, text, out, out_is_there);
    default:
        *out_is_there = text->data != NULL;
        if (!text->data)
            return true;
        if (setting->kind == SETTING_REDIS_URL)
            return value_put_url_hidden(*text, out);
        return setting->is_secret ? buf_append_str(out, STR("\"(hidden)\"")) : scalar_put_text(*text, out);
    }
}
