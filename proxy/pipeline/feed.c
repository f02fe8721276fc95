/* Reading a client's connection: heads become requests, bytes behind them their bodies, what comes early is
 * kept. Bytes are looked at where they were read; only half a head, pipelined requests and paused uploads are
 * copied. */
#include <stdlib.h>

#include "base/err.h"
#include "pipeline/client.h"

#define TRAILER_BYTES (16 * 1024)

/* --- heads --- */

static struct head_limits head_limits_of(const struct client *client)
{
    const struct config_clients *clients = client_limits(client);
    size_t head = (size_t)clients->head_max_bytes;
    return (struct head_limits){
        .head_bytes = head,
        .line_bytes = head < 8192 ? head : 8192,
        .fields = clients->fields_max < FIELDS_MAX ? (unsigned)clients->fields_max : FIELDS_MAX,
    };
}

static bool start_upload(struct client *client, struct request *req)
{
    req->has_upload = req->msg.framing == FRAMING_CHUNKED ||
                      (req->msg.framing == FRAMING_LENGTH && req->msg.content_length > 0);
    if (!req->has_upload)
        return true;
    client->upload = malloc(sizeof *client->upload);
    if (!client->upload)
        return false;
    body_in_init(client->upload, req->msg.framing, req->msg.content_length, TRAILER_BYTES);
    return true;
}

/* head is a view into the connection's bytes; err: it is none, but its client is to be told. */
static struct request *new_request(struct client *client, struct str head, int err)
{
    struct lane *lane = client->lane;
    const struct config_clients *clients = client_limits(client);
    struct head_limits limits = head_limits_of(client);
    struct request *req = request_new(lane, &client_http1, client, err ? (struct str){ NULL, 0 } : head);
    if (!req)
        return NULL;
    client->req = req;
    client->state = CLIENT_BUSY;
    client->waits = WAITS_NOTHING;
    client->requests++;
    req->head_ns = loop_now_ns(lane->loop);
    req->started_ns = client->head_started_ns ? client->head_started_ns : req->head_ns;
    client->head_started_ns = 0;
    client->head_scanned = 0;
    if (err)
        memset(&req->msg, 0, offsetof(struct message, next));
    else
        err = message_read_request(&req->msg, req->head_text, &limits);
    req->err = err;
    client->is_broken = err != 0;
    client->closes = client->closes || err || !req->msg.is_keep_alive || lane->is_draining ||
                     (!client->is_trusted && client->requests >= clients->keepalive_requests);
    if (!err && !start_upload(client, req))
        req->err = ERR_NO_MEMORY;
    return req;
}

/* Its bytes were looked at. False: it is closed, or reads no more requests. */
static bool end_feeding(struct client *client)
{
    client->is_feeding = false;
    if (client->state == CLIENT_CLOSED)
        return false;
    if (client->state == CLIENT_LINGER)
        buf_fini(&client->in);
    buf_shrink(&client->in);
    return client->state != CLIENT_LINGER;
}

/* Who began a head but did not end it is told why, if it said anything at all. */
void client_refuse(struct client *client, int err)
{
    struct request *req = new_request(client, (struct str){ NULL, 0 }, err);
    if (!req)
        client_close(client);
    else
        pipeline_start(req);
}

bool client_keep(struct client *client, struct str rest)
{
    if (rest.len == 0 || buf_append_str(&client->in, rest))
        return true;
    client_close(client);
    return false;
}

/* Starts the request whose head is the first n of view's bytes; the rest is kept first, since the request may
 * ask for its body at once. False: the connection is gone. */
static bool start_request(struct client *client, struct str view, size_t n, bool is_kept)
{
    struct request *req = new_request(client, str_n(view.data, n), 0);
    if (!req) {
        client_close(client);
        return false;
    }
    if (is_kept)
        buf_consume(&client->in, n);
    else if (!client_keep(client, str_from(view, n)))
        return false;
    req->wants_continue = req->msg.has_expect_continue && req->has_upload && buf_len(&client->in) == 0;
    pipeline_start(req);
    return client->state != CLIENT_CLOSED;
}

