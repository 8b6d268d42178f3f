/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_RELAY_H
#define IO_RELAY_H
/*
 * Hands TCP connections on to one target that can be changed: bytes pass untouched in both
 * directions, and who reads slowly slows the other side down. Without a target connections wait for
 * one. What has not reached a target yet goes to the new one when the target changes, so that a
 * client that connects in the middle of a change notices nothing but time.
 *
 * A side that has finished ends the connection once everything it wrote has arrived: half-closed
 * connections are not kept (io/loop.h).
 */
#include "io/loop.h"

struct relay_options {
    uint32_t max_connections; /* at once; what comes beyond it is closed */
    int64_t connect_timeout;  /* to the target */
    int64_t wait_timeout;     /* for a target, while there is none */
};
struct relay_figures {
    uint32_t open;     /* connections now */
    uint64_t accepted; /* in all, with the following */
    uint64_t refused;  /* there were max_connections */
    uint64_t failed;   /* the target was not reached */
    uint64_t moved;    /* closed because the target had changed */
};
struct relay;
/* Listens; holds what comes until it has a target. `port` 0 picks a free one. NULL and `error` as
 * listener_open(). */
struct relay *relay_open(struct loop *loop, const char *host, uint16_t port,
                         const struct relay_options *options, hardy_error *error);
uint16_t relay_port(const struct relay *r);
/* What is new goes there; `host` copied, NULL = it waits. Connections to another target go on for
 * `drain` and are then reset; 0 = at once. The same target again changes nothing. False = no
 * memory: nothing has changed. */
bool relay_target(struct relay *r, const char *host, uint16_t port, int64_t drain);
struct relay_figures relay_figures(const struct relay *r);
/* Resets what is open. `gone` (may be NULL) is called, from the loop, when it is freed. */
void relay_close(struct relay *r, void (*gone)(void *ctx), void *ctx);
#endif
