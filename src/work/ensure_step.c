/* SPDX-License-Identifier: Apache-2.0 */
#include "work/ensure_step.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RESOURCE_MAX = 1 << 20, WORDS_MAX = 4096 };
/* How long what was made may take to show, all in all a second and a half. */
static const int64_t patience[] = {100 * HARDY_MILLISECOND, 200 * HARDY_MILLISECOND,
                                   400 * HARDY_MILLISECOND, 800 * HARDY_MILLISECOND};
enum { PATIENCES = sizeof patience / sizeof *patience };

enum asked { THERE = 0, MISSING = 1, DIFFERENT = 2 }; /* the probe's exit codes */
enum verb { NOTHING, UPDATE, CREATE };
static const char *const verbs[] = {"none", "update", "create"};
static const char *const statuses[] = {"already_exists", "updated", "created"};

struct ensure {
    struct loop *loop;
    struct step_answer *answer;
    const char **probe, **create,
        **update; /* argv, borrowing from the request; update may be NULL */
    struct process *process;
    struct buf resource;
    enum verb last;    /* what was run before the probe that runs now, or runs now */
    bool acting;       /* `last` runs now, not the probe */
    int failed;        /* the exit code of `last`, 0 = it succeeded */
    enum verb done;    /* the most that succeeded */
    unsigned patience; /* how often the probe was asked again */
    struct loop_timer timer;
    bool over;
};

static void end(struct ensure *e) {
    e->over = true;
    loop_stop(e->loop);
}

static void end_failed(struct ensure *e, int code, const char *format, ...) HARDY_PRINTF(3, 4);
static void end_failed(struct ensure *e, int code, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    step_answer_fail(e->answer, code, "ensure: %s", text);
    end(e);
}

/* --- the result ------------------------------------------------------------------------------- */

/* Without its last line ends; an object or a list as such, all else as text. */
static void put_resource(struct json_out *j, struct buf *output) {
    while (output->len > 0 && strchr("\r\n", output->data[output->len - 1])) {
        output->data[--output->len] = '\0';
    }
    const char *text = output->data ? output->data : "";
    const char *start = text + strspn(text, " \t\r\n");
    json_out_key(j, "resource");
    if ((*start == '{' || *start == '[') && json_check(text, output->len, NULL) == HARDY_OK) {
        json_out_raw(j, start);
    } else {
        json_out_stringn(j, text, output->len);
    }
}

static void end_there(struct ensure *e) {
    struct json_out j;
    json_out_init(&j, &e->answer->output, 0);
    json_out_object(&j);
    json_out_member_string(&j, "status", statuses[e->done]);
    json_out_member_string(&j, "action", verbs[e->done]);
    put_resource(&j, &e->resource);
    json_out_object_end(&j);
    buf_putc(&e->answer->output, '\n');
    e->answer->code = STEP_CODE_DONE;
    end(e);
}

/* --- what comes next -------------------------------------------------------------------------- */

static void run(struct ensure *e, const char **argv, bool acting);

static void act(struct ensure *e, enum verb verb) {
    e->last = verb;
    e->patience = 0;
    run(e, verb == CREATE ? e->create : e->update, true);
}

static void ask_again(struct loop_timer *timer) {
    struct ensure *e = timer->ctx;
    run(e, e->probe, false);
}

/* What was done has succeeded, but the probe does not see it. */
static void not_seen(struct ensure *e, enum asked asked) {
    if (e->patience < PATIENCES) {
        loop_timer_start(e->loop, &e->timer, time_add(loop_now(e->loop), patience[e->patience++]));
        return;
    }
    end_failed(e, STEP_CODE_FAILED,
               "%s succeeded, but the probe says that the resource is %s (exit code %d): one of "
               "the two is wrong",
               verbs[e->last], asked == MISSING ? "not there" : "different from what is wanted",
               (int)asked);
}

static void on_missing(struct ensure *e) {
    if (e->last == NOTHING) {
        act(e, CREATE);
    } else if (e->failed) {
        end_failed(e, e->failed, "%s failed with exit code %d, and the resource is not there",
                   verbs[e->last], e->failed);
    } else {
        not_seen(e, MISSING);
    }
}

static void on_different(struct ensure *e) {
    if (e->last == UPDATE && e->failed) {
        end_failed(e, e->failed, "update failed with exit code %d, and the resource is different",
                   e->failed);
    } else if (e->last == UPDATE || (e->last == CREATE && !e->failed && !e->update)) {
        not_seen(e, DIFFERENT);
    } else if (e->update) {
        act(e, UPDATE);
    } else {
        end_failed(e, STEP_CODE_FAILED,
                   "the resource is there, but different from what is wanted (the probe's exit "
                   "code is 2), and no `update` says how to change it");
    }
}

