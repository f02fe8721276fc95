/* Is a database that does not answer merely late, or is it gone, and when is it tried again? From what the
 * probe saw of it, one failure after the other. Pure: no socket, no clock of its own. The probe's thread.
 *
 * Gone is what refuses connections, or says that it shuts down or starts up; what ended its session and takes
 * no other; and what was late several times in a row. One that says anything else, be it that it takes no
 * more connections or does not know the password, is there: so it is for its clients. One that has never
 * answered may be a mistake in the config, and is not gone either. */
#ifndef RW_SPLIT_POSTGRES_LOSS_H
#define RW_SPLIT_POSTGRES_LOSS_H

#include <stdbool.h>
#include <stdint.h>

enum failure {
    FAILURE_LATE,    /* nothing came in time, or it was not even asked */
    FAILURE_CLOSED,  /* the connection broke, or was refused */
    FAILURE_STOPPED, /* it says itself that it shuts down, or starts up */
    FAILURE_SPOKE,   /* it said something else: it is there */
};

/* Zeroed at first; monotonic times. */
struct loss {
    bool was_there;   /* it has answered, some time */
    unsigned late;    /* how often in a row */
    int64_t late_ms;  /* since when */
    int64_t ended_ms; /* when its session ended; 0: it did not */
    int64_t since_ms; /* since when it is gone; 0: it is not */
    int64_t pause_ms; /* before the last try */
};

void loss_answered(struct loss *loss);
/* had_session: it was connected to before. */
void loss_failed(struct loss *loss, enum failure failure, bool had_session, int64_t now_ms);

/* How long until the next try, after loss_failed(): longer and longer. was_steady: its session had lasted, so
 * that no row of failures goes on; is_broken: the session broke, it was not merely late. */
int64_t loss_pause_ms(struct loss *loss, bool was_steady, bool is_broken, int64_t now_ms);

/* By the SQLSTATE that came with it, five characters; "": there is none, the connection broke. */
enum failure failure_by_state(const char *state);

#endif
