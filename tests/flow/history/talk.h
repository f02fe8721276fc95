/* HTTP/1.1 as the programs of this folder speak it to weir: messages with a Content-Length, one after the
 * other on a connection that is kept. No more than that: what weir makes of anything else is for other tests.
 *
 * Owner: one thread, which may block in it. */
#ifndef HISTORY_TALK_H
#define HISTORY_TALK_H

#include <stdbool.h>
#include <stddef.h>

#define TALK_BYTES_MAX (2u << 20) /* of one message */

struct talk {
    int fd;
    char *held; /* what came and was not taken: TALK_BYTES_MAX of room, and a NUL */
    size_t held_bytes;
    size_t taken_bytes; /* of it: the message read last */
};

struct message {
    char *start;      /* its first line, NUL-terminated. All of it lives until the next read */
    char *fields;     /* the lines below it, NUL-terminated */
    const char *body; /* not NUL-terminated */
    size_t body_bytes;
};

/* Takes the descriptor. */
bool talk_init(struct talk *talk, int fd);
void talk_fini(struct talk *talk);

/* Waits for the next message. False: the other side is gone, too slow, or says what is not understood here.
 */
bool talk_read(struct talk *talk, struct message *message);
bool talk_send(struct talk *talk, const char *data, size_t len);

/* A field's value, without the space around it; "" without such a field. */
void message_field(const struct message *message, const char *name, char *out, size_t size);

#endif
