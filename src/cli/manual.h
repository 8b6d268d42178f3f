/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_MANUAL_H
#define CLI_MANUAL_H
/* The manual pages of files, to standard output. What they share: how a key is shown, and what its
 * value may be. */
#include "config/schema.h"

int manual_yaml(void);     /* hardy.yaml.5; the exit code */
int manual_workflow(void); /* hardy-workflow.5; likewise */

/* An item of a list: the key as `shown`, its type and default, its help. */
void manual_key(const char *shown, const struct schema_key *key);
/* A subsection: durations, names, commands. */
void manual_values(void);
#endif
