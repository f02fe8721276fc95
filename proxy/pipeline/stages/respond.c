/* Tell the client. What can be written at once is; the rest follows when the client or the source is ready.
 */
#include "pipeline/answer.h"
#include "pipeline/fetch.h"
#include "pipeline/request.h"

static void stop_responding(struct request *req)
{
    if (req->fetch)
        fetch_detach(req->fetch);
}

/* A server agreed to speak WebSocket: its head goes out, then the connections are joined. */
static void open_tunnel(struct request *req)
{
    struct str extra;
    struct fetch *fetch = req->fetch;
    answer_relay_head(req, fetch->reply);
    req->is_answered = true;
    req->carrier->write(req, NULL, 0, WRITE_COPY | WRITE_LAST);
    struct stream *server = exchange_take_stream(fetch->exchange, &extra);
    fetch->exchange = NULL;
    fetch->has_ended = true;
    req->outcome = OUTCOME_TUNNEL;
    req->carrier->tunnel(req, server, extra);
}

enum verdict stage_respond(struct request *req)
{
    switch (req->answer) {
    case ANSWERS_NOTHING:
        CHECK(!"a request came to respond without an answer");
        break;
    case ANSWERS_PROBLEM:
        answer_problem(req);
        break;
    case ANSWERS_OBJECT:
        answer_object(req);
        break;
    case ANSWERS_RELAY:
        answer_relay_head(req, req->fetch->reply);
        return request_wait(req, "write", stop_responding);
    case ANSWERS_TUNNEL:
        open_tunnel(req);
        return request_wait(req, "tunnel", stop_responding);
    }
    if (req->is_answered && req->carrier->held(req) == 0) {
        req->is_written = true;
        return NEXT;
    }
    return request_wait(req, "write", stop_responding);
}
