/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_PROCESS_H
#define DEGRADE_PROCESS_H
/* What /proc tells of a process and its children. */
#include "base/buf.h"
#include <hardy/env.h>

/* {"running": true, "reason": null, "pid": 7, "name": "nginx", "count": 3, "stopped": 2, "zombie":
 * 0, "processes": [{"pid", "name", "state", "rss_kib"}]}. `name` tells whether the number of a
 * stale file belongs to somebody else by now. A missing pid file, or one whose process is gone, is
 * "running": false with the reason, not an error: that is evidence too. E_SYNTAX: the file holds no
 * pid. */
hardy_status process_evidence(const char *pid_file, struct buf *out, hardy_error *error);
#endif
