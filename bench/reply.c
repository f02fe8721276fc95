#include "reply.h"

#include "bare.h"

void reply_next(struct reply *reply)
{
    reply->state = REPLY_HEAD;
    reply->body_bytes = 0;
    reply->head_have = 0;
    reply->line_have = 0;
}

void reply_fini(struct reply *reply)
{
    free(reply->head);
    reply->head = NULL;
}

static bool has_prefix(const char *line, size_t length, const char *name)
{
    size_t name_length = strlen(name);

    return length >= name_length && strncasecmp(line, name, name_length) == 0;
}

static bool value_names(const char *value, size_t length, const char *word)
{
    while (length && (value[length - 1] == '\r' || value[length - 1] == ' '))
        length--;
    while (length && *value == ' ')
        value++, length--;
    return length == strlen(word) && strncasecmp(value, word, length) == 0;
}

/* Reads a whole head. Returns NULL, or what is wrong with it. */
static const char *head_read(struct reply *reply, const char *head, size_t length)
{
    const char *end = head + length;
    const char *line = memchr(head, '\n', length);
    bool is_chunked = false;
    int64_t size = -1;

    if (length < 16 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ' || !line)
        return "no status line";
    reply->status = atoi(head + 9);
    reply->is_last = head[7] == '0';
    while (++line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t count = (size_t)(stop - line);
        char first = (char)(*line | 0x20);

        if (first == 'c' && has_prefix(line, count, "content-length:")) {
            if (size >= 0)
                return "Content-Length twice";
            size = strtoll(line + 15, NULL, 10);
        } else if (first == 'c' && has_prefix(line, count, "connection:")) {
            reply->is_last = value_names(line + 11, count - 11, "close");
        } else if (first == 't' && has_prefix(line, count, "transfer-encoding:")) {
            is_chunked = value_names(line + 18, count - 18, "chunked");
        }
        line = stop;
    }
    if (is_chunked == (size >= 0))
        return is_chunked ? "both framings" : "no framing";
    reply->left = is_chunked ? 0 : size;
    reply->state = is_chunked ? REPLY_CHUNK_SIZE : size ? REPLY_BODY : REPLY_DONE;
    return NULL;
}

static int64_t head_feed(struct reply *reply, const char *bytes, size_t count, const char **error)
{
    size_t before = reply->head_have;
    size_t length;

    if (!before) {
        length = head_length(bytes, count);
        if (length) {
            *error = head_read(reply, bytes, length);
            return *error ? -1 : (int64_t)length;
        }
        if (!reply->head)
            reply->head = must_alloc(REPLY_HEAD_MAX);
    }
    if (count > REPLY_HEAD_MAX - before)
        count = REPLY_HEAD_MAX - before;
    memcpy(reply->head + before, bytes, count);
    reply->head_have += count;
    length = head_length(reply->head, reply->head_have);
    if (length) {
        *error = head_read(reply, reply->head, length);
        return *error ? -1 : (int64_t)(length - before);
    }
    if (reply->head_have == REPLY_HEAD_MAX) {
        *error = "head too large";
        return -1;
    }
    return (int64_t)count;
}

static size_t body_feed(struct reply *reply, const char *bytes, size_t count)
{
    if ((int64_t)count > reply->left)
        count = (size_t)reply->left;
    for (size_t i = 0; i < count && reply->body_bytes + (int64_t)i < REPLY_START_MAX; i++)
        reply->start[reply->body_bytes + (int64_t)i] = bytes[i];
    reply->body_bytes += (int64_t)count;
    reply->left -= (int64_t)count;
    return count;
}

/* One line of the chunked coding, up to and with its LF. Sets *out_whole when the LF was there. */
static size_t line_feed(struct reply *reply, const char *bytes, size_t count, bool *out_whole)
{
    const char *end = memchr(bytes, '\n', count);
    size_t used = end ? (size_t)(end - bytes) + 1 : count;

    for (size_t i = 0; i < used && reply->line_have < sizeof reply->line - 1; i++)
        reply->line[reply->line_have++] = bytes[i];
    reply->line[reply->line_have] = '\0';
    *out_whole = end != NULL;
    return used;
}

static const char *line_end(struct reply *reply)
{
    bool is_empty = strcmp(reply->line, "\r\n") == 0;
    char *end;

    reply->line_have = 0;
    if (reply->state == REPLY_TRAILER) {
        reply->state = is_empty ? REPLY_DONE : REPLY_TRAILER;
        return NULL;
    }
    /* The CRLF that ends a chunk stands before the next size; `left` is -1 until it came. */
    if (reply->left < 0) {
        reply->left = 0;
        return is_empty ? NULL : "chunk without end";
    }
    errno = 0;
    reply->left = strtoll(reply->line, &end, 16);
    if (end == reply->line || errno || reply->left < 0 || (*end != '\r' && *end != ';'))
        return "bad chunk size";
    reply->state = reply->left ? REPLY_CHUNK : REPLY_TRAILER;
    return NULL;
}

int64_t reply_feed(struct reply *reply, const char *bytes, size_t count, const char **out_error)
{
    size_t used = 0;
    bool is_whole;

    *out_error = NULL;
    while (used < count && reply->state != REPLY_DONE) {
        if (reply->state == REPLY_HEAD) {
            int64_t taken = head_feed(reply, bytes + used, count - used, out_error);

            if (taken < 0)
                return -1;
            used += (size_t)taken;
        } else if (reply->state == REPLY_BODY) {
            used += body_feed(reply, bytes + used, count - used);
            if (!reply->left)
                reply->state = REPLY_DONE;
        } else if (reply->state == REPLY_CHUNK) {
            used += body_feed(reply, bytes + used, count - used);
            if (!reply->left) {
                reply->state = REPLY_CHUNK_SIZE;
                reply->left = -1;
            }
        } else {
            used += line_feed(reply, bytes + used, count - used, &is_whole);
            if (is_whole && (*out_error = line_end(reply)))
                return -1;
        }
    }
    return (int64_t)used;
}

void reply_skip(struct reply *reply, int64_t count)
{
    reply->body_bytes += count;
    reply->left -= count;
    if (!reply->left)
        reply->state = REPLY_DONE;
}
