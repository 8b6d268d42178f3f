/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest/kill.h"
#include "base/error.h"
#include "base/str.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROC_MAX ((size_t)1 << 17)
#define SHIMS_MAX 16
#define PACE HARDY_MILLISECOND

uint64_t kill_draw(struct killing *k, uint64_t below) {
    return prng_below(&k->world.random, below);
}

bool kill_peace(const struct killing *k) {
    return k->report.kills >= k->wanted;
}

/* --- shims ------------------------------------------------------------------------------------ */

/* The beginning of a file of /proc, NUL behind; its length, 0 = there is none. */
static size_t read_proc(const char *pid, const char *name, char *out, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* The deed of this run or key that the process is the shim of; NULL. */
static struct deed *shim_deed(struct killing *k, const char *pid, const char *run) {
    static char text[PROC_MAX];
    size_t n = read_proc(pid, "cmdline", text, sizeof text);
    if (n < 16 || !str_eq(text, "hardy") || !str_eq(text + 6, "__step") ||
        !memmem(text, n, k->world.folder, strlen(k->world.folder))) {
        return NULL;
    }
    static const char undoing[] = PART_COMMAND "\0undo";
    bool undo = memmem(text, n, undoing, sizeof undoing) != NULL;
    n = read_proc(pid, "environ", text, sizeof text);
    const char *its_run = memmem(text, n, "HARDY_RUN_ID=", 13);
    const char *its_step = memmem(text, n, "HARDY_STEP=", 11);
    if (!its_run || !its_step || !str_eq(its_run + 13, run)) {
        return NULL;
    }
    char name[80];
    snprintf(name, sizeof name, "%s%s", its_step + 11, undo ? DEED_UNDO : "");
    return deed_find(&k->deeds, run, name);
}

static size_t find_shims(struct killing *k, const char *run, pid_t *pids, struct deed **deeds) {
    size_t count = 0;
    DIR *d = opendir("/proc");
    const struct dirent *e;
    while (d && count < SHIMS_MAX && (e = readdir(d)) != NULL) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && (deeds[count] = shim_deed(k, e->d_name, run)) != NULL) {
            pids[count++] = pid;
        }
    }
    if (d) {
        closedir(d);
    }
    return count;
}

/* --- kills ------------------------------------------------------------------------------------ */

static void kill_children(struct child *const *hardy, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!hardy[i]->ended) {
            kill(child_pid(hardy[i]), SIGKILL);
        }
    }
}

void kill_now(struct killing *k, struct child *const *hardy, size_t count, const char *run,
              enum kill_kind kind) {
    pid_t shims[SHIMS_MAX];
    struct deed *deeds[SHIMS_MAX];
    bool shims_too = kind == KILL_BOTH || kind == KILL_SHIM;
    size_t found = shims_too ? find_shims(k, run, shims, deeds) : 0;
    bool shims_first = kill_draw(k, 2) == 0;
    if (kind == KILL_SHIM && found == 0) {
        kind = KILL_HARDY;
    }
    k->report.alive += deed_alive(&k->world, run);
    if (kind != KILL_SHIM && !shims_first) {
        kill_children(hardy, count);
    }
    for (size_t i = 0; i < found; i++) {
        kill(shims[i], SIGKILL);
        deeds[i]->shim_kills++;
    }
    if (kind != KILL_SHIM && shims_first) {
        kill_children(hardy, count);
    }
    k->report.kills++;
    k->report.by_kind[kind]++;
}

/* Three in four from the moment on that a command is alive, however slow this machine is. */
struct kill_plan kill_plan(struct killing *k, int64_t longest) {
    static const enum kill_kind kinds[] = {KILL_HARDY, KILL_HARDY, KILL_HARDY,
                                           KILL_HARDY, KILL_BOTH,  KILL_BOTH,
                                           KILL_BOTH,  KILL_SHIM,  KILL_EARLY};
    struct kill_plan p = {.kind = kinds[kill_draw(k, sizeof kinds / sizeof *kinds)]};
    p.from_alive = p.kind != KILL_EARLY && kill_draw(k, 4) > 0;
    int64_t span = p.kind == KILL_EARLY ? 8 * HARDY_MILLISECOND
                   : p.from_alive       ? (kill_draw(k, 2) ? 8 : 24) * HARDY_MILLISECOND
                                        : longest;
    p.delay = (int64_t)kill_draw(k, (uint64_t)span);
    return p;
}

