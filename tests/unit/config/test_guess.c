#include "config/guess.h"

#include <criterion/criterion.h>

#include "base/check.h"

Test(guess, the_nearest_word_is_meant_if_it_is_near)
{
    static const struct {
        const char *typed;
        const char *words;
        const char *want;
    } rows[] = {
        { "adress", "address|tls", "; did you mean \"address\"?" },
        { "timeout", "tls|timeouts|total", "; did you mean \"timeouts\"?" },
        { "least-time", "least_time|least_requests", "; did you mean \"least_time\"?" },
        { "REFUSE", "refuse|default", "; did you mean \"refuse\"?" },
        { "jsno", "off|json", "; did you mean \"json\"?" },
        { "x", "y|z", "" },
        { "banana", "off|json", "" },
        { "", "off|json", "" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct guess guess;
        char text[128];
        guess_init(&guess, str_of(rows[i].typed));
        guess_offer_words(&guess, rows[i].words);
        cr_expect_str_eq(guess_text(&guess, text, sizeof text), rows[i].want, "%s", rows[i].typed);
    }
}

Test(guess, long_words_are_passed_over)
{
    struct guess guess;
    char text[128];
    static const char typed[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    guess_init(&guess, str_of(typed));
    guess_offer(&guess, str_of(typed));
    cr_expect_str_eq(guess_text(&guess, text, sizeof text), "");
}
