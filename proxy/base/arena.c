#include "base/arena.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef IS_ADDRESS_SANITIZED
#include <sanitizer/asan_interface.h>
/* gcc takes poisoning fresh memory for reading it: the parameter is a pointer to const. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define POISON(at, n)   __asan_poison_memory_region(at, n)
#define UNPOISON(at, n) __asan_unpoison_memory_region(at, n)
#else
#define POISON(at, n)   ((void)(at), (void)(n))
#define UNPOISON(at, n) ((void)(at), (void)(n))
#endif

#define ALIGNMENT      16
#define BLOCK_SIZE     4096
#define BLOCK_SIZE_MAX 65536

struct arena_block {
    struct arena_block *next;
    size_t size; /* of the bytes behind this head */
};

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void use_first(struct arena *arena)
{
    uintptr_t start = (uintptr_t)arena->first;
    size_t skip = arena->first ? (size_t)(-start & (ALIGNMENT - 1)) : 0;
    arena->at = arena->first_size > skip ? arena->first + skip : arena->first;
    arena->end = arena->first_size > skip ? arena->first + arena->first_size : arena->first;
    if (arena->first)
        POISON(arena->first, arena->first_size);
}

void arena_init(struct arena *arena, void *first, size_t first_size, size_t limit_bytes)
{
    *arena = (struct arena){ .first = first, .first_size = first_size, .limit_bytes = limit_bytes };
    use_first(arena);
}

void arena_reset(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        UNPOISON(block + 1, block->size);
        free(block);
    }
    arena->taken_bytes = 0;
    use_first(arena);
}

void arena_fini(struct arena *arena)
{
    if (!arena)
        return;
    arena_reset(arena);
    if (arena->first)
        UNPOISON(arena->first, arena->first_size);
}

static bool add_block(struct arena *arena, size_t need)
{
    size_t size = arena->blocks ? arena->blocks->size * 2 : BLOCK_SIZE;
    if (size > BLOCK_SIZE_MAX)
        size = BLOCK_SIZE_MAX;
    if (size < need)
        size = need;
    if (arena->taken_bytes + size > arena->limit_bytes)
        size = need; /* the last bit of the budget is still good for this one */
    if (arena->taken_bytes + size > arena->limit_bytes)
        return false;
    struct arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return false;
    block->next = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->taken_bytes += size;
    arena->at = (char *)(block + 1);
    arena->end = arena->at + size;
    POISON(arena->at, size);
    return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = aligned(size ? size : 1);
    if ((size_t)(arena->end - arena->at) < size && !add_block(arena, size))
        return NULL;
    void *out = arena->at;
    arena->at += size;
    UNPOISON(out, size);
    return out;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *out = arena_alloc(arena, size);
    return out ? memset(out, 0, size) : NULL;
}

struct str arena_str(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    if (!copy)
        return (struct str){ NULL, 0 };
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return str_n(copy, s.len);
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *out = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
    if (!out)
        return (struct str){ NULL, 0 };
    va_start(args, format);
    vsnprintf(out, (size_t)len + 1, format, args);
    va_end(args);
    return str_n(out, (size_t)len);
}
