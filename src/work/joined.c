/* SPDX-License-Identifier: Apache-2.0 */
#include "work/joined.h"
#include <stdlib.h>
#include <string.h>

/* The shell only joins the two, and becomes the command. */
static const char *const join[] = {"/bin/sh", "-c", "exec \"$@\" 2>&1", "sh"};
enum { JOIN = sizeof join / sizeof *join };

const char **joined_argv(char *const *argv) {
    size_t count = 0;
    while (argv[count])
        count++;
    const char **out = calloc(JOIN + count + 1, sizeof *out);
    if (out) {
        memcpy(out, join, sizeof join);
        memcpy(out + JOIN, argv, count * sizeof *argv);
    }
    return out;
}
