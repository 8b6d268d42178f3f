/* SPDX-License-Identifier: Apache-2.0 */
/* A command with a key: several shells type the same line at the same moment, some of them with
 * --attach; one or all of them are killed, or the shim. The line is typed again until one of them
 * gets the result. */
#include "base/str.h"
#include "selftest/kill.h"
#include <stdio.h>
#include <stdlib.h>

#define STEP "key"
#define TRIES 300
#define LONGEST (90 * HARDY_MILLISECOND)
enum { SHELLS = 4 };

struct key {
    char id[16], before[16], after[16];
    const char *policy;
    char *probe; /* as a shell reads it */
};

/* The words of the line; they are the same each time, but for --attach. */
static void type_line(const struct killing *k, const struct key *key, bool attach,
                      const char **words) {
    size_t n = 0;
    words[n++] = "exec";
    words[n++] = "--key";
    words[n++] = key->id;
    words[n++] = "--in-doubt";
    words[n++] = key->policy;
    if (str_eq(key->policy, "probe")) {
        words[n++] = "--probe";
        words[n++] = key->probe;
    }
    if (attach) {
        words[n++] = "--attach";
    }
    words[n++] = "--";
    words[n++] = k->world.program;
    words[n++] = PART_COMMAND;
    words[n++] = "effect";
    words[n++] = key->before;
    words[n++] = key->after;
    words[n] = NULL;
}

static bool is_over(struct world *w, const void *run) {
    return !deed_alive(w, run);
}

/* Looks at what there is, and settles it. The key's last attempt is the only one that can have left
 * an effect that nobody knows. */
static bool resolve(struct killing *k, const struct key *key) {
    world_wait(&k->world, is_over, key->id);
    bool done = deed_effects(&k->world, key->id, STEP, 0) > 0;
    const char *const words[] = {"actions", "resolve", key->id, done ? "--done" : "--retry", NULL};
    int code = world_run(&k->world, words, NULL, NULL, "out");
    k->report.doubts++;
    k->report.questions++;
    k->report.needless += str_eq(key->policy, "probe");
    /* 1: another one has settled it meanwhile. */
    return code == 0 || code == 1 ||
           world_fail(&k->world, "%s cannot be resolved: %d", key->id, code);
}

struct crowd {
    struct child *shells[SHELLS];
    size_t count, left;
    bool done, doubt;
};

static bool start(struct killing *k, const struct key *key, struct crowd *c) {
    for (c->left = 0; c->left < c->count; c->left++) {
        const char *words[24];
        char out[16], err[16];
        snprintf(out, sizeof out, "out%zu", c->left);
        snprintf(err, sizeof err, "err%zu", c->left);
        type_line(k, key, kill_draw(k, 2) == 0, words);
        c->shells[c->left] = world_start(&k->world, words, key->id, STEP, out, err);
        if (!c->shells[c->left]) {
            return false;
        }
    }
    return true;
}

static bool look(struct killing *k, const struct key *key, struct crowd *c) {
    for (size_t i = 0; i < c->count; i++) {
        struct child *shell = c->shells[i];
        if (!shell || !shell->ended) {
            continue;
        }
        int code = shell->signal ? -1 : shell->code;
        c->done = c->done || code == 0;
        c->doubt = c->doubt || code == 79;
        k->report.running += code == 73;
        child_free(shell);
        c->shells[i] = NULL;
        c->left--;
        /* 137, 143: its shim was lost before hardy's eyes, and it may run again. */
        if (code != -1 && code != 0 && code != 73 && code != 79 && code != 137 && code != 143) {
            return world_fail(&k->world, "%s: exit code %d", key->id, code);
        }
    }
    return true;
}

/* One crowd of shells; true when one of them got the result. */
static bool once(struct killing *k, const struct key *key) {
    struct kill_plan plan = kill_plan(k, LONGEST);
    struct crowd c = {.count = kill_peace(k) ? 1 : 1 + (size_t)kill_draw(k, SHELLS)};
    size_t victims = kill_draw(k, 2) ? c.count : 1;
    int64_t give_up = loop_clock(k->world.loop) + 30 * HARDY_SECOND;
    plan.killed = kill_peace(k);
    if (!start(k, key, &c)) {
        return false;
    }
    while (c.left > 0 && look(k, key, &c) && loop_clock(k->world.loop) < give_up) {
        if (!kill_due(k, &plan, key->id) || c.left == 0) {
            continue;
        }
        struct child *alive[SHELLS];
        size_t n = 0;
        for (size_t i = 0; i < c.count && n < victims; i++) {
            if (c.shells[i]) {
                alive[n++] = c.shells[i];
            }
        }
        kill_now(k, alive, n, key->id, plan.kind);
    }
    if (c.left > 0) {
        return world_fail(&k->world, "%s hangs", key->id);
    }
    if (c.doubt && !c.done) {
        resolve(k, key);
    }
    return c.done;
}

bool kill_a_key(struct killing *k) {
    static const char *const policies[] = {"ask", "probe", "rerun"};
    struct key key = {.policy = policies[kill_draw(k, 3)]};
    snprintf(key.id, sizeof key.id, "k%d", ++k->report.keys);
    snprintf(key.before, sizeof key.before, "%d", 5000 + (int)kill_draw(k, 20000));
    snprintf(key.after, sizeof key.after, "%d", 5000 + (int)kill_draw(k, 20000));
    key.probe = str_format("'%s' " PART_COMMAND " probe", k->world.program);
    if (!key.probe || !deed_add(&k->world, &k->deeds, key.id, STEP, key.policy)) {
        free(key.probe);
        return world_fail(&k->world, "no memory");
    }
    bool done = false;
    for (int tries = 0; tries < TRIES && !done && k->world.status == HARDY_OK; tries++) {
        done = once(k, &key);
    }
    free(key.probe);
    return done || world_fail(&k->world, "%s does not come to an end", key.id);
}
