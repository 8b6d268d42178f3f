/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_STEP_PROGRAM_H
#define WORK_STEP_PROGRAM_H
/*
 * Kinds of steps that are small programs: hardy itself, under a hidden name, run under the step
 * shim just as a step's command is. So kill -9 of hardy, attaching, deadlines and results are the
 * same for all of them, and what such a program is told and tells is the same too.
 *
 * The request is one JSON object in HARDY_REQUEST, or "@FILE" there: the kernel takes 128 KiB at
 * most in one variable. The result goes to standard output, complaints to standard error. After a
 * failure standard output is one line of JSON, {"error":TEXT, ...}. How it ended is the exit code.
 */
#include "base/buf.h"
#include "io/loop.h"
#include <jansson.h>

#define STEP_REQUEST_MAX ((size_t)16 << 20)

enum step_ending {
    STEP_DONE,
    STEP_FAILED,  /* for good: the same again would fail again. No effect is left, or one that
                     cannot be undone by trying again */
    STEP_PASSING, /* a passing failure without an effect: may be tried again freely */
    STEP_UNKNOWN  /* something was begun and nobody knows what became of it */
};
/* The codes that say so, as those of `hardy exec` do. */
enum step_code {
    STEP_CODE_DONE = 0,
    STEP_CODE_FAILED = 1,
    STEP_CODE_PASSING = 75,
    STEP_CODE_UNKNOWN = 79
};
/* What an exit code of such a program means; every other code is FAILED. */
enum step_ending step_program_ending(int code);

/* What the environment says; borrowed. NULL = not set. */
struct step_given {
    const char *request;  /* HARDY_REQUEST */
    const char *key;      /* HARDY_IDEMPOTENCY_KEY */
    const char *deadline; /* HARDY_DEADLINE */
};
struct step_answer {
    int code;
    struct buf output;
    char message[512]; /* the complaint, "" = none */
};
void step_answer_init(struct step_answer *a);
void step_answer_free(struct step_answer *a);
/* Sets code and complaint; control characters become "?". */
void step_answer_fail(struct step_answer *a, int code, const char *format, ...) HARDY_PRINTF(3, 4);

/* Runs the loop until it has its answer. `request` is an object. */
typedef void (*step_program)(struct loop *loop, json_t *request, const struct step_given *given,
                             struct step_answer *answer);
/* The request is read, then the program runs; a request that cannot be read is FAILED. */
void step_program_run(struct loop *loop, step_program program, const struct step_given *given,
                      struct step_answer *answer);
/* The same on a loop of its own; prints the answer and ends the process at once. An ordinary end
 * would wait for threads (a name server that does not answer) and for sockets, past the deadline,
 * and then the shim's kill would be all that is known. */
_Noreturn void step_program_main(step_program program, const struct step_given *given);
#endif
