#include "pipeline/client.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "pipeline/tunnel.h"

#define IN_MAX         (64 * 1024) /* read ahead of a request in progress */
#define LINGER_MS      2000
#define LINGER_BYTES   (256 * 1024)
#define HANDSHAKE_MS   5000
#define DRAIN_GRACE_MS 1000 /* an idle connection may still send a request for so long */

static void on_readable(void *arg);
static void on_writable(void *arg);
static void on_timer(void *arg);
static void on_later(void *arg);

static const struct stream_events events = { .on_readable = on_readable, .on_writable = on_writable };

/* --- beginning and end --- */

struct client *client_new(struct lane *lane, const struct gate *gate, int fd, const struct sockaddr *peer,
                          socklen_t peer_len)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        close(fd);
        return NULL;
    }
    client->lane = lane;
    list_init(&client->link);
    timer_init(&client->timer, on_timer, client);
    later_init(&client->later, on_later, client);
    if (peer_len <= sizeof client->peer && (peer->sa_family == AF_INET || peer->sa_family == AF_INET6))
        memcpy(&client->peer, peer, peer_len);
    else
        client->peer.sa.sa_family = AF_UNIX;
    client->is_trusted = world_trusts(lane->now->world, &client->peer.sa);
    client->is_tls = gate->tls != NULL;

    if (!client->is_trusted) {
        uint8_t key[16];
        addr_client_key(&client->peer.sa, key);
        if (!address_enter(lane->city->addresses, key, client_limits(client)->per_address)) {
            close(fd);
            free(client);
            return NULL;
        }
        client->has_address = true;
    }
    list_push_back(&lane->clients, &client->link);
    lane->client_count++;
    atomic_fetch_add_explicit(&lane->city->connections, 1, memory_order_relaxed);
    lane_count(lane, LANE_CONNECTIONS, 1);
    client->stream = stream_new(lane->loop, fd, gate->tls, &events, client);
    if (!client->stream) {
        client_close(client);
        return NULL;
    }
    int64_t head_ms = client_limits(client)->head_time_ms;
    client_waits(client, WAITS_HEAD, client->is_tls ? min_i64(head_ms, HANDSHAKE_MS) : head_ms);
    stream_want_read(client->stream, true);
    return client;
}

void client_close(struct client *client)
{
    struct lane *lane = client->lane;
    struct request *req = client->req;

    if (client->state == CLIENT_CLOSED)
        return;
    client->state = CLIENT_CLOSED;
    stream_close(client->stream);
    client->stream = NULL;
    timer_cancel(&client->timer);
    later_cancel(&client->later);
    if (client->has_address) {
        uint8_t key[16];
        addr_client_key(&client->peer.sa, key);
        address_leave(lane->city->addresses, key);
    }
    if (req)
        request_abandon(req);
    tunnel_free(client->tunnel);
    if (client->upload)
        body_in_fini(client->upload);
    free(client->upload);
    client->upload = NULL;
    buf_fini(&client->in);
    buf_fini(&client->out);
    list_remove(&client->link);
    lane->client_count--;
    atomic_fetch_sub_explicit(&lane->city->connections, 1, memory_order_relaxed);
    /* A request that is further down the stack still points here: it sees the state, and lets go before this
     * turn ends. */
    loop_free_later(lane->loop, client);
}

void client_waits(struct client *client, enum client_wait wait, int64_t ms)
{
    client->waits = (uint8_t)wait;
    client->progress_bytes = 0;
    client->unacked_bytes = wait == WAITS_WRITE ? stream_unacked(client->stream) : 0;
    if (wait != WAITS_NOTHING && ms >= 0)
        timer_set(client->lane->loop, &client->timer, ms);
}

/* Says all is said, then reads what is still coming, within bounds: closing with unread bytes would
 * reset the connection and could take the last reply with it (RFC 9112 9.6). */
static void linger(struct client *client)
{
    client->state = CLIENT_LINGER;
    if (!client->is_feeding)
        buf_fini(&client->in);
    stream_shutdown_write(client->stream);
    client_waits(client, WAITS_LINGER, LINGER_MS);
    stream_want_read(client->stream, true);
}

void client_drain(struct client *client)
{
    client->closes = true;
    if (client->state == CLIENT_IDLE)
        client_waits(client, WAITS_KEEPALIVE, DRAIN_GRACE_MS);
}

/* --- events --- */

static void on_end(struct client *client)
{
    client->is_eof = true;
    switch ((enum client_state)client->state) {
    case CLIENT_BUSY: /* half closed: it still gets its reply */
        stream_want_read(client->stream, false);
        if (client->upload && (client->wants_upload || buf_len(&client->in) == 0))
            client_read_upload(client, (struct str){ NULL, 0 });
        break;
    case CLIENT_IDLE:
    case CLIENT_DRAIN: /* pipelined requests that were read already still get theirs */
        if (buf_len(&client->in) == 0 || list_is_empty(&client->later.link)) {
            client_close(client);
            break;
        }
        stream_want_read(client->stream, false);
        break;
    default:
        client_close(client);
        break;
    }
}

/* What comes while a request is on its way: pipelined ones, the end, or its body. */
static void on_busy_bytes(struct client *client, struct str bytes)
{
    if (client->upload && client->wants_upload) {
        client_read_upload(client, bytes);
        return;
    }
    if (!client_keep(client, bytes))
        return;
    if (client->upload || buf_len(&client->in) >= IN_MAX)
        stream_want_read(client->stream, false);
}

