/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives one child: does what its machine asks for, and tells it what happens. A start needs no
 * word in the store before: the child carries its name in its environment, so that a hardy that was
 * killed right after finds it there. What is known of it is written after.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/sha256.h"
#include "base/str.h"
#include "durable/seeded.h"
#include "io/file.h"
#include "io/lock.h"
#include "io/notify_socket.h"
#include "supervise/children_parts.h"
#include "work/environment.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t lock_pause = HARDY_SECOND;
static const int64_t look_min = 5 * HARDY_MILLISECOND, look_max = 500 * HARDY_MILLISECOND;

static char *path_of(const struct supervised *r, const char *ending) {
    return str_format("%s/%s.%s", r->all->world->folder, r->s->name, ending);
}

/* --- starting --------------------------------------------------------------------------------- */

static char **environment_of(struct supervised *r) {
    static const char *const ours[] = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
                                       "MAINPID",       "LISTEN_PID",   "LISTEN_FDS"};
    struct environment e = {0};
    environment_add(&e, r->all->world->env);
    for (size_t n = 0; n < sizeof ours / sizeof *ours; n++)
        environment_unset(&e, ours[n]);
    for (char **own = r->s->env; own && *own; own++) {
        const char *equals = strchr(*own, '=');
        char *name = str_ndup(*own, (size_t)(equals - *own));
        environment_set(&e, name ? name : "", "%s", equals + 1);
        free(name);
    }
    environment_set(&e, "HARDY_CHILD_ID", "%s%s", strchr(r->mark, '=') + 1, r->record.number);
    if (r->socket >= 0)
        environment_set(&e, "NOTIFY_SOCKET", "%s", r->socket_address);
    if (r->socket >= 0 && r->s->watchdog > 0)
        environment_set(&e, "WATCHDOG_USEC", "%lld",
                        (long long)(r->s->watchdog / HARDY_MICROSECOND));
    char **list = environment_take(&e);
    environment_free(&e);
    return list;
}

static void on_exited(void *ctx, struct process *p, int code, int signal);

static hardy_status run(struct supervised *r, const char *const *env, hardy_error *error) {
    static const struct process_events events = {NULL, on_exited};
    struct process_options o;
    char *cwd = !r->s->cwd            ? str_dup(r->s->folder)
                : r->s->cwd[0] == '/' ? str_dup(r->s->cwd)
                                      : str_format("%s/%s", r->s->folder, r->s->cwd);
    process_options_init(&o);
    o.argv = (const char *const *)r->s->command.argv;
    o.env = env;
    o.cwd = cwd;
    o.group = PROCESS_SESSION_NEW;
    int end = r->log ? child_log_end(r->log) : -1;
    o.stdout_fd = o.stderr_fd = end;
    hardy_status status = cwd && env ? process_start(loop_of(r), &o, &events, r, &r->process, error)
                                     : fail(error, HARDY_E_NOMEM, NULL, "no memory to start it");
    if (end >= 0)
        close(end);
    free(cwd);
    return status;
}

static void begun(struct supervised *r) {
    r->record.process = (struct process_identity){process_pid(r->process), 0};
    (void)process_identify(loop_of(r), process_pid(r->process), &r->record.process);
}

static void start(struct supervised *r) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(r->record.number, sizeof r->record.number, "%016llx",
             (unsigned long long)loop_random(loop_of(r)));
    r->record.starts++;
    r->record.since = loop_wall(loop_of(r));
    r->record.left = true;
    str_copy(r->record.command, sizeof r->record.command, r->command);
    r->record.process = (struct process_identity){0};
    r->status[0] = '\0';
    r->reloading = r->unwell = false;
    r->look_pause = look_min;
    char **env = environment_of(r);
    hardy_status status = run(r, (const char *const *)env, &error);
    environment_free_list(env);
    if (status == HARDY_OK) {
        begun(r);
        supervised_told(r, "starting", "pid %d", r->record.process.pid);
    } else {
        supervised_told(r, "not started", "%s", error.message);
        supervised_feed(r, &(struct child_event){.kind = CHILD_EXITED,
                                                 .code = status == HARDY_E_NOT_FOUND ? 127 : 126,
                                                 .random = loop_random(loop_of(r))});
    }
}

/* --- what nobody tells: looked at again and again ----------------------------------------------
 */

static bool awaits_port(const struct supervised *r) {
    return r->machine.state == CHILD_STARTING && r->s->readiness == READY_BY_TCP;
}

