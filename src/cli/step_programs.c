/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of workflows that are hardy itself; see work/step_program.h. */
#include "cli/command.h"
#include "work/ensure_step.h"
#include "work/file_step.h"
#include "work/http_step.h"
#include <signal.h>
#include <stdlib.h>

static int run(struct options *o, step_program program) {
    int id = options_next(o);
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "unexpected operand \"%s\"", o->argv[0]);
    }
    const struct step_given given = {.request = getenv("HARDY_REQUEST"),
                                     .key = getenv("HARDY_IDEMPOTENCY_KEY"),
                                     .deadline = getenv("HARDY_DEADLINE")};
    signal(SIGPIPE, SIG_IGN);
    step_program_main(program, &given);
}

static int run_http(struct options *o) {
    return run(o, http_step);
}

static int run_ensure(struct options *o) {
    return run(o, ensure_step);
}

static int run_file(struct options *o) {
    return run(o, file_step);
}

const struct command command_http_step = {
    .name = "__http",
    .synopsis = "",
    .summary = "send one HTTP request, for a step of a workflow",
    .run = run_http,
    .hidden = true,
};

const struct command command_ensure_step = {
    .name = "__ensure",
    .synopsis = "",
    .summary = "make sure of a thing, for a step of a workflow",
    .run = run_ensure,
    .hidden = true,
};

const struct command command_file_step = {
    .name = "__file",
    .synopsis = "",
    .summary = "keep a text in a file named after it, for a step of a workflow",
    .run = run_file,
    .hidden = true,
};
