/* The only place that knows the order and moves a traveller (see stage.h). */
#include "base/check.h"
#include "base/err.h"
#include "pipeline/fetch.h"
#include "pipeline/request.h"
#include "pipeline/stage.h"

#define STAGE_ROW(name) { #name, stage_##name },
static const struct {
    const char *word;
    enum verdict (*fn)(struct request *req);
} request_stages[] = { REQUEST_STAGES(STAGE_ROW) };

static const struct {
    const char *word;
    enum verdict (*fn)(struct fetch *fetch);
} fetch_stages[] = { FETCH_STAGES(STAGE_ROW) };

const char *request_stage_word(enum request_stage stage)
{
    return request_stages[stage].word;
}

const char *fetch_stage_word(enum fetch_stage stage)
{
    return fetch_stages[stage].word;
}

static void request_call_off(struct request *req)
{
    request_cancel_fn *cancel = req->cancel;
    req->cancel = NULL;
    req->wait_why = NULL;
    if (cancel)
        cancel(req);
}

/* Where a request goes after its present stage said verdict. False: it stays and waits. */
static bool request_move(struct request *req, enum verdict verdict)
{
    if (req->is_abandoned && req->stage < AT_record) {
        if (verdict == WAIT)
            request_call_off(req);
        req->stage = AT_record;
        return true;
    }
    switch (verdict) {
    case NEXT:
        req->stage++;
        return true;
    case ANSWER:
        CHECK(req->stage < AT_respond);
        req->stage = AT_respond;
        return true;
    case RETRY:
        return true;
    case WAIT:
        break;
    }
    return false;
}

static void request_walk(struct request *req, enum verdict verdict)
{
    CHECK(!req->is_moving);
    req->is_moving = true;
    for (;;) {
        if (verdict == WAIT && req->has_resumed) {
            verdict = req->resumed;
            req->wait_why = NULL;
            req->cancel = NULL;
        }
        req->has_resumed = false;
        if (!request_move(req, verdict))
            break;
        if (req->stage == REQUEST_STAGE_COUNT) {
            req->is_moving = false;
            req->is_recorded = true;
            if (req->client)
                req->carrier->done(req);
            request_drop(req);
            return;
        }
        verdict = request_stages[req->stage].fn(req);
    }
    req->is_moving = false;
}

void pipeline_start(struct request *req)
{
    req->stage = AT_identify;
    req->is_moving = true;
    enum verdict verdict = stage_identify(req);
    req->is_moving = false;
    request_walk(req, verdict);
}

enum verdict request_wait(struct request *req, const char *why, request_cancel_fn *cancel)
{
    req->wait_why = why;
    req->cancel = cancel;
    return WAIT;
}

void request_resume(struct request *req, enum verdict verdict)
{
    CHECK(verdict != WAIT);
    if (req->is_recorded || (req->is_abandoned && !req->is_moving))
        return;
    if (req->is_moving) {
        req->has_resumed = true;
        req->resumed = verdict;
        return;
    }
    req->wait_why = NULL;
    req->cancel = NULL;
    request_walk(req, verdict);
}

enum verdict request_fail(struct request *req, int err)
{
    CHECK(err < 0);
    req->err = err;
    req->answer = ANSWERS_PROBLEM;
    return ANSWER;
}

void request_abandon(struct request *req)
{
    if (req->is_abandoned || req->is_recorded)
        return;
    req->is_abandoned = true;
    if (req->err == 0)
        req->err = ERR_CLIENT_GONE;
    if (req->is_moving)
        return;
    request_walk(req, WAIT);
}

/* --- the fetch's corridor --- */

/* A fetch ends at store's NEXT (its body goes on by itself) or at any ANSWER (it failed). */
static void fetch_walk(struct fetch *fetch, enum verdict verdict)
{
    CHECK(!fetch->is_moving);
    fetch_hold(fetch); /* a stage may find that nobody wants it any more */
    fetch->is_moving = true;
    for (;;) {
        if (verdict == WAIT && fetch->has_resumed) {
            verdict = fetch->resumed;
            fetch->wait_why = NULL;
            fetch->cancel = NULL;
        }
        fetch->has_resumed = false;
        if (fetch->is_over || verdict == WAIT)
            break;
        if (verdict == ANSWER) {
            fetch->is_moving = false;
            fetch_failed(fetch);
            fetch_drop(fetch);
            return;
        }
        if (verdict == RETRY)
            fetch->stage = AT_choose;
        else
            fetch->stage++;
        if (fetch->stage == FETCH_STAGE_COUNT)
            break;
        verdict = fetch_stages[fetch->stage].fn(fetch);
    }
    fetch->is_moving = false;
    fetch_drop(fetch);
}

void fetch_start(struct fetch *fetch)
{
    fetch->stage = AT_choose;
    fetch_hold(fetch);
    fetch->is_moving = true;
    enum verdict verdict = stage_choose(fetch);
    fetch->is_moving = false;
    fetch_walk(fetch, verdict);
    fetch_drop(fetch);
}

enum verdict fetch_wait(struct fetch *fetch, const char *why, fetch_cancel_fn *cancel)
{
    fetch->wait_why = why;
    fetch->cancel = cancel;
    return WAIT;
}

void fetch_resume(struct fetch *fetch, enum verdict verdict)
{
    CHECK(verdict != WAIT);
    if (fetch->is_over)
        return;
    if (fetch->is_moving) {
        fetch->has_resumed = true;
        fetch->resumed = verdict;
        return;
    }
    fetch->wait_why = NULL;
    fetch->cancel = NULL;
    fetch_walk(fetch, verdict);
}

enum verdict fetch_fail(struct fetch *fetch, int err)
{
    CHECK(err < 0);
    fetch->err = err;
    return ANSWER;
}
