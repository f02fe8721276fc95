#include "worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "net/listener.h"
#include "pipeline/client.h"

#define DRAIN_ACCEPT_MS 1000 /* who was told of us a moment ago is still served */
#define DRAIN_LOOK_MS   20
#define DRAIN_DEAF_MS   60 /* handshakes under way end, and are taken in */

struct door { /* one listening socket of this worker */
    struct worker *worker;
    struct listener *listener;
    int fd;
    unsigned gate;
};

struct worker {
    pthread_t thread;
    bool is_running;
    struct lane *lane;
    struct door doors[GATES_MAX];
    unsigned door_count;
    struct timer drain;
    int64_t drain_until_ns;
    int64_t accept_until_ns;
    bool is_deaf;
    void (*on_deaf)(void *arg);
    void (*on_drained)(void *arg);
    void *drained_arg;
};

/* What the control thread sends. */
struct order {
    struct post post;
    struct worker *worker;
    struct world *world; /* a reference */
    int fds[GATES_MAX];
    unsigned fd_count;
    int64_t patience_ms;
    void (*on_deaf)(void *arg);
    void (*on_over)(void *arg);
    void *arg;
};

static void on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    static int64_t gate_ns;
    struct door *door = arg;
    struct lane *lane = door->worker->lane;
    struct city *city = lane->city;

    if (atomic_load_explicit(&city->connections, memory_order_relaxed) >= city->connections_max) {
        close(fd);
        if (log_gate(&gate_ns, loop_now_ns(lane->loop)))
            log_warn("%lld connections are open, the limit: closing new ones",
                     (long long)city->connections_max);
        return;
    }
    struct client *client = client_new(lane, &lane->now->world->gates[door->gate], fd, peer, peer_len);
    if (client && lane->is_draining)
        client_drain(client);
}

static void close_doors(struct worker *worker)
{
    for (unsigned i = 0; i < worker->door_count; i++)
        listener_free(worker->doors[i].listener);
    worker->door_count = 0;
}

/* Doors whose socket stays are kept open without a pause; only their gate's number may change. */
static void set_doors(struct worker *worker, const int *fds, unsigned count)
{
    struct door old[GATES_MAX];
    unsigned old_count = worker->door_count;
    memcpy(old, worker->doors, sizeof old);
    worker->door_count = 0;
    for (unsigned i = 0; i < old_count; i++)
        listener_free(old[i].listener); /* stops accepting; what waits, waits in the socket */
    for (unsigned i = 0; i < count; i++) {
        struct door *door = &worker->doors[worker->door_count];
        *door = (struct door){ .worker = worker, .fd = fds[i], .gate = i };
        door->listener = listener_new(worker->lane->loop, fds[i], on_accept, door);
        if (door->listener)
            worker->door_count++;
        else
            log_error("worker %u: out of memory for a listener", worker->lane->index);
    }
}

struct worker *worker_new(unsigned index, struct city *city, struct world *world, struct tally *tally,
                          struct access_ring *ring)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->lane = lane_new(index, city, world, tally);
    if (!worker->lane) {
        free(worker);
        return NULL;
    }
    worker->lane->ring = ring;
    return worker;
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    loop_run(worker->lane->loop);
    close_doors(worker);
    list_for_each_safe (link, &worker->lane->clients)
        client_close(LIST_ENTRY(link, struct client, link));
    loop_turn(worker->lane->loop, 0); /* frees what was put off */
    return NULL;
}

bool worker_start(struct worker *worker, const int *fds)
{
    set_doors(worker, fds, worker->lane->now->world->config->listen_count);
    worker->is_running = pthread_create(&worker->thread, NULL, run, worker) == 0;
    return worker->is_running;
}

static void on_world(struct post *post)
{
    struct order *order = CONTAINER_OF(post, struct order, post);
    struct worker *worker = order->worker;
    lane_enter_world(worker->lane, order->world);
    if (!worker->lane->is_draining)
        set_doors(worker, order->fds, order->fd_count);
    world_unref(order->world);
    order->on_over(order->arg);
    free(order);
}

