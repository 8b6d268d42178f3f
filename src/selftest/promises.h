/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_PROMISES_H
#define SELFTEST_PROMISES_H
/* `hardy selftest`: what the documentation promises and can be looked at here within seconds. */
#include "io/loop.h"

struct promises_options {
    struct loop *loop;
    const char *program; /* see world_begin(), as the next two */
    const char *dir;
    const char *const *env;
    /* Called for each promise, in turn; `detail` is one line, of what was measured or what went
     * wrong, "" = nothing to add. All borrowed for the call. */
    void (*result)(void *ctx, bool kept, const char *what, const char *detail);
    void *ctx;
};
/* E_FAILED: the trial itself could not go on. */
hardy_status promises_check(const struct promises_options *options, hardy_error *error);
#endif
