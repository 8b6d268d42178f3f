/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TIMELINE_H
#define CLI_TIMELINE_H
/* How moments and records are shown to a person. */
#include "durable/record.h"

/* "2026-11-23 01:02:03"; "-" for 0. */
void moment_text(int64_t wall, char out[32]);
/* "01:02:03.456"; "-" for 0. */
void clock_text(int64_t wall, char out[16]);
/* A few lines about a record, each after `indent` spaces. */
void print_record(const struct record *r, int indent);
#endif
