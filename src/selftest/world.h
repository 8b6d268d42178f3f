/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_WORLD_H
#define SELFTEST_WORLD_H
/*
 * A folder of its own in which the running program tries itself out: hardy started as a user would
 * start it, with a state of its own, and what it left there afterwards.
 *
 * One thing is done after the other; while this code waits, the loop runs. The first thing that
 * goes wrong with the trial itself (not what it is there to find) is kept in `error`, everything
 * after it does nothing and answers false.
 */
#include "base/buf.h"
#include "base/prng.h"
#include "io/loop.h"
#include <jansson.h>

#define WORLD_CHILDREN 16

struct child {
    struct process *process; /* NULL = none in this place */
    bool ended;
    int code, signal;
};

struct world {
    struct loop *loop;
    const char *program;    /* hardy: absolute path */
    char *folder;           /* absolute; "state.db" is in it */
    const char *const *env; /* of the person who asked */
    struct prng random;
    struct child children[WORLD_CHILDREN];
    struct loop_signal *signals[2];
    void (*note)(void *ctx, const char *text); /* what a person may want to see; may be NULL */
    void *ctx;
    hardy_status status;
    hardy_error error;
};

/* Makes a folder in `dir` (borrowed, as program and env) and adopts orphans: of its descendants
 * none is lost sight of. INT and TERM end the trial with E_CANCELLED. world_end() also after a
 * failure. */
hardy_status world_begin(struct world *w, struct loop *loop, const char *program, const char *dir,
                         const char *const *env, uint64_t seed);
/* Ends what still runs below this process, and removes the folder unless `keep`. */
void world_end(struct world *w, bool keep);
/* False, always: the trial cannot go on. */
bool world_fail(struct world *w, const char *format, ...) HARDY_PRINTF(2, 3);
void world_note(struct world *w, const char *format, ...) HARDY_PRINTF(2, 3);
/* malloc'd path of a file in the folder; NULL and failed without memory. */
char *world_path(struct world *w, const char *name);

void world_pause(struct world *w, int64_t span);
/* Until `ready`, at most ten seconds; whether it became so. */
bool world_wait(struct world *w, bool (*ready)(struct world *w, const void *ctx), const void *ctx);

/* Starts hardy in the folder, its output going to the files `out` and `err` there. `run` and
 * `step`: HARDY_RUN_ID and HARDY_STEP for what it starts; NULL = not set. NULL = failed. */
struct child *world_start(struct world *w, const char *const *words, const char *run,
                          const char *step, const char *out, const char *err);
int child_pid(const struct child *c);
/* Gives the place of one that has ended free. */
void child_free(struct child *c);
/* The same, and waits for its end, 30 seconds at most: the exit code, 128 + N for a signal, -1 =
 * failed. */
int world_run(struct world *w, const char *const *words, const char *run, const char *step,
              const char *out);
/* Waits until nothing is left below this process. */
bool world_quiet(struct world *w);
/* The whole file `name` of the folder, appended; nothing when it is not there. */
void world_read(struct world *w, const char *name, struct buf *out);
bool world_write(struct world *w, const char *name, const struct buf *text);
/* What a command prints with --json; NULL = failed. New reference. */
json_t *world_ask(struct world *w, const char *const *words);
#endif
