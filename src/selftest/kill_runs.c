/* SPDX-License-Identifier: Apache-2.0 */
/* A run of a workflow, killed on its way: the same line is typed until it is done. */
#include "base/str.h"
#include "selftest/kill.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKFLOW "loop.yaml"
#define TRIES 500
#define LONGEST (150 * HARDY_MILLISECOND)

/* --- the workflow: what stands here is written, run, killed and counted -------------------------
 */

/* One that fails in the end, so that what it did is undone. */
static bool is_undone(const char *run) {
    return strtol(run + 1, NULL, 10) % 3 == 0;
}

static void put_command(struct killing *k, struct buf *to, const char *part) {
    buf_printf(to, "[\"%s\", " PART_COMMAND ", %s, \"%d\", \"%d\"]", k->world.program, part,
               8000 + (int)kill_draw(k, 20000), 8000 + (int)kill_draw(k, 20000));
}

static void add(struct killing *k, const char *run, const char *step, const char *policy,
                enum deed_due due) {
    struct deed *d = deed_add(&k->world, &k->deeds, run, step, policy);
    if (d) {
        d->due = due;
        k->report.steps++;
    }
}

/* A line of the file, and the deeds of it. `path`: as its command is told; `items`: of a for_each.
 */
static void put_step(struct killing *k, struct buf *to, const char *run, const char *indent,
                     const char *path, const char *policy, int items) {
    const char *slash = strrchr(path, '/');
    buf_printf(to, "%s- {name: %s, in_doubt: %s, run: ", indent, slash ? slash + 1 : path, policy);
    put_command(k, to, "effect");
    if (str_eq(policy, "probe")) {
        buf_printf(to, ", probe: [\"%s\", " PART_COMMAND ", probe]", k->world.program);
    }
    if (is_undone(run) && items == 0) {
        char undo[48];
        buf_puts(to, ", compensate: ");
        put_command(k, to, "undo");
        snprintf(undo, sizeof undo, "%s" DEED_UNDO, path);
        add(k, run, undo, policy, DEED_NEVER);
    }
    if (items > 0) {
        buf_puts(to, ", max_concurrent: 2, for_each: [1");
        for (int i = 1; i < items; i++) {
            buf_printf(to, ", %d", i + 1);
        }
        buf_puts(to, "]");
    } else {
        add(k, run, path, policy, DEED_NEVER);
    }
    for (int i = 0; i < items; i++) {
        char item[48];
        snprintf(item, sizeof item, "%s[%d]", path, i);
        add(k, run, item, policy, DEED_NEVER);
    }
    buf_puts(to, "}\n");
}

/* Written anew for each run: other spans, so another definition. */
static bool write_workflow(struct killing *k, const char *run) {
    static const char *const policies[] = {"ask", "probe", "rerun"};
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_puts(&text, "name: loop\nsteps:\n");
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%d", i + 1);
        put_step(k, &text, run, "  ", name, policies[i], 0);
    }
    buf_puts(&text, "  - name: fan\n    parallel:\n");
    put_step(k, &text, run, "      ", "fan/a", "ask", 0);
    put_step(k, &text, run, "      ", "fan/b", "probe", 0);
    put_step(k, &text, run, "      ", "fan/c", "rerun", 0);
    put_step(k, &text, run, "  ", "each", "probe", 3);
    put_step(k, &text, run, "  ", "s4", "ask", 0);
    put_step(k, &text, run, "  ", "s5", "probe", 0);
    if (is_undone(run)) {
        buf_puts(&text, "  - {name: fails, run: [\"false\"]}\n");
    }
    bool good = world_write(&k->world, WORKFLOW, &text);
    buf_free(&text);
    return good;
}