static bool awaits_end(const struct supervised *r) {
    return r->machine.running && !r->machine.alive;
}

static void look_again(struct supervised *r) {
    loop_timer_start(loop_of(r), &r->look, time_add(loop_now(loop_of(r)), r->look_pause));
    r->look_pause = 2 * r->look_pause < look_max ? 2 * r->look_pause : look_max;
}

static void on_probed(void *ctx, enum check_result result, const char *message, int64_t took) {
    struct supervised *r = ctx;
    (void)message;
    (void)took;
    r->probe = NULL;
    if (!awaits_port(r))
        return;
    if (result == CHECK_PASS)
        supervised_tell(r, CHILD_IS_READY);
    else
        look_again(r);
}

static void try_lock(struct supervised *r);

static void on_look(struct loop_timer *timer) {
    struct supervised *r = timer->ctx;
    const struct process_family family = supervised_family(r);
    if (!r->owned) {
        try_lock(r);
    } else if (awaits_end(r) && process_family_signal(loop_of(r), &family, 0) == 0) {
        supervised_feed(
            r, &(struct child_event){.kind = CHILD_CLEARED, .random = loop_random(loop_of(r))});
    } else if (awaits_end(r)) {
        look_again(r);
    } else if (awaits_port(r) && !r->probe) {
        r->probe = check_probe_start(loop_of(r), r->all->world->client, &r->tcp, on_probed, r);
        if (!r->probe)
            look_again(r);
    }
}

/* --- its end ---------------------------------------------------------------------------------- */

/* A number that no process of the group holds any more may be another's tomorrow. */
static bool something_left(struct supervised *r) {
    const struct process_family group = {r->record.process.pid, NULL}, all = supervised_family(r);
    if (process_family_signal(loop_of(r), &all, 0) == 0)
        return false;
    if (process_family_signal(loop_of(r), &group, 0) == 0)
        r->record.process.pid = 0;
    return true;
}

static void ended(struct supervised *r, bool unknown, int code, int signal) {
    struct child_event e = {.kind = CHILD_EXITED,
                            .code = code,
                            .signal = signal,
                            .unknown = unknown,
                            .random = loop_random(loop_of(r))};
    process_free(r->process);
    r->process = NULL;
    if (r->log)
        child_log_drain(r->log);
    e.left = something_left(r);
    if (!r->machine.paused && supervised_hands_off(r))
        supervised_tell(r, CHILD_PAUSE);
    supervised_feed(r, &e);
}

static void on_exited(void *ctx, struct process *p, int code, int signal) {
    struct supervised *r = ctx;
    if (r->socket >= 0)
        supervised_hear(r); /* its last words */
    if (p == r->process)    /* else it has named another process as the one that counts */
        ended(r, code < 0, code, signal);
}

bool supervised_attach(struct supervised *r, const struct process_identity *who) {
    static const struct process_events events = {NULL, on_exited};
    struct process *p;
    if (who->pid <= 0 || process_attach(loop_of(r), who, &events, r, &p, NULL) != HARDY_OK)
        return false;
    process_free(r->process);
    r->process = p;
    r->record.process = *who;
    return true;
}

/* --- doing what the machine says ---------------------------------------------------------------
 */

static void send_signal(struct supervised *r, int signum, bool itself) {
    const struct process_family family = supervised_family(r);
    if (itself && r->process) {
        process_signal_itself(r->process, signum);
        process_signal_itself(r->process, SIGCONT);
        return;
    }
    (void)process_family_signal(loop_of(r), &family, signum);
    if (signum != SIGKILL) /* one that is stopped would not notice */
        (void)process_family_signal(loop_of(r), &family, SIGCONT);
}

static void note_death(struct supervised *r, const struct child *before) {
    const struct child *m = &r->machine;
    bool asked = !before->wanted || before->again;
    if (!asked)
        child_record_add_death(&r->record, &(struct child_death){.at = loop_wall(loop_of(r)),
                                                                 .code = m->code,
                                                                 .signal = m->signal,
                                                                 .unknown = m->unknown,
                                                                 .lived = m->lived});
}

