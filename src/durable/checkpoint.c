/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/checkpoint.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include <string.h>

hardy_status checkpoint_check_id(const char *id, hardy_error *error) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char further[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._:@/-";
    size_t len = strlen(id);
    if (len > 0 && len <= CHECKPOINT_ID_MAX && strchr(letters, id[0]) &&
        strspn(id, further) == len) {
        return HARDY_OK;
    }
    return fail(error, HARDY_E_INVALID, "id",
                "is not 1 to %d letters, digits and ._:@/- that begin with a letter or digit",
                CHECKPOINT_ID_MAX);
}

hardy_status checkpoint_init(struct checkpoint *c, const struct checkpoint_request *request,
                             hardy_error *error) {
    *c = (struct checkpoint){.request = request, .version = -1};
    hardy_status status = checkpoint_check_id(request->id, error);
    if (status != HARDY_OK || request->verb == CHECKPOINT_DELETE) {
        return status;
    }
    size_t len = strlen(request->value);
    if (len > CHECKPOINT_VALUE_MAX) {
        return fail(error, HARDY_E_TOO_LARGE, request->id,
                    "%zu bytes are more than the 8 MiB of a checkpoint", len);
    }
    if (request->ttl <= 0) {
        return fail(error, HARDY_E_INVALID, "ttl", "is not above 0");
    }
    return json_check(request->value, len, error);
}

static bool is_expired(const struct store_row *row, int64_t wall) {
    return row->expires != 0 && row->expires <= wall;
}

static hardy_status other_version(struct checkpoint *c, hardy_error *error) {
    const struct checkpoint_request *q = c->request;
    if (q->if_version == CHECKPOINT_NEW) {
        return fail(error, HARDY_E_EXISTS, NULL, "the checkpoint %s is there already, version %lld",
                    q->id, (long long)c->version);
    }
    if (q->if_version == CHECKPOINT_THERE) {
        return fail(error, HARDY_E_FENCED, NULL, "the checkpoint %s is not there", q->id);
    }
    if (c->version < 0) {
        return fail(error, HARDY_E_FENCED, NULL,
                    "the checkpoint %s is not there, so it has no version %lld", q->id,
                    (long long)q->if_version);
    }
    return fail(error, HARDY_E_FENCED, NULL,
                "the checkpoint %s has version %lld, not %lld: somebody else has written it", q->id,
                (long long)c->version, (long long)q->if_version);
}

hardy_status checkpoint_decide(void *ctx, const struct store_row *row, struct change_write *write,
                               hardy_error *error) {
    struct checkpoint *c = ctx;
    const struct checkpoint_request *q = c->request;
    bool there = row && !is_expired(row, q->wall);
    c->version = there ? row->fence : -1;
    c->created = !there;
    bool fits = q->if_version == CHECKPOINT_ANY     ? true
                : q->if_version == CHECKPOINT_NEW   ? !there
                : q->if_version == CHECKPOINT_THERE ? there
                                                    : q->if_version == c->version;
    if (!fits) {
        return other_version(c, error);
    }
    struct store_op op = {
        .row_kind = CHECKPOINT_ROW, .key = q->id, .if_fence = row ? row->fence : STORE_ANY_FENCE};
    if (q->verb == CHECKPOINT_DELETE) {
        op.kind = STORE_DELETE;
        write->wanted = there;
        write->op = op;
        return there ? HARDY_OK
                     : fail(error, HARDY_E_NOT_FOUND, NULL, "there is no checkpoint %s", q->id);
    }
    c->version = change_next_fence(row, q->wall);
    op.kind = row ? STORE_UPDATE : STORE_INSERT;
    op.fence = c->version;
    op.value = q->value;
    op.len = strlen(q->value);
    op.expires = q->ttl == HARDY_NEVER ? 0 : time_add(q->wall, q->ttl);
    write->wanted = true;
    write->op = op;
    return HARDY_OK;
}

hardy_status checkpoint_get(struct store *store, const char *id, int64_t wall,
                            struct store_row *out, hardy_error *error) {
    hardy_status status = checkpoint_check_id(id, error);
    if (status == HARDY_OK) {
        status = store_get(store, CHECKPOINT_ROW, id, out, error);
    }
    if (status == HARDY_OK && is_expired(out, wall)) {
        store_row_free(out);
        status = HARDY_E_NOT_FOUND;
    }
    return status == HARDY_E_NOT_FOUND ? fail(error, status, "", "there is no checkpoint %s", id)
                                       : status;
}
