/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest/world.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20)
#define ENV_MAX 4096
#define PATIENCE (30 * HARDY_SECOND)

bool world_fail(struct world *w, const char *format, ...) {
    if (w->status == HARDY_OK) {
        char text[512];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        w->status = fail(&w->error, HARDY_E_FAILED, w->folder ? w->folder : "", "%s", text);
    }
    return false;
}

void world_note(struct world *w, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (w->note) {
        w->note(w->ctx, text);
    }
}

char *world_path(struct world *w, const char *name) {
    char *path = str_format("%s/%s", w->folder, name);
    if (!path) {
        world_fail(w, "no memory");
    }
    return path;
}

static void on_signal(void *ctx, int signum) {
    struct world *w = ctx;
    if (w->status == HARDY_OK) {
        w->status = fail(&w->error, HARDY_E_CANCELLED, w->folder, "ended by signal %d", signum);
    }
}

hardy_status world_begin(struct world *w, struct loop *loop, const char *program, const char *dir,
                         const char *const *env, uint64_t seed) {
    char *resolved = realpath(dir, NULL);
    w->loop = loop;
    w->program = program;
    w->env = env;
    hardy_error_init(&w->error, sizeof w->error);
    prng_seed(&w->random, seed);
    if (!resolved) {
        w->status = fail_errno(&w->error, errno, dir, "no folder can be made there");
        return w->status;
    }
    w->folder = str_format("%s/hardy-selftest.XXXXXX", resolved);
    free(resolved);
    if (!w->folder) {
        w->status = fail(&w->error, HARDY_E_NOMEM, dir, "no memory");
    } else if (!mkdtemp(w->folder)) {
        w->status = fail_errno(&w->error, errno, dir, "no folder can be made there");
        free(w->folder);
        w->folder = NULL;
    } else {
        process_adopt_orphans(loop);
        w->signals[0] = loop_signal_start(loop, SIGINT, on_signal, w);
        w->signals[1] = loop_signal_start(loop, SIGTERM, on_signal, w);
    }
    return w->status;
}

static void remove_folder(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    while (dir && (e = readdir(dir)) != NULL) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..")) {
            continue;
        }
        if (unlinkat(fd, e->d_name, 0) != 0 && errno == EISDIR) {
            remove_folder(fd, e->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    } else if (fd >= 0) {
        close(fd);
    }
    unlinkat(at, name, AT_REMOVEDIR);
}

void world_end(struct world *w, bool keep) {
    if (w->folder) {
        for (int i = 0; i < 100 && process_signal_below(getpid(), SIGKILL) > 0; i++) {
            world_pause(w, 10 * HARDY_MILLISECOND);
        }
        if (!keep) {
            remove_folder(AT_FDCWD, w->folder);
        }
    }
    for (size_t i = 0; i < WORLD_CHILDREN; i++) {
        child_free(&w->children[i]);
    }
    for (size_t i = 0; i < sizeof w->signals / sizeof *w->signals; i++) {
        if (w->signals[i]) {
            loop_signal_stop(w->signals[i]);
        }
    }
    free(w->folder);
    w->folder = NULL;
}

/* --- time ------------------------------------------------------------------------------------ */

static void on_pause_over(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

void world_pause(struct world *w, int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_pause_over, w->loop);
    loop_timer_start(w->loop, &timer, time_add(loop_clock(w->loop), span));
    loop_run(w->loop);
    loop_timer_stop(w->loop, &timer);
}

bool world_wait(struct world *w, bool (*ready)(struct world *w, const void *ctx), const void *ctx) {
    int64_t give_up = loop_clock(w->loop) + 10 * HARDY_SECOND;
    bool is;
    while (!(is = ready(w, ctx)) && w->status == HARDY_OK && loop_clock(w->loop) < give_up) {
        world_pause(w, HARDY_MILLISECOND);
    }
    return is;
}

/* --- processes --------------------------------------------------------------------------------
 */

/* What hardy and its commands know of the person's own state is left out. */
static bool is_ours(const char *entry) {
    static const char *const names[] = {"HARDY_STATE=", "HARDY_CONFIG=",    "HARDY_RUN_ID=",
                                        "HARDY_STEP=",  "XDG_CONFIG_HOME=", "STATE_DIRECTORY="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_starts(entry, names[i])) {
            return true;
        }
    }
    return false;
}

static void on_exited(void *ctx, struct process *p, int code, int signal) {
    struct child *c = ctx;
    (void)p;
    c->ended = true;
    c->code = code;
    c->signal = signal;
}

