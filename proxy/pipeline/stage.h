/* The corridor. Start reading here.
 *
 * A request is a traveller. It walks one corridor, drawn once, in this order:
 *
 *     identify   whose request is it?              policy/tenant
 *     route      which version, rules, servers?    policy/version, policy/route
 *     admit      has its tenant's rate room?       policy/bucket
 *     lookup     do we know the answer?            plugin inspect, cache
 *     fetch      else: get it                      (starts or joins a fetch, see below)
 *     respond    tell the client                   answer, client
 *     record     what did it cost?                 observe
 *
 * What has to be fetched walks a second, shorter corridor, on behalf of one request (pass-through), of
 * many (a flight) or of none (its clients left):
 *
 *     choose     which server?                     plugin choose, upstream
 *     permit     may it go in now?                 policy/line, the tenant's concurrency
 *     forward    ask, until its head is here       upstream/exchange
 *     store      keep it? hand it on               plugin answered, cache
 *
 * A stage decides about heads, once, and says what happened; only pipeline.c decides where to go. Bodies are
 * pumped by whoever carries them: uploads by the client and its fetch, replies by the exchange or from a
 * stored object (answer.h). Everything here runs on the request's own worker.
 *
 * A stage boundary is a timestamp: what the latency histogram knows falls out of the corridor. */
#ifndef PIPELINE_STAGE_H
#define PIPELINE_STAGE_H

struct request;
struct fetch;

enum verdict {
    NEXT,   /* on to the following stage */
    ANSWER, /* the answer is decided: a request skips to respond, a fetch ends (it failed: fetch->err) */
    RETRY,  /* a request: ask the same stage again, what it waited for is here. A fetch: back to choose, while
               no byte was  answered and the body is unsent or wholly kept */
    WAIT,   /* somebody will call request_resume() or fetch_resume(), exactly once, or it is cancelled */
};

#define REQUEST_STAGES(X) X(identify) X(route) X(admit) X(lookup) X(fetch) X(respond) X(record)
#define FETCH_STAGES(X)   X(choose) X(permit) X(forward) X(store)

enum request_stage {
#define STAGE_AT(name) AT_##name,
    REQUEST_STAGES(STAGE_AT) REQUEST_STAGE_COUNT
};

enum fetch_stage {
    FETCH_STAGES(STAGE_AT) FETCH_STAGE_COUNT
};
#undef STAGE_AT

#define STAGE_FN(name) enum verdict stage_##name(struct request *req);
REQUEST_STAGES(STAGE_FN)
#undef STAGE_FN

#define STAGE_FN(name) enum verdict stage_##name(struct fetch *fetch);
FETCH_STAGES(STAGE_FN)
#undef STAGE_FN

/* What a waiting traveller can be asked: whom it waits for, and how to call that off. cancel runs at most
 * once, when nobody wants the traveller any more; after it no resume may come. */
typedef void request_cancel_fn(struct request *req);
typedef void fetch_cancel_fn(struct fetch *fetch);

/* Starts a request at its first stage. */
void pipeline_start(struct request *req);

/* For a stage to return: remembers whom it waits for. Always WAIT. */
enum verdict request_wait(struct request *req, const char *why, request_cancel_fn *cancel);
enum verdict fetch_wait(struct fetch *fetch, const char *why, fetch_cancel_fn *cancel);

/* Ends a wait with what the stage would have said: on the traveller's own worker only. */
void request_resume(struct request *req, enum verdict verdict);
void fetch_resume(struct fetch *fetch, enum verdict verdict);

/* For a stage to return: decides on an error. Always ANSWER. */
enum verdict request_fail(struct request *req, int err);
enum verdict fetch_fail(struct fetch *fetch, int err);

/* The client left: the request stops waiting for anything and goes to record. */
void request_abandon(struct request *req);

/* Starts a fetch at its first stage; it may end before this returns. */
void fetch_start(struct fetch *fetch);

const char *request_stage_word(enum request_stage stage);
const char *fetch_stage_word(enum fetch_stage stage);

#endif
