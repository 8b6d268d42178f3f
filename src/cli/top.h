/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOP_H
#define CLI_TOP_H
/* The sections a configuration file may have at its top. */
#include "config/config.h"

extern const char *const top_names[]; /* ended by NULL */
/* Every section's shape, whichever of them the command needs: a file with a mistake in it is
 * refused as a whole, by every command alike. Tells the first mistake with its place. */
hardy_status top_check(const struct config *config, hardy_error *error);
/* The whole file as a table: for checks and for `hardy validate --schema`. */
extern const struct schema_section top_section;
#endif
