#include "policy/ratelimit.h"

#include "ask.h"

static void expect_text(const char *out, size_t len, const char *want, size_t row)
{
    cr_expect(str_eq(str_n(out, len), str_of(want)), "row %zu: %.*s, want %s", row, (int)len, out, want);
}

Test(ratelimit, a_policy_is_the_bucket_and_the_time_it_takes_to_fill)
{
    static const struct {
        double rate;
        double burst;
        const char *want;
    } rows[] = {
        { 500, 1000, "\"tenant\";q=1000;w=2" },
        { 5, 5, "\"tenant\";q=5;w=1" },
        { 100, 1, "\"tenant\";q=100;w=1" }, /* less than a second's rate: the rate */
        { 0.1, 1, "\"tenant\";q=1;w=10" },
        { 3, 10, "\"tenant\";q=10;w=4" }, /* whole seconds, never promising too much */
        { 0.3, 1, "\"tenant\";q=1;w=4" },
        { 1e300, 1e300, "\"tenant\";q=999999999999999;w=1" },
        { 1e-300, 1, "\"tenant\";q=1;w=999999999999999" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[RATELIMIT_SIZE];
        size_t len = ratelimit_policy_format(out, sizeof out, STR("tenant"), rows[i].rate, rows[i].burst);
        expect_text(out, len, rows[i].want, i);
    }
}

Test(ratelimit, what_is_left_and_until_when)
{
    static const struct {
        struct bucket_answer answer;
        const char *want;
        const char *retry_after;
    } rows[] = {
        { { true, 50, 0, 30 * NS_PER_S }, "\"tenant\";r=50;t=30", "1" },
        { { true, 0, 0, 1 }, "\"tenant\";r=0;t=1", "1" },
        { { true, 9, 0, 0 }, "\"tenant\";r=9;t=0", "1" },
        /* Refused: Retry-After must not lie before t (draft 11, section 6). */
        { { false, 0, 1, 60 * NS_PER_S }, "\"tenant\";r=0;t=1", "1" },
        { { false, 0, NS_PER_S, 60 * NS_PER_S }, "\"tenant\";r=0;t=1", "1" },
        { { false, 0, NS_PER_S + 1, 60 * NS_PER_S }, "\"tenant\";r=0;t=2", "2" },
        { { false, 0, 59 * NS_PER_S, 60 * NS_PER_S }, "\"tenant\";r=0;t=59", "59" },
        { { false, 0, 0, 0 }, "\"tenant\";r=0;t=1", "1" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[RATELIMIT_SIZE];
        expect_text(out, ratelimit_format(out, sizeof out, STR("tenant"), &rows[i].answer), rows[i].want, i);
        expect_text(out, ratelimit_retry_after_format(out, sizeof out, &rows[i].answer), rows[i].retry_after,
                    i);
    }
}

Test(ratelimit, what_does_not_fit_is_not_written)
{
    struct bucket_answer answer = { true, 50, 0, 30 * NS_PER_S };
    size_t whole = strlen("\"tenant\";r=50;t=30");
    for (size_t size = 0; size <= whole; size++) {
        char *out = malloc(size + 1);
        size_t len = ratelimit_format(out, size, STR("tenant"), &answer);
        cr_expect_eq(len, size == whole ? whole : 0, "size %zu", size);
        free(out);
    }
}