bool kill_due(struct killing *k, struct kill_plan *p, const char *run) {
    p->from_alive = p->from_alive && !deed_alive(&k->world, run);
    if (!p->from_alive && !p->killed && p->slept >= p->delay) {
        p->killed = true;
        return true;
    }
    int64_t pause = PACE;
    if (!p->from_alive && !p->killed && p->delay - p->slept < pause) {
        pause = p->delay - p->slept;
    }
    world_pause(&k->world, pause);
    p->slept += p->from_alive ? 0 : pause;
    return false;
}

/* --- the loop --------------------------------------------------------------------------------- */

/* What one run or key has done, when nothing of it is left that could do more. */
static bool judge(struct killing *k, size_t first) {
    struct kill_report *r = &k->report;
    if (!world_quiet(&k->world) || !deed_count(&k->world, &k->deeds, k->deeds.list[first].run)) {
        return false;
    }
    for (size_t i = first; i < k->deeds.count; i++) {
        const struct deed *d = &k->deeds.list[i];
        int most = str_eq(d->policy, "rerun") ? 1 + d->shim_kills : 1;
        r->effects += d->effects;
        bool missing = d->due == DEED_ONCE && d->effects == 0;
        most = d->due == DEED_NEVER ? 0 : most;
        r->missing += missing;
        r->allowed += d->effects > 1 && d->effects <= most ? d->effects - 1 : 0;
        r->repeated += d->effects > most ? d->effects - most : 0;
        if (d->effects > most || missing) {
            world_note(&k->world, "%s %s (in doubt: %s): %d effects, its shim was killed %d times",
                       d->run, d->step, d->policy, d->effects, d->shim_kills);
        }
    }
    return true;
}

static bool go_on(struct killing *k, bool runs, bool keys) {
    for (bool run = runs; k->report.kills < k->wanted && kill_clean(&k->report);
         run = runs && (!keys || !run)) {
        size_t first = k->deeds.count;
        if (!(run ? kill_a_run(k) : kill_a_key(k)) || !judge(k, first)) {
            return false;
        }
    }
    int total = deed_total(&k->world);
    if (total != k->report.effects && kill_clean(&k->report)) {
        world_note(&k->world, "%d effects at the end, %d were counted as they happened", total,
                   k->report.effects);
        k->report.repeated += total > k->report.effects ? total - k->report.effects : 1;
    }
    return k->world.status == HARDY_OK;
}

bool kill_clean(const struct kill_report *r) {
    return r->repeated == 0 && r->missing == 0 && r->lost == 0 && r->not_shown == 0;
}

hardy_status kill_loop(const struct kill_options *o, struct kill_report *report,
                       hardy_error *error) {
    struct killing k = {.wanted = o->kills};
    int64_t began = loop_clock(o->loop);
    k.world.note = o->note;
    k.world.ctx = o->ctx;
    world_begin(&k.world, o->loop, o->program, o->dir, o->env, o->seed);
    bool good = k.world.status == HARDY_OK && go_on(&k, o->runs, o->keys);
    bool keep =
        k.world.folder && k.world.status != HARDY_E_CANCELLED && (!good || !kill_clean(&k.report));
    k.report.took = loop_clock(o->loop) - began;
    *report = k.report;
    if (keep) {
        world_note(&k.world, "the folder is left as it is: %s", k.world.folder);
    }
    hardy_status status = k.world.status;
    if (status != HARDY_OK) {
        fail(error, status, k.world.error.where, "%s", k.world.error.message);
    }
    world_end(&k.world, keep);
    free(k.deeds.list);
    return status;
}
