#include "policy/ratelimit.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

/* RFC 8941 3.3.1: integers have at most 15 digits. */
#define INTEGER_MAX 999999999999999LL

struct writer {
    char *at;
    char *end;
};

static void put(struct writer *writer, struct str s)
{
    if (writer->at && (size_t)(writer->end - writer->at) >= s.len)
        writer->at = (char *)memcpy(writer->at, s.data, s.len) + s.len;
    else
        writer->at = NULL;
}

static void put_int(struct writer *writer, int64_t value)
{
    char digits[20];
    value = value < 0 ? 0 : value > INTEGER_MAX ? INTEGER_MAX : value;
    put(writer, str_n(digits, str_put_u64(digits, (uint64_t)value)));
}

static size_t put_item(char *out, size_t size, struct str name, struct str key1, int64_t value1,
                       struct str key2, int64_t value2)
{
    struct writer writer = { out, out + size };
    put(&writer, STR("\""));
    put(&writer, name);
    put(&writer, STR("\""));
    put(&writer, key1);
    put_int(&writer, value1);
    put(&writer, key2);
    put_int(&writer, value2);
    return writer.at ? (size_t)(writer.at - out) : 0;
}

static int64_t whole_s(int64_t ns)
{
    return ns <= 0 ? 0 : (ns - 1) / NS_PER_S + 1;
}

static int64_t to_integer(double value)
{
    return value >= (double)INTEGER_MAX ? INTEGER_MAX : (int64_t)value;
}

size_t ratelimit_policy_format(char *out, size_t size, struct str name, double rate_per_s, double burst)
{
    double quota = burst < 1 ? 1 : burst;
    double window_s = ceil(quota / rate_per_s);
    if (rate_per_s > quota)
        quota = rate_per_s;
    return put_item(out, size, name, STR(";q="), to_integer(quota), STR(";w="),
                    window_s < 1 ? 1 : to_integer(window_s));
}

size_t ratelimit_format(char *out, size_t size, struct str name, const struct bucket_answer *answer)
{
    int64_t until_s = answer->is_taken ? whole_s(answer->full_ns) : ratelimit_retry_after_s(answer);
    return put_item(out, size, name, STR(";r="), answer->left, STR(";t="), until_s);
}

int64_t ratelimit_retry_after_s(const struct bucket_answer *answer)
{
    int64_t s = whole_s(answer->wait_ns);
    return s < 1 ? 1 : s;
}

size_t ratelimit_retry_after_format(char *out, size_t size, const struct bucket_answer *answer)
{
    struct writer writer = { out, out + size };
    put_int(&writer, ratelimit_retry_after_s(answer));
    return writer.at ? (size_t)(writer.at - out) : 0;
}
