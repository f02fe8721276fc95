/* A client on a real socket: one end is the lane's, the other the test's. */
#ifndef TEST_PIPELINE_VISITOR_H
#define TEST_PIPELINE_VISITOR_H

#include "walk.h"

struct visitor {
    struct place *place;
    struct client *client; /* only good while the lane has it */
    int fd;
    struct buf got;
    bool is_over; /* the lane ended the connection */
    bool is_reset;
};

/* send_bytes: of the lane's socket buffer, 0: the system's. */
void visitor_open(struct visitor *visitor, struct place *place, int send_bytes);
void visitor_open_tcp(struct visitor *visitor, struct place *place);
/* Closes, and waits until the lane has noticed. */
void visitor_close(struct visitor *visitor);
/* Lines with "\n" for their ends, as they are: an empty line ends a head. */
void visitor_say(struct visitor *visitor, const char *lines);
/* Reads at most n bytes of what is there; how many. */
size_t visitor_read(struct visitor *visitor, size_t n);
void visitor_until(struct visitor *visitor, const char *text);
void visitor_until_over(struct visitor *visitor);

/* A reply off the front of what was got, checked by the rules of RFC 9112. */
struct said {
    int status;
    struct buf head; /* NUL-terminated */
    struct buf body;
    char trailers[256];
    bool is_whole;
};

void said_read(struct said *said, struct visitor *visitor, enum method to);
/* Reads one reply off what came by now, all of it. */
void said_hear(struct said *said, struct visitor *visitor, enum method to);
const char *said_field(const struct said *said, const char *name); /* as head_field() */
void said_fini(struct said *said);

#endif
