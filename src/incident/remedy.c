/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/remedy.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "work/environment.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMS = 1 << 20, MAX_OUTPUT = 64 << 10 };

/* The shell only puts standard error where standard output goes, and becomes the command. */
static const char *const both[] = {"/bin/sh", "-c", "exec \"$@\" 2>&1", "sh"};
enum { BOTH = sizeof both / sizeof *both };

static char *as_json(char *const *argv) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_PARAMS);
    json_out_init(&j, &text, 0);
    json_out_array(&j);
    for (; *argv; argv++)
        json_out_string(&j, *argv);
    json_out_array_end(&j);
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}

static char **environment_of(const struct incident *i, const char *const *env) {
    struct environment e = {0};
    environment_add(&e, env);
    environment_set(&e, "HARDY_INCIDENT", "%s", i->id);
    environment_set(&e, "HARDY_SERVICE", "%s", i->service);
    return environment_take(&e);
}

hardy_status remedy_prepare(struct remedy *r, const struct incident *i,
                            const struct action_settings *action, const char *const *env,
                            const char *cwd, int64_t keep, hardy_error *error) {
    size_t count = 0;
    remedy_free(r);
    while (action->run.argv[count])
        count++;
    r->key = incident_remedy_key(i);
    r->params = as_json(action->run.argv);
    r->env = environment_of(i, env);
    r->argv = calloc(BOTH + count + 1, sizeof *r->argv);
    if (!r->key || !r->params || !r->env || !r->argv)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the remedy %s", action->name);
    for (size_t n = 0; n < BOTH; n++)
        r->argv[n] = both[n];
    for (size_t n = 0; n < count; n++)
        r->argv[BOTH + n] = action->run.argv[n];
    r->require = (struct store_op){
        .kind = STORE_REQUIRE, .row_kind = "incident", .key = i->id, .if_fence = i->fence};
    r->spec = (struct command_spec){.row_kind = "remedy",
                                    .key = r->key,
                                    .name = action->name,
                                    .scope = r->key,
                                    .params = r->params,
                                    .argv = r->argv,
                                    .env = (const char *const *)r->env,
                                    .cwd = cwd,
                                    .timeout = action->timeout,
                                    .deadline = HARDY_NEVER,
                                    .ttl = keep,
                                    .max_output = MAX_OUTPUT,
                                    .in_doubt = (enum in_doubt_policy)action->in_doubt,
                                    .probe = (const char *const *)action->probe.argv,
                                    .attach = true,
                                    .with_start = &r->require,
                                    .with_start_count = 1};
    return HARDY_OK;
}

void remedy_free(struct remedy *r) {
    free(r->key);
    free(r->params);
    environment_free_list(r->env);
    free(r->argv);
    *r = (struct remedy){0};
}

void remedy_hint(const char *output, char *out, size_t size) {
    const char *first = output ? output + strspn(output, " \t\r\n") : "";
    size_t first_len = strcspn(first, "\r\n"), end = strlen(first);
    out[0] = '\0';
    while (end > 0 && strchr(" \t\r\n", first[end - 1]))
        end--;
    size_t begin = end;
    while (begin > 0 && first[begin - 1] != '\n' && first[begin - 1] != '\r')
        begin--;
    if (first_len == 0)
        return;
    if (begin == 0)
        snprintf(out, size, "%.*s", (int)(end < 300 ? end : 300), first);
    else
        snprintf(out, size, "%.*s ... %.*s", (int)(first_len < 200 ? first_len : 200), first,
                 (int)(end - begin < 150 ? end - begin : 150), first + begin);
    str_make_printable(out);
}
