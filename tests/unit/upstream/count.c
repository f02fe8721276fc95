#include "count.h"

#include <stdlib.h>
#include <sys/socket.h>

unsigned count_recv;
unsigned count_send;
unsigned count_alloc;
unsigned count_alloc_fails_at;

ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void count_reset(void)
{
    count_recv = count_send = count_alloc = count_alloc_fails_at = 0;
}

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
    count_recv++;
    return __real_recv(fd, data, size, flags);
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    count_send++;
    return __real_send(fd, data, size, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    count_send++;
    return __real_sendmsg(fd, message, flags);
}

void *__wrap_malloc(size_t size)
{
    return ++count_alloc == count_alloc_fails_at ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return ++count_alloc == count_alloc_fails_at ? NULL : __real_calloc(count, size);
}
