/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H
/*
 * Bytes kept until it is known what becomes of them: in memory at first, beyond 1 MiB in an
 * unlinked file of the temporary directory. Never more than the maximum.
 */
#include "base/buf.h"
#include <hardy/env.h>

struct hold {
    const char *what; /* for messages: "standard output"; borrowed */
    struct buf memory;
    int fd; /* -1: all is in memory */
    uint64_t len, max;
};
void hold_init(struct hold *h, const char *what, uint64_t max);
void hold_free(struct hold *h);
void hold_clear(struct hold *h); /* empty, ready for more */
/* E_TOO_LARGE beyond the maximum; E_NOSPACE, E_IO. What was kept before stays. */
hardy_status hold_append(struct hold *h, const void *data, size_t len, hardy_error *error);
/* Bytes from `offset` on; 0 at the end, -1 and errno on failure. */
ptrdiff_t hold_read(const struct hold *h, uint64_t offset, void *data, size_t size);
/* Writes all from `from` on to `fd`, waiting for who reads there. E_CLOSED: nobody does. */
hardy_status hold_send(const struct hold *h, uint64_t from, int fd, hardy_error *error);
#endif
