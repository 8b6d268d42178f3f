/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_DELIVER_H
#define NOTIFY_DELIVER_H
/* One attempt to put a notice to its target: a line on standard error, an HTTP call, a command. */
#include "notify/message.h"

enum { DELIVER_SAID = 400 };
struct delivery;
struct deliver_world { /* borrowed */
    struct loop *loop;
    struct http_client *client;
    const char *const *env; /* of commands */
};
/* `said` is for a person, printable and without secrets. */
typedef void (*deliver_done)(void *ctx, const hardy_outcome *outcome, const char *said);
/* `target` and `message` are borrowed until `done`, which is called once: from inside, where the
 * end is known at once, then *out is NULL; else later. */
void deliver(const struct deliver_world *world, const struct notify_target *target,
             const struct message *message, int64_t deadline, deliver_done done, void *ctx,
             struct delivery **out);
/* Ends it: `done` follows, perhaps from inside. A command's group is ended, TERM before KILL. */
void deliver_stop(struct delivery *d);
#endif
