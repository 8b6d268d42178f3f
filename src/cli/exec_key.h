/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_EXEC_KEY_H
#define CLI_EXEC_KEY_H
/* `hardy exec --key`: run to success once under a key, however often it is typed. */
#include "cli/exec.h"
#include "durable/record.h"

struct exec_key {
    const char *key;   /* NULL: not asked for */
    int64_t ttl;       /* how long the finished record is kept */
    const char *probe; /* a shell text; NULL = none */
    int in_doubt;      /* enum in_doubt_policy; -1 = probe when there is one, else ask */
    bool attach;
    bool given; /* some option that goes with --key */
};
/* The exit code; what there is to say has been said, standard output has been written. */
int exec_key_run(const struct exec_plan *plan, const hardy_guard_config *config,
                 const struct exec_key *key);
#endif
