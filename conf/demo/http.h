/* A small HTTP/1.1 server for the demo app: heads, bodies and keep-alive on libevent's buffers, and no more
 * than that. One thread. A call is one request and its reply, which may come later; the server owns it. */
#ifndef DEMO_HTTP_H
#define DEMO_HTTP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct http;
struct call;

/* Answers the call, now or later, with exactly one call_reply() or call_stream(). */
typedef void call_fn(struct call *call, void *arg);

/* address is a literal one. NULL if it cannot be listened on; errno says why. */
struct http *http_new(struct event_base *base, const char *address, unsigned short port, call_fn *on_call,
                      void *arg);
void http_free(struct http *http);

const char *call_method(const struct call *call);
const char *call_path(const struct call *call); /* without the query */
/* NULL: absent. */
const char *call_field(const struct call *call, const char *name);
const char *call_body(const struct call *call, size_t *out_len);

/* fields: whole lines, each ending in CRLF. The call is gone afterwards. */
void call_reply(struct call *call, int status, const char *fields, const char *body, size_t body_len);

/* A reply that goes on until the client leaves; only from within call_fn. The call then lives until on_gone.
 */
void call_stream(struct call *call, void (*on_gone)(struct call *call, void *arg), void *arg);
void call_send(struct call *call, const char *text, size_t len);
/* Bytes that the client has not taken yet. */
size_t call_unsent(const struct call *call);
/* Hangs up; on_gone is called before this returns. */
void call_hang_up(struct call *call);

#endif
