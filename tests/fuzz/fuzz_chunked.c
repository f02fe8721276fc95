/* Chunked bodies with trailers. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/err.h"
#include "http/body_in.h"

const struct str fuzz_seeds[] = {
    STR_INIT("5\r\nhello\r\n0\r\n\r\n"),
    STR_INIT("5\r\nhello\r\n6;name=\"v;\"\r\n world\r\n0;last\r\n\r\nGET / HTTP/1.1\r\n"),
    STR_INIT("000000000000000a\r\n0123456789\r\nA\r\n\r\n\r\n567890\r\n0\r\nX-Sum: 1\r\nETag: \"a\"\r\n\r\n"),
    STR_INIT("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n00\r\nHost: b\r\nContent-Length: 5\r\nX_Y:\r\n\r\n"),
    STR_INIT("5 ;x=y\r\nhello\r\n7fffffffffffffff\r\n"),
};
const size_t fuzz_seed_count = COUNT_OF(fuzz_seeds);

struct outcome {
    int event;
    size_t used;
    size_t text_len;
    size_t trailers_len;
    char *text;
    char *trailers;
};

static void put(char *out, size_t *len, struct str s)
{
    memcpy(out + *len, s.data, s.len);
    *len += s.len;
}

/* Our decoder, with the bytes arriving in steps. */
static struct outcome decode(struct str bytes, size_t step)
{
    struct outcome out = { .event = BODY_MORE,
                           .text = malloc(bytes.len + 1),
                           .trailers = malloc(bytes.len + 1) };
    CHECK(out.text != NULL);
    CHECK(out.trailers != NULL);
    struct body_in body;
    body_in_init(&body, FRAMING_CHUNKED, 0, 512);
    while (out.event == BODY_MORE && out.used < bytes.len) {
        size_t len = bytes.len - out.used < step ? bytes.len - out.used : step;
        struct str in = str_n(bytes.data + out.used, len);
        struct str piece;
        while ((out.event = body_in_next(&body, &in, &piece)) == BODY_PIECE) {
            CHECK(piece.len > 0);
            put(out.text, &out.text_len, piece);
        }
        out.used += len - in.len;
    }
    CHECK(out.event == BODY_MORE || out.event == BODY_END || err_status(out.event) >= 400);
    CHECK(body_in_is_over(&body) == (out.event == BODY_END));
    CHECK(body.total == out.text_len);
    size_t at = 0;
    struct str name;
    struct str value;
    while (body_in_trailer(&body, &at, &name, &value)) {
        CHECK(!(field_traits(field_id_of(name)) & (FIELD_FRAMING | FIELD_NO_TRAILER | FIELD_HOP_BY_HOP)));
        put(out.trailers, &out.trailers_len, name);
        put(out.trailers, &out.trailers_len, STR(":"));
        put(out.trailers, &out.trailers_len, value);
        put(out.trailers, &out.trailers_len, STR("\n"));
    }
    body_in_fini(&body);
    return out;
}

static void outcome_fini(struct outcome *out)
{
    free(out->text);
    free(out->trailers);
}

/* Each trailer that we pass on was seen by http-parser too, in the same order. */
static void check_trailers(struct str ours, struct str theirs)
{
    struct str our_line;
    struct str their_line;
    while (str_split(&ours, '\n', &our_line) && our_line.len > 0) {
        bool is_found = false;
        /* It keeps blanks at a value's end. */
        while (!is_found && str_split(&theirs, '\n', &their_line))
            is_found = str_eq(str_trim(their_line), str_trim(our_line));
        CHECK(is_found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_n((const char *)data, size);
    struct outcome whole = decode(bytes, size + 1);
    struct outcome steps = decode(bytes, 1 + size % 5);
    CHECK(whole.event == steps.event);
    CHECK(whole.event < 0 || whole.used == steps.used);
    CHECK(whole.event < 0 || str_eq(str_n(whole.text, whole.text_len), str_n(steps.text, steps.text_len)));

    if (whole.event == BODY_END) {
        size_t room = size * 2 + 2;
        char *text = malloc(room);
        char *trailers = malloc(room);
        size_t text_len;
        size_t trailers_len;
        size_t used;
        CHECK(text != NULL);
        CHECK(trailers != NULL);
        if (raw_chunked(bytes, text, &text_len, trailers, &trailers_len, room, &used)) {
            CHECK(used == whole.used);
            CHECK(str_eq(str_n(text, text_len), str_n(whole.text, whole.text_len)));
            check_trailers(str_n(whole.trailers, whole.trailers_len), str_n(trailers, trailers_len));
        }
        free(text);
        free(trailers);
    }
    outcome_fini(&whole);
    outcome_fini(&steps);
    return 0;
}
