/* What the client is told: heads of replies, and pumping a stored body to its reader. The
 * carrier writes; this knows what. One worker's thread. */
#ifndef PIPELINE_ANSWER_H
#define PIPELINE_ANSWER_H

#include "http/message.h"
#include "http/writer.h"
#include "pipeline/request.h"

/* One of weir's own errors, as problem+json (RFC 9457), whole. */
void answer_problem(struct request *req);

/* From req->reader: conditions and ranges are answered here (304, 412, 206, 416). Writes what there is;
 * answer_pump() goes on. */
void answer_object(struct request *req);

/* The head of a reply that is relayed as it comes. */
void answer_relay_head(struct request *req, const struct message *reply);

/* Sends more of the object: when the client can take more, or there is more. */
void answer_pump(struct request *req);

/* The field lines of a reply as they are stored, status line first (see object_meta.head), without what
 * control says to keep out. False if it does not fit. */
bool answer_stored_head(struct writer *w, const struct message *reply, const struct cache_control *control,
                        int64_t wall_ms);

/* Which of a reply's fields go on to the client. */
bool answer_passes_field(const struct message *reply, const struct field *field);

/* Which of a 304's fields replace stored ones (RFC 9111 3.2). */
bool answer_renews_field(const struct message *reply, const struct field *field);

/* Weir-Trace (trace.c): was it asked for, by somebody who may? The line with what is known up to here. */
bool answer_is_traced(const struct request *req);
void answer_put_trace(const struct request *req, struct writer *w);

#endif
