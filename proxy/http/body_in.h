/* Where a body ends: bytes from a socket in, pieces of body out, for all framings of RFC 9112 6 and 7.
 *
 * Embedded in whoever reads the socket. Strict on chunks: hex sizes up to 16 digits, CRLF everywhere,
 * extensions bounded (4 KiB a body), trailers bounded and checked like any field, those that RFC 9110
 * 6.5.1 forbids dropped. One thread. */
#ifndef HTTP_BODY_IN_H
#define HTTP_BODY_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "http/message.h"

enum body_event {
    BODY_MORE,  /* all of the input was used, more is needed */
    BODY_PIECE, /* *out_piece is body */
    BODY_END,   /* the body and its trailers are complete */
};

struct body_in {
    enum framing framing;
    uint8_t state;
    uint8_t digits;
    uint64_t left;  /* of the length, or of this chunk */
    uint64_t total; /* body bytes seen */
    uint32_t extension_bytes;
    uint32_t trailer_limit;
    struct buf trailer; /* the trailer section as received */
};

/* content_length counts for FRAMING_LENGTH only. trailer_limit: bytes of the trailer section
 * without its final empty line. */
void body_in_init(struct body_in *body, enum framing framing, uint64_t content_length,
                  uint32_t trailer_limit);
void body_in_fini(struct body_in *body); /* NULL is fine */

/* Takes what it can from the front of *in (moving it) until it has one piece to show. Call it again
 * until it says BODY_MORE or BODY_END; what is then left in *in belongs to the next message. Returns
 * an enum body_event, or ERR_BAD_CHUNK, ERR_BAD_FIELD, ERR_HEAD_TOO_LARGE, ERR_NO_MEMORY.
 * FRAMING_NONE ends at once, FRAMING_CLOSE never (see body_in_eof). */
int body_in_next(struct body_in *body, struct str *in, struct str *out_piece);

/* The connection was closed: true if the body ends with that (FRAMING_CLOSE), or had ended. */
bool body_in_eof(const struct body_in *body);

bool body_in_is_over(const struct body_in *body);

/* After BODY_END: the next trailer field that may be passed on. *at starts at 0. False at the end. */
bool body_in_trailer(const struct body_in *body, size_t *at, struct str *out_name, struct str *out_value);

#endif
