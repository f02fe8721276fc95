#include "walk.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <strings.h>

static struct guest *guest_of(const struct request *req)
{
    return req->client ? CONTAINER_OF(req->client, struct guest, client) : NULL;
}

static bool leaves(struct request *req, enum guest_act act)
{
    struct guest *guest = guest_of(req);
    if (guest->act != act)
        return false;
    guest->act = GUEST_STAYS;
    guest->client.state = CLIENT_CLOSED;
    request_abandon(req);
    return true;
}

static void guest_interim(struct request *req, struct str head)
{
    struct guest *guest = guest_of(req);
    if (!guest || leaves(req, GUEST_LEAVES_AT_INTERIM))
        return;
    buf_append_str(&guest->interims, head.data ? head : STR("HTTP/1.1 100 Continue\r\n"));
}

static void guest_begin(struct request *req, struct writer *head, int64_t length)
{
    struct guest *guest = guest_of(req);
    if (!guest || guest->client.state == CLIENT_CLOSED)
        return;
    cr_assert_not(head->is_over);
    guest->begins++;
    guest->length = length;
    guest->is_head_held = true;
    buf_append_str(&guest->head, writer_str(head));
    leaves(req, GUEST_LEAVES_AT_BEGIN);
}

static int64_t guest_write(struct request *req, const struct iovec *pieces, int count, unsigned flags)
{
    struct guest *guest = guest_of(req);
    size_t total = 0;
    size_t taken = 0;
    if (!guest || guest->client.state == CLIENT_CLOSED || leaves(req, GUEST_LEAVES_AT_WRITE))
        return -1;
    guest->is_head_held = false;
    for (int i = 0; i < count; i++) {
        size_t len = pieces[i].iov_len;
        total += len;
        if (!(flags & WRITE_COPY) && len > guest->room)
            len = guest->room;
        cr_assert(buf_append(&guest->body, pieces[i].iov_base, len));
        guest->stuck += len > guest->room ? len - guest->room : 0;
        guest->room -= len < guest->room ? len : guest->room;
        taken += len;
    }
    guest->is_short = taken < total;
    if ((flags & WRITE_LAST) && taken == total)
        guest->lasts++;
    return (int64_t)taken;
}

static void guest_unbegin(struct request *req)
{
    struct guest *guest = guest_of(req);
    if (!guest)
        return;
    cr_assert(guest->is_head_held, "a head that was written can't be taken back");
    guest->is_head_held = false;
    guest->begins--;
    buf_consume(&guest->head, buf_len(&guest->head));
}

static bool guest_needs_write(const struct request *req)
{
    const struct guest *guest = guest_of(req);
    return guest && guest->is_head_held;
}

static bool guest_is_blocked(const struct request *req)
{
    const struct guest *guest = guest_of(req);
    return guest && (guest->is_short || guest->stuck > 0);
}

static size_t guest_held(const struct request *req)
{
    const struct guest *guest = guest_of(req);
    return guest ? guest->stuck : 0;
}

static void guest_cut(struct request *req, int err)
{
    struct guest *guest = guest_of(req);
    req->is_cut = true;
    req->err = err;
    if (!guest || guest->client.state == CLIENT_CLOSED)
        return;
    guest->cut = err;
    guest->client.state = CLIENT_CLOSED;
    request_abandon(req);
}

static void guest_want_upload(struct request *req, bool is_wanted)
{
    struct guest *guest = guest_of(req);
    if (guest)
        guest->wants_upload = is_wanted;
}

static void guest_tunnel(struct request *req, struct stream *server, struct str extra)
{
    (void)req;
    (void)extra;
    stream_close(server);
}

static void guest_done(struct request *req)
{
    struct guest *guest = guest_of(req);
    guest->dones++;
    guest->req = NULL;
    req->client = NULL;
}

const struct carrier guest_carrier = {
    .interim = guest_interim,
    .begin = guest_begin,
    .write = guest_write,
    .unbegin = guest_unbegin,
    .needs_write = guest_needs_write,
    .is_blocked = guest_is_blocked,
    .held = guest_held,
    .cut = guest_cut,
    .want_upload = guest_want_upload,
    .tunnel = guest_tunnel,
    .done = guest_done,
};

void guest_init(struct guest *guest, struct place *place)
{
    *guest = (struct guest){ .place = place, .room = SIZE_MAX };
    guest->client.lane = place->lane;
    guest->client.peer.in4.sin_family = AF_INET;
    guest->client.peer.in4.sin_addr.s_addr = htonl(0x7f000009);
}

void guest_fini(struct guest *guest)
{
    cr_assert_null(guest->req, "a guest's request is over");
    buf_fini(&guest->head);
    buf_fini(&guest->body);
    buf_fini(&guest->interims);
}

