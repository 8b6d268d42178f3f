/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop COMMAND...: runs all commands at once on a libuv loop, under one guard that lets two go at a
 * time and tries again what fails. It shows the driver that an event loop needs: hardy_op decides,
 * advance() does what it says.
 *
 *     cc loop.c $(pkg-config --cflags --libs hardy libuv) -o loop
 *     python3 failing_server.py 8080 &
 *     ./loop 'curl -fsS http://127.0.0.1:8080/flaky' 'exec sleep 60' 'no-such-program'
 */
#include <hardy/hardy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct task {
    hardy_op op;          /* stays where it is from begin to end */
    uv_timer_t timer;     /* for WAIT */
    uv_async_t wake;      /* a WAIT may be over: any thread may say so */
    uv_process_t process; /* the attempt that runs, and its number */
    uint32_t attempt;
    bool stopped;
    hardy_outcome outcome;
    char *command;
};
static hardy_env env;

static int64_t now(void) {
    return env.now(env.ctx);
}

static void advance(struct task *t);

/* --- an attempt: any work that begins, can be stopped, and tells its end ---------------------- */

static void on_closed(uv_handle_t *process) {
    struct task *t = process->data;
    hardy_op_report(&t->op, t->attempt, &t->outcome, now());
    advance(t);
}

static void on_ended(uv_process_t *process, int64_t code, int signal) {
    struct task *t = process->data;
    t->outcome = t->stopped    ? hardy_outcome_of_timeout(true)
                 : signal != 0 ? hardy_outcome_of_signal(signal)
                               : hardy_outcome_of_exit((int)code);
    uv_close((uv_handle_t *)process, on_closed);
}

static void call(struct task *t, uint32_t attempt) {
    char *arguments[] = {"sh", "-c", t->command, NULL};
    uv_stdio_container_t inherit[] = {{.flags = UV_IGNORE},
                                      {.flags = UV_INHERIT_FD, .data.fd = 1},
                                      {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {
        .file = "sh", .args = arguments, .exit_cb = on_ended, .stdio = inherit, .stdio_count = 3};
    t->attempt = attempt;
    t->stopped = false;
    int error = uv_spawn(t->timer.loop, &t->process, &options);
    if (error != 0) {
        t->outcome = hardy_outcome_of_errno(-error, false);
        uv_close((uv_handle_t *)&t->process, on_closed);
    }
}

static void stop(struct task *t) {
    t->stopped = true;
    uv_process_kill(&t->process, SIGTERM); /* it is reported when it has ended */
}

/* --- the driver ------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer) {
    advance(timer->data);
}

static void on_wake(uv_async_t *wake) {
    advance(wake->data);
}

/* Called by whoever frees a slot, perhaps in another thread: it posts, and that is all it may do.
 */
static void wake(void *ctx) {
    uv_async_send(ctx);
}

static void wait_until(struct task *t, int64_t until) {
    uv_timer_stop(&t->timer);
    if (until != HARDY_NEVER) {
        int64_t left = until - now();
        uint64_t rounded_up = left > 0 ? (uint64_t)(left / HARDY_MILLISECOND) + 1 : 0;
        uv_update_time(t->timer.loop);
        uv_timer_start(&t->timer, on_timer, rounded_up, 0);
    }
}

/* To be called whenever something has happened. */
static void advance(struct task *t) {
    for (;;) {
        hardy_step step = hardy_op_next(&t->op, now());
        switch (step.kind) {
        case HARDY_STEP_CALL:
            call(t, step.attempt);
            break;
        case HARDY_STEP_STOP:
            stop(t);
            break;
        case HARDY_STEP_WAIT:
            wait_until(t, step.until);
            return;
        case HARDY_STEP_RESULT:
            printf("%s: %s, attempts: %u\n", t->command, hardy_status_text(step.status),
                   step.attempt);
            break;
        case HARDY_STEP_DONE:
            hardy_op_end(&t->op);
            uv_close((uv_handle_t *)&t->timer, NULL);
            uv_close((uv_handle_t *)&t->wake, NULL);
            return;
        }
    }
}

static int begin(struct task *t, uv_loop_t *loop, hardy_guard *guard, char *command) {
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.repeatable = true; /* who gives a command here says that it may run again */
    options.wake.fn = wake;
    options.wake.ctx = &t->wake;
    t->command = command;
    if (hardy_op_begin(&t->op, sizeof t->op, guard, &options, now()) != HARDY_OK) {
        return 1;
    }
    uv_timer_init(loop, &t->timer);
    uv_async_init(loop, &t->wake, on_wake);
    t->timer.data = t->wake.data = t->process.data = t;
    advance(t);
    return 0;
}

int main(int argc, char **argv) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_bulkhead_config bulkhead;
    hardy_guard *guard;
    struct task *tasks = calloc((size_t)argc, sizeof *tasks);
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0); /* the commands write to it as well */
    hardy_env_system(&env, sizeof env);
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_bulkhead_config_init(&bulkhead, sizeof bulkhead);
    config.name = "loop";
    config.timeout = 2 * HARDY_SECOND;
    config.retry = &retry;
    config.bulkhead = &bulkhead;
    retry.max_retries = 2;
    retry.base_delay = 50 * HARDY_MILLISECOND;
    bulkhead.max_concurrent = 2;
    if (!tasks || hardy_guard_new(&config, &env, &guard, NULL) != HARDY_OK) {
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        failed += begin(&tasks[i], uv_default_loop(), guard, argv[i]);
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_loop_close(uv_default_loop());
    hardy_guard_free(guard);
    free(tasks);
    return failed != 0;
}
