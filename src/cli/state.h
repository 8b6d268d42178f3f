/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_STATE_H
#define CLI_STATE_H
/* Where a command finds configuration and state, the same for all of them. */
#include "cli/options.h"
#include "config/config.h"

struct state {
    struct config *config;
    char *path; /* of the database, "memory", or a URL */
};
/* By -c and --state, the environment and the usual places. state_close() also after a failure. */
hardy_status state_find(const struct options *o, struct state *out, hardy_error *error);
void state_close(struct state *s);
/* Whether processes of this host can share guards under it: a file, not memory or a server. */
bool state_is_file(const struct state *s);
#endif