static void forget_reply(struct guest *guest)
{
    buf_consume(&guest->head, buf_len(&guest->head));
    buf_consume(&guest->body, buf_len(&guest->body));
    guest->begins = guest->lasts = guest->dones = 0;
    guest->length = 0;
    guest->cut = 0;
    guest->client.state = CLIENT_BUSY;
}

void guest_ask(struct guest *guest, const char *lines)
{
    static const struct head_limits limits = { 16384, 8192, 100 };
    struct lane *lane = guest->place->lane;
    struct buf head = { 0 };
    for (const char *at = lines; *at; at++)
        buf_append(&head, *at == '\n' ? "\r\n" : at, *at == '\n' ? 2 : 1);
    buf_append_str(&head, STR("\r\n\r\n"));
    forget_reply(guest);
    struct request *req = request_new(lane, &guest_carrier, &guest->client, buf_str(&head));
    cr_assert_not_null(req);
    buf_fini(&head);
    guest->req = req;
    req->head_ns = req->started_ns = loop_now_ns(lane->loop);
    req->err = message_read_request(&req->msg, req->head_text, &limits);
    req->has_upload = req->msg.framing == FRAMING_CHUNKED || req->msg.content_length > 0;
    req->wants_continue = req->msg.has_expect_continue && req->has_upload;
    body_in_init(&guest->up, req->msg.framing, req->msg.content_length, 1024);
    pipeline_start(req);
}

void guest_send(struct guest *guest, const char *piece, bool is_last)
{
    cr_assert(guest->wants_upload, "the upload is read only while it is wanted");
    guest->up.total += strlen(piece);
    if (piece[0])
        request_upload(guest->req, str_of(piece), false, &guest->up);
    if (is_last && guest->req)
        request_upload(guest->req, (struct str){ NULL, 0 }, true, &guest->up);
}

void guest_read(struct guest *guest, size_t n)
{
    size_t late = n < guest->stuck ? n : guest->stuck;
    guest->stuck -= late;
    guest->room = guest->room > SIZE_MAX - n ? SIZE_MAX : guest->room + n - late;
    if (guest->req)
        request_writable(guest->req);
}

void guest_leave(struct guest *guest)
{
    guest->client.state = CLIENT_CLOSED;
    if (guest->req)
        request_abandon(guest->req);
}

void guest_until_done(struct guest *guest)
{
    UNTIL(guest->place, guest->req == NULL);
    cr_assert_eq(guest->dones, 1);
}

const char *guest_meets(struct guest *guest, const char *lines, struct app *app, const char *text)
{
    const char *head = NULL;
    guest_ask(guest, lines);
    if (text) {
        head = app_head(app);
        app_send(app, text);
    }
    guest_until_done(guest);
    return head;
}

/* --- what was said --- */

const char *head_field(const char *head, const char *name)
{
    static char value[4096];
    const char *at = head ? strstr(head, "\r\n") : NULL;
    for (; at && at[2]; at = strstr(at + 2, "\r\n")) {
        if (strncasecmp(at + 2, name, strlen(name)) != 0)
            continue;
        const char *end = strstr(at + 2, "\r\n");
        str_copy(str_trim(str_n(at + 2 + strlen(name), (size_t)(end - at - 2) - strlen(name))), value,
                 sizeof value);
        return value;
    }
    return NULL;
}

static const char *reply_head(const struct guest *guest)
{
    static char text[80 * 1024];
    str_copy(buf_str(&guest->head), text, sizeof text);
    return text;
}

int guest_status(const struct guest *guest)
{
    const char *head = reply_head(guest);
    return strlen(head) > 12 ? atoi(head + 9) : 0;
}

const char *guest_field(const struct guest *guest, const char *name)
{
    char colon[80];
    snprintf(colon, sizeof colon, "%s:", name);
    return head_field(reply_head(guest), colon);
}

unsigned guest_fields(const struct guest *guest, const char *name)
{
    unsigned count = 0;
    struct str rest = buf_str(&guest->head);
    struct str line;
    while (str_split(&rest, '\n', &line))
        count +=
            str_has_iprefix(line, str_of(name)) && line.len > strlen(name) && line.data[strlen(name)] == ':';
    return count;
}

bool guest_has_body(const struct guest *guest, const char *text)
{
    return str_eq(buf_str(&guest->body), str_of(text));
}

const char *guest_reason(const struct guest *guest)
{
    static char word[64];
    struct str body = buf_str(&guest->body);
    const char *at = body.len ? memmem(body.data, body.len, "\"reason\":\"", 10) : NULL;
    word[0] = '\0';
    if (at)
        sscanf(at + 10, "%63[^\"]", word);
    return word;
}
