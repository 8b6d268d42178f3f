/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/resolving.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "io/file.h"
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINE = 16 << 10 };

bool resolving_option(struct resolving *r, int id, const struct options *o) {
    switch (id) {
    case OPT_DONE:
        r->how = RESOLVE_DONE;
        break;
    case OPT_RETRY:
        r->how = RESOLVE_RETRY;
        break;
    case OPT_FAIL:
        r->how = RESOLVE_FAIL;
        break;
    case OPT_RESULT:
        r->result = o->value;
        return true;
    default:
        return false;
    }
    r->given++;
    return true;
}

/* What looks like an object or array has to be one, or later steps would not find its members. */
static hardy_status check_result(const struct buf *result, hardy_error *error) {
    const char *text = result->data ? result->data : "";
    size_t start = strspn(text, " \t\r\n");
    if (text[start] != '{' && text[start] != '[') {
        return HARDY_OK;
    }
    hardy_status status = json_check(text, result->len, error);
    if (status != HARDY_OK) {
        error_prefix(error, "--result is not JSON");
    }
    return status;
}

hardy_status resolving_check(struct resolving *r, struct buf *result, hardy_error *error) {
    if (r->given != 1) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "exactly one of --done, --retry, --fail is needed");
    }
    if (r->result && r->how != RESOLVE_DONE) {
        return fail(error, HARDY_E_INVALID, NULL, "--result goes with --done");
    }
    if (!r->result) {
        return HARDY_OK;
    }
    if (r->result[0] == '@') {
        hardy_status status = file_read(r->result + 1, result, error);
        return status == HARDY_OK ? check_result(result, error) : status;
    }
    return buf_puts(result, r->result)
               ? check_result(result, error)
               : fail(error, HARDY_E_TOO_LARGE, "--result", "is larger than 1 MiB");
}

/* A word as a shell reads it back. */
static void put_word(struct buf *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./"
                                ":=@%+,";
    if (*word && word[strspn(word, plain)] == '\0') {
        buf_puts(out, word);
        return;
    }
    buf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'') {
            buf_puts(out, "'\\''");
        } else {
            buf_putc(out, *word);
        }
    }
    buf_putc(out, '\'');
}

/* Found by every user's shell without being named. */
static bool is_usual(const char *state) {
    static const char usual[] = "/.local/state/hardy/hardy.db";
    size_t len = strlen(state);
    return len > sizeof usual && str_eq(state + len - strlen(usual), usual);
}

void command_line(FILE *to, const char *state, const char *indent, const char *const *words,
                  const char *help) {
    struct buf line;
    char *absolute = realpath(state, NULL);
    buf_init(&line, MAX_LINE);
    buf_printf(&line, "%shardy", indent);
    for (; *words; words++) {
        buf_putc(&line, ' ');
        put_word(&line, *words);
    }
    if (!is_usual(state)) {
        buf_puts(&line, " --state ");
        put_word(&line, absolute ? absolute : state);
    }
    fprintf(to, "%s    # %s\n", line.data ? line.data : "", help);
    buf_free(&line);
    free(absolute);
}

void resolving_lines(FILE *to, const char *state, const char *indent, const char *noun,
                     const char *id, const char *step) {
    static const char *const ways[] = {"--done", "--retry", "--fail"};
    static const char *const help[] = {
        "it has happened (--result JSON or @FILE stands for its output)",
        "it has not: run it again", "it has not: it counts as failed"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const char *with[] = {noun, "resolve", id, step, ways[i], NULL};
        const char *without[] = {noun, "resolve", id, ways[i], NULL};
        command_line(to, state, indent, step ? with : without, help[i]);
    }
}

const char *resolving_who(char out[96]) {
    const struct passwd *user = getpwuid(getuid());
    snprintf(out, 96, "%s (uid %u)", user ? user->pw_name : "?", (unsigned)getuid());
    return out;
}
