#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/endpoint.h"
#include "net/stream_int.h"
#include "net/tls.h"

#include "base/clock.h"
#include "base/err.h"

/* Of an address that does not answer, while there are others and no deadline. */
#define ATTEMPT_MS 3000

/* looking up (if the endpoint's first look-up is still on its way) -> connecting, one address after the
 * other -> handshaking -> told */
struct dial {
    struct loop *loop;
    struct endpoint *endpoint;
    struct tls_client *tls;
    char *server_name;
    dial_fn *on_done;
    void *arg;
    int64_t deadline_ns; /* 0: none */

    struct later kick;  /* begins, so that nothing is told from within dial_start() */
    struct timer timer; /* of this address, or of the whole */
    struct endpoint_waiter waiter;
    struct post looked_up; /* from the resolver's thread */
    bool is_looking_up;
    bool is_over; /* what is left of the dial waits for looked_up to free it */

    struct stream *stream;
    int err;        /* of the last address tried */
    unsigned tried; /* addresses, starting with the first */
    struct endpoint_addresses addresses;
};

static void dial_end(struct dial *dial)
{
    timer_cancel(&dial->timer);
    later_cancel(&dial->kick);
    stream_close(dial->stream);
    tls_client_unref(dial->tls);
    free(dial->server_name);
    dial->is_over = dial->is_looking_up && !endpoint_leave(dial->endpoint, &dial->waiter);
    endpoint_unref(dial->endpoint);
    if (!dial->is_over)
        loop_free_later(dial->loop, dial);
}

static void dial_finish(struct dial *dial, int err)
{
    dial_fn *on_done = dial->on_done;
    void *arg = dial->arg;
    struct stream *stream = NULL;

    if (!err) {
        stream = dial->stream;
        dial->stream = NULL;
        stream_want_read(stream, false);
        stream_want_write(stream, false);
    }
    dial_end(dial);
    on_done(arg, stream, err);
}

/* --- one address --- */

static unsigned address_index(const struct dial *dial, unsigned turn)
{
    return (dial->addresses.first + turn) % dial->addresses.count;
}

static void next_address(struct dial *dial);

static int err_of_errno(int err)
{
    if (err == ECONNREFUSED)
        return ERR_CONNECT_REFUSED;
    return err == ETIMEDOUT ? ERR_CONNECT_TIMEOUT : ERR_CONNECT_FAILED;
}

static void give_up_address(struct dial *dial, int err)
{
    stream_close(dial->stream);
    dial->stream = NULL;
    dial->err = err;
    next_address(dial);
}

static void on_handshake(void *arg)
{
    struct dial *dial = arg;
    if (stream_is_handshaking(dial->stream))
        return;
    dial_finish(dial, stream_tls_has_failed(dial->stream) ? ERR_UPSTREAM_TLS : 0);
}

static void on_never(void *arg)
{
}

static const struct stream_events handshake_events = { on_handshake, on_never };

static int64_t remaining_ms(struct dial *dial)
{
    /* Rounded up: when the timer calls, the deadline has passed. */
    return max_i64((dial->deadline_ns - loop_now_ns(dial->loop)) / NS_PER_MS + 1, 0);
}

static void on_connected(void *arg)
{
    struct dial *dial = arg;
    int err = 0;
    socklen_t len = sizeof err;

    if (getsockopt(stream_fd(dial->stream), SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    if (err) {
        give_up_address(dial, err_of_errno(err));
        return;
    }
    if (dial->addresses.count > 1)
        endpoint_set_first(dial->endpoint, address_index(dial, dial->tried - 1));
    stream_want_write(dial->stream, false);
    if (!dial->tls) {
        dial_finish(dial, 0);
        return;
    }

    /* The handshake has all the time that is left. */
    if (dial->deadline_ns)
        timer_set(dial->loop, &dial->timer, remaining_ms(dial));
    else
        timer_cancel(&dial->timer);
    stream_set_owner(dial->stream, &handshake_events, dial);
    stream_want_read(dial->stream, true);
    if (!stream_tls_connect(dial->stream, dial->tls, dial->server_name))
        dial_finish(dial, ERR_CONNECT_FAILED);
}

static const struct stream_events connect_events = { on_never, on_connected };

/* 0 when it is on its way (or connected: then the socket is writable), or an errno. */
static int begin_connect(struct dial *dial, const struct sockaddr *sa, socklen_t len)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, sa, len) != 0 && errno != EINPROGRESS && errno != EINTR) {
        int err = errno;
        close(fd);
        return err;
    }
    dial->stream = stream_new(dial->loop, fd, NULL, &connect_events, dial);
    if (!dial->stream)
        return ENOMEM;
    stream_want_write(dial->stream, true);
    return 0;
}