static void on_asked(struct ensure *e, int code, int signal) {
    int doubt = e->last == NOTHING ? STEP_CODE_PASSING : STEP_CODE_UNKNOWN;
    if (signal) {
        end_failed(e, doubt, "the probe was killed by signal %d", signal);
    } else if (code == THERE && e->resource.failed) {
        end_failed(e, doubt, "the probe prints more than %d bytes", RESOURCE_MAX);
    } else if (code == THERE) {
        end_there(e);
    } else if (code == MISSING) {
        on_missing(e);
    } else if (code == DIFFERENT) {
        on_different(e);
    } else {
        end_failed(e, (code == 126 || code == 127) && e->last == NOTHING ? code : doubt,
                   "the probe cannot tell (exit code %d): 0 is there, 1 not there, 2 different",
                   code);
    }
}

static void on_acted(struct ensure *e, int code, int signal) {
    if (signal) {
        end_failed(e, STEP_CODE_UNKNOWN,
                   "%s was killed by signal %d: whether it has acted is not "
                   "known",
                   verbs[e->last], signal);
        return;
    }
    e->failed = code;
    if (code == 0 && e->last > e->done) {
        e->done = e->last;
    }
    run(e, e->probe, false);
}

/* --- processes ---------------------------------------------------------------------------------
 */

static void on_output(void *ctx, struct process *process, int fd, const char *data, size_t len) {
    struct ensure *e = ctx;
    (void)process;
    (void)fd;
    buf_append(&e->resource, data, len);
}

static void on_exited(void *ctx, struct process *process, int code, int signal) {
    struct ensure *e = ctx;
    process_free(process);
    e->process = NULL;
    if (e->acting) {
        on_acted(e, code, signal);
    } else {
        on_asked(e, code, signal);
    }
}

static void run(struct ensure *e, const char **argv, bool acting) {
    static const struct process_events events = {on_output, on_exited};
    struct process_options options;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    process_options_init(&options);
    options.argv = argv;
    options.group = PROCESS_GROUP_SAME;
    options.capture_stdout = !acting;
    options.stdout_fd = acting ? STDERR_FILENO : -1;
    e->acting = acting;
    buf_reset(&e->resource);
    e->resource.failed = false;
    hardy_status status = process_start(e->loop, &options, &events, e, &e->process, &error);
    if (status == HARDY_OK) {
        return;
    }
    int code = status == HARDY_E_NOT_FOUND                          ? 127
               : hardy_status_class_of(status) == HARDY_CLASS_RETRY ? STEP_CODE_PASSING
                                                                    : 126;
    bool doubt = !acting && e->last != NOTHING;
    end_failed(e, doubt ? STEP_CODE_UNKNOWN : code, "%s: %s", acting ? verbs[e->last] : "probe",
               error.message);
}

/* --- the request ------------------------------------------------------------------------------ */

static bool read_argv(struct step_answer *a, const char *name, json_t *list, const char ***out) {
    size_t index;
    json_t *word;
    const char **argv = calloc(json_array_size(list) + 1, sizeof *argv);
    if (!argv) {
        step_answer_fail(a, STEP_CODE_PASSING, "ensure: no memory for a command");
        return false;
    }
    *out = argv;
    bool good = json_array_size(list) > 0 && json_array_size(list) <= WORDS_MAX;
    json_array_foreach(list, index, word) {
        argv[index] = json_string_value(word);
        good = good && argv[index];
    }
    if (!good || !argv[0][0]) {
        step_answer_fail(a, STEP_CODE_FAILED,
                         "ensure: `%s` is a list of 1 to %d texts: a command "
                         "and its arguments",
                         name, WORDS_MAX);
        return false;
    }
    return true;
}

static bool read_request(struct ensure *e, json_t *request) {
    json_t *probe, *create, *update = NULL;
    json_error_t why;
    if (json_unpack_ex(request, &why, 0, "{s:o, s:o, s?:o !}", "probe", &probe, "create", &create,
                       "update", &update) != 0) {
        step_answer_fail(e->answer, STEP_CODE_FAILED, "ensure: the request: %s", why.text);
        return false;
    }
    return read_argv(e->answer, "probe", probe, &e->probe) &&
           read_argv(e->answer, "create", create, &e->create) &&
           (!update || read_argv(e->answer, "update", update, &e->update));
}

void ensure_step(struct loop *loop, json_t *request, const struct step_given *given,
                 struct step_answer *answer) {
    struct ensure e = {.loop = loop, .answer = answer};
    (void)given; /* the shim holds the deadline, for us and for what we run */
    buf_init(&e.resource, RESOURCE_MAX);
    loop_timer_init(&e.timer, ask_again, &e);
    if (read_request(&e, request)) {
        run(&e, e.probe, false);
        if (!e.over) {
            loop_run(loop);
        }
        if (!e.over) {
            step_answer_fail(answer, STEP_CODE_UNKNOWN, "ensure: interrupted");
        }
    }
    loop_timer_stop(loop, &e.timer);
    if (e.process) {
        process_free(e.process);
    }
    buf_free(&e.resource);
    free(e.probe);
    free(e.create);
    free(e.update);
}
