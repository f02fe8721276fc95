/* A stored body on its way to its reader, at the reader's pace: from a sealed object, or one that still
 * grows. */
#include "base/err.h"
#include "pipeline/answer.h"

#define PUMP_IOV 32

static void on_more_posted(struct post *post)
{
    struct request *req = request_from(CONTAINER_OF(post, struct request, post));
    req->is_posted = false;
    if (!req->is_recorded && !req->is_abandoned && req->stage == AT_respond) {
        answer_pump(req);
        request_writable(req);
    }
    request_drop(req);
}

static void on_more(struct object_reader *reader)
{
    struct request *req = CONTAINER_OF(reader, struct request, reader);
    req->post.fn = on_more_posted;
    loop_post(req->lane->loop, &req->post);
}

/* True: on_more will come. False: there is more already. */
static bool wait_for_more(struct request *req)
{
    req->reader.on_more = on_more;
    req->is_posted = true;
    request_hold(req);
    if (object_wait(&req->reader))
        return true;
    req->is_posted = false;
    request_drop(req);
    return false;
}

/* Cuts what peek showed to what is still to be sent; returns the bytes. */
static uint64_t limit_iov(struct request *req, struct iovec *iov, int *count)
{
    uint64_t bytes = 0;
    for (int i = 0; i < *count; i++) {
        if (bytes + iov[i].iov_len >= req->left_bytes) {
            iov[i].iov_len = req->left_bytes - bytes;
            *count = i + 1;
            return req->left_bytes;
        }
        bytes += iov[i].iov_len;
    }
    return bytes;
}

/* Moves towards where a range begins. True: something was passed over. */
static bool skip(struct request *req, const struct iovec *iov, int count)
{
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    bytes = bytes < req->skip_bytes ? bytes : req->skip_bytes;
    object_skip(&req->reader, bytes);
    req->skip_bytes -= bytes;
    return bytes > 0;
}

/* One write of what is there. False: nothing more for now. */
static bool pump_once(struct request *req)
{
    struct object *object = req->reader.object;
    struct iovec iov[PUMP_IOV];
    int count = 0;
    enum object_more more =
        req->left_bytes == 0 ? OBJECT_END : object_peek(&req->reader, iov, PUMP_IOV, &count);

    if (UNLIKELY(req->skip_bytes > 0) && more == OBJECT_BYTES && skip(req, iov, count))
        return true;
    if (more == OBJECT_CUT && req->carrier->needs_write(req)) { /* nothing went out yet */
        req->carrier->unbegin(req);
        req->answer = ANSWERS_PROBLEM;
        req->err = ERR_UPSTREAM_CUT;
        answer_problem(req);
        return false;
    }
    if (more == OBJECT_CUT) {
        req->carrier->cut(req, ERR_UPSTREAM_CUT);
        return false;
    }
    uint64_t bytes = more == OBJECT_BYTES ? limit_iov(req, iov, &count) : 0;
    if (more != OBJECT_BYTES)
        count = 0;
    bool is_last = more == OBJECT_END || bytes == req->left_bytes ||
                   (object_state(object) == OBJECT_SEALED && req->reader.at + bytes == object_size(object));
    if (more == OBJECT_NONE && !req->carrier->needs_write(req))
        return !wait_for_more(req);
    int64_t n = req->carrier->write(req, iov, count, is_last ? WRITE_LAST : 0);
    if (n < 0 || req->is_abandoned)
        return false;
    object_skip(&req->reader, (uint64_t)n);
    req->body_bytes += (uint64_t)n;
    if (req->left_bytes != UINT64_MAX)
        req->left_bytes -= (uint64_t)n;
    if ((uint64_t)n < bytes) /* blocked: the carrier says when it can take more; else a chunk ended */
        return !req->carrier->is_blocked(req);
    if (is_last) {
        req->is_answered = true;
        return false;
    }
    return true;
}

void answer_pump(struct request *req)
{
    if (req->is_answered || req->is_posted || req->is_abandoned || !req->reader.object)
        return;
    while (pump_once(req))
        ;
}
