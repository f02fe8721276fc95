/* What the app is told: the request's head as it goes to a server, written from parsed fields. Hop-by-hop
 * fields, what untrusted clients may not say, weir's own cookie and conditions that a stored copy will answer
 * are taken off; who asks, for which tenant and version is put on. One worker's thread. */
#ifndef PIPELINE_ASK_H
#define PIPELINE_ASK_H

#include "http/writer.h"
#include "pipeline/fetch.h"

/* False if it does not fit. */
bool ask_head(struct fetch *fetch, struct writer *w);

#endif
