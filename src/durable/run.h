/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_RUN_H
#define DURABLE_RUN_H
/*
 * A workflow run as a step machine: recorded state in, next steps out. Its steps are a tree: leaves
 * are done, groups say in which order.
 *
 * Rows, ID being the run's: "run" (key ID) holds the run and the shape of its tree; "step" (key
 * ID/0003.name, below a group ID/0003.name/0001.name) the record of one step; "undo" (the same key)
 * that of its compensation; "lease" (key run/ID) who drives it (lease.h); "signal" (key ID/...)
 * what people said to it (signal.h).
 */
#include "durable/record.h"
#include <jansson.h>

enum run_state { RUN_RUNNING, RUN_DONE, RUN_FAILED, RUN_IN_DOUBT, RUN_WAITING, RUN_CANCELLED };
const char *run_state_text(
    enum run_state state); /* "running" "done" "failed" "in_doubt" "waiting" "cancelled" */

enum run_step_kind {
    RUN_LEAF,
    RUN_SEQUENCE, /* one child after another */
    RUN_PARALLEL, /* all children at once, or `limit` of them */
    RUN_EACH      /* one child like `item` for each value of a list, `limit` of them at once */
};

#define RUN_STEPS_MAX 10000 /* in one run, items among them */
#define RUN_DEPTH_MAX 128

struct run_step {
    char *name;
    enum run_step_kind kind;
    char definition[65];     /* SHA-256 of what the file says of it */
    uint32_t limit;          /* of a group: children at once; 0 = all */
    bool asks;               /* a group with a condition: whether it is entered is to be asked */
    bool compensates;        /* it can be undone */
    const void *says;        /* what the file says of it, the driver's; NULL when only looked at */
    struct run_step *parent; /* NULL: the root */
    size_t place;            /* among the parent's children */
    struct run_step **children;
    size_t count;
    struct run_step *item; /* RUN_EACH: what each item is like; has no record */
    char *key;             /* of its rows */
    /* A leaf's; of a group SKIPPED when its condition did not hold; of RUN_EACH STARTED, with the
     * number of its items, once they are known. PENDING without a row. */
    struct record record;
    struct record undo;

    /* The driver's, not recorded. */
    bool entered;         /* a group: its condition holds, its items are known */
    bool driven;          /* somebody is at it in this process */
    bool left;            /* in doubt, and asked about in this process: a person has to settle it */
    hardy_status verdict; /* how it ended in this process */
    json_t *value;        /* of its output, made when first asked for; owned */
    json_t *input;        /* of a nested workflow, or the list of RUN_EACH; likewise */
};
struct run {
    char *id, *name, *file; /* owned, as all pointers here */
    char definition[65];    /* SHA-256 over the definitions of all steps */
    char input_hash[65];
    char *input;       /* JSON */
    char *forked_from; /* the run whose first steps it has taken over; NULL */
    enum run_state state;
    int64_t created, ended; /* wall; 0 = not yet */
    char *detail;           /* why it is as it is, one line; NULL */
    hardy_status verdict;   /* of a run that failed, is in doubt or was cancelled; else OK */
    bool cancelled;         /* somebody wants it ended */
    struct run_step *root;  /* RUN_SEQUENCE of the file's steps */
    int64_t expires;        /* of the row; wall, 0 = never */
};
void run_free(struct run *run);

/* A step under `parent` (NULL: a root), in the last place. NULL = no memory. */
struct run_step *run_step_new(struct run_step *parent, enum run_step_kind kind, const char *name);
void run_step_free(struct run_step *step); /* with all below it; NULL is fine */
/* Makes the items of a RUN_EACH, "NAME[0]" and so on. False = no memory, or more than
 * RUN_STEPS_MAX. */
bool run_step_make_items(struct run_step *each, size_t count);
/* Gives the step and all below it the keys of their rows. False = no memory. */
bool run_step_make_keys(struct run_step *step, const char *run_id);
/* The step after `step` when the whole tree below `root` is walked, groups before their children;
 * NULL = it was the last one. Begins with `root` itself. */
struct run_step *run_step_after(const struct run_step *root, const struct run_step *step);
/* For people: names from below the root, "fan/a", "deploy[3]/copy". Malloc'd; NULL = no memory. */
char *run_step_path(const struct run_step *step);
/* By the end of its path: "a" or "fan/a". E_NOT_FOUND names the nearest; E_INVALID: there are
 * several. */
hardy_status run_find_step(const struct run *run, const char *path, struct run_step **out,
                           hardy_error *error);
/* "pending" "running" "waiting" "done" "failed" "in_doubt" "skipped" "compensated". Of a group,
 * what its children amount to. */
const char *run_step_state_text(const struct run_step *step);

/* Whether a person has to approve it, now. */
bool run_step_asks_person(const struct run_step *step);

/* E_NOT_FOUND, E_CORRUPT. run_load() also reads the records and what people said; run_load_row()
 * and run_decode() only the run's own row. */
hardy_status run_load(struct store *store, const char *id, struct run *out, hardy_error *error);
hardy_status run_load_row(struct store *store, const char *id, struct run *out, hardy_error *error);
hardy_status run_load_steps(struct store *store, struct run *run, hardy_error *error);
hardy_status run_decode(const struct store_row *row, struct run *out, hardy_error *error);
/* Whether somebody wants it cancelled, into `cancelled`. */
hardy_status run_hear_cancel(struct store *store, struct run *run, hardy_error *error);
void run_encode(const struct run *run, struct buf *out);
/* As `--json` shows it. */
void run_to_json(const struct run *run, struct json_out *j);

/* --- decisions: pure -------------------------------------------------------------------------- */

/*
 * What can be done now, in the order of the file: leaves to begin or to go on with, groups to enter
 * (their `entered` becomes true, or their record SKIPPED), steps to undo. At most `max`.
 *
 * Once a step has failed, is left in doubt, or the run is to be cancelled, nothing new begins; what
 * had begun is still seen to its end. Then, unless something is in doubt, what was done and can be
 * undone is undone, last first, one at a time.
 */
struct run_next {
    struct run_step *step;
    bool undo;
};
size_t run_next(const struct run *run, struct run_next *out, size_t max);
/* What the run has become when run_next() gives nothing and nothing is driven: DONE, FAILED,
 * IN_DOUBT, CANCELLED. RUN_RUNNING: it is not at its end. A cancelled run of which something could
 * not be undone has FAILED, so that it can be gone on with. */
enum run_state run_becomes(const struct run *run);
/* Whether something failed, is left in doubt, or was cancelled: nothing new begins. */
bool run_is_halted(const struct run *run);
/* Whether anything of it has been undone, or began to be. */
bool run_is_undoing(const struct run *run);
/* A step that could not be undone; NULL = there is none. */
const struct run_step *run_kept(const struct run *run);
/* RUNNING, but nothing happens until a time or a person: shown as "waiting". */
enum run_state run_shown_state(const struct run *run);

/*
 * Takes the records of `recorded` over into `now`, the same run as its file says it today: finished
 * steps are found by name and place. E_MISMATCH when a step that was begun is not there any more,
 * is elsewhere, or says something else, unless `same` (may be NULL) says that it comes to the same;
 * both are left as they were then.
 */
typedef bool (*run_same)(void *ctx, const struct run_step *recorded, const struct run_step *now);
hardy_status run_adopt(struct run *recorded, struct run *now, run_same same, void *ctx,
                       hardy_error *error);
/* The difference, a line a step, for people: what was, what the file says now. */
void run_put_difference(const struct run *recorded, const struct run *now, struct buf *out);
#endif
