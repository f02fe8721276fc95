#include "doors.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/listener.h"

static unsigned nth_of(const struct config *config, unsigned index)
{
    unsigned nth = 0;
    for (unsigned i = 0; i < index; i++)
        nth += strcmp(config->listens[i].address.text, config->listens[index].address.text) == 0;
    return nth;
}

/* The row of a listen entry, or -1. */
static int find(const struct doors *doors, const struct config *config, unsigned index)
{
    unsigned nth = nth_of(config, index);
    for (unsigned i = 0; i < doors->count; i++) {
        if (doors->rows[i].nth == nth &&
            strcmp(doors->rows[i].text, config->listens[index].address.text) == 0)
            return (int)i;
    }
    return -1;
}

static void close_row(struct doors *doors, struct door_set *door)
{
    for (unsigned i = 0; i < doors->worker_count; i++)
        close(door->fds[i]);
    if (door->bound.kind == ADDR_UNIX)
        unlink(door->bound.host);
    free(door->fds);
    *door = doors->rows[--doors->count];
}

void doors_close_unwanted(struct doors *doors)
{
    for (unsigned i = doors->count; i-- > 0;) {
        if (!doors->rows[i].is_wanted)
            close_row(doors, &doors->rows[i]);
    }
}

void doors_close(struct doors *doors)
{
    while (doors->count > 0)
        close_row(doors, &doors->rows[0]);
}

static int open_row(struct doors *doors, const struct addr *addr, unsigned nth)
{
    if (doors->count == GATES_MAX)
        return EMFILE;
    struct door_set *door = &doors->rows[doors->count];
    *door = (struct door_set){ .nth = nth };
    str_copy(str_of(addr->text), door->text, sizeof door->text);
    door->fds = calloc(doors->worker_count, sizeof *door->fds);
    if (!door->fds)
        return ENOMEM;
    int err = listener_open(addr, doors->worker_count, door->fds, &door->bound);
    if (err)
        free(door->fds);
    else
        doors->count++;
    return err;
}

int doors_open(struct doors *doors, const struct config *config, const struct addr **out_which)
{
    for (unsigned i = 0; i < config->listen_count; i++) {
        *out_which = &config->listens[i].address;
        int err = find(doors, config, i) >= 0 ? 0 : open_row(doors, *out_which, nth_of(config, i));
        if (err)
            return err;
    }
    return 0;
}

void doors_want(struct doors *doors, const struct config *config)
{
    for (unsigned i = 0; i < doors->count; i++)
        doors->rows[i].is_wanted = false;
    for (unsigned i = 0; i < config->listen_count; i++) {
        int at = find(doors, config, i);
        if (at >= 0)
            doors->rows[at].is_wanted = true;
    }
}

void doors_fds(const struct doors *doors, const struct config *config, unsigned worker, int *out)
{
    for (unsigned i = 0; i < config->listen_count; i++)
        out[i] = doors->rows[find(doors, config, i)].fds[worker];
}

const struct addr *doors_bound(const struct doors *doors, const struct config *config, unsigned index)
{
    return &doors->rows[find(doors, config, index)].bound;
}
