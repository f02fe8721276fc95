/* What a head's fields say together: where the body ends (RFC 9112 6.3), whom it is for (3.2), what
 * becomes of the connection (9.3). A doubt is an error: it is exactly what smuggling needs. */
#include "base/err.h"
#include "http/chars.h"
#include "http/head.h"
#include "http/target.h"

#define AUTHORITY_MAX 300

/* The next comma-separated token of Connection, Transfer-Encoding or Upgrade; empty ones too. Quotes mean
 * nothing here: these are lists of tokens, and http-parser reads them so as well. */
static bool next_token(struct str *rest, struct str *out)
{
    if (!str_split(rest, ',', out))
        return false;
    *out = str_trim(*out);
    return true;
}

static int read_host(struct message *msg, struct str absolute)
{
    const struct field *host = message_field(msg, FIELD_HOST);
    if (host) {
        if (message_next(msg, host) || !authority_is_valid(host->value))
            return ERR_BAD_HOST;
        msg->authority = host->value;
    } else if (msg->minor == 1) {
        return ERR_BAD_HOST;
    }
    if (!msg->is_absolute_form)
        return 0;
    if (!authority_is_valid(absolute))
        return ERR_BAD_HOST;
    if (host) {
        /* RFC 9112 3.2.2 lets the target win over Host; we answer only those that agree. */
        char a[AUTHORITY_MAX];
        char b[AUTHORITY_MAX];
        size_t a_len = authority_normalise(absolute, msg->is_absolute_https, a, sizeof a);
        size_t b_len = authority_normalise(host->value, msg->is_absolute_https, b, sizeof b);
        if (a_len == 0 || !str_eq(str_n(a, a_len), str_n(b, b_len)))
            return ERR_BAD_HOST;
    }
    msg->authority = absolute;
    return 0;
}

/* RFC 9112 9.3, RFC 9110 7.8. */
static void read_connection(struct message *msg)
{
    bool has_close = false;
    bool has_keep_alive = false;
    bool has_upgrade = false;
    const struct field *field = message_field(msg, FIELD_CONNECTION);
    for (; field; field = message_next(msg, field)) {
        struct str rest = field->value;
        struct str token;
        while (next_token(&rest, &token)) {
            has_close |= str_ieq(token, STR("close"));
            has_keep_alive |= str_ieq(token, STR("keep-alive"));
            has_upgrade |= str_ieq(token, STR("upgrade"));
        }
    }
    msg->is_keep_alive = !has_close && (msg->minor == 1 || has_keep_alive);

    /* RFC 9110 7.8: Upgrade in HTTP/1.0 is ignored. */
    const struct field *upgrade = message_field(msg, FIELD_UPGRADE);
    msg->has_upgrade = has_upgrade && upgrade && msg->minor == 1;
    msg->is_websocket =
        msg->has_upgrade && !message_next(msg, upgrade) && str_ieq(upgrade->value, STR("websocket"));
}

/* RFC 9110 8.6: one field, decimal digits. A list, a sign or a second field is not repaired, even where
 * 8.6 would allow to take equal ones for one. */
static int read_length(struct message *msg)
{
    const struct field *field = message_field(msg, FIELD_CONTENT_LENGTH);
    if (!field)
        return 0;
    if (message_next(msg, field) || !str_to_u64(field->value, &msg->content_length) ||
        msg->content_length > INT64_MAX)
        return ERR_BAD_LENGTH;
    msg->has_length = true;
    return 0;
}

static bool is_registered_coding(struct str name)
{
    return str_ieq(name, STR("gzip")) || str_ieq(name, STR("x-gzip")) || str_ieq(name, STR("deflate")) ||
           str_ieq(name, STR("compress")) || str_ieq(name, STR("x-compress"));
}

/* RFC 9112 6.1 and 6.3: 0 for exactly "chunked". ERR_BAD_CODING (400) where the end of the body cannot be
 * known: chunked not last, twice, with parameters, no list of tokens. ERR_UNKNOWN_CODING (501) where it
 * could be, or where only a coding is named that nobody registered. */
