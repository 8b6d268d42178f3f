/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HANDLING_H
#define CLI_HANDLING_H
/* Watching and handling from the command line: for `hardy supervise` and `hardy incidents handle`.
 */
#include "cli/session.h"

struct handling {
    const char *purpose; /* "supervise" */
    bool once;           /* handle one incident, then end */
    const char *service; /* open one by hand for this service; NULL = watch the checks */
    const char *severity, *summary;
};
/* Prints what happens on standard output; returns the exit code. */
int handling_run(const struct options *o, const struct handling *how);
#endif
