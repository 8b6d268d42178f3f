/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch N COMMAND...: runs a command N times, one after another, and prints the median time of one
 * run in microseconds. Nothing is cheaper than vfork and execve, so with /bin/true this is the
 * floor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    double *times = count > 0 && count <= 1000000 ? calloc((size_t)count, sizeof *times) : NULL;
    if (!times) {
        fprintf(stderr, "usage: launch N COMMAND [ARGUMENTS]\n");
        return 2;
    }
    for (long i = 0; i < count; i++) {
        double start = now();
        pid_t child = vfork();
        if (child == 0) {
            execvp(argv[2], argv + 2);
            _exit(127);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "launch: %s did not succeed\n", argv[2]);
            free(times);
            return 1;
        }
        times[i] = now() - start;
    }
    qsort(times, (size_t)count, sizeof *times, ascending);
    printf("%.0f\n", times[count / 2]);
    free(times);
    return 0;
}
