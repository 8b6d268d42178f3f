/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_MOMENT_H
#define DURABLE_MOMENT_H
/*
 * A point in time that is written down and outlives the process: the end of a sleep, the expiry of
 * an approval, the end of a lease. Within one boot of the host it is judged by the clock that
 * nobody can set (CLOCK_BOOTTIME), so that a wall clock that jumps by an hour changes nothing;
 * after another boot only the wall clock is left.
 */
#include "base/json.h"
#include <jansson.h>

struct moment {
    char boot[37]; /* of the host whose clock `monotonic` is; "" = there is no moment */
    int64_t monotonic;
    int64_t wall;
};
/* `span` from now; HARDY_NEVER never comes. */
struct moment moment_after(const char *boot, int64_t now, int64_t wall, int64_t span);
/* Nanoseconds until it comes, 0 or less when it has come; HARDY_NEVER. */
int64_t moment_left(const struct moment *m, const char *boot, int64_t now, int64_t wall);
static inline bool moment_is_set(const struct moment *m) {
    return m->boot[0] != '\0';
}
/* As a member of a row's value; nothing when it is not set. */
void moment_put(struct json_out *j, const char *key, const struct moment *m);
void moment_get(const json_t *o, const char *key, struct moment *out);
#endif
