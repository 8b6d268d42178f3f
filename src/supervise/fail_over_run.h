/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_RUN_H
#define SUPERVISE_FAIL_OVER_RUN_H
/* The command of a switch as a durable one: its key, environment and parameters. */
#include "supervise/fail_over.h"
#include "supervise/fail_over_record.h"
#include "work/command.h"

struct fail_over_run {
    struct command_spec spec; /* borrows from the following */
    char *key, *params;
    char **env;
    const char **argv;
    struct store_op require;
};
/* The key of the record of the command of the switch that `r` tells of: malloc'd. */
char *fail_over_run_key(const char *name, const struct fail_over_record *r);
/* Its start is refused by the store once somebody else has written the row. */
hardy_status fail_over_run_prepare(struct fail_over_run *run, const struct fail_over_settings *s,
                                   const struct fail_over_record *r,
                                   const struct fail_over_candidate *to, const char *const *env,
                                   const char *cwd, hardy_error *error);
void fail_over_run_free(struct fail_over_run *run);
#endif
