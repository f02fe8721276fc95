#include "postgres_reason.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line without anything that a peer could play with, cut where out ends. */
static void flatten(const char *text, char *out, size_t size)
{
    size_t len = 0;

    for (; *text && len + 1 < size; text++) {
        bool is_blank = (unsigned char)*text <= ' ';

        if (is_blank && (len == 0 || out[len - 1] == ' '))
            continue;
        out[len++] = (char)(is_blank ? ' ' : (unsigned char)*text < 0x7f ? *text : '?');
    }
    while (len > 0 && out[len - 1] == ' ')
        len--;
    out[len] = '\0';
}

/* libpq does not say passwords, but a peer that was sent one may say it back. */
static void hide(char *text, const char *secret)
{
    size_t len = secret ? strlen(secret) : 0;

    for (char *at = text; len > 0 && (at = strstr(at, secret)); at += len)
        memset(at, '*', len);
}

/* Where in the server's own source it was: a line of its own. */
static void drop_locations(char *text)
{
    static const char mark[] = "\nLOCATION:";
    char *at;

    while ((at = strstr(text, mark))) {
        const char *end = at + 1 + strcspn(at + 1, "\n");

        memmove(at, end, strlen(end) + 1);
    }
}

/* Hidden first: cut or flattened it would not be recognised. */
void postgres_reason(const PGconn *connection, char *out, size_t size)
{
    char *copy = strdup(PQerrorMessage(connection));

    snprintf(out, size, "it does not say why");
    if (!copy)
        return;
    hide(copy, PQpass(connection));
    drop_locations(copy);
    if (copy[strspn(copy, " \t\r\n")])
        flatten(copy, out, size);
    free(copy);
}

/* libpq has no other way to say it of a connection that did not come about: "FATAL:  57P03: starting up". Of
 * several addresses the last one's. */
void postgres_state(const PGconn *connection, char out[STATE_SIZE])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *at = PQerrorMessage(connection);

    out[0] = '\0';
    while ((at = strstr(at, ":  "))) {
        at += 3;
        if (strspn(at, digits) != STATE_SIZE - 1 || at[STATE_SIZE - 1] != ':')
            continue;
        memcpy(out, at, STATE_SIZE - 1);
        out[STATE_SIZE - 1] = '\0';
    }
}
