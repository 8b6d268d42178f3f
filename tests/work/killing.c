/* SPDX-License-Identifier: Apache-2.0 */
#include "killing.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

enum { LINE = 256, MAX_DEEDS = 8192 };

struct killing world;
static char folder[] = "/tmp/hardy-kill.XXXXXX";
static uint64_t random_state;

long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void sleep_us(long us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&t, &t) != 0) {
    }
}

void die(const char *format, ...) {
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
int count_effects(const char *run, const char *step, const char *attempt) {
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

/* --- the world ---------------------------------------------------------------------------------
 */

uint64_t draw(uint64_t below) {
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

void killing_begin(int argc, char **argv, const char *hardy, const char *seed) {
    static char self[4096], state[128];
    if (argc == 4 && strcmp(argv[1], "effect") == 0) {
        exit(effect(argv + 2));
    }
    if (argc == 2 && strcmp(argv[1], "probe") == 0) {
        exit(probe());
    }
    if (!hardy || !seed) {
        return;
    }
    world.hardy = realpath(hardy, NULL);
    world.self = realpath("/proc/self/exe", self);
    world.deeds = calloc(MAX_DEEDS, sizeof *world.deeds);
    random_state = strtoull(seed, NULL, 10);
    if (!world.hardy || !world.self || !world.deeds || !mkdtemp(folder) || chdir(folder) != 0) {
        die("cannot begin in %s", folder);
    }
    snprintf(state, sizeof state, "%s/hardy.db", folder);
    setenv("HARDY_STATE", state, 1);
    setenv("XDG_CONFIG_HOME", folder, 1);
    unsetenv("HARDY_CONFIG");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
}

void killing_end(void) {
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    if (chdir("/") != 0 || system(line) != 0) {
        fprintf(stderr, "%s is left\n", folder);
    }
}

struct deed *add_deed(const char *run, const char *step, const char *policy) {
    if (world.count == MAX_DEEDS) {
        die("too many deeds");
    }
    struct deed *d = &world.deeds[world.count++];
    snprintf(d->run, sizeof d->run, "%s", run);
    snprintf(d->step, sizeof d->step, "%s", step);
    d->policy = policy;
    return d;
}

struct deed *find_deed(const char *run, const char *step) {
    for (int i = 0; i < world.count; i++) {
        if (strcmp(world.deeds[i].run, run) == 0 && strcmp(world.deeds[i].step, step) == 0) {
            return &world.deeds[i];
        }
    }
    return NULL;
}

/* --- hardy -------------------------------------------------------------------------------------
 */

pid_t start_hardy(const char *const *words, const char *out, const char *err) {
    const char *argv[24] = {world.hardy};
    for (size_t n = 1; *words && n < 23; words++) {
        argv[n++] = *words;
    }
    unlink(err); /* it may be killed before it opens its own */
    pid_t pid = fork();
    if (pid == 0) {
        int to_err = open(err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int to = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(null, 0);
        dup2(to, 1);
        dup2(to_err, 2);
        execv(world.hardy, (char *const *)(uintptr_t)argv);
        _exit(126);
    }
    if (pid < 0) {
        die("cannot fork");
    }
    return pid;
}

int run_hardy(const char *const *words, const char *out) {
    int status;
    pid_t pid = start_hardy(words, out, "err");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The beginning of a file of /proc, NUL behind; its length, 0 = there is none. */
static size_t read_proc(pid_t pid, const char *name, char *out, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* The deed of a shim in this world; NULL: it is none. */
static bool is_shim(pid_t pid, struct deed **deed) {
    static char text[1 << 17];
    size_t n = read_proc(pid, "cmdline", text, sizeof text);
    if (n < 16 || strcmp(text, "hardy") != 0 || strcmp(text + 6, "__step") != 0 ||
        !memmem(text, n, folder, strlen(folder))) {
        return false;
    }
    n = read_proc(pid, "environ", text, sizeof text);
    const char *run = memmem(text, n, "HARDY_RUN_ID=", 13);
    const char *step = memmem(text, n, "HARDY_STEP=", 11);
    *deed = run && step ? find_deed(run + 13, step + 11) : NULL;
    return true;
}

static int find_shims(pid_t *pids, struct deed **deeds, int max) {
    int count = 0;
    DIR *d = opendir("/proc");
    const struct dirent *e;
    while (d && count < max && (e = readdir(d)) != NULL) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && is_shim(pid, &deeds[count])) {
            pids[count++] = pid;
        }
    }
    if (d) {
        closedir(d);
    }
    return count;
}

bool command_alive(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int fd = open("alive", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool alive = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0) {
        close(fd);
    }
    return alive;
}

void kill_now(const pid_t *hardy, int count, enum kind kind) {
    pid_t shims[8];
    struct deed *deeds[8];
    int found = kind == BOTH || kind == SHIM_ONLY ? find_shims(shims, deeds, 8) : 0;
    bool shims_first = draw(2) == 0;
    if (kind == SHIM_ONLY && found == 0) {
        kind = HARDY_ONLY;
    }
    world.alive += command_alive();
    for (int i = 0; i < count && kind != SHIM_ONLY && !shims_first; i++) {
        kill(hardy[i], SIGKILL);
    }
    for (int i = 0; i < found; i++) {
        kill(shims[i], SIGKILL);
        if (deeds[i]) {
            deeds[i]->shim_kills++;
        }
    }
    for (int i = 0; i < count && kind != SHIM_ONLY && shims_first; i++) {
        kill(hardy[i], SIGKILL);
    }
    world.kills++;
    world.by_kind[kind]++;
}

void wait_for_descendants(void) {
    long long give_up = now_ms() + 20000;
    while (waitpid(-1, NULL, WNOHANG) >= 0 || errno == EINTR) {
        if (now_ms() > give_up) {
            die("descendants do not end");
        }
        sleep_us(1000);
    }
}

static void count_deed(const struct deed *d, struct figures *f) {
    int count = count_effects(d->run, d->step, NULL);
    int most = strcmp(d->policy, "rerun") == 0 ? 1 + d->shim_kills : 1;
    f->effects += count;
    f->allowed += count > 1 && count <= most ? count - 1 : 0;
    f->repeated += count > most ? count - most : 0;
    f->missing += count == 0;
    if (count > most || count == 0) {
        printf("# %s %s (%s): %d effects, %d kills of its shim\n", d->run, d->step, d->policy,
               count, d->shim_kills);
    }
}

struct figures count_all(void) {
    struct figures f = {0};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        die("no pipe");
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < world.count; i++) {
            count_deed(&world.deeds[i], &f);
        }
        fflush(stdout);
        _exit(write(ends[1], &f, sizeof f) == sizeof f ? 0 : 1);
    }
    close(ends[1]);
    bool good = read(ends[0], &f, sizeof f) == sizeof f;
    close(ends[0]);
    waitpid(pid, NULL, 0);
    if (!good) {
        die("cannot count");
    }
    return f;
}

void print_kills(const char *seed, long long took) {
    printf("# seed %s: %d kills in %lld ms (hardy %d, hardy and shim %d, shim %d, early %d), "
           "%.0f %% while a command was alive\n",
           seed, world.kills, took, world.by_kind[HARDY_ONLY], world.by_kind[BOTH],
           world.by_kind[SHIM_ONLY], world.by_kind[EARLY],
           world.kills ? 100.0 * world.alive / world.kills : 0);
}
