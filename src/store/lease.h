/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H
/*
 * The writer lease: one writer at a time among all processes that share a database file, in the
 * order they came. Two bytes of `PATH-lock` are a baton: a writer takes byte 1 (the queue's head),
 * then byte 0 (the lease), then lets byte 1 go, works, and lets byte 0 go. The kernel frees both on
 * kill -9. Why not SQLite's own busy handler: it starves (1 commit against 4,699), and SQLite 3.40
 * can damage the log when two connections write and checkpoint at once.
 */
#include <hardy/env.h>

struct lease {
    int fd;
    char path[4096];
};
hardy_status lease_open(struct lease *l, const char *database, hardy_error *error);
void lease_close(struct lease *l);
/* Blocks in the kernel: the store thread only. Writes pid and purpose into the file. */
hardy_status lease_take(struct lease *l, const char *purpose, hardy_error *error);
void lease_give(struct lease *l);
/* Who holds it, for an error text: "pid 4711 (run)"; "nobody" when it is free. */
void lease_holder(const struct lease *l, char *out, size_t size);
#endif
