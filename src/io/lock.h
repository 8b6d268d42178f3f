/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOCK_H
#define IO_LOCK_H
/*
 * Advisory byte locks that belong to an open file description (F_OFD_SETLK): two opens exclude one
 * another, also in one process; a descriptor handed to a child carries its locks; the kernel frees
 * them on kill -9.
 */
#include <hardy/env.h>
#include <stdbool.h>

/* Opens (creating, 0600) a lock file. -1 and `error` on failure. Refuses network file systems,
 * where locks cannot be trusted (E_UNSUPPORTED). */
int lock_open(const char *path, hardy_error *error);
/* Write lock on one byte. E_RUNNING: somebody else holds it. */
hardy_status lock_try(int fd, int64_t byte, hardy_error *error);
/* Tries again until it is taken or `span` nanoseconds have passed (E_RUNNING): for locks that are
 * held for microseconds, by callers that must not hang on a stopped process. */
hardy_status lock_wait_for(int fd, int64_t byte, int64_t span, hardy_error *error);
/* Read lock on one byte: any number hold it at once, nobody can write-lock it meanwhile. E_RUNNING:
 * somebody holds the write lock. */
hardy_status lock_share(int fd, int64_t byte, hardy_error *error);
/* Waits in the kernel, without a limit: only for threads whose callers have their own deadline. */
hardy_status lock_wait(int fd, int64_t byte, hardy_error *error);
void lock_release(int fd, int64_t byte);
/* Whether another open file description holds it now, either way. */
bool lock_held(int fd, int64_t byte);
/* The first byte from `from` to before `end` that another open file description holds, either way;
 * -1 = none. */
int64_t lock_first_held(int fd, int64_t from, int64_t end);
#endif
