/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SERVING_H
#define CLI_SERVING_H
/* The daemon in this process, for `hardy serve` and `hardy wrap`: found configuration and state,
 * its loop, its end. */
#include "cli/options.h"
#include "daemon/daemon.h"
#include "io/loop.h"

struct serving {
    const struct options *o;
    struct loop *loop; /* borrowed */
    struct daemon *daemon;
    char *config_path; /* of what is loaded again; NULL = searched for once more */
    char *state, *token;
    char state_problem[600];
};
struct serving_options {
    const char *listen, *admin; /* flags; NULL */
    bool watch, companion;
};
/* `config` is taken; `loop` borrowed. Tells what is wrong and returns the exit code, 0 = it
 * serves. serving_close() also after a failure. */
int serving_open(struct serving *s, const struct options *o, struct loop *loop,
                 struct config *config, const struct serving_options *how);
/* Ends it at once, if it still runs: from outside the loop. */
void serving_close(struct serving *s);
/* The configuration, with every section's shape looked at; tells what is wrong. NULL: *code. */
struct config *serving_config(const struct options *o, int *code);
/* Where the token of the admin API is; NULL = nowhere. `state` NULL = not known. */
char *token_path(const char *state);
#endif
