/* SPDX-License-Identifier: Apache-2.0 */
#include "io/spawn.h"
#include "base/error.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STDIO 3
#define FD_MAX (STDIO + SPAWN_KEEP_MAX)

static void child_signals(void) {
    for (int i = 1; i < NSIG; i++) {
        struct sigaction old, action = {.sa_handler = SIG_DFL};
        if (i == SIGHUP && sigaction(i, NULL, &old) == 0 && old.sa_handler == SIG_IGN) {
            continue; /* started under nohup */
        }
        (void)sigaction(i, &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Everything is moved above the range first: a source may be another one's target. `report` too. */
static int child_descriptors(const struct spawn *s, int *report) {
    int from[FD_MAX];
    int count = STDIO + (int)s->keep_count;
    int moved = fcntl(*report, F_DUPFD_CLOEXEC, count);
    if (moved < 0) {
        return errno;
    }
    *report = moved;
    for (int i = 0; i < count; i++) {
        int fd = i < STDIO ? s->stdio[i] : s->keep_fds[i - STDIO];
        from[i] = -1;
        if (fd == SPAWN_OURS) {
            continue;
        }
        if (fd == SPAWN_NULL) {
            fd = open(_PATH_DEVNULL, O_RDWR | O_CLOEXEC);
        }
        from[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, count);
        if (from[i] < 0) {
            return errno;
        }
    }
    for (int i = 0; i < count; i++) {
        if (from[i] >= 0 && dup2(from[i], i) < 0) {
            return errno;
        }
    }
    /* Closed by execve, not now: `report` must live until then. */
    if (close_range((unsigned)count, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
        long last = sysconf(_SC_OPEN_MAX);
        for (int fd = count; fd < (last < 0 || last > 65536 ? 65536 : (int)last); fd++) {
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        }
    }
    return 0;
}

/* Runs on the parent's memory: nothing here allocates, locks, or writes to anything but its own
 * stack. Why it could not execute goes through the pipe `report`. */
__attribute__((noinline, noreturn)) static void child(const struct spawn *s, const char *path,
                                                      char *const *argv, int report, pid_t parent) {
    int why = 0;
    if ((s->group == PROCESS_GROUP_NEW && setpgid(0, 0) != 0) ||
        (s->group == PROCESS_SESSION_NEW && setsid() < 0)) {
        why = errno;
    }
    if (why == 0) {
        why = child_descriptors(s, &report);
    }
    if (why == 0 && s->cwd && chdir(s->cwd) != 0) {
        why = errno;
    }
    if (why == 0 && s->die_with_parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        why = getppid() == parent ? 0 : ESRCH;
    }
    if (why == 0) {
        child_signals();
        execve(path, argv, s->env ? (char *const *)(uintptr_t)s->env : environ);
        why = errno;
    }
    ssize_t told = write(report, &why, sizeof why);
    _exit(told < 0 ? 126 : 127);
}

static int execute(const struct spawn *s, const char *path, char *const *argv, pid_t *pid) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) {
        return errno;
    }
    /* No handler of ours may run in the child before it has the default ones. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t made = vfork();
    if (made == 0) {
        child(s, path, argv, report[1], parent);
    }
    int why = made < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(report[1]);
    if (made > 0) {
        ssize_t n;
        do {
            n = read(report[0], &why, sizeof why);
        } while (n < 0 && errno == EINTR);
        if (n == (ssize_t)sizeof why) {
            while (waitpid(made, NULL, 0) < 0 && errno == EINTR) {
            }
        } else {
            why = 0;
            *pid = made;
        }
    }
    close(report[0]);
    return why;
}

/* What execvp does with a file that the kernel does not know: a script without "#!". */
static int execute_script(const struct spawn *s, const char *path, pid_t *pid) {
    size_t count = 0;
    while (s->argv[count]) {
        count++;
    }
    const char **argv = calloc(count + 2, sizeof *argv);
    if (!argv) {
        return ENOMEM;
    }
    argv[0] = _PATH_BSHELL;
    argv[1] = path;
    for (size_t i = 1; i < count; i++) {
        argv[i + 1] = s->argv[i];
    }
    int why = execute(s, _PATH_BSHELL, (char *const *)(uintptr_t)argv, pid);
    free(argv);
    return why;
}

static int execute_file(const struct spawn *s, const char *path, pid_t *pid) {
    int why = execute(s, path, (char *const *)(uintptr_t)s->argv, pid);
    return why == ENOEXEC ? execute_script(s, path, pid) : why;
}

static const char *search_path(const struct spawn *s) {
    for (const char *const *e = s->env; e && *e; e++) {
        if (str_starts(*e, "PATH=")) {
            return *e + strlen("PATH=");
        }
    }
    const char *ours = s->env ? NULL : getenv("PATH");
    return ours ? ours : _PATH_DEFPATH;
}

static int execute_in(const struct spawn *s, const char *dir, size_t len, pid_t *pid) {
    char file[PATH_MAX];
    struct stat st;
    int n = snprintf(file, sizeof file, "%.*s%s%s", (int)len, dir, len > 0 ? "/" : "", s->argv[0]);
    if (n < 0 || (size_t)n >= sizeof file) {
        return ENOENT;
    }
    if (stat(file, &st) != 0) {
        return errno == EACCES ? EACCES : ENOENT;
    }
    return S_ISREG(st.st_mode) ? execute_file(s, file, pid) : ENOENT;
}

/* As execvp: goes on after a place where it is not, or may not be executed; the latter is told when
 * there is no better one. */
static int execute_found(const struct spawn *s, pid_t *pid) {
    int why = ENOENT;
    for (const char *dir = search_path(s);; dir++) {
        size_t len = strcspn(dir, ":");
        int now = execute_in(s, dir, len, pid);
        if (now != EACCES && now != ENOENT && now != ENOTDIR) {
            return now;
        }
        why = now == EACCES ? now : why;
        dir += len;
        if (!*dir) {
            return why;
        }
    }
}

int spawn_run(const struct spawn *s, pid_t *pid) {
    if (!s->argv || !s->argv[0] || s->keep_count > SPAWN_KEEP_MAX) {
        return EINVAL;
    }
    if (s->path) {
        return execute_file(s, s->path, pid);
    }
    if (s->argv[0][0] == '\0') {
        return ENOENT;
    }
    return strchr(s->argv[0], '/') ? execute_file(s, s->argv[0], pid) : execute_found(s, pid);
}

hardy_status spawn_fail(const struct spawn *s, int errnum, hardy_error *error) {
    const char *name = s->path ? s->path : s->argv && s->argv[0] ? s->argv[0] : "";
    struct stat st;
    if (s->cwd && (stat(s->cwd, &st) != 0 || !S_ISDIR(st.st_mode) || access(s->cwd, X_OK) != 0)) {
        return fail(error, HARDY_E_INVALID, s->cwd,
                    "cannot run %s: its working directory cannot be entered", name);
    }
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        if (strchr(name, '/') && stat(name, &st) == 0) {
            return fail(error, HARDY_E_NOT_FOUND, name,
                        "cannot run %s: the interpreter that it names does not exist", name);
        }
        return fail(error, HARDY_E_NOT_FOUND, name, "command not found: %s%s", name,
                    strchr(name, '/') ? "" : " is in no directory of PATH");
    case E2BIG:
        return fail(error, HARDY_E_TOO_LARGE, name,
                    "cannot run %s: arguments and environment are larger than the kernel allows",
                    name);
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return fail(error, HARDY_E_NOMEM, name, "cannot run %s: %s", name, strerrordesc_np(errnum));
    default:
        return fail(error, HARDY_E_READONLY, name, "cannot run %s: %s", name,
                    strerrordesc_np(errnum));
    }
}
