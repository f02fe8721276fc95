/* What every target brings, and what they share. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "http/message.h"

extern const struct str fuzz_seeds[];
extern const size_t fuzz_seed_count;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct head_limits fuzz_limits = { .head_bytes = 4096, .line_bytes = 1024, .fields = 40 };

/* Does http-parser, given the whole of these bytes, see what msg says? raw_target is empty for replies. */
enum raw_verdict {
    RAW_REFUSES,
    RAW_AGREES,
    RAW_DIFFERS
};
enum raw_verdict raw_head(const struct message *msg, struct str head, struct str raw_target);

/* http-parser as a chunked decoder. True if it took all of a body; out_used counts its bytes in body,
 * out_text holds its content, out_trailers "name:value\n" of each trailer. Both have out_size bytes. */
bool raw_chunked(struct str body, char *out_text, size_t *out_len, char *out_trailers,
                 size_t *out_trailers_len, size_t out_size, size_t *out_used);

/* What every accepted head must be like; ends the program if it is not. */
void check_message(const struct message *msg, struct str head);

/* The length of the head found when bytes arrive in steps of that size, 0 or an error. */
int find_in_steps(struct str bytes, size_t step);

#endif
