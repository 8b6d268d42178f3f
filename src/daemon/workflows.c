/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/workflows: runs as `hardy workflows --json` shows them. */
#include "base/error.h"
#include "daemon/aside.h"
#include "durable/run.h"

#define WORKFLOWS "/api/v1/workflows/"

static bool put_run(void *ctx, const struct store_row *row) {
    struct aside *a = ctx;
    struct run run;
    a->status = run_decode(row, &run, &a->error);
    if (a->status != HARDY_OK) {
        return false;
    }
    a->status = run_load_steps(a->store, &run, &a->error);
    if (a->status == HARDY_OK) {
        run_to_json(&run, &a->j);
    }
    run_free(&run);
    return a->status == HARDY_OK && !a->text.failed;
}

static void make_list(struct aside *a) {
    aside_list(a, "workflows", put_run);
}

static void make_one(struct aside *a) {
    struct run run;
    a->status = run_load(a->store, a->key, &run, &a->error);
    if (a->status == HARDY_E_NOT_FOUND) {
        fail(&a->error, a->status, "", "there is no run `%s`", a->key);
    }
    if (a->status == HARDY_OK) {
        run_to_json(&run, &a->j);
        run_free(&run);
    }
}

void workflows_answer_list(void *ctx, struct http_request *r) {
    static const char *const kinds[] = {"run", NULL};
    aside_answer_list(ctx, r, kinds, make_list);
}

void workflows_answer_one(void *ctx, struct http_request *r) {
    aside_answer_one(ctx, r, WORKFLOWS, make_one);
}
