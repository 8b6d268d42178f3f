/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FEED_H
#define CLI_FEED_H
/*
 * Standard input for a command that may be run again: each attempt gets the same bytes from the
 * beginning. A regular file is wound back. A pipe or socket is read only as the command takes
 * what came before (up to a pipe's room), kept, and given again. Everything else (a terminal,
 * /dev/null) is handed on as it is.
 */
#include "io/loop.h"

struct feed;
/* `replay` false: there will be one attempt, so standard input is simply inherited. */
hardy_status feed_new(struct loop *loop, bool replay, uint64_t max, struct feed **out,
                      hardy_error *error);
void feed_free(struct feed *feed); /* NULL is fine */
/* For the next attempt: sets the stdin fields of `options`. E_TOO_LARGE: the input was longer than
 * can be kept, so it cannot be given again. */
hardy_status feed_begin(struct feed *feed, struct process_options *options, hardy_error *error);
void feed_started(struct feed *feed); /* the process has its end: close ours */
void feed_end(struct feed *feed);     /* the attempt is over */
#endif
