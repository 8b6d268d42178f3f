/* SPDX-License-Identifier: Apache-2.0 */
/* Families of processes from /proc, for the kernel's loop. */
#include "io/family.h"
#include "base/str.h"
#include "io/loop_uv.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ENVIRONMENT = 256 << 10 };

struct stat_line {
    int pid, group, session;
    int64_t started;
};

static ssize_t read_some(int proc, int pid, const char *name, char *out, size_t size) {
    char path[48];
    snprintf(path, sizeof path, "%d/%s", pid, name);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;
    if (fd < 0)
        return -1;
    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    out[len] = '\0';
    return n < 0 && len == 0 ? -1 : (ssize_t)len;
}

/* False: there is none, or it has ended. */
static bool read_stat(int proc, int pid, struct stat_line *out) {
    char text[1024], state;
    long long started;
    if (read_some(proc, pid, "stat", text, sizeof text) <= 0)
        return false;
    /* "pid (name) state parent group session ...", the start is the 22nd: the name may hold
     * anything, also brackets. */
    const char *after = strrchr(text, ')');
    if (!after || sscanf(after + 1,
                         " %c %*d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                         "%*d %lld",
                         &state, &out->group, &out->session, &started) != 4)
        return false;
    out->pid = pid;
    out->started = started;
    return state != 'Z' && state != 'X';
}

/* What follows `mark` in the environment of a process; NULL = it does not have it. */
static const char *find_mark(int proc, int pid, const char *mark, char *text, size_t size) {
    ssize_t len = read_some(proc, pid, "environ", text, size);
    for (const char *e = text; len > 0 && e < text + len; e += strlen(e) + 1)
        if (str_starts(e, mark))
            return e + strlen(mark);
    return NULL;
}

static bool belongs(int proc, const struct stat_line *line, const struct process_family *f,
                    char *text) {
    return (f->group > 0 && (line->group == f->group || line->session == f->group)) ||
           (f->mark && find_mark(proc, line->pid, f->mark, text, MAX_ENVIRONMENT));
}

/* Calls for each process that has not ended, but for this one. */
static void each(bool (*fn)(void *ctx, int proc, const struct stat_line *line, char *text),
                 void *ctx) {
    DIR *dir = opendir("/proc");
    char *text = malloc(MAX_ENVIRONMENT);
    struct dirent *d;
    struct stat_line line;
    while (dir && text && (d = readdir(dir)) != NULL) {
        int pid = isdigit((unsigned char)d->d_name[0]) ? (int)strtol(d->d_name, NULL, 10) : 0;
        if (pid > 0 && pid != getpid() && read_stat(dirfd(dir), pid, &line) &&
            !fn(ctx, dirfd(dir), &line, text))
            break;
    }
    if (dir)
        closedir(dir);
    free(text);
}

struct signalling {
    const struct process_family *family;
    int signum;
    size_t count;
};

static bool signal_one(void *ctx, int proc, const struct stat_line *line, char *text) {
    struct signalling *s = ctx;
    if (belongs(proc, line, s->family, text)) {
        s->count++;
        if (s->signum > 0)
            kill(line->pid, s->signum);
    }
    return true;
}

size_t process_uv_family_signal(struct loop *loop, const struct process_family *family,
                                int signum) {
    struct signalling s = {family, signum, 0};
    (void)loop;
    each(signal_one, &s);
    return s.count;
}

struct finding {
    const char *mark;
    struct process_identity *out;
    char *rest;
    size_t size;
    bool found;
};

static bool find_one(void *ctx, int proc, const struct stat_line *line, char *text) {
    struct finding *f = ctx;
    if (line->pid != line->group || (f->found && f->out->started <= line->started))
        return true;
    const char *rest = find_mark(proc, line->pid, f->mark, text, MAX_ENVIRONMENT);
    if (rest) {
        f->found = true;
        *f->out = (struct process_identity){line->pid, line->started};
        str_copy(f->rest, f->size, rest);
    }
    return true;
}

bool process_uv_find(struct loop *loop, const char *mark, struct process_identity *out, char *rest,
                     size_t size) {
    struct finding f = {mark, out, rest, size, false};
    (void)loop;
    each(find_one, &f);
    return f.found;
}

static int open_proc(void) {
    return open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

hardy_status process_uv_identify(struct loop *loop, int pid, struct process_identity *out) {
    struct stat_line line;
    int proc = open_proc();
    bool there = proc >= 0 && read_stat(proc, pid, &line);
    (void)loop;
    if (proc >= 0)
        close(proc);
    if (there)
        *out = (struct process_identity){line.pid, line.started};
    return there ? HARDY_OK : HARDY_E_NOT_FOUND;
}

int process_in_family(int pid, const struct process_family *family) {
    struct stat_line line;
    int proc = open_proc();
    char *text = malloc(MAX_ENVIRONMENT);
    int answer = -1;
    if (proc >= 0 && text && read_stat(proc, pid, &line))
        answer = belongs(proc, &line, family, text);
    if (proc >= 0)
        close(proc);
    free(text);
    return answer;
}
