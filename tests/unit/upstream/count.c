#include "count.h"

#include <stdlib.h>
#include <sys/syscall.h>

unsigned count_recv;
unsigned count_send;
unsigned count_alloc;
unsigned count_alloc_fails_at;

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void count_reset(void)
{
    count_recv = count_send = count_alloc = count_alloc_fails_at = 0;
}

/* Streams make their calls raw. Six arguments are always there to be passed on, whatever they hold. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    count_recv += number == SYS_recvfrom;
    count_send += number == SYS_sendto || number == SYS_sendmsg;
    return __real_syscall(number, a, b, c, d, e, f);
}

void *__wrap_malloc(size_t size)
{
    return ++count_alloc == count_alloc_fails_at ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return ++count_alloc == count_alloc_fails_at ? NULL : __real_calloc(count, size);
}
