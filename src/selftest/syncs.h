/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_SYNCS_H
#define SELFTEST_SYNCS_H
/* Counts how often SQLite asks the disk to be done: a VFS over the usual one. */
#include <stdint.h>

#define SYNCS_VFS "counting"
/* Registers it; give its name to store_options.vfs. Once in a process. */
void syncs_begin(void);
uint64_t syncs_count(void); /* since then; any thread */
#endif
