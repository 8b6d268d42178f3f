/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_JOINED_H
#define WORK_JOINED_H
/* What runs `argv` with its standard error where its standard output goes, so that both are kept.
 * The array is malloc'd, NULL-terminated, and borrows the strings. NULL: no memory. */
const char **joined_argv(char *const *argv);
#endif
