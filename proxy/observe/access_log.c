#include "observe/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/access_ring.h"

#define LOOK_MS       50  /* a line is out after this at the latest */
#define CLOSE_TRIES   100 /* at the end, for a reader that does not read */
#define CLOSE_WAIT_MS 10

enum target {
    TARGET_FILE,
    TARGET_SOCKET,
    TARGET_PIPE
};

struct access_log {
    char *path;
    struct access_ring **rings;
    unsigned count;
    int wake_fd;
    pthread_t thread;
    bool has_thread;
    bool is_reopen_asked;
    bool is_closing;
    uint64_t dropped; /* lines the writer could not get rid of; full rings count their own */
    /* the writer's */
    int fd;
    enum target target;
    unsigned turn; /* the ring to go on with: the one whose line is half out, if there is one */
};

/* The descriptor, or -1 with errno. Not blocking where the descriptor is ours alone: a pipe without a reader
 * is an error at once. */
static int open_path(const char *path)
{
    if (strcmp(path, "stderr") == 0)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (strcmp(path, "stdout") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
}

static void use_fd(struct access_log *log, int fd)
{
    struct stat st;
    log->fd = fd;
    log->target = TARGET_PIPE;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        log->target = TARGET_FILE;
    else if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
        log->target = TARGET_SOCKET;
}

/* What one write should take: lines that are whole where a pipe lets them through in one piece. */
static struct str next_piece(const struct access_log *log, struct str run)
{
    if (log->target == TARGET_FILE || run.len <= PIPE_BUF)
        return run;
    const char *last = memrchr(run.data, '\n', PIPE_BUF);
    return str_n(run.data, last ? (size_t)(last + 1 - run.data) : PIPE_BUF);
}

/* Never blocks, though stderr's descriptor is shared with others and may not be changed: a pipe that polls
 * writable takes PIPE_BUF bytes. */
static ssize_t write_piece(const struct access_log *log, struct str piece)
{
    if (log->target == TARGET_SOCKET)
        return send(log->fd, piece.data, piece.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (log->target == TARGET_PIPE) {
        struct pollfd fd = { .fd = log->fd, .events = POLLOUT };
        if (poll(&fd, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    return write(log->fd, piece.data, piece.len);
}

static void drop_lines(struct access_log *log, struct access_ring *ring, struct str run)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < run.len; i++)
        lines += run.data[i] == '\n';
    __atomic_store_n(&log->dropped, log->dropped + lines, __ATOMIC_RELAXED);
    ring->partial = 0;
    access_ring_take(ring, (uint32_t)run.len);
}

/* Writes until the ring is empty. False when the other side takes no more: then a line may be half out, and
 * nothing else may be written before its other half. */
static bool drain(struct access_log *log, struct access_ring *ring)
{
    __atomic_store_n(&ring->is_woken, false, __ATOMIC_RELAXED);
    for (;;) {
        struct str run = access_ring_peek(ring);
        if (run.len == 0)
            return true;
        ssize_t n = write_piece(log, next_piece(log, str_from(run, ring->partial)));
        if (n > 0) {
            size_t done = ring->partial + (size_t)n;
            const char *last = memrchr(run.data, '\n', done);
            size_t whole = last ? (size_t)(last + 1 - run.data) : 0;
            ring->partial = (uint32_t)(done - whole);
            access_ring_take(ring, (uint32_t)whole);
        } else if (n < 0 && errno == EPIPE) {
            drop_lines(log, ring, run); /* nobody will read the other half */
        } else if (n == 0 || errno != EINTR) {
            return false; /* the disk is full, the pipe is full: the lines wait, the ring fills, new ones are
                             dropped */
        }
    }
}

static bool drain_all(struct access_log *log)
{
    for (unsigned i = 0; i < log->count; i++) {
        unsigned at = (log->turn + i) % log->count;
        if (!drain(log, log->rings[at])) {
            log->turn = at;
            return false;
        }
    }
    return true;
}

/* Lines from before go to the old file as far as it takes them; one that is half out is written again. */
static void reopen(struct access_log *log)
{
    drain_all(log);
    int fd = open_path(log->path);
    if (fd < 0)
        return; /* better the old file than none */
    close(log->fd);
    use_fd(log, fd);
    for (unsigned i = 0; i < log->count; i++)
        log->rings[i]->partial = 0;
}

static void finish(struct access_log *log)
{
    for (int i = 0; i < CLOSE_TRIES && !drain_all(log); i++)
        poll(NULL, 0, CLOSE_WAIT_MS);
    for (unsigned i = 0; i < log->count; i++) {
        struct str run;
        while ((run = access_ring_peek(log->rings[i])).len > 0)
            drop_lines(log, log->rings[i], run);
    }
}

static void *write_lines(void *arg)
{
    struct access_log *log = arg;
    while (!__atomic_load_n(&log->is_closing, __ATOMIC_ACQUIRE)) {
        struct pollfd wake = { .fd = log->wake_fd, .events = POLLIN };
        uint64_t count;
        if (poll(&wake, 1, LOOK_MS) > 0 && read(log->wake_fd, &count, sizeof count) < 0)
            poll(NULL, 0, LOOK_MS); /* cannot happen; must not spin */
        if (__atomic_exchange_n(&log->is_reopen_asked, false, __ATOMIC_ACQUIRE))
            reopen(log);
        drain_all(log);
    }
    finish(log);
    return NULL;
}

static void wake(const struct access_log *log)
{
    uint64_t one = 1;
    ssize_t n = write(log->wake_fd, &one, sizeof one);
    (void)n;
}

/* Signals are for main; a dead pipe is an errno here. */
static bool start_thread(struct access_log *log)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&log->thread, NULL, write_lines, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    log->has_thread = err == 0;
    errno = err;
    return log->has_thread;
}

static bool make_rings(struct access_log *log, unsigned count)
{
    log->rings = calloc(count, sizeof *log->rings);
    for (log->count = 0; log->rings && log->count < count; log->count++) {
        struct access_ring *ring = aligned_alloc(64, sizeof *ring);
        if (!ring)
            return false;
        access_ring_init(ring, log->wake_fd);
        log->rings[log->count] = ring;
    }
    return log->rings != NULL;
}

struct access_log *access_log_open(const char *path, unsigned rings)
{
    struct access_log *log = calloc(1, sizeof *log);
    if (!log)
        return NULL;
    log->fd = -1;
    log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    log->path = strdup(path);
    if (log->wake_fd < 0 || !log->path || !make_rings(log, rings))
        goto fail;
    int fd = open_path(path);
    if (fd < 0)
        goto fail;
    use_fd(log, fd);
    if (start_thread(log))
        return log;

fail:;
    int err = errno;
    access_log_close(log);
    errno = err;
    return NULL;
}

void access_log_close(struct access_log *log)
{
    if (!log)
        return;
    if (log->has_thread) {
        __atomic_store_n(&log->is_closing, true, __ATOMIC_RELEASE);
        wake(log);
        pthread_join(log->thread, NULL);
    }
    for (unsigned i = 0; i < log->count; i++)
        free(log->rings[i]);
    free(log->rings);
    free(log->path);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    if (log->fd >= 0)
        close(log->fd);
    free(log);
}

void access_log_reopen(struct access_log *log)
{
    __atomic_store_n(&log->is_reopen_asked, true, __ATOMIC_RELEASE);
    wake(log);
}

uint64_t access_log_dropped(const struct access_log *log)
{
    uint64_t dropped = __atomic_load_n(&log->dropped, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < log->count; i++)
        dropped += __atomic_load_n(&log->rings[i]->dropped, __ATOMIC_RELAXED);
    return dropped;
}

struct access_ring *access_log_ring(struct access_log *log, unsigned index)
{
    return log->rings[index];
}
