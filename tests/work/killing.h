/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_WORK_KILLING_H
#define TESTS_WORK_KILLING_H
/*
 * Killing hardy and counting what its commands did: a world in a folder of its own, in which each
 * deed appends one line to the file `effects`.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One thing to be done once: a step of a run, or a key. */
struct deed {
    char run[24], step[8]; /* HARDY_RUN_ID and HARDY_STEP, as its command sees them */
    const char *policy;    /* "ask", "probe", "rerun" */
    int shim_kills;        /* each may cost a repetition where that is declared */
};
enum kind { HARDY_ONLY, BOTH, SHIM_ONLY, EARLY, KINDS };

struct killing {
    const char *hardy, *self; /* programs; this one is also the command and its probe */
    int kills, alive, by_kind[KINDS];
    struct deed *deeds;
    int count;
};
extern struct killing world;

/* As the command (`effect BEFORE AFTER`, microseconds), or as its probe (`probe`): does not return.
 * Else makes the world and goes there. */
void killing_begin(int argc, char **argv, const char *hardy, const char *seed);
void killing_end(void); /* removes it */
uint64_t draw(uint64_t below);
struct deed *add_deed(const char *run, const char *step, const char *policy);
struct deed *find_deed(const char *run, const char *step); /* NULL = there is none */

void sleep_us(long us);
long long now_ms(void);
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Starts hardy; its output goes to the files `out` and `err`. */
pid_t start_hardy(const char *const *words, const char *out, const char *err);
/* The same, waiting for its end: the exit code, 128 + N for a signal. */
int run_hardy(const char *const *words, const char *out);
bool command_alive(void); /* any of them */
/* KILL now: hardy, the shims below it or left over, or both. Counted. */
void kill_now(const pid_t *hardy, int count, enum kind kind);
/* Lines in `effects`; of one attempt only, when it is given. */
int count_effects(const char *run, const char *step, const char *attempt);
void wait_for_descendants(void);

struct figures {
    int effects, allowed, repeated, missing;
};
/* Counted in a process of its own. */
struct figures count_all(void);
/* "# ..." of kills. */
void print_kills(const char *seed, long long took);
#endif
