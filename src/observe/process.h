/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OBSERVE_PROCESS_H
#define OBSERVE_PROCESS_H
/* What every process of hardy tells of itself. */
#include "observe/exposition.h"
#include <stdbool.h>

/* hardy_build_info, process_resident_memory_bytes, process_start_time_seconds. */
void exposition_process(struct exposition *x, int64_t started_wall);
/* hardy_state_writable. */
void exposition_state(struct exposition *x, bool writable);
#endif
