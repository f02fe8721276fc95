/* An intrusive doubly linked list. The links live in the members; the list owns nothing.
 * A link that is in no list points to itself, so list_remove() may be called twice. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_insert_after(struct list *at, struct list *link)
{
    link->prev = at;
    link->next = at->next;
    at->next->prev = link;
    at->next = link;
}

static inline void list_push_front(struct list *list, struct list *link)
{
    list_insert_after(list, link);
}

static inline void list_push_back(struct list *list, struct list *link)
{
    list_insert_after(list->prev, link);
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Moves all of from to the end of to. */
static inline void list_take_all(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(link, type, member) CONTAINER_OF(link, type, member)

/* clang-format would take these two for uses of themselves. */
/* clang-format off */
#define list_for_each(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)

/* The current member may be removed or freed in the body. */
#define list_for_each_safe(at, head)                                                                         \
    for (struct list *at = (head)->next, *at##_next = at->next; at != (head);                                \
         at = at##_next, at##_next = at->next)
/* clang-format on */

#endif
