#include "observe/tally.h"

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/err.h"

Test(tally, the_same_labels_are_the_same_series)
{
    struct tally *tally = tally_new(NULL, 100);
    struct series *a = tally_series(tally, 1, 2, 3);
    cr_expect_neq(tally_series(tally, 3, 2, 1), a);
    cr_expect_neq(tally_series(tally, 1, 3, 2), a);
    cr_expect_eq(tally_series(tally, 1, 2, 3), a);
    cr_expect_eq(tally_series(tally, 1, 2, 3), a);
    tally_free(tally);
    tally_free(NULL);
}

Test(tally, without_room_it_is_the_series_of_other)
{
    struct tally *tally = tally_new(NULL, 3);
    struct series *nobody = tally_series(tally, 0, 0, 0);
    struct series *other = tally_series(tally, 0, 1, 1);
    struct series *a = tally_series(tally, 1, 1, 1);
    cr_expect_eq(tally_series(tally, 2, 1, 1), other);
    cr_expect_eq(tally_series(tally, 2, 2, 2), nobody);
    cr_expect_eq(tally_series(tally, 1, 1, 1), a);
    unsigned count;
    tally_all(tally, &count);
    cr_expect_eq(count, 3);
    tally_free(tally);
}

Test(tally, thousands_of_series_are_found_again)
{
    enum {
        TENANTS = 20,
        VERSIONS = 5,
        ROUTES = 40
    };
    static struct series *all[TENANTS][VERSIONS][ROUTES];
    struct tally *tally = tally_new(NULL, TENANTS * VERSIONS * ROUTES);
    for (int round = 0; round < 2; round++) {
        for (unsigned t = 0; t < TENANTS; t++) {
            for (unsigned v = 0; v < VERSIONS; v++) {
                for (unsigned r = 0; r < ROUTES; r++) {
                    struct series *series = tally_series(tally, t, v, r);
                    cr_assert(round == 0 || series == all[t][v][r]);
                    cr_assert_eq(series->key, (uint64_t)t << 32 | v << 16 | r);
                    all[t][v][r] = series;
                }
            }
        }
    }
    tally_free(tally);
}

/* All requests of a series, whatever cell they are in. */
static uint64_t counted(const struct series *series)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < series->cell_count; i++)
        sum += i < CELLS_FEW ? series->few[i].count : series->more[i - CELLS_FEW].count;
    for (unsigned i = 0; i < OUTCOME_COUNT; i++)
        sum += series->others[i];
    return sum;
}

Test(tally, no_request_is_lost_however_many_statuses_an_app_invents)
{
    struct tally *tally = tally_new(NULL, 4);
    struct series *series = tally_series(tally, 1, 1, 1);
    uint64_t sent = 0;
    for (int round = 0; round < 3; round++) {
        for (int status = -1; status <= 1000; status += 3) {
            series_request(series, (enum outcome)(status % 2 ? OUTCOME_MISS : OUTCOME_PASS), status, 1000,
                           10);
            sent++;
        }
    }
    cr_expect_eq(counted(series), sent);
    cr_expect_eq(series->cell_count, CELLS_FEW + CELLS_MORE);
    tally_free(tally);
}

Test(tally, words_are_the_contracts)
{
    cr_expect_str_eq(stage_word(STAGE_FIRST_BYTE), "first_byte");
    cr_expect_str_eq(stage_word(STAGE_SECOND_TIER), "second_tier");
    cr_expect_str_eq(outcome_word(OUTCOME_COLLAPSED), "collapsed");
    cr_expect_str_eq(outcome_word(OUTCOME_ABORTED), "aborted");
}
