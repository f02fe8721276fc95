#include "talk.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

bool talk_init(struct talk *talk, int fd)
{
    *talk = (struct talk){ .fd = fd, .held = malloc(TALK_BYTES_MAX + 1) };
    return talk->held != NULL;
}

void talk_fini(struct talk *talk)
{
    if (talk->fd >= 0)
        close(talk->fd);
    free(talk->held);
    *talk = (struct talk){ .fd = -1 };
}

/* Holds more, so that at least `wanted` bytes are there. */
static bool hold(struct talk *talk, size_t wanted)
{
    while (talk->held_bytes < wanted) {
        ssize_t got;

        if (wanted > TALK_BYTES_MAX)
            return false;
        got = recv(talk->fd, talk->held + talk->held_bytes, TALK_BYTES_MAX - talk->held_bytes, 0);
        if (got <= 0)
            return false;
        talk->held_bytes += (size_t)got;
    }
    return true;
}

void message_field(const struct message *message, const char *name, char *out, size_t size)
{
    size_t name_len = strlen(name);

    out[0] = '\0';
    for (const char *line = message->fields; *line;) {
        size_t len = strcspn(line, "\r\n");

        if (len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0) {
            const char *value = line + name_len + 1, *end = line + len;

            while (value < end && (*value == ' ' || *value == '\t'))
                value++;
            while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
            len = (size_t)(end - value) < size - 1 ? (size_t)(end - value) : size - 1;
            memcpy(out, value, len);
            out[len] = '\0';
            return;
        }
        line += len + strspn(line + len, "\r\n");
    }
}

bool talk_read(struct talk *talk, struct message *message)
{
    char *end = NULL, length[32];
    size_t head_bytes;

    talk->held_bytes -= talk->taken_bytes;
    memmove(talk->held, talk->held + talk->taken_bytes, talk->held_bytes);
    talk->taken_bytes = 0;
    for (;;) {
        end = memmem(talk->held, talk->held_bytes, "\r\n\r\n", 4);
        if (end)
            break;
        if (!hold(talk, talk->held_bytes + 1))
            return false;
    }
    head_bytes = (size_t)(end - talk->held) + 4;
    end[2] = '\0'; /* the last field keeps its line's end */
    message->start = talk->held;
    message->fields = memmem(talk->held, head_bytes, "\r\n", 2);
    message->fields[0] = '\0';
    message->fields += 2;
    message_field(message, "Transfer-Encoding", length, sizeof length);
    if (length[0] != '\0')
        return false;
    message_field(message, "Content-Length", length, sizeof length);
    message->body_bytes = strtoul(length, NULL, 10);
    if (message->body_bytes > TALK_BYTES_MAX - head_bytes || !hold(talk, head_bytes + message->body_bytes))
        return false;
    talk->taken_bytes = head_bytes + message->body_bytes;
    message->body = talk->held + head_bytes;
    return true;
}

bool talk_send(struct talk *talk, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(talk->fd, data, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        data += sent;
        len -= (size_t)sent;
    }
    return true;
}
