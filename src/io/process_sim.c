/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated programs: functions that run on the loop, outside the program under test. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/loop_sim.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define START_MAX (2 * HARDY_MILLISECOND)

struct program {
    struct list link;
    char *name;
    sim_program run;
    void *ctx;
};
struct sim_process {
    struct list link;
    struct loop_sim *world;
    const struct program *program;
    char **argv, **env;
    int pid;
    struct sim_parent parent; /* empty = nobody listens */
    struct loop_timer start, end;
    struct list signals; /* on their way */
    int code, signal;
    void (*on_signal)(struct sim_process *p, void *ctx, int signum);
    void *on_signal_ctx;
};
struct sent_signal {
    struct list link;
    struct loop_timer timer;
    struct sim_process *to;
    int signum;
};

/* --- programs --- */

void sim_program_add(struct loop *loop, const char *name, sim_program program, void *ctx) {
    struct program *p = calloc(1, sizeof *p);
    char *copy = str_dup(name);
    if (!p || !copy) {
        abort();
    }
    *p = (struct program){.name = copy, .run = program, .ctx = ctx};
    list_append(&sim_of(loop)->programs, &p->link);
}

static const struct program *find_program(struct loop_sim *w, const char *name) {
    for (struct list *i = w->programs.prev; i != &w->programs; i = i->prev) {
        struct program *p = LIST_ITEM(i, struct program, link);
        if (str_eq(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

const char *const *sim_argv(const struct sim_process *p) {
    return (const char *const *)p->argv;
}

const char *sim_env(const struct sim_process *p, const char *name) {
    size_t len = strlen(name);
    for (char **e = p->env; *e; e++) {
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=') {
            return *e + len + 1;
        }
    }
    return NULL;
}

struct loop *sim_loop(struct sim_process *p) {
    return &p->world->base;
}

int sim_pid(const struct sim_process *p) {
    return p->pid;
}

bool sim_alive(struct loop *loop, int pid) {
    struct loop_sim *w = sim_of(loop);
    for (struct list *i = w->processes.next; i != &w->processes; i = i->next) {
        if (LIST_ITEM(i, struct sim_process, link)->pid == pid) {
            return true;
        }
    }
    return false;
}

/* --- their life --- */

static void strings_free(char **strings) {
    for (char **s = strings; s && *s; s++) {
        free(*s);
    }
    free(strings);
}

static char **strings_dup(const char *const *strings) {
    size_t count = 0;
    while (strings && strings[count]) {
        count++;
    }
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = str_dup(strings[i]);
        if (!copy[i]) {
            strings_free(copy);
            return NULL;
        }
    }
    return copy;
}

static void signal_free(struct sent_signal *s) {
    loop_timer_stop(&s->to->world->base, &s->timer);
    list_remove(&s->link);
    free(s);
}

static void process_free_sim(struct sim_process *p) {
    loop_timer_stop(&p->world->base, &p->start);
    loop_timer_stop(&p->world->base, &p->end);
    while (!list_empty(&p->signals)) {
        signal_free(LIST_ITEM(p->signals.next, struct sent_signal, link));
    }
    list_remove(&p->link);
    strings_free(p->argv);
    strings_free(p->env);
    free(p);
}

static void on_start(struct loop_timer *timer) {
    struct sim_process *p = timer->ctx;
    sim_trace(p->world, "start", (uint64_t)p->pid, 0);
    p->program->run(p, p->program->ctx);
}

static void on_end(struct loop_timer *timer) {
    struct sim_process *p = timer->ctx;
    sim_trace(p->world, "exit", (uint64_t)p->pid, (uint64_t)(p->code * 256 + p->signal));
    if (p->parent.exited) {
        p->parent.exited(p->parent.ctx, p->code, p->signal);
    }
    process_free_sim(p);
}

void sim_exit_after(struct sim_process *p, int64_t span, int code, int signal) {
    p->code = signal ? 0 : code;
    p->signal = signal;
    sim_arm(p->world, &p->end, time_add(p->world->now, span));
}

void sim_output(struct sim_process *p, int fd, const char *data, size_t len) {
    sim_trace(p->world, "output", (uint64_t)p->pid, len);
    if (p->parent.output) {
        p->parent.output(p->parent.ctx, fd, data, len);
    }
}

void sim_on_signal(struct sim_process *p, void (*fn)(struct sim_process *, void *, int),
                   void *ctx) {
    p->on_signal = fn;
    p->on_signal_ctx = ctx;
}

static void on_signal(struct loop_timer *timer) {
    struct sent_signal *s = timer->ctx;
    struct sim_process *p = s->to;
    int signum = s->signum;
    signal_free(s);
    sim_trace(p->world, "signal", (uint64_t)p->pid, (uint64_t)signum);
    if (p->on_signal && signum != SIGKILL) {
        p->on_signal(p, p->on_signal_ctx, signum);
    } else if (signum != 0) {
        loop_timer_stop(&p->world->base, &p->start);
        sim_exit_after(p, 0, 0, signum);
    }
}

void sim_process_signal(struct sim_process *p, int signum) {
    struct sent_signal *s = calloc(1, sizeof *s);
    if (!s) {
        abort();
    }
    s->to = p;
    s->signum = signum;
    loop_timer_init(&s->timer, on_signal, s);
    list_append(&p->signals, &s->link);
    sim_arm(p->world, &s->timer, p->world->now);
}

void sim_process_orphan(struct sim_process *p) {
    p->parent = (struct sim_parent){0};
}

int sim_process_pid(const struct sim_process *p) {
    return p->pid;
}

struct sim_process *sim_process_new(struct loop_sim *w, const char *const *argv,
                                    const char *const *env, const struct sim_parent *parent,
                                    hardy_error *error) {
    const struct program *program = find_program(w, argv[0]);
    if (!program) {
        (void)fail(error, HARDY_E_NOT_FOUND, argv[0], "command not found: %s", argv[0]);
        return NULL;
    }
    struct sim_process *p = calloc(1, sizeof *p);
    if (!p) {
        (void)fail(error, HARDY_E_NOMEM, argv[0], "no memory for a process");
        return NULL;
    }
    p->world = w;
    p->program = program;
    p->parent = *parent;
    p->pid = (int)(1000 + ++w->made);
    list_init(&p->link);
    list_init(&p->signals);
    loop_timer_init(&p->start, on_start, p);
    loop_timer_init(&p->end, on_end, p);
    p->argv = strings_dup(argv);
    p->env = strings_dup(env);
    if (!p->argv || !p->env) {
        process_free_sim(p);
        (void)fail(error, HARDY_E_NOMEM, argv[0], "no memory for a process");
        return NULL;
    }
    list_append(&w->processes, &p->link);
    sim_arm(w, &p->start, w->now + sim_between(w, 0, START_MAX));
    return p;
}

/* --- the loop's processes --- */

struct piece {
    struct list link;
    int fd; /* 0 = the end */
    size_t len;
    char data[];
};
struct handle { /* of a process that the code above started */
    struct process base;
    struct list link;
    struct sim_process *process; /* NULL = it has ended */
    struct list pieces;          /* what is to be told */
    struct loop_timer timer;
    int code, signal;
    bool outside, paused, capture[3];
};

static struct handle *handle_of(struct process *p) {
    return (struct handle *)p;
}

static void tell_next(struct handle *h) {
    if (!h->paused && !list_empty(&h->pieces)) {
        sim_arm(sim_of(h->base.loop), &h->timer, sim_of(h->base.loop)->now);
    }
}

static void on_tell(struct loop_timer *timer) {
    struct handle *h = timer->ctx;
    struct piece *piece = LIST_ITEM(h->pieces.next, struct piece, link);
    list_remove(&piece->link);
    tell_next(h);
    sim_enter(sim_of(h->base.loop), h->outside);
    if (piece->fd == 0) {
        h->base.events->exited(h->base.ctx, &h->base, h->code, h->signal);
    } else if (h->base.events->output) {
        h->base.events->output(h->base.ctx, &h->base, piece->fd, piece->data, piece->len);
    }
    free(piece);
}

static void add_piece(struct handle *h, int fd, const char *data, size_t len) {
    struct piece *piece = calloc(1, sizeof *piece + len);
    if (!piece) {
        abort();
    }
    piece->fd = fd;
    piece->len = len;
    if (len > 0) {
        memcpy(piece->data, data, len);
    }
    list_append(&h->pieces, &piece->link);
    tell_next(h);
}

static void on_output(void *ctx, int fd, const char *data, size_t len) {
    struct handle *h = ctx;
    if ((fd == 1 || fd == 2) && h->capture[fd]) {
        add_piece(h, fd, data, len);
    }
}

static void on_exited(void *ctx, int code, int signal) {
    struct handle *h = ctx;
    h->process = NULL;
    h->code = code;
    h->signal = signal;
    add_piece(h, 0, NULL, 0);
}

hardy_status process_sim_start(struct loop *loop, const struct process_options *options,
                               const struct process_events *events, void *ctx, struct process **out,
                               hardy_error *error) {
    struct loop_sim *w = sim_of(loop);
    struct handle *h = calloc(1, sizeof *h);
    if (!h) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a process");
    }
    struct sim_parent parent = {on_output, on_exited, h};
    hardy_error own;
    hardy_error_init(&own, sizeof own);
    h->process = sim_process_new(w, options->argv, options->env, &parent, &own);
    if (!h->process) {
        free(h);
        return fail(error, own.status, own.where, "%s", own.message);
    }
    h->base = (struct process){.loop = loop, .events = events, .ctx = ctx};
    h->base.pid = sim_process_pid(h->process);
    h->outside = w->outside;
    h->capture[1] = options->capture_stdout;
    h->capture[2] = options->capture_stderr;
    list_init(&h->pieces);
    loop_timer_init(&h->timer, on_tell, h);
    list_append(&w->handles, &h->link);
    *out = &h->base;
    return HARDY_OK;
}

void process_sim_signal(struct process *process, int signum) {
    struct handle *h = handle_of(process);
    if (h->process) {
        sim_process_signal(h->process, signum);
    }
}

void process_sim_pause_output(struct process *process, bool pause) {
    struct handle *h = handle_of(process);
    h->paused = pause;
    if (pause) {
        loop_timer_stop(h->base.loop, &h->timer);
    } else {
        tell_next(h);
    }
}

void process_sim_free(struct process *process) {
    struct handle *h = handle_of(process);
    if (h->process) {
        sim_process_orphan(h->process);
    }
    while (!list_empty(&h->pieces)) {
        struct piece *piece = LIST_ITEM(h->pieces.next, struct piece, link);
        list_remove(&piece->link);
        free(piece);
    }
    loop_timer_stop(h->base.loop, &h->timer);
    list_remove(&h->link);
    free(h);
}

void process_sim_signal_itself(struct process *process, int signum) {
    process_sim_signal(process, signum);
}

static struct sim_process *find_process(struct loop *loop, int pid) {
    struct loop_sim *w = sim_of(loop);
    for (struct list *i = w->processes.next; i != &w->processes; i = i->next) {
        struct sim_process *p = LIST_ITEM(i, struct sim_process, link);
        if (p->pid == pid) {
            return p;
        }
    }
    return NULL;
}

/* Numbers are not used again in this world. */
hardy_status process_sim_identify(struct loop *loop, int pid, struct process_identity *out) {
    *out = (struct process_identity){pid, pid};
    return find_process(loop, pid) ? HARDY_OK : HARDY_E_NOT_FOUND;
}

static void on_attached_exited(void *ctx, int code, int signal) {
    (void)code;
    (void)signal;
    on_exited(ctx, -1, -1);
}

hardy_status process_sim_attach(struct loop *loop, const struct process_identity *who,
                                const struct process_events *events, void *ctx,
                                struct process **out, hardy_error *error) {
    struct loop_sim *w = sim_of(loop);
    struct sim_process *process = find_process(loop, who->pid);
    if (!process) {
        return fail(error, HARDY_E_NOT_FOUND, NULL, "process %d has ended", who->pid);
    }
    struct handle *h = calloc(1, sizeof *h);
    if (!h) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a process");
    }
    h->process = process;
    process->parent = (struct sim_parent){on_output, on_attached_exited, h};
    h->base = (struct process){.loop = loop, .events = events, .ctx = ctx, .pid = who->pid};
    h->outside = w->outside;
    list_init(&h->pieces);
    loop_timer_init(&h->timer, on_tell, h);
    list_append(&w->handles, &h->link);
    *out = &h->base;
    return HARDY_OK;
}

