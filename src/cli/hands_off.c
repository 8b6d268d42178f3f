/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hands_off.h"
#include "base/clock.h"
#include "base/str.h"
#include "cli/resolving.h"
#include "durable/pause.h"
#include "supervise/maintenance.h"
#include <stdio.h>
#include <string.h>

struct printing {
    const char *state;
    bool color;
    size_t count;
};

static bool print_entry(void *ctx, const struct hands_off_entry *e) {
    struct printing *p = ctx;
    bool all = str_eq(e->target, PAUSE_EVERYTHING);
    char line[700];
    if (all && e->who) {
        str_copy(line, sizeof line, e->why);
    } else {
        snprintf(line, sizeof line, "%s is %s%s", pause_target_text(e->target),
                 e->who ? "" : "in a ", e->why);
    }
    str_make_printable(line);
    printf("%shands off  %s%s\n", p->color ? "\033[1;33m" : "", line, p->color ? "\033[0m" : "");
    if (e->who) {
        const char *words[] = {"resume", all ? NULL : e->target, NULL};
        command_line(stdout, p->state, "  ", words, "ends it");
    }
    p->count++;
    return true;
}

static hardy_status each(const struct session *s,
                         bool (*fn)(void *ctx, const struct hands_off_entry *e), void *ctx,
                         hardy_error *error) {
    struct maintenance m;
    hardy_status status = maintenance_read(s->state.config, &m, error);
    if (status == HARDY_OK) {
        status = hands_off_each(&m, s->store, clock_wall(), fn, ctx, error);
    }
    maintenance_free(&m);
    return status;
}

hardy_status print_hands_off(const struct session *s, bool color, size_t *count,
                             hardy_error *error) {
    struct printing p = {.state = s->state.path, .color = color};
    hardy_status status = each(s, print_entry, &p, error);
    *count = p.count;
    return status;
}

static bool put_entry(void *ctx, const struct hands_off_entry *e) {
    hands_off_entry_to_json(e, ctx);
    return true;
}

hardy_status json_hands_off(const struct session *s, struct json_out *j, hardy_error *error) {
    json_out_array(j);
    hardy_status status = each(s, put_entry, j, error);
    json_out_array_end(j);
    return status;
}