bool worker_enter_world(struct worker *worker, struct world *world, const int *fds,
                        void (*on_over)(void *arg), void *arg)
{
    struct order *order = calloc(1, sizeof *order);
    if (!order)
        return false;
    *order = (struct order){ .post = { .fn = on_world },
                             .worker = worker,
                             .world = world_ref(world),
                             .fd_count = world->config->listen_count,
                             .on_over = on_over,
                             .arg = arg };
    memcpy(order->fds, fds, order->fd_count * sizeof *fds);
    loop_post(worker->lane->loop, &order->post);
    return true;
}

static void stop_accepting(struct worker *worker, int64_t now)
{
    if (now < worker->accept_until_ns || (worker->is_deaf && worker->door_count == 0))
        return;
    if (!worker->is_deaf) {
        worker->is_deaf = true;
        for (unsigned i = 0; i < worker->door_count; i++)
            listener_deafen(worker->doors[i].fd);
        worker->accept_until_ns = now + DRAIN_DEAF_MS * 1000000LL;
        return;
    }
    close_doors(worker);
    worker->on_deaf(worker->drained_arg);
}

/* Looks again and again whether everyone has left: only while draining. */
static void on_drain_look(void *arg)
{
    struct worker *worker = arg;
    struct lane *lane = worker->lane;
    int64_t now = loop_now_ns(lane->loop);
    stop_accepting(worker, now);
    bool is_empty = worker->door_count == 0 && lane->client_count == 0;
    if (!is_empty && now < worker->drain_until_ns) {
        timer_set(lane->loop, &worker->drain, DRAIN_LOOK_MS);
        return;
    }
    if (lane->client_count > 0)
        log_warn("worker %u: %u connections did not end in time", lane->index, lane->client_count);
    worker->on_drained(worker->drained_arg);
}

static void on_drain(struct post *post)
{
    struct order *order = CONTAINER_OF(post, struct order, post);
    struct worker *worker = order->worker;
    struct lane *lane = worker->lane;
    int64_t now = loop_now_ns(lane->loop);

    lane->is_draining = true;
    worker->accept_until_ns = now + DRAIN_ACCEPT_MS * 1000000LL;
    worker->drain_until_ns = now + order->patience_ms * 1000000LL;
    worker->on_deaf = order->on_deaf;
    worker->on_drained = order->on_over;
    worker->drained_arg = order->arg;
    free(order);
    list_for_each_safe (link, &lane->clients)
        client_drain(LIST_ENTRY(link, struct client, link));
    timer_init(&worker->drain, on_drain_look, worker);
    timer_set(lane->loop, &worker->drain, DRAIN_LOOK_MS);
}

void worker_drain(struct worker *worker, int64_t patience_ms, void (*on_deaf)(void *arg),
                  void (*on_over)(void *arg), void *arg)
{
    struct order *order = calloc(1, sizeof *order);
    if (!order) {
        on_over(arg);
        return;
    }
    *order = (struct order){ .post = { .fn = on_drain },
                             .worker = worker,
                             .patience_ms = patience_ms,
                             .on_deaf = on_deaf,
                             .on_over = on_over,
                             .arg = arg };
    loop_post(worker->lane->loop, &order->post);
}

void worker_join(struct worker *worker)
{
    if (!worker || !worker->is_running)
        return;
    loop_stop(worker->lane->loop);
    pthread_join(worker->thread, NULL);
    worker->is_running = false;
}

void worker_end(struct worker *worker)
{
    if (!worker)
        return;
    lane_end_fetches(worker->lane);
    loop_turn(worker->lane->loop, 0); /* what others posted; frees what was put off */
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    lane_free(worker->lane);
    free(worker);
}

struct lane *worker_lane(struct worker *worker)
{
    return worker->lane;
}
