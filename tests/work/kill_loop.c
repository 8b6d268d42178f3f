/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills `hardy run` with KILL again and again, at moments drawn from a seed: hardy alone, hardy and
 * the step's shim, the shim alone; types the same line again until the run is done, then begins
 * another. Each step appends one line to a file and takes some tens of milliseconds. In the end,
 * when every descendant has ended, another process counts the lines.
 *
 *   kill_loop HARDY KILLS SEED [BUG]
 *
 * With BUG, HARDY has that seeded mistake, and the loop has to find it.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 8, MAX_RUNS = 400, LINE = 256 };
static const char *const policies[STEPS] = {"ask",   "probe", "rerun", "ask",
                                            "probe", "rerun", "ask",   "probe"};

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sleep_us(long us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&t, &t) != 0) {
    }
}

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("Bail out! ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    fflush(stdout);
    exit(99);
}

/* --- the command, and its probe ------------------------------------------------------------- */

static const char *need(const char *name) {
    const char *value = getenv(name);
    if (!value) {
        exit(98);
    }
    return value;
}

/* While it lives it holds a read lock on the file `alive`. */
static int effect(char **argv) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    int alive = open("alive", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (alive < 0 || fcntl(alive, F_OFD_SETLK, &lock) != 0) {
        return 97;
    }
    char line[LINE];
    int len = snprintf(line, sizeof line, "%s %s %s\n", need("HARDY_RUN_ID"), need("HARDY_STEP"),
                       need("HARDY_ATTEMPT"));
    sleep_us(strtol(argv[0], NULL, 10));
    int fd = open("effects", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)len) != len) {
        return 96;
    }
    sleep_us(strtol(argv[1], NULL, 10));
    printf("{\"id\": \"%s\"}\n", need("HARDY_STEP"));
    return 0;
}

/* How many effects of this step there are; of this attempt only, when it is given. */
static int count_effects(const char *run, const char *step, const char *attempt) {
    FILE *f = fopen("effects", "re");
    char line[LINE], wanted[LINE];
    int count = 0;
    snprintf(wanted, sizeof wanted, "%s %s %s%s", run, step, attempt ? attempt : "",
             attempt ? "\n" : "");
    while (f && fgets(line, sizeof line, f)) {
        count += strncmp(line, wanted, strlen(wanted)) == 0;
    }
    if (f) {
        fclose(f);
    }
    return count;
}

static int probe(void) {
    if (count_effects(need("HARDY_RUN_ID"), need("HARDY_STEP"), NULL) == 0) {
        return 1;
    }
    printf("{\"id\": \"%s\"}\n", need("HARDY_STEP"));
    return 0;
}

/* --- the loop ----------------------------------------------------------------------------------
 */

struct run {
    char id[32];
    bool told_done[STEPS]; /* hardy said that the step is done */
    int shim_kills[STEPS]; /* of its shim: each may cost a repetition where that is declared */
    int started[STEPS];    /* as told */
};

static struct {
    const char *hardy, *self;
    uint64_t random;
    struct run runs[MAX_RUNS];
    int run_count;
    int kills, alive, by_kind[4], in_doubt, lost, not_shown, resumed, attached, probed;
} all;

enum kind { HARDY_ONLY, BOTH, SHIM_ONLY, EARLY };

static uint64_t draw(uint64_t below) {
    all.random += 0x9e3779b97f4a7c15u;
    uint64_t z = all.random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

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
                all.self, 8000 + (int)draw(20000), 8000 + (int)draw(20000), policies[i]);
        fprintf(f, strcmp(policies[i], "probe") == 0 ? ", probe: [\"%s\", probe]}\n" : "}\n",
                all.self);
    }
    fclose(f);
}

