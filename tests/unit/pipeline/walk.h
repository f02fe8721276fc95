/* What the room's tests share: a place (a city, a world from a config's text, one lane), apps (scripted
 * servers on loopback sockets in this process) and guests (clients who write down what a carrier is given).
 * Nothing sleeps: each step turns the lane's loop until it is done. */
#ifndef TEST_PIPELINE_WALK_H
#define TEST_PIPELINE_WALK_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "pipeline/client.h"
#include "pipeline/fetch.h"
#include "pipeline/lane.h"
#include "pipeline/request.h"

#define APPS_MAX  3
#define TURNS_MAX 2000 /* of up to 5 ms: a test that waits in vain ends */

struct app {
    struct loop *loop;
    struct addr addr;
    int listen_fd;
    int fd;        /* the connection accepted last, -1: none */
    int older[16]; /* those before, still open */
    unsigned older_count;
    struct buf got; /* what was read from it */
};

struct place {
    struct city city;
    struct world *world;
    struct tally *tally;
    struct lane *lane;
    struct app apps[APPS_MAX];
    const char *plugin_dir; /* both set before place_open() */
    bool keeps_travellers;  /* else what a lane would keep for later is freed at once: sanitizers see a late
                               use */
};

/* What a lane's free list should hold; nothing where every build frees at once (see FREE_LIST_MAX). */
#define KEPT(n) (FREE_LIST_MAX(256) > 0 ? (n) : 0u)

/* "@0" to "@2" in the text are the apps' addresses. */
void place_open(struct place *place, const char *yaml);
/* Nothing may be held any more: see place_assert_idle(). Then nothing may leak. */
void place_close(struct place *place);
/* A world from that text, after the present one; the lane goes on in it. False: mistakes, see place_why(). */
bool place_reload(struct place *place, const char *yaml);
const char *place_why(void);
void place_turn(struct place *place, unsigned turns); /* without waiting */
/* No request, place in a line, tenant's concurrency or server's request is taken. */
void place_assert_idle(struct place *place);

#define UNTIL(place, cond)                                              \
    do {                                                                \
        for (unsigned turn_ = 0; turn_ < TURNS_MAX && !(cond); turn_++) \
            loop_turn((place)->lane->loop, 5);                          \
        cr_assert(cond, "what the test waits for happens");             \
    } while (0)

void app_accept(struct app *app);
/* Reads until what was got contains text, and returns all of it: NUL-terminated, until the next call. */
const char *app_expect(struct app *app, const char *text);
const char *app_head(struct app *app); /* accepts and reads one head */
void app_send(struct app *app, const char *text);
void app_send_n(struct app *app, const void *data, size_t n);
void app_close(struct app *app);

enum guest_act {
    GUEST_STAYS,
    GUEST_LEAVES_AT_INTERIM,
    GUEST_LEAVES_AT_BEGIN,
    GUEST_LEAVES_AT_WRITE
};

struct guest {
    struct client client; /* never on a socket: who the request thinks it is from */
    struct place *place;
    struct request *req; /* NULL: done */
    struct buf head;     /* of the reply */
    struct buf body;
    struct buf interims;
    struct body_in up;
    int64_t length;
    size_t room;  /* bytes that write() takes before it is blocked */
    size_t stuck; /* taken with WRITE_COPY over that */
    unsigned begins;
    unsigned lasts;
    unsigned dones;
    int cut;
    enum guest_act act;
    bool wants_upload;
    bool is_head_held;
    bool is_short;
};

extern const struct carrier guest_carrier;

void guest_init(struct guest *guest, struct place *place); /* 127.0.0.9, not trusted, plain */
void guest_fini(struct guest *guest);
/* A request; lines with "\n" for their ends and without the empty line. */
void guest_ask(struct guest *guest, const char *lines);
void guest_send(struct guest *guest, const char *piece, bool is_last);
/* Reads so much more of the reply. */
void guest_read(struct guest *guest, size_t n);
void guest_leave(struct guest *guest);
void guest_until_done(struct guest *guest);
/* A whole exchange: asks, the app answers (text NULL: it is not asked), until all is done. Returns what the
 * app was sent. */
const char *guest_meets(struct guest *guest, const char *lines, struct app *app, const char *text);

int guest_status(const struct guest *guest);
/* A field of the reply, NUL-terminated, until the next call; NULL: it is not there. */
const char *guest_field(const struct guest *guest, const char *name);
unsigned guest_fields(const struct guest *guest, const char *name); /* how often it is there */
bool guest_has_body(const struct guest *guest, const char *text);
/* "reason" of a problem's body; "" if it is none. */
const char *guest_reason(const struct guest *guest);

/* A line of a head, name with its colon; as guest_field(). */
const char *head_field(const char *head, const char *name);

#endif
