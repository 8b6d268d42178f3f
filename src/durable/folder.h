/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_FOLDER_H
#define DURABLE_FOLDER_H
/* The folders beside a database: of its steps, the locks and files of what runs under a shim; of
 * supervised children, their locks, sockets and pipes. */
#include <hardy/env.h>

/* `NAME-steps` beside the database itself, whatever name and link it is called by: processes that
 * share the one must share the other. malloc'd; NULL = no memory. */
char *steps_folder(const char *state);
/* `NAME-children` likewise. */
char *children_folder(const char *state);
/* E_CORRUPT: the database is an empty file, which would be begun anew, though steps were recorded
 * in it. To be asked before it is opened. */
hardy_status steps_check(const char *state, hardy_error *error);
#endif
