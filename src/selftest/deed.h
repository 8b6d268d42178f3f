/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_DEED_H
#define SELFTEST_DEED_H
/*
 * Things to be done once, and how it is found out how often they were: each appends one line to the
 * file `effects` of its folder. The program itself is the command that does it, its probe, and who
 * counts afterwards: `hardy __selftest PART ...`, each a process of its own.
 */
#include "selftest/world.h"

#define PART_COMMAND "__selftest"
#define DEED_UNDO "~undo" /* behind a step's name: its compensation */

enum deed_due { /* how often it has to have happened, as far as is known in the end */
                DEED_ONCE,
                DEED_PERHAPS, /* it failed */
                DEED_NEVER    /* it was not begun */
};
struct deed {
    char run[24], step[40]; /* HARDY_RUN_ID and HARDY_STEP, as its command sees them */
    const char *policy;     /* what is declared for doubt: "ask", "probe", "rerun" */
    int shim_kills;         /* each may cost a repetition where that is declared */
    bool told_done;         /* hardy said so: it must never be started again */
    enum deed_due due;
    int effects; /* as counted */
};
struct deeds {
    struct deed *list; /* free() */
    size_t count, cap;
};
/* NULL and failed without memory; valid until the next one is added. */
struct deed *deed_add(struct world *w, struct deeds *all, const char *run, const char *step,
                      const char *policy);
struct deed *deed_find(struct deeds *all, const char *run, const char *step); /* NULL */
/* Whether a command of this run or key is alive now. */
bool deed_alive(struct world *w, const char *run);
/* Has another process count the effects of a run or key, into its deeds. */
bool deed_count(struct world *w, struct deeds *all, const char *run);
/* Effects of one deed by now; of this attempt only, when it is above 0. */
int deed_effects(struct world *w, const char *run, const char *step, int attempt);
/* Lines in the file by now, of whatever run. */
int deed_total(struct world *w);

/*
 * The parts, in the folder that the process is in:
 *   effect BEFORE AFTER   waits so many microseconds, has its effect, waits again; prints a result
 *   undo BEFORE AFTER     the same, its effect being that of the step's undoing: "STEP" DEED_UNDO
 *   probe                 1 = there is no effect of this step, or it is undone; else 0, and prints
 *                         the result
 *   count RUN             "STEP EFFECTS" a line
 *   lock FILE             0 = got the lock, 1 = somebody has it
 * Returns the exit code. `run`, `step`, `attempt`: from the environment, NULL = not there.
 */
int deed_part(int argc, char *const *argv, const char *run, const char *step, const char *attempt);
#endif