/* Starts hardy with these words; its standard error goes to the file `err`. */
static pid_t start(const char *const *words, const char *out) {
    const char *argv[16] = {all.hardy};
    size_t n = 1;
    for (; *words; words++) {
        argv[n++] = *words;
    }
    unlink("err"); /* it may be killed before it opens its own */
    pid_t pid = fork();
    if (pid == 0) {
        int err = open("err", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int to = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(null, 0);
        dup2(to, 1);
        dup2(err, 2);
        execv(all.hardy, (char *const *)(uintptr_t)argv);
        _exit(126);
    }
    if (pid < 0) {
        die("cannot fork");
    }
    return pid;
}

static int run_hardy(const char *const *words, const char *out) {
    int status;
    pid_t pid = start(words, out);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Shims below hardy or left to us; the step of each. */
static int find_shims(pid_t *pids, int *steps, int max) {
    char list[4096] = "";
    int count = 0;
    FILE *f = popen("grep -lsa '__step' /proc/[0-9]*/cmdline", "re");
    size_t len = f ? fread(list, 1, sizeof list - 1, f) : 0;
    list[len] = '\0';
    if (f) {
        pclose(f);
    }
    char here[4096];
    if (!getcwd(here, sizeof here)) {
        die("no folder");
    }
    for (char *at = list; (at = strstr(at, "/proc/")) && count < max; at++) {
        char path[64], words[8192] = "";
        pid_t pid = (pid_t)strtol(at + 6, NULL, 10);
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, words, sizeof words - 1);
        if (fd >= 0) {
            close(fd);
        }
        if (n <= 0 || strcmp(words, "hardy") != 0 ||
            !memmem(words, (size_t)n, here, strlen(here))) {
            continue; /* somebody else's */
        }
        /* Our steps are told apart by their environment only. */
        snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        static char env[1 << 17];
        n = fd < 0 ? 0 : read(fd, env, sizeof env - 1);
        if (fd >= 0) {
            close(fd);
        }
        char *step = n > 0 ? memmem(env, (size_t)n, "HARDY_STEP=", 11) : NULL;
        pids[count] = pid;
        steps[count++] = step ? step_number(step + 11) : -1;
    }
    return count;
}

static bool command_alive(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int fd = open("alive", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool alive = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0) {
        close(fd);
    }
    return alive;
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
            run->started[step]++;
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

static void kill_now(struct run *run, pid_t hardy, enum kind kind) {
    pid_t shims[8];
    int steps[8], count = 0;
    if (kind == BOTH || kind == SHIM_ONLY) {
        count = find_shims(shims, steps, 8);
        if (kind == SHIM_ONLY && count == 0) {
            kind = HARDY_ONLY;
        }
    }
    bool shims_first = draw(2) == 0;
    all.alive += command_alive();
    if (kind != SHIM_ONLY && !shims_first) {
        kill(hardy, SIGKILL);
    }
    for (int i = 0; i < count; i++) {
        kill(shims[i], SIGKILL);
        if (steps[i] >= 0) {
            run->shim_kills[steps[i]]++;
        }
    }
    if (kind != SHIM_ONLY) {
        kill(hardy, SIGKILL);
    }
    all.kills++;
    all.by_kind[kind]++;
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
    pid_t pid = start(resume ? resume_words : words, "out");
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
            kill_now(run, pid, kind);
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
        if (all.kills >= kills) { /* the last run may end in peace */
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

static void wait_for_descendants(void) {
    long long give_up = now_ms() + 20000;
    while (waitpid(-1, NULL, WNOHANG) >= 0 || errno == EINTR) {
        if (now_ms() > give_up) {
            die("descendants do not end");
        }
        sleep_us(1000);
    }
}

/* In a process of its own; what it prints is the verdict. */
static int count_all(int *repeated, int *missing, int *effects, int *allowed) {
    int ends[2], figures[4] = {0};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        die("no pipe");
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (int r = 0; r < all.run_count; r++) {
            const struct run *run = &all.runs[r];
            for (int s = 0; s < STEPS; s++) {
                char name[8];
                snprintf(name, sizeof name, "s%d", s + 1);
                int count = count_effects(run->id, name, NULL);
                int most = strcmp(policies[s], "rerun") == 0 ? 1 + run->shim_kills[s] : 1;
                figures[2] += count;
                figures[3] += count > 1 && count <= most ? count - 1 : 0;
                if (count > most) {
                    printf("# %s %s (%s): %d effects, %d kills of its shim\n", run->id, name,
                           policies[s], count, run->shim_kills[s]);
                    figures[0] += count - most;
                }
                figures[1] += count == 0;
            }
        }
        fflush(stdout);
        _exit(write(ends[1], figures, sizeof figures) == sizeof figures ? 0 : 1);
    }
    close(ends[1]);
    bool read_all = read(ends[0], figures, sizeof figures) == sizeof figures;
    close(ends[0]);
    waitpid(pid, NULL, 0);
    *repeated = figures[0];
    *missing = figures[1];
    *effects = figures[2];
    *allowed = figures[3];
    return read_all ? 0 : -1;
}

static void result(bool good, int number, const char *what) {
    printf("%sok %d - %s\n", good ? "" : "not ", number, what);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "effect") == 0) {
        return effect(argv + 2);
    }
    if (argc == 2 && strcmp(argv[1], "probe") == 0) {
        return probe();
    }
    if (argc < 4) {
        fprintf(stderr, "usage: kill_loop HARDY KILLS SEED [BUG]\n");
        return 2;
    }
    static char self[4096], folder[] = "/tmp/hardy-kill.XXXXXX", state[128];
    int kills = (int)strtol(argv[2], NULL, 10);
    const char *bug = argc > 4 ? argv[4] : NULL;
    all.hardy = realpath(argv[1], NULL);
    all.self = realpath("/proc/self/exe", self);
    all.random = strtoull(argv[3], NULL, 10);
    if (!all.hardy || !all.self || !mkdtemp(folder) || chdir(folder) != 0) {
        die("cannot begin in %s", folder);
    }
    snprintf(state, sizeof state, "%s/hardy.db", folder);
    setenv("HARDY_STATE", state, 1);
    setenv("XDG_CONFIG_HOME", folder, 1);
    unsetenv("HARDY_CONFIG");
    if (bug) {
        setenv("HARDY_SEEDED_BUG", bug, 1);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    write_workflow();
    long long began = now_ms();
    int repeated = 0, missing = 0, effects = 0, allowed = 0;
    while (all.kills < kills && all.run_count < MAX_RUNS) {
        struct run *run = &all.runs[all.run_count++];
        snprintf(run->id, sizeof run->id, "r%d", all.run_count);
        drive(run, kills);
        if (bug && all.lost == 0) { /* enough is enough */
            wait_for_descendants();
            if (count_all(&repeated, &missing, &effects, &allowed) == 0 && repeated > 0) {
                break;
            }
        }
    }
    wait_for_descendants();
    if (count_all(&repeated, &missing, &effects, &allowed) != 0) {
        die("cannot count");
    }
    double percent = all.kills ? 100.0 * all.alive / all.kills : 0;
    printf(
        "# seed %s: %d kills in %lld ms (hardy %d, hardy and shim %d, shim %d, early %d), %.0f %% "
        "while a command was alive\n",
        argv[3], all.kills, now_ms() - began, all.by_kind[HARDY_ONLY], all.by_kind[BOTH],
        all.by_kind[SHIM_ONLY], all.by_kind[EARLY], percent);
    printf("# %d runs of %d steps, %d effects, %d repeated as declared, %d silently; %d finished "
           "steps lost; attached %d times, probed %d\n",
           all.run_count, STEPS, effects, allowed, repeated, all.lost, all.attached, all.probed);
    printf("# %d times in doubt: %.0f questions for 100 kills\n", all.in_doubt,
           all.kills ? 100.0 * all.in_doubt / all.kills : 0);
    bool clean = repeated == 0 && missing == 0 && all.lost == 0 && all.not_shown == 0;
    if (bug) {
        result(!clean, 1, "the seeded mistake was found");
        printf("1..1\n");
    } else {
        result(all.kills >= kills, 1, "killed as often as was asked for");
        result(percent >= 40, 2, "at least 40 % of the kills while a command was alive");
        result(all.lost == 0, 3, "no finished step was lost");
        result(repeated == 0, 4, "no effect was repeated silently");
        result(missing == 0, 5, "no step is done without its effect");
        result(all.not_shown == 0, 6, "every step in doubt was shown");
        printf("1..6\n");
    }
    char remove[64];
    snprintf(remove, sizeof remove, "rm -rf %s", folder);
    if (chdir("/") != 0 || system(remove) != 0) {
        fprintf(stderr, "%s is left\n", folder);
    }
    return bug ? clean : !clean || percent < 40;
}
