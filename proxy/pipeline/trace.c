/* Weir-Trace: a request's own path and timings, for a trusted peer that asked (A3). */
#include <stdio.h>

#include "pipeline/answer.h"

static void put_word(struct writer *w, const char *key, struct str value)
{
    if (value.len == 0)
        return;
    writer_put(w, STR("; "));
    writer_put(w, str_of(key));
    writer_put(w, STR("="));
    writer_put(w, value);
}

/* A route's name is made of a method, a host and a path if the file gives none; a plugin's word may be
 * anything. */
static void put_quoted(struct writer *w, const char *key, struct str value)
{
    put_word(w, key, STR("\""));
    writer_put_json(w, value);
    writer_put(w, STR("\""));
}

static void put_time(struct writer *w, const char *key, int64_t ns)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%.6f", (double)ns / 1e9);
    put_word(w, key, str_n(text, (size_t)len));
}

bool answer_is_traced(const struct request *req)
{
    return req->is_peer_trusted && str_eq(message_value(&req->msg, FIELD_WEIR_TRACE), STR("1"));
}

void answer_put_trace(const struct request *req, struct writer *w)
{
    int64_t now = loop_now_ns(req->lane->loop);
    writer_put(w, STR("Weir-Trace: weir"));
    if (req->tenant)
        put_word(w, "tenant", tenant_name(req->tenant->tenant));
    if (req->edition)
        put_word(w, "version", req->edition->name);
    if (req->way && req->way->config)
        put_quoted(w, "route", req->way->config->name);
    if (req->is_canary)
        put_word(w, "canary", STR("1"));
    if (req->server) {
        put_word(w, "upstream", req->supply->upstream->name);
        put_word(w, "server", str_of(req->server->addr.text));
        put_word(w, "role", server_role(req->server) == ROLE_PRIMARY ? STR("primary") : STR("replica"));
        if (req->why_chosen.len > 0)
            put_quoted(w, "why", req->why_chosen);
    }
    put_time(w, "head", req->head_ns - req->started_ns);
    if (req->admitted_ns)
        put_time(w, "admit", req->admitted_ns - req->head_ns);
    if (req->looked_ns)
        put_time(w, "lookup", req->looked_ns - req->admitted_ns);
    for (unsigned i = STAGE_SECOND_TIER; i < STAGE_BODY; i++) {
        if (req->stage_ns[i] >= 0)
            put_time(w, stage_word((enum stage_time)i), req->stage_ns[i]);
    }
    put_time(w, "total", now - req->started_ns);
    writer_put(w, STR("\r\n"));
}
