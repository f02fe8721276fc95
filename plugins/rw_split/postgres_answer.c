#include "postgres_answer.h"

#include <stdlib.h>
#include <string.h>

/* All in one, so that role, position and timeline are of the same moment. Whether it recovers is asked once
 * (the subquery is not pulled up: the function is volatile), as a promotion in the middle would otherwise
 * raise an error. A replica that has replayed all it was sent and is sent nothing any more cannot say how far
 * behind it is: no primary, no lag. pg_stat_wal_receiver tells only a role with pg_monitor of received_tli;
 * that there is a receiver at all, everybody. */
const char postgres_question[] =
    "SELECT s.recovers,"
    " CASE WHEN s.recovers THEN pg_catalog.pg_last_wal_replay_lsn()"
    " WHEN pg_catalog.current_setting('synchronous_commit') = 'off' THEN "
    "pg_catalog.pg_current_wal_insert_lsn()"
    " ELSE pg_catalog.pg_current_wal_lsn() END,"
    " CASE WHEN s.recovers THEN"
    " (SELECT pg_catalog.lpad(pg_catalog.to_hex(r.received_tli), 8, '0')"
    " FROM pg_catalog.pg_stat_wal_receiver r LIMIT 1)"
    " ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END,"
    " (SELECT pg_catalog.lpad(pg_catalog.to_hex(c.timeline_id), 8, '0')"
    " FROM pg_catalog.pg_control_checkpoint() c),"
    " CASE WHEN NOT s.recovers THEN 0"
    " WHEN pg_catalog.pg_last_wal_replay_lsn() >= pg_catalog.pg_last_wal_receive_lsn() THEN"
    " CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_stat_wal_receiver r WHERE r.pid IS NOT NULL) THEN 0 END"
    " ELSE pg_catalog.ceil(1000 * EXTRACT(epoch FROM"
    " pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()))::bigint END"
    " FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovers OFFSET 0) s";

enum column {
    COLUMN_RECOVERS,
    COLUMN_POSITION,
    COLUMN_TIMELINE,
    COLUMN_CHECKPOINT,
    COLUMN_LAG,
    COLUMNS
};

/* Up to eight hexadecimal digits from *text on, which then stands behind them. */
static bool read_hex(const char **text, uint32_t *out)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    size_t len = strspn(*text, digits);

    if (len == 0 || len > 8)
        return false;
    *out = (uint32_t)strtoul(*text, NULL, 16);
    *text += len;
    return true;
}

/* 16/B374D848 */
static bool read_lsn(const char *text, uint64_t *out)
{
    uint32_t high, low;

    if (!read_hex(&text, &high) || *text++ != '/' || !read_hex(&text, &low) || *text)
        return false;
    *out = (uint64_t)high << 32 | low;
    return true;
}

/* 0000001A; NULL is 0. */
static bool read_timeline(const PGresult *result, enum column column, uint32_t *out)
{
    const char *text = PQgetvalue(result, 0, (int)column);

    *out = 0;
    if (PQgetisnull(result, 0, (int)column))
        return true;
    return read_hex(&text, out) && !*text;
}

/* A clock that was set back makes it negative: then it is not known. */
static bool read_lag(const PGresult *result, int64_t *out_ms)
{
    const char *text = PQgetvalue(result, 0, COLUMN_LAG);
    char *end;

    *out_ms = -1;
    if (PQgetisnull(result, 0, COLUMN_LAG))
        return true;
    *out_ms = strtoll(text, &end, 10);
    if (end == text || *end)
        return false;
    if (*out_ms < 0)
        *out_ms = -1;
    return true;
}

bool postgres_answer_read(const PGresult *result, struct postgres_answer *out)
{
    const char *recovers;

    *out = (struct postgres_answer){ 0 };
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 || PQnfields(result) != COLUMNS)
        return false;
    recovers = PQgetvalue(result, 0, COLUMN_RECOVERS);
    if (strcmp(recovers, "t") != 0 && strcmp(recovers, "f") != 0)
        return false;
    out->is_primary = recovers[0] == 'f';
    out->has_position = !PQgetisnull(result, 0, COLUMN_POSITION);
    if (out->has_position && !read_lsn(PQgetvalue(result, 0, COLUMN_POSITION), &out->position))
        return false;
    if (!read_timeline(result, COLUMN_TIMELINE, &out->timeline) ||
        !read_timeline(result, COLUMN_CHECKPOINT, &out->checkpoint) || !read_lag(result, &out->lag_ms))
        return false;
    /* A primary has both, always. */
    return !out->is_primary || (out->has_position && out->timeline > 0);
}

/* --- timelines --- */

static const uint64_t *first_of(const struct timelines *timelines, uint32_t timeline)
{
    for (unsigned i = 0; i < timelines->count; i++)
        if (timelines->seen[i].timeline == timeline)
            return &timelines->seen[i].first;
    return NULL;
}

void timelines_learn(struct timelines *timelines, const struct postgres_answer *answer)
{
    unsigned at = 0;

    if (!answer->is_primary || first_of(timelines, answer->timeline))
        return;
    if (timelines->count < TIMELINES_MAX) {
        at = timelines->count++;
    } else {
        for (unsigned i = 1; i < TIMELINES_MAX; i++)
            if (timelines->seen[i].timeline < timelines->seen[at].timeline)
                at = i;
        if (timelines->seen[at].timeline > answer->timeline)
            return;
    }
    timelines->seen[at].timeline = answer->timeline;
    timelines->seen[at].first = answer->position;
}

uint32_t timelines_of(const struct timelines *timelines, const struct postgres_answer *answer, uint32_t known)
{
    uint32_t timeline = known > answer->checkpoint ? known : answer->checkpoint;
    const uint64_t *first;

    if (answer->is_primary)
        return answer->timeline;
    if (answer->timeline <= timeline || !answer->has_position)
        return timeline;
    first = first_of(timelines, answer->timeline);
    return first && answer->position >= *first ? answer->timeline : timeline;
}