static void on_readable(void *arg)
{
    struct client *client = arg;
    struct lane *lane = client->lane;

    if (client->state == CLIENT_BUSY && client->upload && !client->wants_upload) {
        stream_want_read(client->stream, false);
        return;
    }
    ssize_t n = stream_read(client->stream, lane->read, sizeof lane->read);
    if (n == STREAM_AGAIN)
        return;
    if (n < 0) {
        client_close(client);
        return;
    }
    if (n == 0) {
        on_end(client);
        return;
    }
    struct str bytes = str_n(lane->read, (size_t)n);
    switch ((enum client_state)client->state) {
    case CLIENT_IDLE:
        client_take_heads(client, bytes);
        break;
    case CLIENT_BUSY:
        on_busy_bytes(client, bytes);
        break;
    case CLIENT_DRAIN:
        client_drop_upload(client, bytes);
        break;
    case CLIENT_LINGER:
        client->progress_bytes += bytes.len;
        if (client->progress_bytes > LINGER_BYTES)
            client_close(client);
        break;
    case CLIENT_TUNNEL:
    case CLIENT_CLOSED:
        break;
    }
}

static void on_writable(void *arg)
{
    struct client *client = arg;
    if (!client_flush(client))
        return;
    if (buf_len(&client->out) > 0)
        return;
    client->is_short = false;
    stream_want_write(client->stream, false);
    if (client->waits == WAITS_WRITE)
        client->waits = WAITS_NOTHING;
    if (client->req)
        request_writable(client->req);
}

static void on_later(void *arg)
{
    struct client *client = arg;
    switch ((enum client_state)client->state) {
    case CLIENT_IDLE:
        client_take_heads(client, (struct str){ NULL, 0 });
        break;
    case CLIENT_BUSY:
        if (client->wants_upload)
            client_read_upload(client, (struct str){ NULL, 0 });
        break;
    case CLIENT_DRAIN:
        client_drop_upload(client, (struct str){ NULL, 0 });
        break;
    default:
        break;
    }
}

void client_next(struct client *client)
{
    if (client->closes) {
        /* Unread bytes would turn the close into a reset: so linger after errors and bodies left unread. */
        if (client->upload || client->is_broken || buf_len(&client->in) > 0)
            linger(client);
        else
            client_close(client);
        return;
    }
    if (client->upload) {
        client->state = CLIENT_DRAIN;
        client_waits(client, WAITS_UPLOAD, client_limits(client)->body_idle_ms);
        stream_want_read(client->stream, true);
        if (!client->is_feeding)
            loop_later(client->lane->loop, &client->later);
        return;
    }
    client->state = CLIENT_IDLE;
    if (client->is_eof && buf_len(&client->in) == 0) {
        client_close(client);
        return;
    }
    client_waits(client, WAITS_KEEPALIVE, client_limits(client)->keepalive_ms);
    if (!client->is_eof)
        stream_want_read(client->stream, true);
    if (!client->is_feeding && buf_len(&client->in) > 0)
        loop_later(client->lane->loop, &client->later);
}

/* --- time --- */

/* Least rates: who sends or takes less than rate_min for a whole wait is as good as stalled. */
static bool is_too_slow(struct client *client, int64_t ms)
{
    if (client->waits == WAITS_WRITE) /* what it took out of the socket counts, whoever put it there when */
        client->progress_bytes += client->unacked_bytes - stream_unacked(client->stream);
    uint64_t least = (uint64_t)(client_limits(client)->rate_min_bytes * ms / 1000);
    if (client->progress_bytes == 0 || client->progress_bytes < least)
        return true;
    client_waits(client, (enum client_wait)client->waits, ms);
    return false;
}

static void on_timer(void *arg)
{
    struct client *client = arg;
    const struct config_clients *clients = client_limits(client);

    switch ((enum client_wait)client->waits) {
    case WAITS_NOTHING:
        break;
    case WAITS_HEAD:
        if (client->head_started_ns)
            client_refuse(client, ERR_HEAD_TIMEOUT);
        else if (client->is_tls && client->requests == 0 && clients->head_time_ms > HANDSHAKE_MS &&
                 !stream_is_handshaking(client->stream))
            client_waits(client, WAITS_KEEPALIVE, clients->head_time_ms - HANDSHAKE_MS);
        else
            client_close(client);
        break;
    case WAITS_KEEPALIVE:
    case WAITS_LINGER:
        client_close(client);
        break;
    case WAITS_UPLOAD:
        if (!is_too_slow(client, clients->body_idle_ms))
            break;
        client->closes = true;
        client->wants_upload = false;
        if (client->state == CLIENT_BUSY)
            request_upload_failed(client->req, client->progress_bytes ? ERR_BODY_TOO_SLOW : ERR_BODY_TIMEOUT);
        else
            client_close(client);
        break;
    case WAITS_WRITE:
        if (!is_too_slow(client, clients->write_stall_ms))
            break;
        if (client->req) {
            client->req->err = client->progress_bytes ? ERR_CLIENT_TOO_SLOW : ERR_CLIENT_STALLED;
            client->req->is_cut = true;
        }
        stream_reset(client->stream);
        client->stream = NULL;
        client_close(client);
        break;
    }
}
