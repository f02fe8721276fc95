/* The load's connections: each has at most one request under way, and every reply is checked.
 *
 * Knows the request, whom to ask, and what a right answer is; how often and how many at a time is
 * load.c's (a closed loop) and crowd.c's (all at once). One thread, one epoll, one of it in a process.
 */
#ifndef BENCH_ASKING_H
#define BENCH_ASKING_H

#include "histogram.h"
#include "reply.h"

struct connection {
    int fd; /* -1: none */
    bool is_asking;
    long key;
    int64_t asked_ns, took_ns; /* the last that was answered rightly */
    struct reply reply;
};

/* What the command line says. Not changed afterwards, but for `target` by a crowd. */
struct wanted {
    int port;
    long connections;
    double seconds;
    long requests; /* 0: by time */
    long keys;     /* 0: the target as it is; else the key's digits are added */
    long digits;
    double skew;
    bool is_sequence; /* every key in turn */
    bool is_idle;     /* a connection does not ask again by itself */
    bool may_discard;
    long status;
    long bytes; /* expected of every body; -1: any */
    const char *target, *host;
    char fields[2048];
};

struct load {
    int epoll;
    struct connection *connections;
    struct zipf *zipf;
    char request[4096];
    size_t request_length;
    char *digits; /* where the key goes in the request */
    int64_t now, end_ns;
    bool is_over;
    long asking;
    unsigned long asked, errors, reconnects, closed_idle;
    uint64_t body_bytes;
    const char *first_error;
    struct histogram took_ns; /* of good replies; its count is theirs */
};

extern struct wanted want;
extern struct load load;

void asking_init(void);
void asking_fini(void);
/* Makes the request of want.target; exit 2 when it is too long. */
void request_make(void);
/* Sends the request, over a new connection if there is none; nothing once the load is over. */
void ask(struct connection *conn);
/* Waits at most that long for replies, and takes what is there. */
void turn(int timeout_ms);

#endif
