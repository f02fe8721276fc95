#include "base/err.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

Test(err, every_row_has_a_status_a_word_and_a_sentence)
{
    for (int row = 0; row < (int)ERR_COUNT; row++) {
        int err = -1 - row;
        int status = err_status(err);
        cr_expect(status == 0 || (status >= 400 && status < 600), "%s", err_word(err));
        cr_expect_gt(strlen(err_text(err)), 5);
        cr_expect_eq((int)err_row(err), row);
        for (const char *c = err_word(err); *c; c++)
            cr_expect(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-', "%s",
                      err_word(err));
    }
}

Test(err, words_are_unique)
{
    for (int a = 0; a < (int)ERR_COUNT; a++) {
        for (int b = a + 1; b < (int)ERR_COUNT; b++)
            cr_expect_str_neq(err_word(-1 - a), err_word(-1 - b));
    }
}

Test(err, zero_is_no_error)
{
    cr_expect_str_eq(err_word(0), "none");
    cr_expect_str_eq(err_text(0), "");
    cr_expect_lt(ERR_QUEUE_FULL, 0);
    cr_expect_eq(err_status(ERR_QUEUE_FULL), 503);
    cr_expect_str_eq(err_word(ERR_QUEUE_FULL), "queue-full");
}
