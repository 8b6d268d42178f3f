/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills `hardy run` with KILL again and again, at moments drawn from a seed: hardy alone, hardy and
 * the step's shim, the shim alone; types the same line again until the run is done, then begins
 * another. Each step appends one line to a file and takes some tens of milliseconds. In the end,
 * when every descendant has ended, another process counts the lines.
 *
 *   kill_runs HARDY KILLS SEED [BUG]
 *
 * With BUG, HARDY has that seeded mistake, and the loop has to find it.
 */
#include "killing.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { STEPS = 8 };
static const char *const policies[STEPS] = {"ask",   "probe", "rerun", "ask",
                                            "probe", "rerun", "ask",   "probe"};

struct run {
    char id[16];
    bool told_done[STEPS]; /* hardy said that the step is done */
};
static struct { int runs, in_doubt, lost, not_shown, resumed, attached, probed; } all;

static int step_number(const char *name) {
    int n = name[0] == 's' ? (int)strtol(name + 1, NULL, 10) : 0;
    return n >= 1 && n <= STEPS ? n - 1 : -1;
}

static void write_workflow(void) {
    FILE *f = fopen("loop.yaml", "we");
    if (!f) {
        die("cannot write loop.yaml");
    }
    fprintf(f, "name: loop\nsteps:\n");
    for (int i = 0; i < STEPS; i++) {
        fprintf(f, "  - {name: s%d, run: [\"%s\", effect, \"%d\", \"%d\"], in_doubt: %s", i + 1,
                world.self, 8000 + (int)draw(20000), 8000 + (int)draw(20000), policies[i]);
        fprintf(f, strcmp(policies[i], "probe") == 0 ? ", probe: [\"%s\", probe]}\n" : "}\n",
                world.self);
    }
    fclose(f);
}

/* What hardy said: a step that was told done is never started again. */
static void read_progress(struct run *run) {
    FILE *f = fopen("err", "re");
    char line[1024];
    while (f && fgets(line, sizeof line, f)) {
        const char *at = strstr(line, "hardy run: s");
        int step = at ? step_number(at + 11) : -1;
        const char *what = at ? strstr(at + 11, ": ") : NULL;
        if (step < 0 || !what) {
            continue;
        }
        if (strncmp(what, ": done", 6) == 0) {
            run->told_done[step] = true;
        } else if (strncmp(what, ": started", 9) == 0) {
            if (run->told_done[step]) {
                printf("# %s: s%d was done and is started again\n", run->id, step + 1);
                all.lost++;
            }
        }
        all.attached += strstr(what, "attached to it") != NULL;
        all.probed += strstr(what, "the probe says") != NULL;
    }
    if (f) {
        fclose(f);
    }
}

static json_t *show(const struct run *run) {
    const char *const words[] = {"workflows", "show", run->id, "--json", NULL};
    int code = run_hardy(words, "out");
    json_error_t why;
    json_t *o = code == 0 ? json_load_file("out", 0, &why) : NULL;
    if (!o) {
        die("hardy workflows show %s: code %d", run->id, code);
    }
    return o;
}

/* A person looks at what there is, and settles it. */
static void resolve(struct run *run) {
    json_t *o = show(run), *step;
    size_t i;
    int settled = 0;
    for (int wait = 0; command_alive() && wait < 2000; wait++) {
        sleep_us(1000);
    }
    json_array_foreach(json_object_get(o, "steps"), i, step) {
        const char *name = json_string_value(json_object_get(step, "name"));
        const char *state = json_string_value(json_object_get(step, "state"));
        if (!name || !state || strcmp(state, "in_doubt") != 0) {
            continue;
        }
        char attempt[24];
        snprintf(attempt, sizeof attempt, "%d",
                 (int)json_integer_value(json_object_get(step, "attempts")));
        bool done = count_effects(run->id, name, attempt) > 0;
        const char *const words[] = {"workflows",
                                     "resolve",
                                     run->id,
                                     name,
                                     done ? "--done" : "--retry",
                                     done ? "--result" : NULL,
                                     "{\"id\": \"by-hand\"}",
                                     NULL};
        if (run_hardy(words, "out") != 0) {
            die("%s %s cannot be resolved", run->id, name);
        }
        settled++;
    }
    json_decref(o);
    all.in_doubt++;
    if (settled != 1) {
        printf("# %s ended with 4, and %d steps are shown in doubt\n", run->id, settled);
        all.not_shown++;
    }
}

static void check_finished(const struct run *run) {
    json_t *o = show(run), *step;
    size_t i;
    json_array_foreach(json_object_get(o, "steps"), i, step) {
        const char *state = json_string_value(json_object_get(step, "state"));
        if (!state || strcmp(state, "done") != 0) {
            printf("# %s is done, its step s%zu is %s\n", run->id, i + 1, state ? state : "?");
            all.lost++;
        }
    }
    json_decref(o);
}

/* Runs the line once, perhaps killed in its course. Answers its exit code, -1 when it was killed.
 */