void supervised_feed(struct supervised *r, const struct child_event *event) {
    struct child before = r->machine;
    struct child_todo todo;
    child_decide(&r->machine, loop_now(loop_of(r)), event, &todo);
    if (event->kind == CHILD_EXITED && before.alive)
        note_death(r, &before);
    supervised_tell_change(r, &before, event);
    if (todo.signal)
        send_signal(r, todo.signal, todo.itself);
    loop_timer_start(loop_of(r), &r->timer, todo.at);
    if (todo.start)
        start(r);
    if ((awaits_end(r) && before.alive) || (todo.start && awaits_port(r))) {
        r->look_pause = look_min;
        look_again(r);
    }
    if (event->kind == CHILD_PAUSE)
        children_changed(r->all); /* somebody has to look when that is over */
    if (r->machine.state == before.state && !todo.start && r->machine.alive == before.alive)
        return;
    if (!r->machine.running)
        r->record.process = (struct process_identity){0};
    if (r->machine.state == CHILD_READY && r->record.paged)
        supervised_page(r, "resolve", "it is ready again");
    supervised_write(r);
    children_changed(r->all);
}

void supervised_tell(struct supervised *r, enum child_event_kind kind) {
    supervised_feed(r, &(struct child_event){.kind = kind});
}

bool supervised_hands_off(struct supervised *r) {
    const struct children_world *w = r->all->world;
    struct hands_off h;
    hardy_status status =
        hands_off(w->maintenance, w->store, r->s->name, loop_wall(w->loop), &h, NULL);
    str_copy(r->why_off, sizeof r->why_off, h.why);
    return status == HARDY_OK && h.off; /* a state that cannot be read must not keep it down */
}

/* Its time may have come to be ended, or to be started again: not while a person says no. */
static void on_timer(struct loop_timer *timer) {
    struct supervised *r = timer->ctx;
    if (!r->machine.paused && !r->all->stopping && r->machine.state != CHILD_STOPPING &&
        supervised_hands_off(r))
        supervised_tell(r, CHILD_PAUSE);
    supervised_tell(r, CHILD_TIME);
}

/* --- adoption --------------------------------------------------------------------------------- */

/* One that a hardy before this one has started and that runs still. */
static bool find_running(struct supervised *r) {
    struct process_identity who;
    char number[CHILD_NUMBER_SIZE];
    bool ran = r->record.process.pid > 0;
    if (r->record.left && supervised_attach(r, &r->record.process))
        return true;
    /* Started, and killed before it was written down. What is of the start that was written down
     * are remains. */
    if (process_find(loop_of(r), r->mark, &who, number, sizeof number) &&
        !str_eq(number, r->record.number) && supervised_attach(r, &who)) {
        str_copy(r->record.number, sizeof r->record.number, number);
        str_copy(r->record.command, sizeof r->record.command, r->command);
        r->record.since = loop_wall(loop_of(r));
        r->record.starts++;
        r->machine.ready = HARDY_NEVER;
        r->machine.started = loop_now(loop_of(r));
        /* After a life that was written down it counts, though its death was not. */
        if ((r->machine.restarting || ran) && r->machine.restart_count < CHILD_COUNTED_MAX)
            r->machine.restarts[r->machine.restart_count++] = r->machine.started;
        return true;
    }
    return false;
}

static void adopt(struct supervised *r) {
    struct child_event e = {
        .kind = CHILD_ADOPT, .at = r->machine.started, .ready = r->machine.ready};
    r->record.left = true;
    supervised_told(
        r, "adopted", "pid %d, started by an earlier hardy%s", r->record.process.pid,
        str_eq(r->record.command, r->command)
            ? ""
            : "; the file says another command, directory or environment now, which needs a "
              "restart");
    supervised_feed(r, &e);
}

/* The last thing that is known is that it ran, or that something of it does: it ended while nobody
 * watched. */
static void find_ended(struct supervised *r) {
    r->record.process = (struct process_identity){0}; /* the number may be another's by now */
    supervised_feed(r, &(struct child_event){.kind = CHILD_ADOPT,
                                             .at = r->machine.started,
                                             .ready = r->machine.ready});
    ended(r, true, 0, 0);
}

