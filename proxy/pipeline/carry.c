/* HTTP/1.1 as a carrier: framing, connection fields, and getting bytes into the socket. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "http/writer.h"
#include "pipeline/client.h"
#include "pipeline/tunnel.h"

#define DRAIN_BYTES (64 * 1024) /* of a body nobody wants, rather than a new connection */

static int64_t stall_ms(const struct client *client)
{
    return client->lane->now->world->config->clients.write_stall_ms;
}

static void wait_writable(struct client *client)
{
    stream_want_write(client->stream, true);
    if (client->waits != WAITS_WRITE)
        client_waits(client, WAITS_WRITE, stall_ms(client));
}

bool client_flush(struct client *client)
{
    if (buf_len(&client->out) == 0)
        return true;
    struct str held = buf_str(&client->out);
    ssize_t n = stream_write(client->stream, held.data, held.len);
    if (n < 0) {
        client_close(client);
        return false;
    }
    client->progress_bytes += (uint64_t)n;
    buf_consume(&client->out, (size_t)n);
    buf_shrink(&client->out);
    if (buf_len(&client->out) > 0)
        wait_writable(client);
    return true;
}

static void carry_interim(struct request *req, struct str head)
{
    struct client *client = req->client;
    if (!client || client->state == CLIENT_CLOSED || req->msg.minor == 0)
        return;
    if (!head.data)
        head = STR("HTTP/1.1 100 Continue\r\n");
    if (!buf_append_str(&client->out, head) || !buf_append_str(&client->out, STR("\r\n")))
        client_close(client);
    else
        client_flush(client);
}

/* A body that is still coming when the reply begins is read to its end only if that is little. */
static bool leaves_upload(const struct client *client, const struct request *req)
{
    if (!req->has_upload || req->is_upload_over)
        return false;
    if (req->answer == ANSWERS_RELAY || req->wants_continue || !client->upload)
        return true; /* an early reply: both connections end (RFC 9112 9.3) */
    return client->upload->framing != FRAMING_LENGTH || client->upload->left > DRAIN_BYTES;
}

