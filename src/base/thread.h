/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H
/* A number for the calling thread, never 0, for choosing one of several shards. Threads of one
 * process count up, and each process starts elsewhere, for processes may share the shards. */

/* A shared library's thread-local variable costs a function call unless its place is fixed. */
#define THREAD_FAST_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

extern THREAD_FAST_LOCAL unsigned thread_number_known;
unsigned thread_number_draw(void);

static inline unsigned thread_number(void) {
    unsigned number = thread_number_known;
    return number ? number : thread_number_draw();
}
#endif
