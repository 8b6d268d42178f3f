/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/lease.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/field.h"
#include <stdlib.h>

void run_lease_free(struct run_lease *l) {
    free(l->key);
    *l = (struct run_lease){0};
}

hardy_status run_lease_load(struct store *store, const char *run_id, struct run_lease *out,
                            hardy_error *error) {
    struct store_row row;
    hardy_error ignored;
    hardy_error_init(&ignored, sizeof ignored);
    *out = (struct run_lease){.key = str_format("run/%s", run_id)};
    if (!out->key) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the lease of run %s", run_id);
    }
    hardy_status status = store_get(store, "lease", out->key, &row, &ignored);
    if (status == HARDY_E_NOT_FOUND) {
        return HARDY_OK;
    }
    if (status != HARDY_OK) {
        if (error) {
            *error = ignored;
        }
        return status;
    }
    json_t *o = json_loadb(row.value, row.len, JSON_REJECT_DUPLICATES, NULL);
    out->fence = row.fence;
    field_copy(out->owner, sizeof out->owner, o, "owner");
    moment_get(o, "until", &out->until);
    json_decref(o);
    store_row_free(&row);
    return HARDY_OK;
}

void run_lease_op(const struct run_lease *l, int64_t before, struct buf *value,
                  struct store_op *op) {
    struct json_out j;
    buf_reset(value);
    json_out_init(&j, value, 0);
    json_out_object(&j);
    json_out_member_string(&j, "owner", l->owner);
    moment_put(&j, "until", &l->until);
    json_out_object_end(&j);
    *op = (struct store_op){.kind = before == 0 ? STORE_INSERT : STORE_UPDATE,
                            .row_kind = "lease",
                            .key = l->key,
                            .if_fence = before,
                            .fence = l->fence,
                            .value = value->data,
                            .len = value->len};
}

struct store_op run_lease_require(const struct run_lease *l) {
    return (struct store_op){
        .kind = STORE_REQUIRE, .row_kind = "lease", .key = l->key, .if_fence = l->fence};
}