static void carry_begin(struct request *req, struct writer *head, int64_t length)
{
    struct client *client = req->client;
    if (!client || client->state == CLIENT_CLOSED)
        return;
    client->is_chunked = false;
    client->chunk_left = 0;
    if (length >= 0) {
        writer_field_u64(head, STR("Content-Length"), (uint64_t)length);
    } else if (length == -1 && req->msg.method != METHOD_HEAD) {
        client->is_chunked = req->msg.minor > 0;
        if (client->is_chunked)
            writer_put(head, STR("Transfer-Encoding: chunked\r\n"));
        else
            client->closes = true; /* HTTP/1.0 knows a body's end only by the close */
    }
    if (leaves_upload(client, req))
        client->closes = true;
    if (req->answer == ANSWERS_TUNNEL)
        writer_put(head, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    else if (client->closes)
        writer_put(head, STR("Connection: close\r\n"));
    else if (req->msg.minor == 0)
        writer_put(head, STR("Connection: keep-alive\r\n"));
    writer_end(head);
    req->lane->batch.head_len = head->len;
    client->is_head_held = true;
    client->is_head_over = head->is_over;
}

/* What goes out in one call: ours before, the pieces, ours after. */
struct load {
    struct iovec iov[BATCH_IOV_MAX + 5];
    int count;
    size_t before;
    size_t body;
    size_t after;
    char chunk[24];
};

static void load_add(struct load *load, const void *data, size_t len)
{
    if (len > 0)
        load->iov[load->count++] = (struct iovec){ (void *)(uintptr_t)data, len };
}

/* The pieces; with a chunk begun by an earlier write, no more than is left of it. */
static void load_pieces(struct load *load, const struct client *client, const struct iovec *pieces, int count)
{
    size_t room = client->is_chunked && client->chunk_left > 0 ? client->chunk_left : SIZE_MAX;
    for (int i = 0; i < count && room > 0; i++) {
        size_t len = pieces[i].iov_len < room ? pieces[i].iov_len : room;
        load_add(load, pieces[i].iov_base, len);
        load->body += len;
        room -= len;
    }
}

static void load_chunk_head(struct load *load, struct client *client, const struct iovec *pieces, int count)
{
    size_t body = 0;
    for (int i = 0; i < count; i++)
        body += pieces[i].iov_len;
    if (!client->is_chunked || client->chunk_left > 0 || body == 0)
        return;
    size_t n = chunk_head(load->chunk, body);
    load_add(load, load->chunk, n);
    load->before += n;
    client->chunk_left = (uint32_t)body;
}

/* The last chunk and the trailers. */
static struct str chunked_end(const struct request *req)
{
    struct writer w;
    struct str name;
    struct str value;
    size_t at = 0;
    if (!req->trailers)
        return STR("0\r\n\r\n");
    writer_init(&w, req->lane->forward, sizeof req->lane->forward);
    writer_put(&w, STR("0\r\n"));
    while (body_in_trailer(req->trailers, &at, &name, &value))
        writer_field(&w, name, value);
    writer_end(&w);
    return writer_str(&w);
}

/* A chunk's line end goes out with its last byte, so that who reads chunk by chunk has each when it was made.
 */
static void load_chunk_end(struct load *load, const struct request *req, const struct iovec *pieces,
                           int count, unsigned flags)
{
    size_t given = 0;
    for (int i = 0; i < count; i++)
        given += pieces[i].iov_len;
    if (load->body != req->client->chunk_left)
        return; /* the chunk goes on in the next call */
    if (load->body > 0) {
        load_add(load, "\r\n", 2);
        load->after = 2;
    }
    if (!(flags & WRITE_LAST) || load->body != given)
        return;
    struct str end = chunked_end(req);
    load_add(load, end.data, end.len);
    load->after += end.len;
}

/* Bytes from `from` on of what is ours or must be kept go to client->out. */
static bool keep_unsent(struct client *client, const struct load *load, size_t sent, size_t limit)
{
    size_t at = 0;
    for (int i = 0; i < load->count && at < limit; i++) {
        size_t len = load->iov[i].iov_len < limit - at ? load->iov[i].iov_len : limit - at;
        size_t skip = sent > at ? sent - at : 0;
        if (skip < len && !buf_append(&client->out, (char *)load->iov[i].iov_base + skip, len - skip))
            return false;
        at += len;
    }
    return true;
}

/* What the socket took of a load: the rest of what is ours is kept, of the pieces only with WRITE_COPY.
 * Returns the piece bytes taken. */
static int64_t settle(struct client *client, const struct load *load, size_t sent, unsigned flags)
{
    size_t total = load->before + load->body + load->after;
    size_t limit = total;
    int64_t taken = (int64_t)load->body;

    client->progress_bytes += sent;
    client->is_short = sent < total;
    if (!(flags & WRITE_COPY) && load->body > 0 && sent < load->before + load->body) {
        limit = load->before; /* the pieces come again, and the end with them */
        taken = sent > load->before ? (int64_t)(sent - load->before) : 0;
    }
    if (sent < limit && !keep_unsent(client, load, sent, limit))
        return -1;
    if (client->is_chunked)
        client->chunk_left -= (uint32_t)taken;
    if (sent < total)
        wait_writable(client);
    return taken;
}

static int64_t carry_write(struct request *req, const struct iovec *pieces, int count, unsigned flags)
{
    struct client *client = req->client;
    struct load load;

    if (!client || client->state == CLIENT_CLOSED)
        return -1;
    if (!client_flush(client))
        return -1;
    bool is_blocked = buf_len(&client->out) > 0;
    if (is_blocked && !(flags & WRITE_COPY) && !client->is_head_held)
        return 0;
    load.count = 0;
    load.before = load.body = load.after = 0;
    if (client->is_head_held) {
        client->is_head_held = false;
        if (client->is_head_over) { /* the app's head and ours together are over what a head may be */
            client_close(client);
            return -1;
        }
        load_add(&load, req->lane->batch.head, req->lane->batch.head_len);
        load.before = req->lane->batch.head_len;
    }
    load_chunk_head(&load, client, pieces, count);
    load_pieces(&load, client, pieces, count);
    if (client->is_chunked)
        load_chunk_end(&load, req, pieces, count, flags);
    ssize_t sent = is_blocked || load.count == 0 ? 0 : stream_writev(client->stream, load.iov, load.count);
    int64_t taken = sent < 0 ? -1 : settle(client, &load, (size_t)sent, flags);
    if (taken < 0)
        client_close(client);
    return taken;
}

static void carry_unbegin(struct request *req)
{
    CHECK(req->client && req->client->is_head_held);
    req->client->is_head_held = false;
    req->has_begun = false;
}

static bool carry_needs_write(const struct request *req)
{
    return req->client && req->client->is_head_held;
}

static bool carry_is_blocked(const struct request *req)
{
    return req->client && (req->client->is_short || buf_len(&req->client->out) > 0);
}

static size_t carry_held(const struct request *req)
{
    return req->client ? buf_len(&req->client->out) : 0;
}

/* A reset, not a FIN: a body that ends with the close must not look whole. */
static void carry_cut(struct request *req, int err)
{
    struct client *client = req->client;
    req->is_cut = true;
    req->err = err;
    if (!client || client->state == CLIENT_CLOSED)
        return;
    stream_reset(client->stream);
    client->stream = NULL;
    client_close(client);
}

static void carry_want_upload(struct request *req, bool is_wanted)
{
    struct client *client = req->client;
    if (!client || client->state != CLIENT_BUSY || !client->upload || client->wants_upload == is_wanted)
        return;
    client->wants_upload = is_wanted;
    if (!is_wanted) {
        if (client->waits == WAITS_UPLOAD)
            client->waits = WAITS_NOTHING;
        return;
    }
    client_waits(client, WAITS_UPLOAD, client->lane->now->world->config->clients.body_idle_ms);
    stream_want_read(client->stream, true);
    if (!client->is_feeding && buf_len(&client->in) > 0)
        loop_later(client->lane->loop, &client->later);
}

static void carry_tunnel(struct request *req, struct stream *server, struct str extra)
{
    struct client *client = req->client;
    if (!client || client->state == CLIENT_CLOSED || !server) {
        stream_close(server);
        return;
    }
    client->tunnel = tunnel_new(client, server, extra);
    if (!client->tunnel)
        client_close(client);
}

static void carry_done(struct request *req)
{
    struct client *client = req->client;
    client->req = NULL;
    req->client = NULL;
    if (client->state == CLIENT_TUNNEL)
        client_close(client);
    else if (client->state != CLIENT_CLOSED)
        client_next(client);
}

const struct carrier client_http1 = {
    .interim = carry_interim,
    .begin = carry_begin,
    .write = carry_write,
    .unbegin = carry_unbegin,
    .needs_write = carry_needs_write,
    .is_blocked = carry_is_blocked,
    .held = carry_held,
    .cut = carry_cut,
    .want_upload = carry_want_upload,
    .tunnel = carry_tunnel,
    .done = carry_done,
};
