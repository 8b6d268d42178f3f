/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H
/*
 * The writer lease: one writer at a time among all processes that share a database file, in the
 * order they came. Two bytes of `PATH-lock` are a baton: a writer takes byte 1 (the queue's head),
 * then byte 0 (the lease), then lets byte 1 go, works, and lets byte 0 go. The kernel frees both on
 * kill -9. Why not SQLite's own busy handler: it starves (1 commit against 4,699), and SQLite 3.40
 * can damage the log when two connections write and checkpoint at once.
 *
 * The file also says who holds the lease, and whether a holder could not sync
 * (lease_mark_unsynced()). And it shows who has the database open for writing: each process holds a
 * byte of its own, numbered by its pid, as long as it has; byte 2 is the door that they pass on
 * their way in, and that lease_shut() closes.
 */
#include <hardy/env.h>
#include <stdbool.h>
#include <sys/types.h>

struct lease {
    int fd; /* -1 = closed */
    char path[4096];
    char holder[96]; /* this process, as written into the file */
    bool unsynced;   /* as found by lease_take() */
};
/* `purpose`: one or two words, "exec". E_RUNNING: the state is shut, for longer than a moment. */
hardy_status lease_open(struct lease *l, const char *database, const char *purpose,
                        hardy_error *error);
void lease_close(struct lease *l); /* also of one that was never opened but has fd -1 */
/* Blocks in the kernel: the store thread only. Writes pid and purpose into the file. */
hardy_status lease_take(struct lease *l, hardy_error *error);
/* The same for others, waiting `span` at most: E_DEADLINE, the holder named. Not in turn. */
hardy_status lease_take_within(struct lease *l, int64_t span, hardy_error *error);
void lease_give(struct lease *l);
/* Other processes that have the database open for writing: how many, the first `max` in `pids`. */
size_t lease_users(const struct lease *l, pid_t *pids, size_t max);
/* Keeps others out until lease_close(), if nobody is in: E_RUNNING, the processes named. */
hardy_status lease_shut(struct lease *l, hardy_error *error);
/* Who holds it, for an error text: "pid 4711 (run)"; "nobody" when it is free, or this very `l` has
 * it. Any thread. */
void lease_holder(const struct lease *l, char *out, size_t size);
/*
 * A sync that failed leaves pages that can be read but may never reach the disk, and which a later
 * sync passes over. The mark tells the next holder to write them again before it builds on them. It
 * lives as long as they do: in the page cache. Only inside the lease.
 */
hardy_status lease_mark_unsynced(struct lease *l, bool unsynced, hardy_error *error);
#endif
