#include "observe/labels.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"

#define OTHER        "_other"
#define WORDS_MAX    4096
/* The second half of the room is for tenants that have shown some traffic: whoever may invent names cannot
 * take all of it with one request each. */
#define REQUESTS_MIN 64
/* Who loses its label to a busier tenant leaves its index behind, since workers still count under it. So many
 * times the room; then the labels stay as they are. */
#define TAKEOVERS    3

struct label {
    struct str name;
    unsigned index;
    uint64_t requests;
    bool is_listed;
    bool is_retired;
};

/* Names of one kind, by index. Row 0 is _other. */
struct words {
    struct label **rows;
    unsigned count;
    unsigned size;
    struct map *by_name; /* to struct label; the retired are not in it */
};

struct labels {
    pthread_mutex_t mutex;
    struct words tenants;
    struct words versions;
    struct words routes;
    unsigned unlisted_max;
    unsigned unlisted; /* unlisted tenants with a label now */
    unsigned takeovers_left;
    uint64_t least_requests; /* no unlisted one had fewer when it was last looked for */
};

/* NULL when out of memory. The label and its name are one allocation. */
static struct label *words_add(struct words *words, struct str name)
{
    if (words->count == words->size) {
        unsigned size = words->size ? words->size * 2 : 16;
        struct label **rows = realloc(words->rows, size * sizeof(struct label *));
        if (!rows)
            return NULL;
        words->rows = rows;
        words->size = size;
    }
    struct label *label = malloc(sizeof *label + name.len);
    if (!label)
        return NULL;
    char *copy = (char *)(label + 1);
    memcpy(copy, name.data, name.len);
    *label = (struct label){ .name = str_n(copy, name.len), .index = words->count };
    if (!map_put(words->by_name, label->name, label)) {
        free(label);
        return NULL;
    }
    words->rows[words->count++] = label;
    return label;
}

static bool words_init(struct words *words)
{
    words->by_name = map_new();
    return words->by_name && words_add(words, STR(OTHER));
}

static void words_fini(struct words *words)
{
    for (unsigned i = 0; i < words->count; i++)
        free(words->rows[i]);
    free(words->rows);
    map_free(words->by_name);
}

struct labels *labels_new(unsigned tenants_max)
{
    struct labels *labels = calloc(1, sizeof *labels);
    if (!labels)
        return NULL;
    pthread_mutex_init(&labels->mutex, NULL);
    labels->unlisted_max = tenants_max;
    labels->takeovers_left = tenants_max * TAKEOVERS;
    if (!words_init(&labels->tenants) || !words_init(&labels->versions) || !words_init(&labels->routes)) {
        labels_free(labels);
        return NULL;
    }
    return labels;
}

void labels_free(struct labels *labels)
{
    if (!labels)
        return;
    words_fini(&labels->tenants);
    words_fini(&labels->versions);
    words_fini(&labels->routes);
    pthread_mutex_destroy(&labels->mutex);
    free(labels);
}

/* The unlisted tenant with the fewest requests. Counts only grow, so who does not even beat the fewest of the
 * last search need not search again. */
static struct label *least_busy(struct labels *labels)
{
    struct label *least = NULL;
    for (unsigned i = 1; i < labels->tenants.count; i++) {
        struct label *label = labels->tenants.rows[i];
        if (!label->is_listed && !label->is_retired && (!least || label->requests < least->requests))
            least = label;
    }
    labels->least_requests = least ? least->requests : UINT64_MAX;
    return least;
}

/* Whether an unlisted tenant gets a label; takes one from another if it must. */
static bool has_room(struct labels *labels, uint64_t requests)
{
    if (labels->unlisted < (labels->unlisted_max + 1) / 2)
        return true;
    if (requests < REQUESTS_MIN)
        return false;
    if (labels->unlisted < labels->unlisted_max)
        return true;
    /* Twice as busy, so that two of a kind do not take it from each other in turns. */
    if (labels->takeovers_left == 0 || requests / 2 <= labels->least_requests)
        return false;
    struct label *least = least_busy(labels);
    if (!least || requests / 2 <= least->requests)
        return false;
    map_remove(labels->tenants.by_name, least->name);
    least->is_retired = true;
    labels->unlisted--;
    labels->takeovers_left--;
    return true;
}

static unsigned tenant_label(struct labels *labels, struct str name, bool is_listed, uint64_t requests)
{
    struct label *label = map_get(labels->tenants.by_name, name);
    if (!label) {
        if (!is_listed && !has_room(labels, requests))
            return 0;
        label = words_add(&labels->tenants, name);
        if (!label)
            return 0;
        label->is_listed = is_listed;
        labels->unlisted += !is_listed;
    } else if (is_listed && !label->is_listed && label->index != 0) {
        label->is_listed = true; /* a reload named it */
        labels->unlisted--;
    }
    if (requests > label->requests)
        label->requests = requests;
    return label->index;
}

unsigned labels_tenant(struct labels *labels, struct str name, bool is_listed, uint64_t requests)
{
    pthread_mutex_lock(&labels->mutex);
    unsigned index = tenant_label(labels, name, is_listed, requests);
    pthread_mutex_unlock(&labels->mutex);
    return index;
}

static unsigned word_label(struct labels *labels, struct words *words, struct str name)
{
    if (name.len == 0)
        name = STR("none");
    pthread_mutex_lock(&labels->mutex);
    struct label *label = map_get(words->by_name, name);
    if (!label && words->count <= WORDS_MAX)
        label = words_add(words, name);
    pthread_mutex_unlock(&labels->mutex);
    return label ? label->index : 0;
}

unsigned labels_version(struct labels *labels, struct str name)
{
    return word_label(labels, &labels->versions, name);
}

unsigned labels_route(struct labels *labels, struct str name)
{
    return word_label(labels, &labels->routes, name);
}

static struct str *copy_names(const struct words *words, unsigned *count)
{
    struct str *names = calloc(words->count, sizeof *names);
    *count = words->count;
    for (unsigned i = 0; names && i < words->count; i++)
        names[i] = words->rows[i]->is_retired ? str_n(NULL, 0) : words->rows[i]->name;
    return names;
}

bool label_names_read(struct label_names *names, struct labels *labels)
{
    pthread_mutex_lock(&labels->mutex);
    names->tenants = copy_names(&labels->tenants, &names->tenant_count);
    names->versions = copy_names(&labels->versions, &names->version_count);
    names->routes = copy_names(&labels->routes, &names->route_count);
    pthread_mutex_unlock(&labels->mutex);
    if (names->tenants && names->versions && names->routes)
        return true;
    label_names_fini(names);
    return false;
}

void label_names_fini(struct label_names *names)
{
    free(names->tenants);
    free(names->versions);
    free(names->routes);
}
