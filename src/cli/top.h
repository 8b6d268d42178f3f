/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOP_H
#define CLI_TOP_H
/* The sections a configuration file may have at its top. */
extern const char *const top_names[];
#endif
