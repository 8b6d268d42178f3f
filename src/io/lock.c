/* SPDX-License-Identifier: Apache-2.0 */
#include "io/lock.h"
#include "base/clock.h"
#include "base/error.h"
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int lock_open(const char *path, hardy_error *error) {
    if (file_on_network(path)) {
        (void)fail(error, HARDY_E_UNSUPPORTED, path,
                   "on a network file system, where locks cannot be trusted; it must be on a "
                   "local disk");
        return -1;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            (void)!fchmod(fd, 0600); /* whatever the umask took away */
        } else if (errno == EEXIST) {
            fd = open(path, O_RDWR | O_CLOEXEC);
        }
    }
    if (fd < 0) {
        (void)fail_errno(error, errno, path, "cannot open the lock file");
    }
    return fd;
}

static int control_range(int fd, int command, int64_t from, int64_t count, short type,
                         struct flock *lock) {
    *lock = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = count};
    int result;
    do {
        result = fcntl(fd, command, lock);
    } while (result != 0 && errno == EINTR);
    return result;
}

static int control(int fd, int command, int64_t byte, short type, struct flock *lock) {
    return control_range(fd, command, byte, 1, type, lock);
}

static hardy_status refused(int fd, int64_t byte, int errnum, hardy_error *error) {
    char link[32], path[160];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    if (errnum == EAGAIN || errnum == EACCES) {
        return fail(error, HARDY_E_RUNNING, path, "byte %lld is locked by another process",
                    (long long)byte);
    }
    return fail_errno(error, errnum, path, "cannot lock byte %lld", (long long)byte);
}

hardy_status lock_try(int fd, int64_t byte, hardy_error *error) {
    struct flock lock;
    return control(fd, F_OFD_SETLK, byte, F_WRLCK, &lock) == 0 ? HARDY_OK
                                                               : refused(fd, byte, errno, error);
}

hardy_status lock_share(int fd, int64_t byte, hardy_error *error) {
    struct flock lock;
    return control(fd, F_OFD_SETLK, byte, F_RDLCK, &lock) == 0 ? HARDY_OK
                                                               : refused(fd, byte, errno, error);
}

hardy_status lock_wait_for(int fd, int64_t byte, int64_t span, hardy_error *error) {
    int64_t end = time_add(clock_now(), span);
    int64_t pause = 20 * HARDY_MICROSECOND;
    struct flock lock;
    while (control(fd, F_OFD_SETLK, byte, F_WRLCK, &lock) != 0) {
        int why = errno;
        int64_t left = end - clock_now();
        if ((why != EAGAIN && why != EACCES) || left <= 0) {
            return refused(fd, byte, why, error);
        }
        int64_t now = pause < left ? pause : left;
        struct timespec t = {.tv_sec = now / HARDY_SECOND, .tv_nsec = now % HARDY_SECOND};
        nanosleep(&t, NULL);
        pause = pause < 5 * HARDY_MILLISECOND ? 2 * pause : pause;
    }
    return HARDY_OK;
}

hardy_status lock_wait(int fd, int64_t byte, hardy_error *error) {
    struct flock lock;
    return control(fd, F_OFD_SETLKW, byte, F_WRLCK, &lock) == 0 ? HARDY_OK
                                                                : refused(fd, byte, errno, error);
}

void lock_release(int fd, int64_t byte) {
    struct flock lock;
    (void)control(fd, F_OFD_SETLK, byte, F_UNLCK, &lock);
}

bool lock_held(int fd, int64_t byte) {
    struct flock lock;
    return control(fd, F_OFD_GETLK, byte, F_WRLCK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The kernel tells any lock in the range, not the first one: what lies before it is asked about
 * until nothing does. */
int64_t lock_first_held(int fd, int64_t from, int64_t end) {
    int64_t first = -1;
    struct flock lock;
    while (from < end && control_range(fd, F_OFD_GETLK, from, end - from, F_WRLCK, &lock) == 0 &&
           lock.l_type != F_UNLCK) {
        first = lock.l_start > from ? lock.l_start : from;
        end = first;
    }
    return first;
}