/* Owned now: what was there before? */
static void begin(struct supervised *r) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    const struct process_family family = {0, r->mark};
    bool allowed = r->machine.allowed, paused = r->machine.paused;
    hardy_status status = child_record_load(r->all->world->store, r->s->name, r->all->world->boot,
                                            &r->record, &r->machine, &error);
    if (status != HARDY_OK && status != HARDY_E_NOT_FOUND)
        supervised_told(r, "record lost", "%s", error.message);
    enum child_state known = r->record.left ? r->machine.state : CHILD_STOPPED;
    bool ran = r->record.left && r->record.process.pid > 0;
    if (!r->record.left) { /* hardy was stopped in between: that is a new beginning */
        r->machine.exhausted = r->machine.restarting = false;
        r->machine.restart_count = r->machine.crash_count = r->machine.step = 0;
        r->machine.fast_used = false;
    }
    r->machine.state = CHILD_STOPPED;
    r->machine.allowed = allowed;
    r->machine.paused = paused;
    if (SEEDED_BUG(BUG_CHILD_TWICE)) {
        supervised_tell(r, CHILD_WANT);
    } else if (find_running(r)) {
        adopt(r);
    } else if (ran || process_family_signal(loop_of(r), &family, 0) > 0) {
        find_ended(r);
    } else if (known == CHILD_FAILED || known == CHILD_DONE) {
        r->machine.state = known;
        r->machine.wanted = false;
        supervised_told(r, known == CHILD_FAILED ? "given up" : "done",
                        "as it was before hardy was killed");
    } else if (known == CHILD_RESTING || known == CHILD_WAITING) {
        r->machine.state = known;
        r->machine.wanted = true;
        r->machine.paused = supervised_hands_off(r); /* what was held is not let go by a kill */
        supervised_tell(r, allowed ? CHILD_ALLOW : CHILD_HOLD);
    } else {
        supervised_tell(r, CHILD_WANT);
    }
    children_changed(r->all);
}

static void on_log_trouble(void *ctx, const char *what) {
    supervised_told(ctx, "log", "%s", what);
}

static hardy_status open_log(struct supervised *r, hardy_error *error) {
    const struct child_settings *s = r->s;
    char *pipe = path_of(r, "log");
    char *file =
        s->log.file[0] == '/' ? str_dup(s->log.file) : str_format("%s/%s", s->folder, s->log.file);
    struct child_log_options o = {
        .pipe = pipe, .file = file, .max_size = s->log.max_size, .keep = s->log.keep};
    hardy_status status = pipe && file
                              ? child_log_open(loop_of(r), &o, on_log_trouble, r, &r->log, error)
                              : fail(error, HARDY_E_NOMEM, NULL, "no memory for a log");
    free(pipe);
    free(file);
    return status;
}

static hardy_status open_socket(struct supervised *r, hardy_error *error) {
    if (r->s->readiness != READY_BY_NOTIFY && r->s->watchdog == 0)
        return HARDY_OK;
    char *path = path_of(r, "notify");
    r->socket = path ? notify_socket_open(path, r->socket_address, error) : -1;
    free(path);
    if (r->socket < 0)
        return HARDY_E_IO;
    r->socket_watch = loop_watch_start(loop_of(r), r->socket, supervised_hear, r);
    return r->socket_watch ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory for a socket");
}

static void try_lock(struct supervised *r) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (r->lock >= 0 && lock_try(r->lock, 0, &error) != HARDY_OK) {
        if (!r->told_elsewhere)
            supervised_told(r, "elsewhere", "another hardy has it; waiting to take over");
        r->told_elsewhere = true;
        loop_timer_start(loop_of(r), &r->look, time_add(loop_now(loop_of(r)), lock_pause));
        return;
    }
    r->owned = true;
    if (r->all->world->folder &&
        (open_socket(r, &error) != HARDY_OK || (r->s->log.file && open_log(r, &error) != HARDY_OK)))
        supervised_told(r, "trouble", "%s: %s", error.where, error.message);
    begin(r);
}

/* --- its life --------------------------------------------------------------------------------- */

static void on_again(struct loop_timer *timer) {
    supervised_write(timer->ctx);
}

/* What a running one would have to be started again for. */
static void command_hash(const struct child_settings *s, char out[65]) {
    struct sha256 sum;
    sha256_init(&sum);
    for (char **a = s->command.argv; *a; a++)
        sha256_add_part(&sum, *a, strlen(*a));
    sha256_add_part(&sum, s->cwd ? s->cwd : "", s->cwd ? strlen(s->cwd) : 0);
    for (char **e = s->env; e && *e; e++)
        sha256_add_part(&sum, *e, strlen(*e));
    sha256_done_hex(&sum, out);
}

