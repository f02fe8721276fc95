/* Assertions for our own mistakes. Always on: a wrong proxy must stop, not guess.
 * Never for bytes from a socket, a full queue or a failed malloc: those are errors with a code. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stdint.h>

#define CHECK(cond)                                            \
    do {                                                       \
        if (__builtin_expect(!(cond), 0))                      \
            check_failed(#cond, __FILE__, __LINE__, __func__); \
    } while (0)

/* Locals that die with the function: AUTO(object_unrefp) struct object *obj = ...; */
#define AUTO(fn)    __attribute__((cleanup(fn)))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#if defined(__SANITIZE_ADDRESS__)
#define IS_ADDRESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_ADDRESS_SANITIZED 1
#endif
#endif
/* Free lists hide uses after free from AddressSanitizer: under it they keep nothing. */
#ifdef IS_ADDRESS_SANITIZED
#define FREE_LIST_MAX(n) 0
#else
#define FREE_LIST_MAX(n) (n)
#endif

#define COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Prints one line to stderr and aborts. */
_Noreturn void check_failed(const char *cond, const char *file, int line, const char *func);

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
