/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/change.h"
#include "base/error.h"

enum { MOST_TRIES = 50 };

void change_write_init(struct change_write *w) {
    *w = (struct change_write){0};
    buf_init(&w->value, STORE_VALUE_MAX);
}

void change_write_free(struct change_write *w) {
    buf_free(&w->value);
    w->wanted = false;
}

hardy_status change_look(const struct change *c, struct store *store, struct change_write *write,
                         hardy_error *error) {
    struct store_row row;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    change_write_free(write);
    hardy_status status = store_get(store, c->row_kind, c->key, &row, &why);
    if (status != HARDY_OK && status != HARDY_E_NOT_FOUND) {
        if (error) {
            *error = why;
        }
        return status;
    }
    bool there = status == HARDY_OK;
    status = c->decide(c->ctx, there ? &row : NULL, write, error);
    if (write->wanted && write->value.failed) {
        write->wanted = false;
        status = write->value.full
                     ? fail(error, HARDY_E_TOO_LARGE, NULL,
                            "%s %s would be larger than the 16 MiB of a row", c->row_kind, c->key)
                     : fail(error, HARDY_E_NOMEM, NULL, "no memory for %s %s", c->row_kind, c->key);
    }
    if (there) {
        store_row_free(&row);
    }
    return status;
}

bool change_again(const struct change *c, unsigned *tries, hardy_status *status,
                  hardy_error *error) {
    if (*status != HARDY_E_FENCED && *status != HARDY_E_EXISTS) {
        return false;
    }
    if (++*tries < MOST_TRIES) {
        return true;
    }
    *status = fail(error, HARDY_E_EXHAUSTED, NULL,
                   "%s %s was changed by others %d times while it was being written", c->row_kind,
                   c->key, MOST_TRIES);
    return false;
}

hardy_status change_apply(const struct change *c, struct store *store, int64_t deadline,
                          hardy_error *error) {
    struct change_write write;
    hardy_status answer, status;
    unsigned tries = 0;
    change_write_init(&write);
    do {
        status = answer = change_look(c, store, &write, error);
        if (!write.wanted) {
            break;
        }
        status = store_apply(store, &write.op, 1, deadline, NULL, error);
    } while (change_again(c, &tries, &status, error));
    if (write.wanted && status == HARDY_OK) {
        status = answer;
    }
    change_write_free(&write);
    return status;
}

int64_t change_next_fence(const struct store_row *row, int64_t wall) {
    if (row) {
        return row->fence + 1;
    }
    return wall > HARDY_MILLISECOND ? wall / HARDY_MILLISECOND : 1;
}