static const char *marked(const struct sim_process *p, const char *mark) {
    for (char **e = p->env; mark && e && *e; e++) {
        if (str_starts(*e, mark)) {
            return *e + strlen(mark);
        }
    }
    return NULL;
}

size_t process_sim_family_signal(struct loop *loop, const struct process_family *family,
                                 int signum) {
    struct loop_sim *w = sim_of(loop);
    size_t count = 0;
    for (struct list *i = w->processes.next; i != &w->processes; i = i->next) {
        struct sim_process *p = LIST_ITEM(i, struct sim_process, link);
        if (p->pid == family->group || marked(p, family->mark)) {
            count++;
            if (signum > 0) {
                sim_process_signal(p, signum);
            }
        }
    }
    return count;
}

bool process_sim_find(struct loop *loop, const char *mark, struct process_identity *out, char *rest,
                      size_t size) {
    struct loop_sim *w = sim_of(loop);
    for (struct list *i = w->processes.next; i != &w->processes; i = i->next) {
        struct sim_process *p = LIST_ITEM(i, struct sim_process, link);
        const char *found = marked(p, mark);
        if (found) {
            *out = (struct process_identity){p->pid, p->pid};
            str_copy(rest, size, found);
            return true;
        }
    }
    return false;
}

void process_sim_adopt_orphans(struct loop *loop) {
    (void)loop; /* simulated programs have no children */
}

void process_sim_drop(struct loop_sim *w, bool all) {
    struct list *next;
    for (struct list *i = w->handles.next; i != &w->handles; i = next) {
        struct handle *h = LIST_ITEM(i, struct handle, link);
        next = i->next;
        if (all || !h->outside) {
            process_sim_free(&h->base);
        }
    }
    while (all && !list_empty(&w->processes)) {
        process_free_sim(LIST_ITEM(w->processes.next, struct sim_process, link));
    }
    while (all && !list_empty(&w->programs)) {
        struct program *p = LIST_ITEM(w->programs.next, struct program, link);
        list_remove(&p->link);
        free(p->name);
        free(p);
    }
}
