/* Several loops, each with its thread, that post to one another and dial through endpoints all of them share,
 * while others look up, drop and make endpoints anew. For ThreadSanitizer, and without it for crashes; a
 * plain program, for the unit tests' framework does not start under it. Ends by itself after about a second.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"

#define WORKERS      3
#define SENDERS      2
#define RUN_NS       (900 * NS_PER_MS)
#define IN_FLIGHT    64
#define DIALS_A_TIME 4

struct message {
    struct post post;
    unsigned from; /* sender */
    unsigned number;
    struct worker *to;
};

struct worker {
    pthread_t thread;
    struct loop *loop;
    struct listener *listener;
    int fd;
    unsigned index;
    unsigned last[SENDERS]; /* number seen from each */
    unsigned received;
    struct post hop;
    struct timer dial_timer;
    struct later regret;
    struct dial *dials[DIALS_A_TIME];
    unsigned connected;
    unsigned failed;
    unsigned cancelled;
};

static struct worker workers[WORKERS];
static struct endpoint *endpoints[2]; /* an address and a name */
static struct addr name;
static atomic_uint in_flight;
static atomic_bool is_over;

/* --- messages --- */

static void on_message(struct post *post)
{
    struct message *message = LIST_ENTRY(post, struct message, post);
    struct worker *worker = message->to;
    CHECK(message->number > worker->last[message->from]); /* in order */
    worker->last[message->from] = message->number;
    worker->received++;
    atomic_fetch_sub(&in_flight, 1);
    free(message);
}

static void *sender_run(void *arg)
{
    unsigned from = *(unsigned *)arg;
    for (unsigned number = 1; !atomic_load(&is_over); number++) {
        struct message *message = malloc(sizeof *message);
        CHECK(message != NULL);
        *message = (struct message){ .post.fn = on_message, .from = from, .number = number };
        message->to = &workers[number % WORKERS];
        atomic_fetch_add(&in_flight, 1);
        loop_post(message->to->loop, &message->post);
        while (atomic_load(&in_flight) > IN_FLIGHT && !atomic_load(&is_over))
            sched_yield();
    }
    return NULL;
}

/* One message that goes round through all loops for as long as they turn. */
static void on_hop(struct post *post)
{
    struct worker *worker = LIST_ENTRY(post, struct worker, hop);
    struct worker *next = &workers[(worker->index + 1) % WORKERS];
    if (!atomic_load(&is_over))
        loop_post(next->loop, &next->hop);
}

/* --- dials through shared endpoints --- */

static void on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    close(fd);
}

static void on_dialled(void *arg, struct stream *stream, int err)
{
    struct dial **slot = arg;
    struct worker *worker = NULL;
    for (unsigned i = 0; i < WORKERS; i++) {
        if (slot >= workers[i].dials && slot < workers[i].dials + DIALS_A_TIME)
            worker = &workers[i];
    }
    CHECK(worker != NULL);
    *slot = NULL;
    if (err)
        worker->failed++;
    else
        worker->connected++;
    stream_close(stream);
}

/* Two through the shared endpoints, two through a name that nobody has looked up yet. */
static void start_dial(struct worker *worker, unsigned slot)
{
    if (worker->dials[slot])
        return;
    struct endpoint *endpoint = slot < 2 ? endpoint_ref(endpoints[slot]) : endpoint_new(&name);
    worker->dials[slot] =
        dial_start(worker->loop, endpoint, NULL, NULL, 500, on_dialled, &worker->dials[slot]);
    endpoint_unref(endpoint);
}

static void on_dial_timer(void *arg)
{
    struct worker *worker = arg;
    for (unsigned i = 0; i < DIALS_A_TIME; i++)
        start_dial(worker, i);
    loop_later(worker->loop, &worker->regret);
    timer_set(worker->loop, &worker->dial_timer, 1);
}

/* While its name is being looked up, or just when that is done. */
static void on_regret(void *arg)
{
    struct worker *worker = arg;
    struct dial **last = &worker->dials[DIALS_A_TIME - 1];
    if (*last)
        worker->cancelled++;
    dial_cancel(*last);
    *last = NULL;
}

/* New names and their first look-up, all the time, half of them dropped while it goes on. */
static void *churn_run(void *arg)
{
    struct addr addr;
    CHECK(addr_parse(STR("localhost:9"), &addr));
    while (!atomic_load(&is_over)) {
        struct endpoint *kept = endpoint_new(&addr);
        endpoint_unref(endpoint_new(&addr));
        usleep(500);
        endpoint_unref(kept);
    }
    return NULL;
}

/* --- the whole --- */

static void *worker_run(void *arg)
{
    struct worker *worker = arg;
    timer_set(worker->loop, &worker->dial_timer, 0);
    loop_run(worker->loop);

    timer_cancel(&worker->dial_timer);
    later_cancel(&worker->regret);
    for (unsigned i = 0; i < DIALS_A_TIME; i++)
        dial_cancel(worker->dials[i]);
    /* A look-up that a dial was waiting for may have been told meanwhile. */
    loop_turn(worker->loop, 0);
    return NULL;
}

static void worker_init(struct worker *worker, unsigned index, struct addr *bound)
{
    struct addr any;
    CHECK(addr_parse(STR("127.0.0.1:0"), &any));
    worker->index = index;
    worker->loop = loop_new();
    CHECK(worker->loop != NULL);
    CHECK(listener_open(&any, 1, &worker->fd, bound) == 0);
    worker->listener = listener_new(worker->loop, worker->fd, on_accept, NULL);
    worker->hop.fn = on_hop;
    timer_init(&worker->dial_timer, on_dial_timer, worker);
    later_init(&worker->regret, on_regret, worker);
}

static void worker_fini(struct worker *worker)
{
    listener_free(worker->listener);
    loop_free(worker->loop);
    close(worker->fd);
}

int main(void)
{
    unsigned numbers[SENDERS];
    pthread_t senders[SENDERS];
    pthread_t churn;
    struct addr bound;
    char text[32];

    for (unsigned i = 0; i < WORKERS; i++)
        worker_init(&workers[i], i, &bound);
    snprintf(text, sizeof text, "localhost:%u", bound.port);
    CHECK(addr_parse(str_of(text), &name));
    endpoints[0] = endpoint_new(&bound);
    endpoints[1] = endpoint_new(&name);

    for (unsigned i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&senders[i], NULL, sender_run, &numbers[i]) == 0);
    }
    CHECK(pthread_create(&churn, NULL, churn_run, NULL) == 0);
    loop_post(workers[0].loop, &workers[0].hop);

    usleep(RUN_NS / 1000);
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    pthread_join(churn, NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        loop_stop(workers[i].loop);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);

    CHECK(atomic_load(&in_flight) == 0); /* nothing sent before the stop was lost */
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &workers[i];
        printf("worker %u: %u messages, %u connected, %u failed, %u cancelled\n", i, worker->received,
               worker->connected, worker->failed, worker->cancelled);
        CHECK(worker->received > 0);
        CHECK(worker->connected > 0);
        worker_fini(worker);
    }
    endpoint_unref(endpoints[0]);
    endpoint_unref(endpoints[1]);
    return 0;
}
