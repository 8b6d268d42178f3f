/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_timeline.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/running.h"
#include "cli/timeline.h"
#include "durable/lease.h"
#include "io/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAR = 24, INPUT_SHOWN = 400 };

/* Where between the run's beginning and end the step lies. */
static void put_bar(const struct record *r, int64_t from, int64_t to, char out[BAR + 1]) {
    int64_t span = to > from ? to - from : 1;
    memset(out, ' ', BAR);
    out[BAR] = '\0';
    if (r->started == 0) {
        return;
    }
    int64_t ended = r->ended ? r->ended : to;
    int first = (int)((r->started - from) * BAR / span), last = (int)((ended - from) * BAR / span);
    for (int i = first < 0 ? 0 : first; i <= last && i < BAR; i++) {
        out[i] = r->state == RECORD_WAITING ? '.' : '=';
    }
}

static void print_output_line(const struct record *r, int indent) {
    size_t len = r->output ? strcspn(r->output, "\n") : 0;
    if (len > 0) {
        printf("%*s%.*s%s\n", indent, "", len > 160 ? 160 : (int)len, r->output,
               len > 160 || (r->output[len] && r->output[len + 1]) ? " ..." : "");
    }
}

static void print_step(const struct run_step *s, int depth, int64_t from, int64_t to) {
    const struct record *r = &s->record;
    char started[16], span[48] = "", bar[BAR + 1], attempts[24] = "";
    clock_text(r->started, started);
    if (r->started && r->ended) {
        format_duration_short(r->ended - r->started, span);
    }
    if (r->attempt > 1) {
        snprintf(attempts, sizeof attempts, "  attempt %u", r->attempt);
    }
    put_bar(r, from, to, bar);
    printf("  %*s%-*s %-11s |%s| %12s %8s%s%s%s\n", 2 * depth, "", 22 - 2 * depth, s->name,
           run_step_state_text(s), s->kind == RUN_LEAF ? bar : "                        ",
           s->kind == RUN_LEAF ? started : "", span, attempts, r->detail ? "  " : "",
           r->detail ? r->detail : "");
    print_output_line(r, 4 + 2 * depth);
    if (s->undo.name) {
        printf("  %*scompensation: %s%s%s\n", 2 * depth + 2, "", record_state_text(s->undo.state),
               s->undo.detail ? ", " : "", s->undo.detail ? s->undo.detail : "");
    }
    for (size_t i = 0; i < s->count; i++) {
        print_step(s->children[i], depth + 1, from, to);
    }
}

static const char *policy_of(const struct workflow_step *step) {
    switch (step->in_doubt) {
    case IN_DOUBT_PROBE:
        return "its probe is asked";
    case IN_DOUBT_RERUN:
        return "it is run again, as it may";
    case IN_DOUBT_FAIL:
        return "it counts as failed";
    case IN_DOUBT_ASK:
        break;
    }
    return "a person decides";
}

/* The steps as the file says them, by path: for what is not recorded. */
struct sayings {
    const char *path;
    const struct workflow_step *found;
};

static bool find_saying(void *ctx, const struct workflow_step *step) {
    struct sayings *s = ctx;
    size_t len = strlen(s->path), tail = strlen(step->s.name);
    if (len >= tail && strncmp(s->path + len - tail, step->s.name, tail) == 0) {
        s->found = step;
    }
    return !s->found;
}

static void print_next(const struct run_next *next, const struct workflow *w) {
    const struct run_step *s = next->step;
    char *path = run_step_path(s);
    struct sayings said = {.path = s->name};
    if (w) {
        (void)workflow_each(w, find_saying, &said);
    }
    const char *doubt = said.found ? policy_of(said.found) : "its policy decides";
    const struct record *r = next->undo ? &s->undo : &s->record;
    printf("    %s%s: ", next->undo ? "undo " : "", path ? path : s->name);
    if (r->state == RECORD_STARTED) {
        printf("recorded as started: attached to if it runs, its result taken if it has ended; if "
               "it was lost, %s\n",
               doubt);
    } else if (r->state == RECORD_IN_DOUBT) {
        printf("in doubt: %s\n", doubt);
    } else if (r->state == RECORD_WAITING) {
        puts("waited for, with the time that is left");
    } else {
        puts("started");
    }
    free(path);
}

/* What the next `hardy workflows resume` does first. */
static void print_resume(const struct run *run) {
    struct run_next next[16];
    struct workflow *w = NULL;
    hardy_error ignored;
    size_t count = run_next(run, next, 16);
    if (count == 0) {
        return;
    }
    hardy_error_init(&ignored, sizeof ignored);
    if (workflow_read(run->file, &w, &ignored) != HARDY_OK) {
        printf("  its file cannot be read now: %s: %s\n", ignored.where, ignored.message);
        w = NULL;
    }
    puts("  resume would go on with");
    for (size_t i = 0; i < count; i++) {
        print_next(&next[i], w);
    }
    workflow_free(w);
}

static void print_lease(struct session *s, const struct run *run) {
    struct run_lease lease;
    char boot[37];
    file_boot_id(boot);
    if (run_lease_load(s->store, run->id, &lease, NULL) == HARDY_OK &&
        moment_is_set(&lease.until) && lease.owner[0]) {
        int64_t left = moment_left(&lease.until, boot, clock_now(), clock_wall());
        printf("  driven by %s%s\n", lease.owner,
               left > 0 ? "" : ", which has not been heard of for a while");
    }
    run_lease_free(&lease);
}

void print_timeline(struct session *s, const struct run *run) {
    char created[32], ended[32];
    int64_t to = run->ended ? run->ended : clock_wall();
    moment_text(run->created, created);
    moment_text(run->ended, ended);
    bool long_input = strlen(run->input) > INPUT_SHOWN;
    printf("%s  %s\n  %s, input %.*s%s\n  created %s, ended %s%s%s\n", run->id,
           run_state_text(run_shown_state(run)), run->file, INPUT_SHOWN, run->input,
           long_input ? " ..." : "", created, ended, run->detail ? "\n  " : "",
           run->detail ? run->detail : "");
    if (run->forked_from) {
        printf("  forked from %s\n", run->forked_from);
    }
    if (run->cancelled && run->state != RUN_CANCELLED) {
        puts("  to be cancelled");
    }
    print_lease(s, run);
    for (size_t i = 0; i < run->root->count; i++) {
        print_step(run->root->children[i], 0, run->created, to);
    }
    print_in_doubt(stdout, s->state.path, run);
    print_approvals(stdout, s->state.path, run);
    print_resume(run);
}
