/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_EXEC_H
#define CLI_EXEC_H
/*
 * `hardy exec` in pieces: what was asked for (exec_plan, exec.c), one guarded operation on the loop
 * (exec_run.c), what its end means for the exit code, the person and the JSON report
 * (exec_verdict.c).
 */
#include "base/buf.h"
#include "cli/options.h"
#include "io/loop.h"
#include "settings/guards.h"
#include "shared/host.h"
#include <hardy/op.h>

struct exec_plan {
    const struct options *o;
    const char *name; /* NULL: nothing is shared */
    char **argv;      /* the command */
    struct guard_settings settings;
    bool stream, preserve_status;
    const char *json;   /* a file, NULL = no report */
    int64_t kill_after; /* between TERM and KILL */
    uint64_t max_held;  /* bytes of output, and of input, that are kept */
    struct host *host;  /* NULL: nothing is shared */
    struct host_slot slot;
    uint32_t max_concurrent; /* 0 = no limit */
    int64_t not_after; /* wall: HARDY_DEADLINE, of the operation around this one; HARDY_NEVER */
};

struct exec_attempt {       /* how one ended */
    int64_t started, ended; /* wall */
    int code, signal;       /* of the command; signal 0 = it exited */
    int not_started;        /* 126, 127: it could not be run; 0 = it was */
    bool timed_out;         /* we ended it: its timeout or the deadline */
};
struct exec_result {
    hardy_step step; /* the verdict; status E_INVALID with `error` when hardy itself failed */
    hardy_error error;
    int interrupted;  /* the signal that ended it, 0 = none */
    bool by_terminal; /* which sent it to everybody in the foreground */
    bool commanded;   /* the command ended the matter: its code and output count */
    struct exec_attempt *attempts;
    size_t count;           /* of attempts made */
    int64_t started, ended; /* wall */
    hardy_breaker_stats breaker;
};

/* When all of it ends: its own deadline, or the one around it if that is sooner. */
int64_t exec_deadline(const struct exec_plan *plan, struct loop *loop);
/* Runs it; standard output of the attempt that counts has been written. The caller frees
 * result->attempts. */
void exec_run(const struct exec_plan *plan, const hardy_guard_config *config,
              struct exec_result *result);

/* "exit code 7", "killed by signal 9", "timed out after 5s"; `out` holds 80 bytes. */
void exec_attempt_text(const struct exec_plan *plan, const struct exec_attempt *a, char *out);
/* The shell's code for an attempt: 0 to 255. */
int exec_attempt_code(const struct exec_attempt *a);
/* Whether the command ended the matter, so that hardy adds nothing of its own. */
bool exec_commanded(const struct exec_plan *plan, const struct exec_result *r);
/* The exit code; says on standard error why, and when it may be tried again, if hardy decided. */
int exec_verdict(const struct exec_plan *plan, const struct exec_result *r);
/* The report for --json; false when it could not be written (told already). */
bool exec_report(const struct exec_plan *plan, const struct exec_result *r, int code);
/* Writes a report's text where --json says. */
bool exec_write_report(const struct exec_plan *plan, struct buf *text);
#endif
