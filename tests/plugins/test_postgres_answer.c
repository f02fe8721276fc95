/* What the database's answer means, without a database: results made up, and the memory of timelines. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "postgres_answer.h"

/* A row of five values; NULL is SQL's. */
static PGresult *row_of(const char *const values[5])
{
    static char name[] = "c";
    PGresAttDesc columns[5] = { { name }, { name }, { name }, { name }, { name } };
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    PQsetResultAttrs(result, 5, columns);
    for (int i = 0; i < 5; i++) {
        char *copy = values[i] ? strdup(values[i]) : NULL;

        PQsetvalue(result, 0, i, copy, copy ? (int)strlen(copy) : -1);
        free(copy);
    }
    return result;
}

static bool read_row(const char *const values[5], struct postgres_answer *out)
{
    PGresult *result = row_of(values);
    bool is_read = postgres_answer_read(result, out);

    PQclear(result);
    return is_read;
}

Test(postgres_answer, a_primarys_and_a_replicas_are_read)
{
    struct postgres_answer answer;

    cr_assert(read_row((const char *const[]){ "f", "16/B374D848", "0000001A", "00000019", "0" }, &answer));
    cr_assert(answer.is_primary);
    cr_assert_eq(answer.position, UINT64_C(0x16B374D848));
    cr_assert_eq(answer.timeline, 0x1a);
    cr_assert_eq(answer.checkpoint, 0x19);
    cr_assert_eq(answer.lag_ms, 0);
    cr_assert(read_row((const char *const[]){ "t", "FFFFFFFF/FFFFFFFF", NULL, "00000001", NULL }, &answer));
    cr_assert_not(answer.is_primary);
    cr_assert_eq(answer.position, UINT64_MAX);
    cr_assert_eq(answer.timeline, 0);
    cr_assert_eq(answer.lag_ms, -1);
    cr_assert(read_row((const char *const[]){ "t", NULL, NULL, "00000001", "-5" }, &answer));
    cr_assert_not(answer.has_position, "nothing replayed yet");
    cr_assert_eq(answer.lag_ms, -1, "a clock that was set back says nothing");
}

Test(postgres_answer, what_is_not_in_its_form_is_no_answer)
{
    static const char *const rows[][5] = {
        { NULL, "0/1", "00000001", "00000001", "0" },
        { "", "0/1", "00000001", "00000001", "0" },
        { "true", "0/1", "00000001", "00000001", "0" },
        { "f", NULL, "00000001", "00000001", "0" },
        { "f", "0/1", NULL, "00000001", "0" },
        { "f", "0/1", "00000000", "00000001", "0" },
        { "f", "0/", "00000001", "00000001", "0" },
        { "f", "/1", "00000001", "00000001", "0" },
        { "f", "01", "00000001", "00000001", "0" },
        { "f", "0/1/2", "00000001", "00000001", "0" },
        { "f", "0/123456789", "00000001", "00000001", "0" },
        { "f", "-1/1", "00000001", "00000001", "0" },
        { "f", " 0/1", "00000001", "00000001", "0" },
        { "f", "0x1/1", "00000001", "00000001", "0" },
        { "t", "0/1", "1 ", "00000001", "0" },
        { "t", "0/1", "00000001", "zz", "0" },
        { "t", "0/1", "", "00000001", "0" },
        { "t", "0/1", "00000001", "00000001", "soon" },
        { "t", "0/1", "00000001", "00000001", "" },
        { "t", "", "00000001", "00000001", "0" },
    };
    struct postgres_answer answer;
    PGresult *empty = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_not(read_row(rows[i], &answer), "row %zu", i);
    cr_assert_not(postgres_answer_read(empty, &answer));
    PQclear(empty);
}

static struct postgres_answer primary_at(uint32_t timeline, uint64_t position)
{
    return (struct postgres_answer){ .is_primary = true,
                                     .has_position = true,
                                     .position = position,
                                     .timeline = timeline,
                                     .checkpoint = timeline };
}

static struct postgres_answer replica_at(uint32_t receives, uint32_t checkpoint, uint64_t position)
{
    return (struct postgres_answer){
        .has_position = true, .position = position, .timeline = receives, .checkpoint = checkpoint
    };
}

static void learn(struct timelines *timelines, uint32_t timeline, uint64_t position)
{
    struct postgres_answer answer = primary_at(timeline, position);

    timelines_learn(timelines, &answer);
}

static uint32_t timeline_of(const struct timelines *timelines, struct postgres_answer answer, uint32_t known)
{
    return timelines_of(timelines, &answer, known);
}

Test(timelines, a_replica_is_on_a_timeline_when_it_has_replayed_beyond_its_beginning)
{
    struct timelines timelines = { 0 };

    cr_assert_eq(timeline_of(&timelines, primary_at(3, 1), 0), 3);
    cr_assert_eq(timeline_of(&timelines, replica_at(1, 1, 50), 0), 1);
    cr_assert_eq(timeline_of(&timelines, replica_at(2, 1, 500), 0), 1, "nobody knows where 2 begins");
    learn(&timelines, 2, 100);
    learn(&timelines, 2, 400);
    cr_assert_eq(timeline_of(&timelines, replica_at(2, 1, 99), 0), 1);
    cr_assert_eq(timeline_of(&timelines, replica_at(2, 1, 100), 0), 2, "the first that was seen counts");
    cr_assert_eq(timeline_of(&timelines, replica_at(1, 1, 500), 0), 1,
                 "it stayed on the old one, and is further there");
    cr_assert_eq(timeline_of(&timelines, replica_at(3, 1, 500), 0), 1, "2 need not be an ancestor of 3");
    cr_assert_eq(timeline_of(&timelines, replica_at(2, 2, 7), 0), 2, "its restart point says so");
    cr_assert_eq(timeline_of(&timelines, replica_at(0, 1, 500), 2), 2, "it was known");
    cr_assert_eq(timeline_of(&timelines, replica_at(0, 1, 500), 0), 1, "it does not tell what it receives");
}

Test(timelines, the_newest_are_kept)
{
    struct timelines timelines = { 0 };

    for (uint32_t i = 1; i <= 100; i++)
        learn(&timelines, i, 10 * i);
    learn(&timelines, 1, 5);
    cr_assert_eq(timelines.count, TIMELINES_MAX);
    cr_assert_eq(timeline_of(&timelines, replica_at(100, 1, 1000), 0), 100);
    cr_assert_eq(timeline_of(&timelines, replica_at(85, 1, 850), 0), 85);
    cr_assert_eq(timeline_of(&timelines, replica_at(84, 1, 1000), 0), 1);
}
