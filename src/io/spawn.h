/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_SPAWN_H
#define IO_SPAWN_H
/* Fork and exec in one step: for the loop's processes and for the step shim. */
#include "io/loop.h"
#include <sys/types.h>

#define SPAWN_OURS (-1) /* the child has the descriptor that we have there */
#define SPAWN_NULL (-2) /* /dev/null */
#define SPAWN_KEEP_MAX 8

struct spawn {
    const char *const *argv;
    const char *path;       /* the file; NULL = argv[0], looked up in the child's PATH */
    const char *const *env; /* NULL = ours */
    const char *cwd;        /* NULL = ours */
    enum process_group group;
    int stdio[3];         /* a descriptor of ours, or one of the words above */
    const int *keep_fds;  /* become 3, 4, ... */
    size_t keep_count;    /* at most SPAWN_KEEP_MAX */
    bool die_with_parent; /* KILL when the thread that calls this ends (Linux) */
};

/* 0 and the pid once the command runs; else an errno, and no child is left. */
int spawn_run(const struct spawn *s, pid_t *pid);
/* The status and words for what spawn_run() said. */
hardy_status spawn_fail(const struct spawn *s, int errnum, hardy_error *error);
#endif