static int once(struct run *run, bool resume) {
    const char *const words[] = {"run", "loop.yaml", "--id", run->id, NULL};
    const char *const resume_words[] = {"workflows", "resume", run->id, NULL};
    static const enum kind kinds[] = {HARDY_ONLY, HARDY_ONLY, HARDY_ONLY, HARDY_ONLY, BOTH,
                                      BOTH,       BOTH,       SHIM_ONLY,  EARLY};
    enum kind kind = kinds[draw(sizeof kinds / sizeof *kinds)];
    /* Two in three from the moment on that a command is alive, however slow this machine is. */
    bool from_alive = kind != EARLY && draw(3) > 0;
    long delay = (long)(kind == EARLY ? draw(8000) : from_alive ? draw(30000) : draw(150000));
    pid_t pid = start_hardy(resume ? resume_words : words, "out", "err");
    bool killed = false;
    int status;
    long long give_up = now_ms() + 30000;
    for (long slept = 0;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) {
            break;
        }
        from_alive = from_alive && !command_alive();
        if (!from_alive && slept >= delay && !killed) {
            kill_now(&pid, 1, kind);
            killed = true;
        }
        if (now_ms() > give_up) {
            kill(pid, SIGKILL);
            die("%s hangs", run->id);
        }
        long pause = !from_alive && !killed && slept + 1000 > delay ? delay - slept : 1000;
        sleep_us(pause);
        slept += from_alive ? 0 : pause;
    }
    read_progress(run);
    return WIFSIGNALED(status) ? -1 : WEXITSTATUS(status);
}

/* One run from its beginning to its end. */
static void drive(struct run *run, int kills) {
    bool resume = false;
    for (int tries = 0; tries < 500; tries++) {
        if (world.kills >= kills) { /* the last run may end in peace */
            const char *const words[] = {"run", "loop.yaml", "--id", run->id, NULL};
            int code = run_hardy(words, "out");
            read_progress(run);
            if (code == 0) {
                check_finished(run);
                return;
            }
            resume = code == 1;
            if (code == 4) {
                resolve(run);
                continue;
            }
            if (code != 1) {
                die("%s ends with %d", run->id, code);
            }
        }
        int code = once(run, resume);
        resume = false;
        switch (code) {
        case -1:
            break;
        case 0:
            check_finished(run);
            return;
        case 1: /* a step that may be repeated lost its shim before hardy's eyes */
            all.resumed++;
            resume = true;
            break;
        case 4:
            resolve(run);
            break;
        default:
            die("%s ends with %d", run->id, code);
        }
    }
    die("%s does not come to an end", run->id);
}

static void result(bool good, int number, const char *what) {
    printf("%sok %d - %s\n", good ? "" : "not ", number, what);
}

int main(int argc, char **argv) {
    killing_begin(argc, argv, argc > 3 ? argv[1] : NULL, argc > 3 ? argv[3] : NULL);
    if (argc < 4) {
        fprintf(stderr, "usage: kill_runs HARDY KILLS SEED [BUG]\n");
        return 2;
    }
    int kills = (int)strtol(argv[2], NULL, 10);
    const char *bug = argc > 4 ? argv[4] : NULL;
    struct figures f = {0};
    if (bug) {
        setenv("HARDY_SEEDED_BUG", bug, 1);
    }
    write_workflow();
    long long began = now_ms();
    while (world.kills < kills && f.repeated == 0) {
        struct run run = {0};
        snprintf(run.id, sizeof run.id, "r%d", ++all.runs);
        for (int s = 0; s < STEPS; s++) {
            char name[8];
            snprintf(name, sizeof name, "s%d", s + 1);
            add_deed(run.id, name, policies[s]);
        }
        drive(&run, kills);
        if (bug) { /* enough is enough */
            wait_for_descendants();
            f = count_all();
        }
    }
    wait_for_descendants();
    f = count_all();
    print_kills(argv[3], now_ms() - began);
    printf("# %d runs of %d steps, %d effects, %d repeated as declared, %d silently; %d finished "
           "steps lost; attached %d times, probed %d\n",
           all.runs, STEPS, f.effects, f.allowed, f.repeated, all.lost, all.attached, all.probed);
    printf("# %d times in doubt: %.0f questions for 100 kills\n", all.in_doubt,
           world.kills ? 100.0 * all.in_doubt / world.kills : 0);
    bool aimed = world.alive * 100 >= world.kills * 40;
    bool clean = f.repeated == 0 && f.missing == 0 && all.lost == 0 && all.not_shown == 0;
    if (bug) {
        result(!clean, 1, "the seeded mistake was found");
        printf("1..1\n");
    } else {
        result(world.kills >= kills, 1, "killed as often as was asked for");
        result(aimed, 2, "at least 40 % of the kills while a command was alive");
        result(all.lost == 0, 3, "no finished step was lost");
        result(f.repeated == 0, 4, "no effect was repeated silently");
        result(f.missing == 0, 5, "no step is done without its effect");
        result(all.not_shown == 0, 6, "every step in doubt was shown");
        printf("1..6\n");
    }
    killing_end();
    return bug ? clean : !clean || !aimed;
}
