/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise live FILE: a child for bench/supervise.sh: writes when it began, and its number, to
 * FILE, and lives. supervise kill FILE ROUNDS LIFE_MS: kills the one that has written last, when it
 * has lived for so long, and prints the median of the times from the kill to the next one's begin,
 * in microseconds.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct begun { /* one write, whole or not at all */
    long long at;
    long long pid;
};

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int live(const char *path) {
    struct begun b = {now(), getpid()};
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || write(fd, &b, sizeof b) != sizeof b)
        return 1;
    for (;;)
        pause();
}

/* The last one, when it began after `since`; false: none within twenty seconds. */
static int last(const char *path, long long since, struct begun *out) {
    const struct timespec pause = {0, 200000};
    for (long long end = now() + 20000000000LL; now() < end; nanosleep(&pause, NULL)) {
        int fd = open(path, O_RDONLY);
        off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
        ssize_t n =
            size >= (off_t)sizeof *out ? pread(fd, out, sizeof *out, size - (off_t)sizeof *out) : 0;
        if (fd >= 0)
            close(fd);
        if (n == (ssize_t)sizeof *out && out->at > since)
            return 1;
    }
    return 0;
}

static int compare(const void *a, const void *b) {
    const long long *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int kill_it(const char *path, int rounds, long long life) {
    long long times[1000];
    struct begun b;
    if (rounds < 1 || rounds > 1000 || !last(path, 0, &b))
        return 1;
    for (int n = 0; n < rounds; n++) {
        long long rest = b.at + life - now();
        struct timespec t = {rest / 1000000000LL, rest % 1000000000LL};
        if (rest > 0)
            nanosleep(&t, NULL);
        long long at = now();
        kill((pid_t)b.pid, SIGKILL);
        if (!last(path, at, &b))
            return 1;
        times[n] = b.at - at;
    }
    qsort(times, (size_t)rounds, sizeof *times, compare);
    printf("%lld %lld\n", times[rounds / 2] / 1000, times[rounds - 1] / 1000);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "live") == 0)
        return live(argv[2]);
    if (argc == 5 && strcmp(argv[1], "kill") == 0)
        return kill_it(argv[2], (int)strtol(argv[3], NULL, 10),
                       strtol(argv[4], NULL, 10) * 1000000LL);
    return 2;
}
