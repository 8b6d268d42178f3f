/* SPDX-License-Identifier: Apache-2.0 */
/* What a run does next, and what it has become. */
#include "base/str.h"
#include "durable/run.h"
#include "durable/seeded.h"

/* What a step, or all below a group, amounts to. */
enum progress {
    PENDING,
    BEGUN, /* a group of which something is over, and the rest has not begun */
    ACTIVE,
    DONE,
    FAILED,
    IN_DOUBT
};

static enum progress leaf_progress(const struct run_step *step) {
    if (step->driven) {
        return ACTIVE;
    }
    switch (step->record.state) {
    case RECORD_PENDING:
        break;
    case RECORD_STARTED:
    case RECORD_WAITING:
        return ACTIVE;
    case RECORD_DONE:
    case RECORD_SKIPPED:
        return DONE;
    case RECORD_FAILED:
        return FAILED;
    case RECORD_IN_DOUBT:
        return IN_DOUBT;
    }
    return PENDING;
}

static enum progress progress(const struct run_step *step) {
    size_t count[IN_DOUBT + 1] = {0};
    if (step->kind == RUN_LEAF) {
        return leaf_progress(step);
    }
    if (step->record.state == RECORD_SKIPPED) {
        return DONE;
    }
    if (step->kind == RUN_EACH && step->record.state == RECORD_PENDING) {
        return PENDING;
    }
    for (size_t i = 0; i < step->count; i++) {
        count[progress(step->children[i])]++;
    }
    return count[ACTIVE]                                                            ? ACTIVE
           : count[IN_DOUBT]                                                        ? IN_DOUBT
           : count[FAILED]                                                          ? FAILED
           : count[DONE] == step->count                                             ? DONE
           : count[DONE] || count[BEGUN] || (step->kind == RUN_EACH && step->count) ? BEGUN
                                                                                    : PENDING;
}

static bool is_driven(const struct run *run) {
    for (struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        if (s->driven) {
            return true;
        }
    }
    return false;
}

static bool is_open(const struct run *run) {
    return run->state == RUN_RUNNING || run->state == RUN_IN_DOUBT || run->state == RUN_WAITING;
}

bool run_is_undoing(const struct run *run) {
    for (struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        if (s->undo.state != RECORD_PENDING) {
            return true;
        }
    }
    return false;
}

const struct run_step *run_kept(const struct run *run) {
    for (struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        if (s->undo.state == RECORD_FAILED) {
            return s;
        }
    }
    return NULL;
}

bool run_is_halted(const struct run *run) {
    if (SEEDED_BUG(BUG_BEGINS_AFTER_FAIL) && !run->cancelled && is_driven(run)) {
        return run_is_undoing(run);
    }
    for (struct run_step *s = run->root; s && !run->cancelled; s = run_step_after(run->root, s)) {
        bool failed =
            s->kind == RUN_LEAF && !s->driven &&
            (s->record.state == RECORD_FAILED || (s->record.state == RECORD_IN_DOUBT && s->left));
        if (failed || s->undo.state != RECORD_PENDING) {
            return true;
        }
    }
    return run->cancelled;
}

/* --- what can be begun or gone on with ----------------------------------------------------------
 */

struct collecting {
    struct run_next *out;
    size_t count, max;
    bool halted;
};

static void add(struct collecting *c, struct run_step *step, bool undo) {
    if (c->count < c->max) {
        c->out[c->count++] = (struct run_next){step, undo};
    }
}

static void collect(struct collecting *c, struct run_step *step);

static void collect_leaf(struct collecting *c, struct run_step *step) {
    const enum record_state state = step->record.state;
    bool begun = state == RECORD_STARTED || (state == RECORD_IN_DOUBT && !step->left);
    bool free = state == RECORD_PENDING || state == RECORD_WAITING; /* it has no effect to see to */
    if (!step->driven && (begun || (free && !c->halted))) {
        add(c, step, false);
    }
}

static void collect_sequence(struct collecting *c, struct run_step *step) {
    for (size_t i = 0; i < step->count; i++) {
        if (progress(step->children[i]) != DONE) {
            collect(c, step->children[i]);
            return;
        }
    }
}

