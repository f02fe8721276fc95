#include "pipeline/tunnel.h"

#include <stdlib.h>

#include "pipeline/client.h"

#define HELD_MAX (256 * 1024)
#define IDLE_MS  (3600 * 1000)

struct way_half {
    struct stream *from;
    struct stream *to;
    struct buf held; /* read from `from`, not yet taken by `to` */
    bool is_ended;   /* `from` said all */
    bool is_shut;    /* ... and `to` was told */
};

struct tunnel {
    struct client *client;
    struct stream *server;
    struct way_half up;   /* client to server */
    struct way_half down; /* server to client */
    struct timer idle;
    bool is_ending;
};

static void end(struct tunnel *tunnel)
{
    struct client *client = tunnel->client;
    if (tunnel->is_ending)
        return;
    tunnel->is_ending = true;
    if (client->req) {
        client->req->is_written = true;
        request_resume(client->req, NEXT); /* recorded, then carry_done() closes the client */
    } else {
        client_close(client);
    }
}

static void on_idle(void *arg)
{
    end(arg);
}

/* Writes what is held. False: the tunnel is ending. */
static bool drain(struct tunnel *tunnel, struct way_half *half)
{
    struct str held = buf_str(&half->held);
    if (held.len > 0) {
        ssize_t n = stream_write(half->to, held.data, held.len);
        if (n < 0) {
            end(tunnel);
            return false;
        }
        if (half == &tunnel->down && tunnel->client->req)
            tunnel->client->req->body_bytes += (uint64_t)n;
        buf_consume(&half->held, (size_t)n);
        buf_shrink(&half->held);
    }
    bool is_empty = buf_len(&half->held) == 0;
    stream_want_write(half->to, !is_empty);
    stream_want_read(half->from, !half->is_ended && buf_len(&half->held) < HELD_MAX);
    if (half->is_ended && is_empty && !half->is_shut) {
        half->is_shut = true;
        stream_shutdown_write(half->to);
    }
    if (tunnel->up.is_shut && tunnel->down.is_shut) {
        end(tunnel);
        return false;
    }
    return true;
}

static void pull(struct tunnel *tunnel, struct way_half *half)
{
    struct lane *lane = tunnel->client->lane;
    ssize_t n = stream_read(half->from, lane->read, sizeof lane->read);
    if (n == STREAM_AGAIN)
        return;
    timer_set(lane->loop, &tunnel->idle, IDLE_MS);
    if (n < 0 || (n > 0 && !buf_append(&half->held, lane->read, (size_t)n))) {
        end(tunnel);
        return;
    }
    half->is_ended = n == 0;
    if (n > 0)
        stream_expect_more(half->from);
    drain(tunnel, half);
}

static void on_client_readable(void *arg)
{
    struct tunnel *tunnel = arg;
    pull(tunnel, &tunnel->up);
}

static void on_client_writable(void *arg)
{
    struct tunnel *tunnel = arg;
    if (!client_flush(tunnel->client) || buf_len(&tunnel->client->out) > 0)
        return;
    tunnel->client->waits = WAITS_NOTHING;
    drain(tunnel, &tunnel->down);
}

static void on_server_readable(void *arg)
{
    struct tunnel *tunnel = arg;
    pull(tunnel, &tunnel->down);
}

static void on_server_writable(void *arg)
{
    struct tunnel *tunnel = arg;
    drain(tunnel, &tunnel->up);
}

static const struct stream_events client_events = { on_client_readable, on_client_writable };
static const struct stream_events server_events = { on_server_readable, on_server_writable };

struct tunnel *tunnel_new(struct client *client, struct stream *server, struct str extra)
{
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);
    if (!tunnel) {
        stream_close(server);
        return NULL;
    }
    tunnel->client = client;
    tunnel->server = server;
    tunnel->up = (struct way_half){ .from = client->stream, .to = server };
    tunnel->down = (struct way_half){ .from = server, .to = client->stream };
    timer_init(&tunnel->idle, on_idle, tunnel);
    if (!buf_append_str(&tunnel->down.held, extra) ||
        !buf_append_str(&tunnel->up.held, buf_str(&client->in))) {
        tunnel_free(tunnel);
        return NULL;
    }
    buf_fini(&client->in);
    client->state = CLIENT_TUNNEL;
    client->waits = WAITS_NOTHING;
    stream_set_owner(client->stream, &client_events, tunnel);
    stream_set_owner(server, &server_events, tunnel);
    timer_set(client->lane->loop, &tunnel->idle, IDLE_MS);
    stream_want_read(client->stream, true);
    stream_want_read(server, true);
    /* The rest of the 101's head first, if the socket was full. */
    stream_want_write(client->stream, true);
    stream_want_write(server, buf_len(&tunnel->up.held) > 0);
    return tunnel;
}

void tunnel_free(struct tunnel *tunnel)
{
    if (!tunnel)
        return;
    timer_cancel(&tunnel->idle);
    stream_close(tunnel->server);
    buf_fini(&tunnel->up.held);
    buf_fini(&tunnel->down.held);
    free(tunnel);
}