/* What hardy said: a step that was told done is never started again. */
static void read_line(struct killing *k, const char *run, char *line) {
    char *at = strstr(line, "hardy ");
    char *name = at ? strstr(at, ": ") : NULL;
    char *what = name ? strstr(name + 2, ": ") : NULL;
    if (!what) {
        return;
    }
    *what = '\0';
    struct deed *d = deed_find(&k->deeds, run, name + 2);
    what += 2;
    if (!d) {
        return;
    }
    if (str_starts(what, "done")) {
        d->told_done = true;
    } else if (str_starts(what, "started") && d->told_done) {
        world_note(&k->world, "%s: %s was done and is started again", run, d->step);
        k->report.lost++;
    }
    k->report.attached += strstr(what, "attached to it") != NULL;
    k->report.probed += strstr(what, "the probe says") != NULL;
}

static void read_progress(struct killing *k, const char *run) {
    struct buf text;
    buf_init(&text, 1 << 20);
    world_read(&k->world, "err", &text);
    buf_putc(&text, '\0');
    char *rest = text.failed ? NULL : text.data, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        read_line(k, run, line);
    }
    buf_free(&text);
}

static json_t *show(struct killing *k, const char *run) {
    const char *const words[] = {"workflows", "show", run, "--json", NULL};
    return world_ask(&k->world, words);
}

static bool is_over(struct world *w, const void *run) {
    return !deed_alive(w, run);
}

/* --- what `workflows show` tells of each step --------------------------------------------------
 */

typedef void (*see_step)(struct killing *k, const char *run, const char *path, const json_t *step);

/* Groups are gone into; an item is named after its group, a child behind its. */
static void each_step(struct killing *k, const char *run, const char *above, const json_t *steps,
                      see_step see) {
    const json_t *step;
    size_t i;
    json_array_foreach(steps, i, step) {
        const char *name = json_string_value(json_object_get(step, "name"));
        const json_t *below = json_object_get(step, "steps");
        bool item = name && strchr(name, '[');
        char path[64];
        snprintf(path, sizeof path, "%s%s%s", item ? "" : above, above[0] && !item ? "/" : "",
                 name ? name : "?");
        if (below) {
            each_step(k, run, path, below, see);
        } else {
            see(k, run, path, step);
        }
    }
}

static const char *state_of(const json_t *step) {
    const char *state = json_string_value(json_object_get(step, "state"));
    return state ? state : "?";
}

/* A person looks at what there is of a step in doubt, and settles it. */
static void resolve_step(struct killing *k, const char *run, const char *path, const json_t *step) {
    const json_t *undo = json_object_get(step, "undo");
    bool of_undo = str_eq(state_of(undo), "in_doubt");
    char name[80];
    if (!of_undo && !str_eq(state_of(step), "in_doubt")) {
        return;
    }
    snprintf(name, sizeof name, "%s%s", path, of_undo ? DEED_UNDO : "");
    int attempt = (int)json_integer_value(json_object_get(of_undo ? undo : step, "attempts"));
    const struct deed *d = deed_find(&k->deeds, run, name);
    bool done = deed_effects(&k->world, run, name, attempt) > 0;
    const char *const words[] = {"workflows",
                                 "resolve",
                                 run,
                                 path,
                                 done ? "--done" : "--retry",
                                 done ? "--result" : NULL,
                                 "{\"id\": \"by-hand\"}",
                                 NULL};
    k->report.questions++;
    k->report.needless += d && !of_undo && str_eq(d->policy, "probe");
    if (world_run(&k->world, words, NULL, NULL, "out") != 0) {
        world_fail(&k->world, "%s %s cannot be resolved", run, path);
    }
}

static bool resolve(struct killing *k, const char *run) {
    int before = k->report.questions;
    world_wait(&k->world, is_over, run);
    json_t *o = show(k, run);
    each_step(k, run, "", json_object_get(o, "steps"), resolve_step);
    json_decref(o);
    k->report.doubts++;
    if (k->report.questions == before) {
        world_note(&k->world, "%s ended with 4, and no step is shown in doubt", run);
        k->report.not_shown++;
    }
    return k->world.status == HARDY_OK;
}

static void set_due(struct killing *k, const char *run, const char *name, const char *state) {
    struct deed *d = deed_find(&k->deeds, run, name);
    if (d) {
        d->due = str_eq(state, "done") || str_eq(state, "compensated") ? DEED_ONCE
                 : str_eq(state, "pending") || str_eq(state, "?")      ? DEED_NEVER
                                                                       : DEED_PERHAPS;
    }
    if (d && d->told_done && d->due != DEED_ONCE) {
        world_note(&k->world, "%s %s was done, and is shown as %s", run, name, state);
        k->report.lost++;
    }
}