static hardy_status start(struct world *w, const char *const *argv, const char *const *env,
                          const char *out, const char *err, struct child *c) {
    static const struct process_events events = {.exited = on_exited};
    struct process_options options;
    char *out_path = world_path(w, out), *err_path = world_path(w, err);
    hardy_status status = HARDY_E_NOMEM;
    process_options_init(&options);
    if (out_path && err_path) {
        options.argv = argv;
        options.path = w->program;
        options.env = env;
        options.cwd = w->folder;
        options.group = PROCESS_GROUP_SAME;
        options.stdout_fd = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        options.stderr_fd = open(err_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (options.stdout_fd >= 0 && options.stderr_fd >= 0) {
            status = process_start(w->loop, &options, &events, c, &c->process, &w->error);
        } else {
            status = fail_errno(&w->error, errno, out_path, "cannot be written");
        }
    }
    if (options.stdout_fd >= 0) {
        close(options.stdout_fd);
    }
    if (options.stderr_fd >= 0) {
        close(options.stderr_fd);
    }
    free(out_path);
    free(err_path);
    return status;
}

struct child *world_start(struct world *w, const char *const *words, const char *run,
                          const char *step, const char *out, const char *err) {
    const char *argv[32] = {"hardy"}, *env[ENV_MAX];
    struct buf own[4];
    size_t place = 0, count = 0;
    while (place < WORLD_CHILDREN && w->children[place].process) {
        place++;
    }
    if (w->status != HARDY_OK || place == WORLD_CHILDREN) {
        world_fail(w, "too many processes at once");
        return NULL;
    }
    for (size_t i = 0; words[i] && i < 30; i++) {
        argv[i + 1] = words[i];
    }
    for (size_t i = 0; w->env[i] && count < ENV_MAX - 5; i++) {
        if (!is_ours(w->env[i])) {
            env[count++] = w->env[i];
        }
    }
    for (size_t i = 0; i < 4; i++) {
        buf_init(&own[i], 1 << 16);
    }
    buf_printf(&own[0], "HARDY_STATE=%s/state.db", w->folder);
    buf_printf(&own[1], "XDG_CONFIG_HOME=%s", w->folder);
    buf_printf(&own[2], "HARDY_RUN_ID=%s", run ? run : "");
    buf_printf(&own[3], "HARDY_STEP=%s", step ? step : "");
    bool failed = false;
    for (size_t i = 0; i < (run ? 4U : 2U); i++) {
        env[count++] = own[i].data;
        failed = failed || own[i].failed;
    }
    env[count] = NULL;
    struct child *c = &w->children[place];
    *c = (struct child){0};
    w->status = failed ? fail(&w->error, HARDY_E_NOMEM, w->folder, "no memory")
                       : start(w, argv, env, out, err, c);
    for (size_t i = 0; i < 4; i++) {
        buf_free(&own[i]);
    }
    return w->status == HARDY_OK ? c : NULL;
}

int child_pid(const struct child *c) {
    return process_pid(c->process);
}

void child_free(struct child *c) {
    if (c->process) {
        process_free(c->process);
    }
    *c = (struct child){0};
}

int world_run(struct world *w, const char *const *words, const char *run, const char *step,
              const char *out) {
    struct child *c = world_start(w, words, run, step, out, "err");
    if (!c) {
        return -1;
    }
    int64_t give_up = loop_clock(w->loop) + PATIENCE;
    while (!c->ended && loop_clock(w->loop) < give_up) {
        world_pause(w, HARDY_MILLISECOND);
    }
    int code = c->ended ? c->signal ? 128 + c->signal : c->code : -1;
    if (code < 0) {
        kill(child_pid(c), SIGKILL);
        world_fail(w, "hardy %s %s does not end within 30 seconds", words[0],
                   words[1] ? words[1] : "");
    }
    child_free(c);
    return code;
}

static bool is_quiet(struct world *w, const void *ctx) {
    (void)w;
    (void)ctx;
    return process_signal_below(getpid(), 0) == 0;
}

bool world_quiet(struct world *w) {
    return world_wait(w, is_quiet, NULL) ||
           world_fail(w, "what hardy started does not end within ten seconds");
}

/* --- files ------------------------------------------------------------------------------------
 */

void world_read(struct world *w, const char *name, struct buf *out) {
    char *path = world_path(w, name);
    if (path && file_exists(path)) {
        hardy_status status = file_read(path, out, &w->error);
        w->status = w->status == HARDY_OK ? status : w->status;
    }
    free(path);
}

bool world_write(struct world *w, const char *name, const struct buf *text) {
    char *path = world_path(w, name);
    if (path && w->status == HARDY_OK) {
        w->status = text->failed ? fail(&w->error, HARDY_E_NOMEM, path, "no memory")
                                 : file_write(path, text->data, text->len, false, &w->error);
    }
    free(path);
    return w->status == HARDY_OK;
}

json_t *world_ask(struct world *w, const char *const *words) {
    struct buf text;
    json_error_t why;
    json_t *o = NULL;
    int code = world_run(w, words, NULL, NULL, "asked");
    buf_init(&text, FILE_MAX);
    world_read(w, "asked", &text);
    if (code == 0 && w->status == HARDY_OK) {
        o = json_loadb(text.data ? text.data : "", text.len, 0, &why);
    }
    if (!o) {
        world_fail(w, "hardy %s %s ended with %d and did not tell what was asked", words[0],
                   words[1] ? words[1] : "", code);
    }
    buf_free(&text);
    return o;
}
