/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_ENSURE_STEP_H
#define WORK_ENSURE_STEP_H
/*
 * `hardy __ensure`: a step that makes sure of a thing instead of making it: it asks first.
 *
 *   {"probe":[argv], "create":[argv], "update":[argv]}      update may be left out
 *
 * The probe tells by its exit code: 0 there and as wanted, and its output is the resource; 1 not
 * there; 2 there, but different; another: it cannot tell. Not there: create; different: update;
 * and the probe is asked again, up to five times within two seconds, since what was made does not
 * show everywhere at once. When create (or update) fails, the probe is asked once more: there now
 * means that another was faster, and that is as good.
 *
 * Standard output: {"status":"already_exists"|"updated"|"created",
 * "action":"none"|"update"|"create", "resource":JSON or text}. The commands get our environment and
 * stay in our process group, which the shim ends as a whole at the deadline; what create and update
 * print goes to standard error.
 *
 * How it ends:
 *
 *   there, as it should be                                                     DONE      0
 *   the probe cannot tell, or was killed, and nothing was done yet             PASSING  75
 *   the probe cannot be run                                                    126 or 127
 *   create or update failed, and the probe finds it still missing or different its own code
 *   create or update succeeded, and the probe finds it missing or different    FAILED    1
 *   different, and there is no update                                          FAILED    1
 *   create or update was killed; or the probe cannot tell after either         UNKNOWN  79
 *
 * A command's own code keeps its meaning: 75 and 79 of one that is `hardy exec` say the same here.
 * Because it begins by asking, UNKNOWN is safe to run again: `in_doubt: rerun` is right for it.
 */
#include "work/step_program.h"

void ensure_step(struct loop *loop, json_t *request, const struct step_given *given,
                 struct step_answer *answer);
#endif