/* Reads as many requests off the bytes as can be served at once: a pipelined one waits for the one before. */
void client_take_heads(struct client *client, struct str fresh)
{
    struct head_limits limits = head_limits_of(client);
    bool is_kept = buf_len(&client->in) > 0;

    if (is_kept && !client_keep(client, fresh))
        return;
    client->is_feeding = true;
    while (client->state == CLIENT_IDLE) {
        struct str view = is_kept ? buf_str(&client->in) : fresh;
        size_t blank = client->head_scanned == 0 ? head_skip_blank(view) : 0;
        size_t scanned = client->head_scanned;
        view = str_from(view, blank);
        if (is_kept)
            buf_consume(&client->in, blank);
        else
            fresh = view;
        if (view.len == 0)
            break;
        int n = head_find_end(view, &scanned, &limits);
        client->head_scanned = (uint32_t)scanned;
        if (n < 0) {
            client_refuse(client, n);
            break;
        }
        if (n == 0 && client->is_eof) { /* half a head that will never end */
            client_close(client);
            return;
        }
        if (n == 0) {
            if (!client->head_started_ns) {
                client->head_started_ns = loop_now_ns(client->lane->loop);
                client_waits(client, WAITS_HEAD, client_limits(client)->head_time_ms);
            }
            if (is_kept || client_keep(client, view))
                stream_expect_more(client->stream);
            break;
        }
        if (!start_request(client, view, (size_t)n, is_kept))
            return;
        is_kept = buf_len(&client->in) > 0;
        fresh = (struct str){ NULL, 0 };
        if (!is_kept)
            break;
    }
    if (!end_feeding(client))
        return;
    if (client->state == CLIENT_BUSY && client->wants_upload)
        client_read_upload(client, (struct str){ NULL, 0 });
    else if (client->state == CLIENT_DRAIN)
        loop_later(client->lane->loop, &client->later);
}

/* --- bodies --- */

static void end_upload(struct client *client)
{
    client->wants_upload = false;
    if (client->upload)
        body_in_fini(client->upload);
    free(client->upload);
    client->upload = NULL;
    if (client->waits == WAITS_UPLOAD)
        client->waits = WAITS_NOTHING;
}

/* Hands body bytes on, from what was kept and then from fresh ones, while they are wanted. */
void client_read_upload(struct client *client, struct str fresh)
{
    struct request *req = client->req;
    bool is_kept = buf_len(&client->in) > 0;
    struct str rest;
    struct str piece;

    if (is_kept && !client_keep(client, fresh))
        return;
    rest = is_kept ? buf_str(&client->in) : fresh;
    client->is_feeding = true;
    size_t before = rest.len;
    /* The end of a body has no bytes of its own: it is told even if no more of them are wanted just now. */
    while (client->upload && (client->wants_upload || body_in_is_over(client->upload)) &&
           client->req == req && client->state == CLIENT_BUSY) {
        int event = body_in_next(client->upload, &rest, &piece);
        if (event < 0) {
            client->closes = client->is_broken = true;
            client->wants_upload = false;
            request_upload_failed(req, event);
        } else if (event == BODY_PIECE) {
            client->progress_bytes += piece.len;
            request_upload(req, piece, false, client->upload);
        } else if (event == BODY_END) {
            client->wants_upload = false;
            request_hold(req);
            struct body_in *upload = client->upload;
            client->upload = NULL;
            request_upload(req, (struct str){ NULL, 0 }, true, upload);
            request_drop(req);
            body_in_fini(upload);
            free(upload);
            if (client->state != CLIENT_CLOSED)
                end_upload(client);
            break;
        } else if (client->is_eof) { /* it will never be whole */
            client->closes = true;
            client->wants_upload = false;
            request_upload_failed(req, ERR_CLIENT_ABORT);
            break;
        } else {
            stream_expect_more(client->stream);
            break;
        }
    }
    if (client->state == CLIENT_CLOSED)
        return;
    if (is_kept)
        buf_consume(&client->in, before - rest.len);
    else if (!client_keep(client, rest))
        return;
    if (!end_feeding(client) || buf_len(&client->in) == 0)
        return;
    if (client->state == CLIENT_IDLE || client->state == CLIENT_DRAIN)
        loop_later(client->lane->loop, &client->later);
}

/* The rest of a body nobody wants: small, so the connection is worth it. */
void client_drop_upload(struct client *client, struct str fresh)
{
    struct str piece;
    if (buf_len(&client->in) > 0 && !client_keep(client, fresh))
        return;
    bool is_kept = buf_len(&client->in) > 0;
    struct str rest = is_kept ? buf_str(&client->in) : fresh;
    size_t before = rest.len;
    int event;
    do {
        event = body_in_next(client->upload, &rest, &piece);
    } while (event == BODY_PIECE);
    if (event < 0) {
        client_close(client);
        return;
    }
    if (is_kept)
        buf_consume(&client->in, before - rest.len);
    else if (!client_keep(client, rest))
        return;
    if (event == BODY_END) {
        end_upload(client);
        client_next(client);
    } else if (client->is_eof) {
        client_close(client);
    }
}
