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

/* The workflow, one step a row; what stands here is written, run, killed and counted. */
static const struct {
    const char *name, *policy;
} steps[] = {
    {"s1", "ask"},   {"s2", "probe"}, {"s3", "rerun"}, {"s4", "ask"},
    {"s5", "probe"}, {"s6", "rerun"}, {"s7", "ask"},   {"s8", "probe"},
};
#define STEPS (sizeof steps / sizeof *steps)

/* Written anew for each run: other spans, so another definition and another input. */
static bool write_workflow(struct killing *k) {
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_puts(&text, "name: loop\nsteps:\n");
    for (size_t i = 0; i < STEPS; i++) {
        buf_printf(&text,
                   "  - {name: %s, in_doubt: %s, run: [\"%s\", " PART_COMMAND
                   ", effect, \"%d\", \"%d\"]",
                   steps[i].name, steps[i].policy, k->world.program,
                   8000 + (int)kill_draw(k, 20000), 8000 + (int)kill_draw(k, 20000));
        if (str_eq(steps[i].policy, "probe")) {
            buf_printf(&text, ", probe: [\"%s\", " PART_COMMAND ", probe]", k->world.program);
        }
        buf_puts(&text, "}\n");
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

/* A person looks at what there is of a step in doubt, and settles it. */
static bool resolve_step(struct killing *k, const char *run, const char *step, int attempt) {
    const struct deed *d = deed_find(&k->deeds, run, step);
    bool done = deed_effects(&k->world, run, step, attempt) > 0;
    const char *const words[] = {"workflows",
                                 "resolve",
                                 run,
                                 step,
                                 done ? "--done" : "--retry",
                                 done ? "--result" : NULL,
                                 "{\"id\": \"by-hand\"}",
                                 NULL};
    k->report.questions++;
    k->report.needless += d && str_eq(d->policy, "probe");
    return world_run(&k->world, words, NULL, NULL, "out") == 0 ||
           world_fail(&k->world, "%s %s cannot be resolved", run, step);
}

static bool resolve(struct killing *k, const char *run) {
    json_t *o = show(k, run), *step;
    size_t i;
    int settled = 0;
    world_wait(&k->world, is_over, run);
    json_array_foreach(json_object_get(o, "steps"), i, step) {
        const char *name = json_string_value(json_object_get(step, "name"));
        const char *state = json_string_value(json_object_get(step, "state"));
        if (name && str_eq(state, "in_doubt") &&
            resolve_step(k, run, name,
                         (int)json_integer_value(json_object_get(step, "attempts")))) {
            settled++;
        }
    }
    json_decref(o);
    k->report.doubts++;
    if (settled == 0) {
        world_note(&k->world, "%s ended with 4, and no step is shown in doubt", run);
        k->report.not_shown++;
    }
    return k->world.status == HARDY_OK;
}

static bool check_finished(struct killing *k, const char *run) {
    json_t *o = show(k, run), *step;
    size_t i;
    json_array_foreach(json_object_get(o, "steps"), i, step) {
        const char *name = json_string_value(json_object_get(step, "name"));
        const char *state = json_string_value(json_object_get(step, "state"));
        if (name && deed_find(&k->deeds, run, name) && !str_eq(state, "done")) {
            world_note(&k->world, "%s is done, its step %s is %s", run, name, state ? state : "?");
            k->report.lost++;
        }
    }
    json_decref(o);
    return k->world.status == HARDY_OK;
}

/* Types the line once, perhaps killed in its course: the exit code, -1 = killed. */
static int once(struct killing *k, const char *run, bool resume) {
    const char *const words[] = {"run", WORKFLOW, "--id", run, NULL};
    const char *const resume_words[] = {"workflows", "resume", run, NULL};
    struct kill_plan plan = kill_plan(k, LONGEST);
    struct child *c =
        world_start(&k->world, resume ? resume_words : words, NULL, NULL, "out", "err");
    int64_t give_up = loop_clock(k->world.loop) + 30 * HARDY_SECOND;
    plan.killed = kill_peace(k);
    while (c && !c->ended && loop_clock(k->world.loop) < give_up) {
        if (kill_due(k, &plan, run)) {
            kill_now(k, &c, 1, run, plan.kind);
        }
    }
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
    for (size_t i = 0; i < STEPS; i++) {
        if (!deed_add(&k->world, &k->deeds, run, steps[i].name, steps[i].policy)) {
            return false;
        }
        k->report.steps++;
    }
    if (!write_workflow(k)) {
        return false;
    }
    bool resume = false;
    for (int tries = 0; tries < TRIES && k->world.status == HARDY_OK; tries++) {
        int code = once(k, run, resume);
        resume = code == 1; /* a step that may be repeated lost its shim before hardy's eyes */
        if (code == 0) {
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
