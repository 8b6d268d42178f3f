/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_SD_NOTIFY_H
#define IO_SD_NOTIFY_H
/*
 * Telling the service manager how the program is: the protocol of sd_notify(3), without its
 * library. A datagram of lines, such as "READY=1\nSTATUS=serving".
 */
#include "io/loop.h"

/* `socket` as NOTIFY_SOCKET says it: a path, or "@" and an abstract name; NULL: nobody listens, and
 * nothing is done. E_INVALID: it is neither. E_IO: not taken within a second. */
hardy_status sd_notify_send(const char *socket, const char *state, hardy_error *error);
/* "RELOADING=1" with the time that the manager orders it by. */
hardy_status sd_notify_reloading(const char *socket, hardy_error *error);

/* Sends WATCHDOG=1 from the loop, so that it says that the loop turns: whoever is stuck in it falls
 * silent, and the manager starts the program anew. */
struct sd_watchdog { /* caller-owned */
    struct loop *loop;
    const char *socket;
    int64_t every;
    struct loop_timer timer;
};
/* At half of `limit`, which is how long the manager waits; `socket` borrowed until stopped. */
void sd_watchdog_start(struct sd_watchdog *w, struct loop *loop, const char *socket, int64_t limit);
void sd_watchdog_stop(struct sd_watchdog *w);
#endif
