/* SPDX-License-Identifier: Apache-2.0 */
#include "work/probe.h"
#include "base/clock.h"
#include "base/error.h"
#include <signal.h>
#include <stdlib.h>

static const int64_t patience = 30 * HARDY_SECOND;

struct probe {
    struct loop *loop;
    struct process *process;
    struct loop_timer timer;
    struct buf output;
    probe_answered answered;
    void *ctx;
    bool late;
};

static void free_probe(struct probe *p) {
    loop_timer_stop(p->loop, &p->timer);
    buf_free(&p->output);
    free(p);
}

static void on_output(void *ctx, struct process *process, int fd, const char *data, size_t len) {
    struct probe *p = ctx;
    (void)process;
    (void)fd;
    buf_append(&p->output, data, len);
}

static void on_exited(void *ctx, struct process *process, int code, int signum) {
    struct probe *p = ctx;
    process_signal(process, SIGKILL); /* what it left behind in its group */
    process_free(process);
    if (p->late) {
        p->answered(p->ctx, PROBE_UNKNOWN, &p->output, "the probe does not end: unknown");
    } else if (signum != 0) {
        p->answered(p->ctx, PROBE_UNKNOWN, &p->output, "the probe was killed: unknown");
    } else if (code == 0 && p->output.failed) {
        p->answered(p->ctx, PROBE_UNKNOWN, &p->output, "the probe says more than can be kept");
    } else if (code == 0) {
        p->answered(p->ctx, PROBE_DONE, &p->output, "the probe says: done");
    } else if (code == 1) {
        p->answered(p->ctx, PROBE_NOT_DONE, &p->output, "the probe says: not done");
    } else {
        p->answered(p->ctx, PROBE_UNKNOWN, &p->output, "the probe cannot tell");
    }
    free_probe(p);
}

static void on_patience(struct loop_timer *timer) {
    struct probe *p = timer->ctx;
    p->late = true;
    process_signal(p->process, SIGKILL);
}

hardy_status probe_start(struct loop *loop, const struct probe_options *options,
                         probe_answered answered, void *ctx, struct probe **out,
                         hardy_error *error) {
    static const struct process_events events = {on_output, on_exited};
    struct probe *p = calloc(1, sizeof *p);
    struct process_options process;
    if (!p) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a probe");
    }
    p->loop = loop;
    p->answered = answered;
    p->ctx = ctx;
    buf_init(&p->output, options->max_output);
    loop_timer_init(&p->timer, on_patience, p);
    process_options_init(&process);
    process.argv = options->argv;
    process.env = options->env;
    process.cwd = options->cwd;
    process.capture_stdout = true;
    hardy_status status = process_start(loop, &process, &events, p, &p->process, error);
    if (status != HARDY_OK) {
        free_probe(p);
        return status;
    }
    bool less = options->patience > 0 && options->patience < patience;
    loop_timer_start(loop, &p->timer,
                     time_add(loop_now(loop), less ? options->patience : patience));
    *out = p;
    return HARDY_OK;
}

void probe_cancel(struct probe *p) {
    process_signal(p->process, SIGKILL);
}

void probe_free(struct probe *p) {
    process_signal(p->process, SIGKILL);
    process_free(p->process);
    free_probe(p);
}
