/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/fail_over_run.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "supervise/fail_over_seeded.h"
#include "work/environment.h"
#include "work/joined.h"
#include <stdlib.h>

enum { MAX_PARAMS = 1 << 20, MAX_OUTPUT = 64 << 10 };
static const int64_t keep = 90 * HARDY_DAY;

char *fail_over_run_key(const char *name, const struct fail_over_record *r) {
    unsigned long long number = r->number + FAIL_OVER_BUG_COUNT(BUG_NEW_KEY);
    return str_format("fail_over/%s/%llu", name, number);
}

static char *params_of(char *const *argv, const struct fail_over_record *r) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_PARAMS);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_member_string(&j, "from", r->from);
    json_out_member_string(&j, "to", r->active);
    json_out_key(&j, "run");
    json_out_array(&j);
    for (; *argv; argv++)
        json_out_string(&j, *argv);
    json_out_array_end(&j);
    json_out_object_end(&j);
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}

static char **environment_of(const struct fail_over_settings *s, const struct fail_over_record *r,
                             const struct fail_over_candidate *to, const char *const *env) {
    struct environment e = {0};
    environment_add(&e, env);
    environment_set(&e, "HARDY_FAIL_OVER", "%s", s->name);
    environment_set(&e, "HARDY_FROM", "%s", r->from);
    environment_set(&e, "HARDY_TO", "%s", r->active);
    environment_set(&e, "HARDY_ADDRESS", "%s", to->address);
    return environment_take(&e);
}

hardy_status fail_over_run_prepare(struct fail_over_run *run, const struct fail_over_settings *s,
                                   const struct fail_over_record *r,
                                   const struct fail_over_candidate *to, const char *const *env,
                                   const char *cwd, hardy_error *error) {
    fail_over_run_free(run);
    run->key = fail_over_run_key(s->name, r);
    run->params = params_of(s->run.argv, r);
    run->env = environment_of(s, r, to, env);
    run->argv = joined_argv(s->run.argv);
    if (!run->key || !run->params || !run->env || !run->argv)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the command of fail_over %s",
                    s->name);
    run->require = (struct store_op){
        .kind = STORE_REQUIRE, .row_kind = FAIL_OVER_ROW, .key = s->name, .if_fence = r->fence};
    run->spec = (struct command_spec){.row_kind = "remedy",
                                      .key = run->key,
                                      .name = s->name,
                                      .scope = run->key,
                                      .params = run->params,
                                      .argv = run->argv,
                                      .env = (const char *const *)run->env,
                                      .cwd = cwd,
                                      .timeout = s->timeout,
                                      .deadline = HARDY_NEVER,
                                      .ttl = keep,
                                      .max_output = MAX_OUTPUT,
                                      .in_doubt = (enum in_doubt_policy)s->in_doubt,
                                      .probe = (const char *const *)s->probe.argv,
                                      .attach = true,
                                      .with_start = &run->require,
                                      .with_start_count = 1};
    return HARDY_OK;
}

void fail_over_run_free(struct fail_over_run *run) {
    free(run->key);
    free(run->params);
    environment_free_list(run->env);
    free(run->argv);
    *run = (struct fail_over_run){0};
}
