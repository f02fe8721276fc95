#include "succession.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct place {
    struct place *next;
    char *database;
};

struct succession {
    struct succession *next;
    unsigned users;
    uint32_t timeline;
    const struct place *leader; /* one of these */
    struct place *places;
};

static struct {
    pthread_mutex_t lock;
    struct succession *lines;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct place *find(const struct succession *line, const char *database)
{
    for (const struct place *place = line->places; place; place = place->next)
        if (strcmp(place->database, database) == 0)
            return place;
    return NULL;
}

/* The first one that has any of them. */
static struct succession *find_line(const char *const *databases, unsigned count)
{
    for (struct succession *line = table.lines; line; line = line->next)
        for (unsigned i = 0; i < count; i++)
            if (find(line, databases[i]))
                return line;
    return NULL;
}

static bool add(struct succession *line, const char *database)
{
    struct place *place;

    if (find(line, database))
        return true;
    place = calloc(1, sizeof *place);
    if (!place)
        return false;
    place->database = strdup(database);
    if (!place->database) {
        free(place);
        return false;
    }
    place->next = line->places;
    line->places = place;
    return true;
}

static struct succession *new_line(void)
{
    struct succession *line = calloc(1, sizeof *line);

    if (!line)
        return NULL;
    line->next = table.lines;
    table.lines = line;
    return line;
}

static void leave(struct succession *line)
{
    struct succession **link = &table.lines;

    if (--line->users > 0)
        return;
    while (*link != line)
        link = &(*link)->next;
    *link = line->next;
    while (line->places) {
        struct place *place = line->places;

        line->places = place->next;
        free(place->database);
        free(place);
    }
    free(line);
}

struct succession *succession_join(const char *const *databases, unsigned count)
{
    struct succession *line;
    bool is_fine = true;

    pthread_mutex_lock(&table.lock);
    line = find_line(databases, count);
    if (!line)
        line = new_line();
    if (line) {
        line->users++;
        for (unsigned i = 0; i < count && is_fine; i++)
            is_fine = add(line, databases[i]);
        if (!is_fine) {
            leave(line);
            line = NULL;
        }
    }
    pthread_mutex_unlock(&table.lock);
    return line;
}

void succession_leave(struct succession *line)
{
    if (!line)
        return;
    pthread_mutex_lock(&table.lock);
    leave(line);
    pthread_mutex_unlock(&table.lock);
}

uint32_t succession_raise(struct succession *line, uint32_t timeline)
{
    pthread_mutex_lock(&table.lock);
    if (timeline > line->timeline) {
        line->timeline = timeline;
        line->leader = NULL;
    }
    timeline = line->timeline;
    pthread_mutex_unlock(&table.lock);
    return timeline;
}

void succession_led(struct succession *line, uint32_t timeline, const char *database)
{
    pthread_mutex_lock(&table.lock);
    if (timeline >= line->timeline) {
        line->timeline = timeline;
        line->leader = database ? find(line, database) : NULL;
    }
    pthread_mutex_unlock(&table.lock);
}

bool succession_leads(struct succession *line, const char *database)
{
    bool leads;

    pthread_mutex_lock(&table.lock);
    leads = line->leader && strcmp(line->leader->database, database) == 0;
    pthread_mutex_unlock(&table.lock);
    return leads;
}
