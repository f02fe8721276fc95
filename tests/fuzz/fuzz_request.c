/* Request heads. */
#include "fuzz.h"

#include "base/err.h"
#include "http/target.h"
#include "http/writer.h"

const struct str fuzz_seeds[] = {
    STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    STR_INIT("GET /items/42?page=2 HTTP/1.1\r\nHost: acme.api.example.com:8080\r\nUser-Agent: Mozilla/5.0 "
             "(X11; Linux x86_64)\r\n"
             "Accept: */*;q=0.8\r\nCookie: session=0123456789abcdef0123456789abcdef; "
             "theme=dark\r\nConnection: keep-alive\r\n\r\n"),
    STR_INIT("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n"),
    STR_INIT("PUT /a HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"),
    STR_INIT("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
    STR_INIT("GET http://a.example:80/x?y HTTP/1.1\r\nHost: A.example\r\n\r\n"),
    STR_INIT("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\n\r\n"),
    STR_INIT("PROPFIND /dav HTTP/1.0\r\nConnection: keep-alive\r\nDepth: 1\r\n\r\n"),
    STR_INIT("GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\nX_Forwarded_For: 1\r\nX:\r\n\r\n"),
};
const size_t fuzz_seed_count = COUNT_OF(fuzz_seeds);

static size_t blank_end(struct str bytes)
{
    size_t skip = head_skip_blank(bytes);
    CHECK(skip <= bytes.len);
    return skip;
}

/* What was accepted, written by us, must read as the same. */
static void check_again(const struct message *msg)
{
    static char out[16384];
    static struct message again;
    struct writer w;
    writer_init(&w, out, sizeof out);
    writer_request_line(&w, msg->method_name, msg->target);
    bool has_host = message_field(msg, FIELD_HOST) != NULL;
    if (!has_host)
        writer_field(&w, STR("Host"), msg->authority.len ? msg->authority : STR("none"));
    unsigned count = !has_host;
    for (unsigned i = 0; i < msg->field_count; i++) {
        const struct field *field = &msg->fields[i];
        unsigned traits = field_traits(field->id);
        if ((traits & FIELD_HOP_BY_HOP) && !(traits & FIELD_FRAMING))
            continue; /* as forwarding does */
        writer_field(&w, field->name, field->value);
        count++;
    }
    writer_end(&w);
    CHECK(!w.is_over);
    const struct head_limits wide = { .head_bytes = sizeof out, .line_bytes = 8192, .fields = FIELDS_MAX };
    int err = message_read_request(&again, writer_str(&w), &wide);
    CHECK(err == 0);
    CHECK(again.framing == msg->framing);
    CHECK(again.content_length == msg->content_length);
    CHECK(again.method == msg->method);
    CHECK(str_eq(again.path, msg->path));
    CHECK(again.field_count == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message msg;
    struct str bytes = str_n((const char *)data, size);
    bytes = str_from(bytes, blank_end(bytes));
    size_t scanned = 0;
    int len = head_find_end(bytes, &scanned, &fuzz_limits);
    int slow = find_in_steps(bytes, 1 + size % 7);
    CHECK((len > 0) == (slow > 0));
    CHECK(len <= 0 || len == slow);
    CHECK(len >= 0 || err_status(len) >= 400);
    /* Also what head_find_end() would have refused must be read safely. */
    struct str head = len > 0 ? str_n(bytes.data, (size_t)len) : bytes;
    int err = message_read_request(&msg, head, &fuzz_limits);
    if (err) {
        CHECK(err_status(err) >= 400);
        return 0;
    }
    CHECK(len > 0);
    check_message(&msg, head);
    CHECK(target_is_valid(msg.target) || str_eq(msg.target, STR("*")));
    CHECK(msg.minor == 0 || authority_is_valid(msg.authority));
    CHECK(msg.framing != FRAMING_CLOSE);
    CHECK(!msg.has_unknown_coding);
    CHECK(msg.method != METHOD_CONNECT);
    check_again(&msg);
    return 0;
}