static void collect_parallel(struct collecting *c, struct run_step *step) {
    size_t busy = 0;
    for (size_t i = 0; i < step->count; i++) {
        enum progress p = progress(step->children[i]);
        busy += p != PENDING && p != DONE;
    }
    for (size_t i = 0; i < step->count && c->count < c->max; i++) {
        enum progress p = progress(step->children[i]);
        if (p == DONE || (p == PENDING && step->limit != 0 && busy >= step->limit)) {
            continue;
        }
        size_t before = c->count;
        collect(c, step->children[i]);
        busy += p == PENDING && c->count > before;
    }
}

static void collect(struct collecting *c, struct run_step *step) {
    if (step->kind == RUN_LEAF) {
        collect_leaf(c, step);
        return;
    }
    bool closed = !step->entered && progress(step) == PENDING &&
                  (step->asks || (step->kind == RUN_EACH && step->record.state == RECORD_PENDING));
    if (closed) {
        if (!c->halted && !step->driven) {
            add(c, step, false);
        }
    } else if (step->kind == RUN_SEQUENCE) {
        collect_sequence(c, step);
    } else {
        collect_parallel(c, step);
    }
}

/* --- undoing ------------------------------------------------------------------------------------
 */

static bool has_doubt(const struct run *run) {
    for (struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        if (s->record.state == RECORD_IN_DOUBT || (s->undo.state == RECORD_IN_DOUBT && s->left)) {
            return true;
        }
    }
    return false;
}

static bool can_be_undone(const struct run_step *step) {
    const enum record_state undo = step->undo.state;
    return step->compensates && step->record.state == RECORD_DONE &&
           (undo == RECORD_PENDING || undo == RECORD_STARTED ||
            (undo == RECORD_IN_DOUBT && !step->left));
}

/* What was begun last is undone first. By a number, not by the clock, which may be set. */
static struct run_step *last_done(const struct run *run) {
    struct run_step *last = NULL;
    for (struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        if (can_be_undone(s) &&
            (!last || (s->record.order >= last->record.order && !SEEDED_BUG(BUG_UNDO_ORDER)))) {
            last = s;
        }
    }
    return last;
}

size_t run_next(const struct run *run, struct run_next *out, size_t max) {
    struct collecting c = {.out = out, .max = max, .halted = run_is_halted(run)};
    if (!is_open(run)) {
        return 0;
    }
    collect(&c, run->root);
    if (c.count == 0 && c.halted && !is_driven(run) && !has_doubt(run)) {
        struct run_step *last = last_done(run);
        if (last) {
            add(&c, last, true);
        }
    }
    return c.count;
}

enum run_state run_becomes(const struct run *run) {
    if (!is_open(run)) {
        return run->state;
    }
    if (!run_is_halted(run)) {
        enum progress all = progress(run->root);
        return all == DONE ? RUN_DONE : all == IN_DOUBT ? RUN_IN_DOUBT : RUN_RUNNING;
    }
    return has_doubt(run)                     ? RUN_IN_DOUBT
           : run->cancelled && !run_kept(run) ? RUN_CANCELLED
                                              : RUN_FAILED;
}

enum run_state run_shown_state(const struct run *run) {
    bool waiting = false, running = false;
    for (struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        waiting |= s->record.state == RECORD_WAITING;
        running |= s->kind == RUN_LEAF && s->record.state == RECORD_STARTED;
    }
    return run->state == RUN_RUNNING && waiting && !running ? RUN_WAITING : run->state;
}

bool run_step_asks_person(const struct run_step *step) {
    const struct record *r = &step->record;
    return r->state == RECORD_WAITING && r->params && str_starts(r->params, "{\"approve\"");
}

const char *run_step_state_text(const struct run_step *step) {
    if (step->kind != RUN_LEAF) {
        static const char *const words[] = {"pending", "running", "running",
                                            "done",    "failed",  "in_doubt"};
        return step->record.state == RECORD_SKIPPED ? "skipped" : words[progress(step)];
    }
    if (step->undo.state == RECORD_DONE) {
        return "compensated";
    }
    return record_state_text(step->undo.state == RECORD_IN_DOUBT ? RECORD_IN_DOUBT
                                                                 : step->record.state);
}
