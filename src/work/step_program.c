/* SPDX-License-Identifier: Apache-2.0 */
#include "work/step_program.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "io/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)64 << 20)

enum step_ending step_program_ending(int code) {
    switch (code) {
    case STEP_CODE_DONE:
        return STEP_DONE;
    case STEP_CODE_PASSING:
        return STEP_PASSING;
    case STEP_CODE_UNKNOWN:
        return STEP_UNKNOWN;
    default:
        return STEP_FAILED;
    }
}

void step_answer_init(struct step_answer *a) {
    *a = (struct step_answer){.code = STEP_CODE_UNKNOWN};
    buf_init(&a->output, OUTPUT_MAX);
}

void step_answer_free(struct step_answer *a) {
    buf_free(&a->output);
}

void step_answer_fail(struct step_answer *a, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(a->message, sizeof a->message, format, args);
    va_end(args);
    str_make_printable(a->message);
    a->code = code;
}

/* Every failure has its line on standard output, also one that came before the program ran. */
static void put_error(struct step_answer *a) {
    struct json_out j;
    json_out_init(&j, &a->output, 0);
    json_out_object(&j);
    json_out_member_string(&j, "error", a->message);
    json_out_object_end(&j);
    buf_putc(&a->output, '\n');
}

static json_t *parse_request(const char *text, size_t len, struct step_answer *a) {
    json_error_t why;
    json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!request) {
        step_answer_fail(a, STEP_CODE_FAILED, "HARDY_REQUEST is not JSON: %s at line %d, column %d",
                         why.text, why.line, why.column);
    } else if (!json_is_object(request)) {
        step_answer_fail(a, STEP_CODE_FAILED, "HARDY_REQUEST is not a JSON object");
        json_decref(request);
        request = NULL;
    }
    return request;
}

static json_t *read_request(const char *given, struct step_answer *a) {
    if (!given || !*given) {
        step_answer_fail(a, STEP_CODE_FAILED,
                         "HARDY_REQUEST is not set: hardy starts this program itself, for a step "
                         "of a workflow");
        return NULL;
    }
    if (*given != '@') {
        return parse_request(given, strlen(given), a);
    }
    struct buf text;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&text, STEP_REQUEST_MAX);
    json_t *request = NULL;
    if (file_read(given + 1, &text, &error) == HARDY_OK) {
        request = parse_request(text.data ? text.data : "", text.len, a);
    } else {
        step_answer_fail(a, STEP_CODE_FAILED, "HARDY_REQUEST names the file %s: %s", given + 1,
                         error.message);
    }
    buf_free(&text);
    return request;
}

void step_program_run(struct loop *loop, step_program program, const struct step_given *given,
                      struct step_answer *answer) {
    json_t *request = read_request(given->request, answer);
    if (request) {
        program(loop, request, given, answer);
        json_decref(request);
    }
    if (answer->code != STEP_CODE_DONE && answer->output.len == 0) {
        put_error(answer);
    }
}

/* A result that could not be handed over is lost, and what it tells of has happened. */
static int print(struct step_answer *a) {
    if (a->message[0]) {
        fprintf(stderr, "hardy: %s\n", a->message);
    }
    if (a->output.failed && a->code == STEP_CODE_DONE) {
        fprintf(stderr, "hardy: no memory for the result\n");
        return STEP_CODE_UNKNOWN;
    }
    errno = 0;
    if ((a->output.len > 0 && fwrite(a->output.data, 1, a->output.len, stdout) != a->output.len) ||
        fflush(stdout) != 0) {
        fprintf(stderr, "hardy: cannot write the result to standard output: %s\n", strerror(errno));
        return a->code == STEP_CODE_DONE ? STEP_CODE_UNKNOWN : a->code;
    }
    return a->code;
}

_Noreturn void step_program_main(step_program program, const struct step_given *given) {
    struct step_answer answer;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    step_answer_init(&answer);
    struct loop *loop = loop_uv_new(&error);
    if (loop) {
        step_program_run(loop, program, given, &answer);
    } else {
        step_answer_fail(&answer, STEP_CODE_PASSING, "%s", error.message);
        put_error(&answer);
    }
    int code = print(&answer);
    fflush(stderr);
    _Exit(code);
}
