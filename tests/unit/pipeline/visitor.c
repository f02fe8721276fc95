#include "visitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static void enter(struct visitor *visitor, struct place *place, int theirs)
{
    struct sockaddr_in peer = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000009) };
    const struct gate *gate = &place->world->gates[0];
    fcntl(theirs, F_SETFL, O_NONBLOCK);
    fcntl(visitor->fd, F_SETFL, O_NONBLOCK);
    visitor->client = client_new(place->lane, gate, theirs, (const struct sockaddr *)&peer, sizeof peer);
    cr_assert_not_null(visitor->client);
}

void visitor_open(struct visitor *visitor, struct place *place, int send_bytes)
{
    int pair[2];
    *visitor = (struct visitor){ .place = place };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    visitor->fd = pair[0];
    if (send_bytes > 0)
        cr_assert_eq(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes), 0);
    enter(visitor, place, pair[1]);
}

void visitor_open_tcp(struct visitor *visitor, struct place *place)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    *visitor = (struct visitor){ .place = place };
    int door = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(door, (struct sockaddr *)&sa, len), 0);
    cr_assert_eq(listen(door, 1), 0);
    cr_assert_eq(getsockname(door, (struct sockaddr *)&sa, &len), 0);
    visitor->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(visitor->fd, (struct sockaddr *)&sa, len), 0);
    int theirs = accept(door, NULL, NULL);
    cr_assert(theirs >= 0);
    close(door);
    enter(visitor, place, theirs);
}

void visitor_close(struct visitor *visitor)
{
    close(visitor->fd);
    UNTIL(visitor->place, visitor->place->lane->client_count == 0);
    buf_fini(&visitor->got);
}

void visitor_say(struct visitor *visitor, const char *lines)
{
    struct buf text = { 0 };
    for (const char *at = lines; *at; at++)
        buf_append(&text, *at == '\n' ? "\r\n" : at, *at == '\n' ? 2 : 1);
    struct str rest = buf_str(&text);
    for (unsigned i = 0; i < TURNS_MAX && rest.len > 0; i++) {
        ssize_t n = send(visitor->fd, rest.data, rest.len, MSG_NOSIGNAL);
        if (n > 0)
            rest = str_from(rest, (size_t)n);
        loop_turn(visitor->place->lane->loop, 0);
    }
    cr_assert_eq(rest.len, 0, "what a visitor says is heard");
    buf_fini(&text);
}

size_t visitor_read(struct visitor *visitor, size_t n)
{
    ssize_t took = read(visitor->fd, buf_reserve(&visitor->got, n), n);
    if (took > 0)
        buf_added(&visitor->got, (size_t)took);
    visitor->is_over = visitor->is_over || took == 0 || (took < 0 && errno != EAGAIN);
    visitor->is_reset = visitor->is_reset || (took < 0 && errno == ECONNRESET);
    return took > 0 ? (size_t)took : 0;
}

static bool has(const struct visitor *visitor, const char *text)
{
    struct str got = buf_str(&visitor->got);
    return got.len > 0 && memmem(got.data, got.len, text, strlen(text)) != NULL;
}

void visitor_until(struct visitor *visitor, const char *text)
{
    for (unsigned i = 0; i < TURNS_MAX && !has(visitor, text) && !visitor->is_over; i++) {
        loop_turn(visitor->place->lane->loop, visitor_read(visitor, 65536) ? 0 : 5);
    }
    cr_assert(has(visitor, text), "\"%s\" comes, after \"%.*s\"", text, STR_FMT(buf_str(&visitor->got)));
}

void visitor_until_over(struct visitor *visitor)
{
    for (unsigned i = 0; i < TURNS_MAX && !visitor->is_over; i++)
        loop_turn(visitor->place->lane->loop, visitor_read(visitor, 65536) ? 0 : 5);
    cr_assert(visitor->is_over, "the connection ends");
}

void said_read(struct said *said, struct visitor *visitor, enum method to)
{
    static const struct head_limits limits = { 65536, 16384, FIELDS_MAX };
    static struct message reply;
    struct body_in body;
    struct str piece;
    size_t scanned = 0;
    size_t at = 0;

    *said = (struct said){ .status = 0 };
    int n = head_find_end(buf_str(&visitor->got), &scanned, &limits);
    cr_assert_gt(n, 0, "a whole head came: \"%.*s\"", STR_FMT(buf_str(&visitor->got)));
    buf_append(&said->head, buf_str(&visitor->got).data, (size_t)n);
    cr_assert_eq(message_read_reply(&reply, buf_str(&said->head), to, &limits), 0);
    said->status = reply.status;
    struct str rest = str_from(buf_str(&visitor->got), (size_t)n);
    size_t before = rest.len;
    body_in_init(&body, reply.framing, reply.content_length, 4096);
    int event;
    while ((event = body_in_next(&body, &rest, &piece)) == BODY_PIECE)
        buf_append_str(&said->body, piece);
    cr_assert_geq(event, 0, "the body is framed as it should be");
    said->is_whole = event == BODY_END || (visitor->is_over && !visitor->is_reset && body_in_eof(&body));
    struct str name;
    struct str value;
    while (event == BODY_END && body_in_trailer(&body, &at, &name, &value)) {
        size_t len = strlen(said->trailers);
        snprintf(said->trailers + len, sizeof said->trailers - len, "%.*s=%.*s;", STR_FMT(name),
                 STR_FMT(value));
    }
    body_in_fini(&body);
    buf_append(&said->head, "", 1);
    buf_consume(&visitor->got, (size_t)n + before - rest.len);
}

void said_fini(struct said *said)
{
    buf_fini(&said->head);
    buf_fini(&said->body);
}

void said_hear(struct said *said, struct visitor *visitor, enum method to)
{
    visitor_until(visitor, "\r\n\r\n");
    place_turn(visitor->place, 3);
    while (visitor_read(visitor, 65536))
        place_turn(visitor->place, 3);
    said_fini(said);
    said_read(said, visitor, to);
}

const char *said_field(const struct said *said, const char *name)
{
    return head_field(buf_str(&said->head).data, name);
}
