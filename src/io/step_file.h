/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_STEP_FILE_H
#define IO_STEP_FILE_H
/*
 * base.result: a head of fixed length in one line of text, then the output as it was. The shim
 * collects the output behind the space for the head, so that nothing is copied at the end.
 *
 *   hardy-step 1 SUM code=0 signal=0 timed_out=0 cancelled=0 truncated=0 not_started=0
 *                started=NS ended=NS output=BYTES, padded with spaces to STEP_HEAD bytes
 */
#include "io/shim.h"

#define STEP_HEAD 256
#define STEP_OUTPUT_MAX ((size_t)1 << 30)

/* Fills the head of `file`, which holds STEP_HEAD bytes and the output. */
void step_file_seal(struct buf *file, const struct shim_result *result);
/* Moves the bytes of a file into `result`, its output taken. E_CORRUPT: torn, or not such a file.
 */
hardy_status step_file_read(const char *path, struct shim_result *result, hardy_error *error);
#endif
