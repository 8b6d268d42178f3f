/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_KILL_H
#define SELFTEST_KILL_H
/*
 * `hardy selftest --crash`: hardy, the shims of its steps, or both are killed with KILL at moments
 * drawn from a seed, while runs of a workflow and commands with keys go on; the same line is typed
 * again until they are done. Then another process counts what was done.
 */
#include "selftest/deed.h"

enum kill_kind { KILL_HARDY, KILL_BOTH, KILL_SHIM, KILL_EARLY, KILL_KINDS };

struct kill_report {
    int kills, alive; /* alive: of them while a command was */
    int by_kind[KILL_KINDS];
    int64_t took;
    int runs, steps, keys;       /* steps: of all runs together */
    int undone;                  /* runs that failed on purpose, and were undone */
    int effects, allowed;        /* allowed: repetitions where that was declared */
    int repeated, missing, lost; /* each is a promise that was broken */
    int not_shown;               /* in doubt, and nobody was told which step */
    int doubts, questions;       /* questions: of the doubts, those put to a person */
    int needless;                /* of these, where a probe could have told */
    int attached, probed, running;
};
struct kill_options {
    struct loop *loop;
    const char *program; /* see world_begin(), as the next three */
    const char *dir;
    const char *const *env;
    uint64_t seed;
    int kills;
    bool runs, keys; /* which of the two; at least one */
    void (*note)(void *ctx, const char *text);
    void *ctx;
};
/* E_FAILED: the trial itself could not go on. When a promise was broken the folder is left and
 * noted. */
hardy_status kill_loop(const struct kill_options *options, struct kill_report *report,
                       hardy_error *error);
/* Whether all promises were kept. */
bool kill_clean(const struct kill_report *r);

/* --- between the files of the loop -------------------------------------------------------------
 */
struct killing {
    struct world world;
    struct deeds deeds;
    struct kill_report report;
    int wanted; /* kills */
};
/* One run, or one key, from its beginning to its end; false = the trial failed. */
bool kill_a_run(struct killing *k);
bool kill_a_key(struct killing *k);
/* KILL now: these, the shims of this run or key, or both. Counted. */
void kill_now(struct killing *k, struct child *const *hardy, size_t count, const char *run,
              enum kill_kind kind);
/* When the next kill comes. */
struct kill_plan {
    enum kill_kind kind;
    bool from_alive; /* `delay` counts from the moment on that a command is alive */
    int64_t delay, slept;
    bool killed;
};
struct kill_plan kill_plan(struct killing *k, int64_t longest);
/* Waits a little; true = now. */
bool kill_due(struct killing *k, struct kill_plan *plan, const char *run);
uint64_t kill_draw(struct killing *k, uint64_t below);
bool kill_peace(const struct killing *k); /* killed as often as was asked for: let it end */
#endif
