/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills `hardy exec --key` with KILL again and again: several shells type the same line at the same
 * moment, some with --attach; one, all, or the shim are killed at moments drawn from a seed. The
 * line is typed again until the key is done, then comes another key. In the end another process
 * counts what was done.
 *
 *   kill_keys HARDY KILLS SEED [BUG]
 */
#include "killing.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { SHELLS = 4 };
static struct { int keys, in_doubt, running; } all;

struct key {
    char id[16], before[16], after[16];
    const char *policy;
};

/* The words of the line; they are the same each time, but for --attach. */
static void type_line(const struct key *k, bool attach, const char **words) {
    static char probe[4200];
    size_t n = 0;
    snprintf(probe, sizeof probe, "%s probe", world.self);
    words[n++] = "exec";
    words[n++] = "--key";
    words[n++] = k->id;
    words[n++] = "--in-doubt";
    words[n++] = k->policy;
    if (strcmp(k->policy, "probe") == 0) {
        words[n++] = "--probe";
        words[n++] = probe;
    }
    if (attach) {
        words[n++] = "--attach";
    }
    words[n++] = "--";
    words[n++] = world.self;
    words[n++] = "effect";
    words[n++] = k->before;
    words[n++] = k->after;
    words[n] = NULL;
}

/* Looks at what there is, and settles it. */
static void resolve(const struct key *k) {
    for (int wait = 0; command_alive() && wait < 2000; wait++) {
        sleep_us(1000);
    }
    /* The key's last attempt is the only one that can have left an effect that nobody knows. */
    bool done = count_effects(k->id, "s1", NULL) > 0;
    const char *const words[] = {"actions", "resolve", k->id, done ? "--done" : "--retry", NULL};
    int code = run_hardy(words, "out");
    if (code != 0 && code != 1) { /* 1: another one has settled it meanwhile */
        die("%s cannot be resolved: %d", k->id, code);
    }
    all.in_doubt++;
}

/* One crowd of shells; true when one of them got the result. */
static bool once(const struct key *k, bool in_peace) {
    static const enum kind kinds[] = {HARDY_ONLY, HARDY_ONLY, BOTH, BOTH, SHIM_ONLY, EARLY};
    enum kind kind = kinds[draw(sizeof kinds / sizeof *kinds)];
    bool from_alive = kind != EARLY && draw(3) > 0, killed = in_peace, done = false;
    long delay = (long)(kind == EARLY ? draw(8000) : from_alive ? draw(30000) : draw(90000));
    int count = in_peace ? 1 : 1 + (int)draw(SHELLS), left = count;
    int victims = draw(2) ? count : 1;
    bool doubt = false;
    pid_t pids[SHELLS];
    for (int i = 0; i < count; i++) {
        const char *words[24];
        char out[16], err[16];
        snprintf(out, sizeof out, "out%d", i);
        snprintf(err, sizeof err, "err%d", i);
        type_line(k, draw(2) == 0, words);
        pids[i] = start_hardy(words, out, err);
    }
    long long give_up = now_ms() + 30000;
    for (long slept = 0; left > 0;) {
        for (int i = 0; i < count; i++) {
            int status;
            if (pids[i] == 0 || waitpid(pids[i], &status, WNOHANG) != pids[i]) {
                continue;
            }
            pids[i] = 0;
            left--;
            int code = WIFSIGNALED(status) ? -1 : WEXITSTATUS(status);
            done = done || code == 0;
            doubt = doubt || code == 79;
            all.running += code == 73;
            /* Its shim was lost before hardy's eyes, and it may run again. */
            bool again = code == 137 || code == 143;
            if (code != -1 && code != 0 && code != 73 && code != 79 && !again) {
                die("%s: exit code %d", k->id, code);
            }
        }
        from_alive = from_alive && !command_alive();
        if (!from_alive && slept >= delay && !killed && left > 0) {
            pid_t alive[SHELLS];
            int n = 0;
            for (int i = 0; i < count && n < victims; i++) {
                if (pids[i]) {
                    alive[n++] = pids[i];
                }
            }
            kill_now(alive, n, kind);
            killed = true;
        }
        if (now_ms() > give_up) {
            die("%s hangs", k->id);
        }
        sleep_us(1000);
        slept += from_alive ? 0 : 1000;
    }
    if (doubt && !done) {
        resolve(k);
    }
    return done;
}

static void result(bool good, int number, const char *what) {
    printf("%sok %d - %s\n", good ? "" : "not ", number, what);
}

int main(int argc, char **argv) {
    static const char *const policies[] = {"ask", "probe", "rerun"};
    killing_begin(argc, argv, argc > 3 ? argv[1] : NULL, argc > 3 ? argv[3] : NULL);
    if (argc < 4) {
        fprintf(stderr, "usage: kill_keys HARDY KILLS SEED [BUG]\n");
        return 2;
    }
    int kills = (int)strtol(argv[2], NULL, 10);
    const char *bug = argc > 4 ? argv[4] : NULL;
    struct figures f = {0};
    if (bug) {
        setenv("HARDY_SEEDED_BUG", bug, 1);
    }
    setenv("HARDY_STEP", "s1", 1);
    long long began = now_ms();
    while (world.kills < kills && f.repeated == 0) {
        struct key k = {.policy = policies[draw(3)]};
        snprintf(k.id, sizeof k.id, "k%d", ++all.keys);
        snprintf(k.before, sizeof k.before, "%d", 5000 + (int)draw(20000));
        snprintf(k.after, sizeof k.after, "%d", 5000 + (int)draw(20000));
        setenv("HARDY_RUN_ID", k.id, 1);
        add_deed(k.id, "s1", k.policy);
        for (int tries = 0; !once(&k, world.kills >= kills); tries++) {
            if (tries == 300) {
                die("%s does not come to an end", k.id);
            }
        }
        if (bug) {
            wait_for_descendants();
            f = count_all();
        }
    }
    wait_for_descendants();
    f = count_all();
    print_kills(argv[3], now_ms() - began);
    printf(
        "# %d keys, %d effects, %d repeated as declared, %d silently; %d times told that it runs "
        "elsewhere; %d times in doubt\n",
        all.keys, f.effects, f.allowed, f.repeated, all.running, all.in_doubt);
    bool aimed = world.alive * 100 >= world.kills * 40;
    bool clean = f.repeated == 0 && f.missing == 0;
    if (bug) {
        result(!clean, 1, "the seeded mistake was found");
        printf("1..1\n");
    } else {
        result(world.kills >= kills, 1, "killed as often as was asked for");
        result(aimed, 2, "at least 40 % of the kills while a command was alive");
        result(f.repeated == 0, 3, "no effect was repeated silently");
        result(f.missing == 0, 4, "no key is done without its effect");
        printf("1..4\n");
    }
    killing_end();
    return bug ? clean : !clean || !aimed;
}
