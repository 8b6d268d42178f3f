/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOP_H
#define CLI_TOP_H
/* The sections a configuration file may have at its top. */
#include "config/schema.h"

extern const char *const top_names[]; /* ended by NULL */
/* The whole file as a table: for checks and for `hardy validate --schema`. */
extern const struct schema_section top_section;
#endif