static int read_coding(const struct message *msg)
{
    const struct field *field = message_field(msg, FIELD_TRANSFER_ENCODING);
    if (message_next(msg, field))
        return ERR_BAD_CODING;
    if (str_ieq(field->value, STR("chunked")))
        return 0;

    struct str rest = field->value;
    struct str token;
    unsigned chunked_count = 0;
    bool is_chunked = false; /* the last one */
    bool is_registered = false;
    while (next_token(&rest, &token)) {
        if (!is_token(token))
            return ERR_BAD_CODING;
        is_chunked = str_ieq(token, STR("chunked"));
        is_registered = is_registered_coding(token);
        chunked_count += is_chunked;
    }
    if (chunked_count > 1 || is_chunked != (chunked_count == 1) || is_registered)
        return ERR_BAD_CODING;
    return ERR_UNKNOWN_CODING;
}

/* RFC 9110 10.1.1. */
static int read_expect(struct message *msg)
{
    const struct field *field = message_field(msg, FIELD_EXPECT);
    if (!field)
        return 0;
    for (; field; field = message_next(msg, field)) {
        if (!str_ieq(field->value, STR("100-continue")))
            return ERR_BAD_EXPECT;
    }
    bool has_body = msg->framing == FRAMING_CHUNKED || msg->content_length > 0;
    msg->has_expect_continue = msg->minor == 1 && has_body;
    return 0;
}

int framing_of_request(struct message *msg, struct str absolute_authority)
{
    int err = read_host(msg, absolute_authority);
    if (err)
        return err;
    if (message_field(msg, FIELD_TRANSFER_ENCODING)) {
        /* RFC 9112 6.1: faulty in HTTP/1.0, and beside Content-Length. */
        if (msg->minor == 0 || message_field(msg, FIELD_CONTENT_LENGTH))
            return ERR_BAD_FRAMING;
        if ((err = read_coding(msg)) != 0)
            return err;
        msg->framing = FRAMING_CHUNKED;
    } else {
        if ((err = read_length(msg)) != 0)
            return err;
        msg->framing = msg->has_length ? FRAMING_LENGTH : FRAMING_NONE;
    }
    read_connection(msg);
    /* A body before the new protocol is where two parsers part: no tunnel then. */
    if (msg->method != METHOD_GET || msg->framing == FRAMING_CHUNKED || msg->content_length > 0)
        msg->is_websocket = false;
    return read_expect(msg);
}

/* RFC 9112 6.3, 1 and 2: no body whatever the fields say. */
static bool is_bodiless(const struct message *msg, enum method to_method)
{
    return to_method == METHOD_HEAD || msg->status < 200 || msg->status == 204 || msg->status == 304;
}

int framing_of_reply(struct message *msg, enum method to_method)
{
    const struct field *coding = message_field(msg, FIELD_TRANSFER_ENCODING);
    if (coding && (msg->minor == 0 || message_field(msg, FIELD_CONTENT_LENGTH)))
        return ERR_UPSTREAM_BAD_REPLY;
    if (read_length(msg) != 0)
        return ERR_UPSTREAM_BAD_REPLY;
    read_connection(msg);

    msg->framing = msg->has_length ? FRAMING_LENGTH : FRAMING_CLOSE;
    if (coding && read_coding(msg) == 0) {
        msg->framing = FRAMING_CHUNKED;
    } else if (coding) {
        /* RFC 9112 6.3, 4: read until the server closes. What still says chunked says it wrongly, or hides
         * a coding below it that we did not ask for (we send no TE): the client could not read it. */
        for (const struct field *f = coding; f; f = message_next(msg, f)) {
            struct str rest = f->value;
            struct str token;
            while (next_token(&rest, &token)) {
                if (!is_token(token) || (rest.data == NULL && str_ieq(token, STR("chunked"))))
                    return ERR_UPSTREAM_BAD_REPLY;
            }
        }
        msg->has_unknown_coding = true;
    }
    if (is_bodiless(msg, to_method)) {
        /* RFC 9110 8.6, RFC 9112 6.1: 1xx and 204 must not announce a body. One that does may send it. */
        bool is_announced = coding || (msg->has_length && msg->content_length > 0);
        if (is_announced && (msg->status < 200 || msg->status == 204))
            msg->is_keep_alive = false;
        msg->framing = FRAMING_NONE;
    }
    if (msg->framing == FRAMING_CLOSE || msg->has_unknown_coding)
        msg->is_keep_alive = false;
    return 0;
}
