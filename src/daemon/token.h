/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TOKEN_H
#define DAEMON_TOKEN_H
/* The token that changing things through the admin API needs: a file that nobody but its owner can
 * read. */
#include <hardy/status.h>

/* What is in the file, malloc'd; a missing one is made, with its folder. One that others can read
 * or change is made anew. E_READONLY: somebody else's file, or not to be made here; E_NOSPACE,
 * E_IO. */
hardy_status token_take(const char *path, char **out, hardy_error *error);
/* Only reads: for who wants to be let in. E_NOT_FOUND, E_READONLY. */
hardy_status token_read(const char *path, char **out, hardy_error *error);
#endif