static void look_at_step(struct killing *k, const char *run, const char *path, const json_t *step) {
    char undo[80];
    const char *state = state_of(step);
    snprintf(undo, sizeof undo, "%s" DEED_UNDO, path);
    set_due(k, run, path, state);
    set_due(k, run, undo,
            str_eq(state, "compensated") ? "done" : state_of(json_object_get(step, "undo")));
    bool good = str_eq(state, "done") || (is_undone(run) && !str_eq(state, "in_doubt"));
    if (deed_find(&k->deeds, run, path) && !good) {
        world_note(&k->world, "%s is over, its step %s is %s", run, path, state);
        k->report.lost++;
    }
}

static bool check_finished(struct killing *k, const char *run) {
    json_t *o = show(k, run);
    each_step(k, run, "", json_object_get(o, "steps"), look_at_step);
    json_decref(o);
    return k->world.status == HARDY_OK;
}

/* Ends the removal of old runs that went on beside the run. */
static void end_prune(struct killing *k, struct child *prune, int64_t give_up) {
    while (prune && !prune->ended && loop_clock(k->world.loop) < give_up) {
        world_pause(&k->world, HARDY_MILLISECOND);
    }
    if (prune && (!prune->ended || (prune->signal == 0 && prune->code != 0))) {
        world_fail(&k->world, "hardy workflows prune %s",
                   prune->ended ? "fails: see the file pruned" : "hangs");
    } else if (prune) {
        child_free(prune);
    }
}

/* Types the line once, perhaps killed in its course: the exit code, -1 = killed. Now and then old
 * runs are removed meanwhile, and that is killed too. */
static int once(struct killing *k, const char *run, bool resume) {
    const char *const words[] = {"run", WORKFLOW, "--id", run, NULL};
    const char *const resume_words[] = {"workflows", "resume", run, NULL};
    static const char *const prune_words[] = {"workflows", "prune", "--keep", "1", NULL};
    struct kill_plan plan = kill_plan(k, LONGEST);
    struct child *c =
        world_start(&k->world, resume ? resume_words : words, NULL, NULL, "out", "err");
    struct child *prune = c && kill_draw(k, 4) == 0 ? world_start(&k->world, prune_words, NULL,
                                                                  NULL, "pruned.out", "pruned")
                                                    : NULL;
    struct child *const victims[] = {c, prune};
    int64_t give_up = loop_clock(k->world.loop) + 30 * HARDY_SECOND;
    plan.killed = kill_peace(k);
    while (c && !c->ended && loop_clock(k->world.loop) < give_up) {
        if (kill_due(k, &plan, run)) {
            kill_now(k, victims, prune ? 2 : 1, run, plan.kind);
        }
    }
    end_prune(k, prune, give_up);
    if (!c || !c->ended) {
        world_fail(&k->world, "%s hangs", run);
        return -1;
    }
    int code = c->signal ? -1 : c->code;
    child_free(c);
    read_progress(k, run);
    return code;
}

bool kill_a_run(struct killing *k) {
    char run[16];
    snprintf(run, sizeof run, "r%d", ++k->report.runs);
    if (!write_workflow(k, run)) {
        return false;
    }
    k->report.undone += is_undone(run);
    bool resume = false;
    for (int tries = 0; tries < TRIES && k->world.status == HARDY_OK; tries++) {
        int code = once(k, run, resume);
        resume = code == 1; /* a step that may be repeated lost its shim before hardy's eyes */
        if (code == 0 || (code == 1 && is_undone(run))) {
            return check_finished(k, run);
        }
        if (code == 4 && !resolve(k, run)) {
            return false;
        }
        if (code > 1 && code != 4) {
            return world_fail(&k->world, "%s ends with %d", run, code);
        }
    }
    return world_fail(&k->world, "%s does not come to an end", run);
}
