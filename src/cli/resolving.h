/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RESOLVING_H
#define CLI_RESOLVING_H
/* The options with which a person settles what is in doubt: --done [--result JSON|@FILE], --retry,
 * --fail. Shared by `actions resolve` and `workflows resolve`. */
#include "base/buf.h"
#include "cli/options.h"
#include "work/resolve.h"
#include <stdio.h>

/* Ids below 100 are the command's own. */
enum { OPT_DONE = 100, OPT_RETRY, OPT_FAIL, OPT_RESULT };
#define RESOLVING_ROWS                                                                             \
    {OPT_DONE, "done", 0, NULL, "resolve: it has happened"},                                       \
        {OPT_RETRY, "retry", 0, NULL, "resolve: it has not; the next run starts it again"},        \
        {OPT_FAIL, "fail", 0, NULL, "resolve: it has not: it counts as failed"}, {                 \
        OPT_RESULT, "result", 0, "JSON|@FILE", "with --done: what stands for its output"           \
    }

struct resolving {
    int given; /* how many of done, retry, fail */
    enum resolve_how how;
    const char *result;
};
/* Whether `id` was one of these options. */
bool resolving_option(struct resolving *r, int id, const struct options *o);
/* Reads what --result names. E_INVALID: not exactly one way, or a result without --done. */
hardy_status resolving_check(struct resolving *r, struct buf *result, hardy_error *error);
/* The lines a person may type about something in doubt: `hardy NOUN resolve ID [STEP] --done` and
 * so on, each after `indent`; with --state, unless `state` lies where everyone looks for it. */
void resolving_lines(FILE *to, const char *state, const char *indent, const char *noun,
                     const char *id, const char *step);
/* One line to type: "hardy" and the words, with --state likewise. */
void command_line(FILE *to, const char *state, const char *indent, const char *const *words,
                  const char *help);
/* Who types: "user (uid 1000)". */
const char *resolving_who(char out[96]);
#endif
