/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/state.h"
#include "base/str.h"
#include "cli/top.h"
#include <stdlib.h>
#include <string.h>

hardy_status state_find(const struct options *o, struct state *out, hardy_error *error) {
    *out = (struct state){0};
    hardy_status status = config_load(o->globals.config, &out->config, error);
    if (status == HARDY_OK) {
        status = top_check(out->config, error);
    }
    if (status == HARDY_OK) {
        status = config_state_path(out->config, o->globals.state, &out->path, error);
    }
    return status;
}

void state_close(struct state *s) {
    config_free(s->config);
    free(s->path);
    *s = (struct state){0};
}

bool state_is_file(const struct state *s) {
    return !str_eq(s->path, "memory") && !strstr(s->path, "://");
}