/* An address that swallows packets may have its share of the time, not all of it. */
static void set_attempt_timer(struct dial *dial)
{
    unsigned left = dial->addresses.count - dial->tried; /* after this one */
    if (dial->deadline_ns)
        timer_set(dial->loop, &dial->timer, remaining_ms(dial) / (left + 1));
    else if (left > 0)
        timer_set(dial->loop, &dial->timer, ATTEMPT_MS);
    else
        timer_cancel(&dial->timer);
}

static void next_address(struct dial *dial)
{
    while (dial->tried < dial->addresses.count) {
        unsigned index = address_index(dial, dial->tried++);
        int err = begin_connect(dial, (struct sockaddr *)&dial->addresses.items[index].sa,
                                dial->addresses.items[index].len);
        if (!err) {
            set_attempt_timer(dial);
            return;
        }
        dial->err = err_of_errno(err);
    }
    dial_finish(dial, dial->err);
}

/* --- the whole --- */

static void on_time_over(void *arg)
{
    struct dial *dial = arg;
    bool is_over = dial->deadline_ns && loop_now_ns(dial->loop) >= dial->deadline_ns;

    if (is_over || dial->is_looking_up)
        dial_finish(dial, ERR_CONNECT_TIMEOUT);
    else
        give_up_address(dial, ERR_CONNECT_TIMEOUT);
}

static void begin(void *arg)
{
    struct dial *dial = arg;

    dial->is_looking_up = !endpoint_addresses(dial->endpoint, &dial->addresses, &dial->waiter);
    if (!dial->is_looking_up)
        next_address(dial);
    else if (dial->deadline_ns)
        timer_set(dial->loop, &dial->timer, remaining_ms(dial));
}

/* On the resolver's thread. */
static void pass_on_looked_up(struct endpoint_waiter *waiter)
{
    struct dial *dial = LIST_ENTRY(waiter, struct dial, waiter);
    loop_post(dial->loop, &dial->looked_up);
}

static void on_looked_up(struct post *post)
{
    struct dial *dial = LIST_ENTRY(post, struct dial, looked_up);
    if (dial->is_over) {
        free(dial);
        return;
    }
    begin(dial);
}

struct dial *dial_start(struct loop *loop, struct endpoint *endpoint, struct tls_client *tls,
                        const char *server_name, int64_t timeout_ms, dial_fn *on_done, void *arg)
{
    struct dial *dial = calloc(1, sizeof *dial);
    if (!dial)
        return NULL;
    if (tls) {
        CHECK(server_name != NULL);
        dial->server_name = strdup(server_name);
        if (!dial->server_name) {
            free(dial);
            return NULL;
        }
        dial->tls = tls_client_ref(tls);
    }
    dial->loop = loop;
    dial->endpoint = endpoint_ref(endpoint);
    dial->on_done = on_done;
    dial->arg = arg;
    dial->err = ERR_CONNECT_FAILED; /* when there are no addresses at all */
    dial->looked_up.fn = on_looked_up;
    dial->waiter.fn = pass_on_looked_up;
    list_init(&dial->waiter.link);
    timer_init(&dial->timer, on_time_over, dial);
    later_init(&dial->kick, begin, dial);
    if (timeout_ms >= 0)
        dial->deadline_ns = loop_now_ns(loop) + timeout_ms * NS_PER_MS;
    loop_later(loop, &dial->kick);
    return dial;
}

void dial_cancel(struct dial *dial)
{
    if (dial)
        dial_end(dial);
}
