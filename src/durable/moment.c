/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/moment.h"
#include "base/clock.h"
#include "base/str.h"
#include "durable/field.h"

struct moment moment_after(const char *boot, int64_t now, int64_t wall, int64_t span) {
    struct moment m = {.monotonic = time_add(now, span), .wall = time_add(wall, span)};
    /* A host without a boot id is judged by its wall clock. */
    str_copy(m.boot, sizeof m.boot, boot[0] ? boot : "-");
    return m;
}

int64_t moment_left(const struct moment *m, const char *boot, int64_t now, int64_t wall) {
    if (m->monotonic == HARDY_NEVER || m->wall == HARDY_NEVER) {
        return HARDY_NEVER;
    }
    return str_eq(m->boot, boot) ? m->monotonic - now : m->wall - wall;
}

void moment_put(struct json_out *j, const char *key, const struct moment *m) {
    if (!moment_is_set(m)) {
        return;
    }
    json_out_key(j, key);
    json_out_object(j);
    json_out_member_string(j, "boot", m->boot);
    field_put_time(j, "monotonic", m->monotonic);
    field_put_time(j, "wall", m->wall);
    json_out_object_end(j);
}

void moment_get(const json_t *o, const char *key, struct moment *out) {
    const json_t *m = json_object_get(o, key);
    *out = (struct moment){0};
    if (json_is_object(m)) {
        field_copy(out->boot, sizeof out->boot, m, "boot");
        out->monotonic = field_time(m, "monotonic");
        out->wall = field_time(m, "wall");
    }
}
