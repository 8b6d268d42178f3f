/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_ENVIRONMENT_H
#define WORK_ENVIRONMENT_H
/* A command's environment under construction: what is set replaces what was there of that name. */
#include <hardy/status.h>
#include <stdbool.h>
#include <stddef.h>

struct environment {
    char **list; /* NULL-terminated, owned; NULL while empty */
    size_t count, cap;
    bool failed; /* no memory: looked at once, at the end */
};
void environment_free(struct environment *e);
/* Every "K=V" of `base` (NULL = none), a second K left out: the first is what getenv() finds. */
void environment_add(struct environment *e, const char *const *base);
void environment_set(struct environment *e, const char *name, const char *format, ...)
    HARDY_PRINTF(3, 4);
void environment_unset(struct environment *e, const char *name);
/* The list, taken; NULL: no memory. */
char **environment_take(struct environment *e);
void environment_free_list(char **list);
#endif