hardy_status supervised_init(struct supervised *r, struct children *all,
                             const struct child_settings *s, hardy_error *error) {
    *r = (struct supervised){.all = all, .s = s, .lock = -1, .socket = -1, .look_pause = look_min};
    loop_timer_init(&r->timer, on_timer, r);
    loop_timer_init(&r->look, on_look, r);
    loop_timer_init(&r->again, on_again, r);
    child_init(&r->machine, &s->rules);
    r->tcp = (struct check_settings){.name = s->name,
                                     .kind = CHECK_TCP,
                                     .given = {[CHECK_TCP] = true},
                                     .tcp = (char *)(uintptr_t)s->ready_of,
                                     .timeout = HARDY_SECOND,
                                     .interval = HARDY_SECOND};
    command_hash(s, r->command);
    r->mark = str_format("HARDY_CHILD_ID=%s/%s/", all->token, s->name);
    if (!r->mark)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
    if (!all->world->folder)
        return HARDY_OK;
    char *path = path_of(r, "lock");
    r->lock = path ? lock_open(path, error) : -1;
    free(path);
    return r->lock < 0 ? HARDY_E_IO : HARDY_OK;
}

void supervised_begin(struct supervised *r) {
    try_lock(r);
}

bool supervised_ready(const struct supervised *r) {
    return r->owned && r->machine.state == CHILD_READY && !r->unwell;
}

bool supervised_at_rest(const struct supervised *r) {
    return !r->owned || (!r->machine.running && !r->machine.wanted && !r->batch.busy);
}

void supervised_checked(struct supervised *r, const struct check_state *state) {
    const struct child *m = &r->machine;
    bool of_this_life = loop_now(loop_of(r)) - state->took >= m->started;
    r->unwell = state->level == LEVEL_DOWN;
    if (m->state == CHILD_STARTING && state->last == CHECK_PASS && of_this_life) {
        r->unwell = false;
        supervised_tell(r, CHILD_IS_READY);
    } else if (m->state == CHILD_READY) {
        children_changed(r->all);
    }
}

static void on_reloaded(void *ctx, struct process *p, int code, int signal) {
    struct supervised *r = ctx;
    char how[80];
    child_end_text(code, signal, false, how, sizeof how);
    supervised_told(r, "reload", "its command %s", how);
    process_free(p);
    r->reload = NULL;
}

static hardy_status run_reload(struct supervised *r, hardy_error *error) {
    static const struct process_events events = {NULL, on_reloaded};
    struct process_options o;
    struct environment e = {0};
    environment_add(&e, r->all->world->env);
    environment_set(&e, "MAINPID", "%d", r->record.process.pid);
    char **env = environment_take(&e);
    environment_free(&e);
    process_options_init(&o);
    o.argv = (const char *const *)r->s->reload.command.argv;
    o.env = (const char *const *)env;
    o.cwd = r->s->folder;
    hardy_status status = process_start(loop_of(r), &o, &events, r, &r->reload, error);
    environment_free_list(env);
    return status;
}

hardy_status supervised_reload(struct supervised *r, hardy_error *error) {
    if (r->s->reload_signal == 0 && !r->s->reload.command.argv)
        return fail(error, HARDY_E_UNSUPPORTED, NULL, "child `%s` has no reload:", r->s->name);
    if (!r->process || !r->machine.alive)
        return fail(error, HARDY_E_CLOSED, NULL, "child `%s` does not run", r->s->name);
    if (r->reload)
        return fail(error, HARDY_E_RUNNING, NULL, "child `%s` is being reloaded", r->s->name);
    supervised_told(r, "reload", "asked for");
    if (r->s->reload.command.argv)
        return run_reload(r, error);
    process_signal_itself(r->process, r->s->reload_signal);
    return HARDY_OK;
}

void supervised_free(struct supervised *r) {
    struct loop *loop = loop_of(r);
    if (!r->mark)
        return; /* it was never made */
    loop_timer_stop(loop, &r->timer);
    loop_timer_stop(loop, &r->look);
    loop_timer_stop(loop, &r->again);
    if (r->probe)
        check_probe_cancel(r->probe);
    process_free(r->process);
    process_free(r->reload);
    loop_watch_stop(r->socket_watch);
    if (r->socket >= 0) {
        close(r->socket);
        (void)unlink(r->socket_address);
    }
    if (r->log)
        child_log_drain(r->log);
    child_log_close(r->log, true);
    if (r->lock >= 0)
        close(r->lock);
    free(r->mark);
}
